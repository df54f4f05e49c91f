#!/usr/bin/env bash
# Installs the Debian packages that are missing; says nothing if there are none.
set -euo pipefail
packages=(g++ cmake ninja-build pkg-config python3 python3-dev python3-venv libhwy-dev librandom123-dev libfmt-dev libhdf5-dev nlohmann-json3-dev python3-h5py libgtest-dev librapidcheck-dev libboost-math-dev libdnnl-dev libbenchmark-dev mold ccache gnuplot-nox chromium valgrind)
missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "Installing from Debian: ${missing[*]}"
as_root=(); [ "$(id -u)" -eq 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq "${missing[@]}" > /dev/null
