#!/usr/bin/env bash
# wheel.sh PYTHON TREE FOLDER: a wheel for this Python that needs nothing but NumPy, put into FOLDER. TREE is a build tree with libbayesflow.a; PYTHON has the tools of
# requirements-test.txt. From Python 3.12 on the wheel (abi3) serves all later versions.
set -euo pipefail
python=$1 tree=$(realpath "$2") folder=$3
raw=$(mktemp -d)
trap 'rm -rf "$raw"' EXIT
"$python" -m pip wheel -q --disable-pip-version-check --no-build-isolation --no-deps -w "$raw" "$(dirname "$0")/.." \
  --config-settings=cmake.define.BAYESFLOW_PREBUILT="$tree" --config-settings=cmake.define.BAYESFLOW_BUNDLE_HDF5=ON \
  --config-settings=cmake.define.CMAKE_CXX_COMPILER_LAUNCHER="${BAYESFLOW_LAUNCHER:-}"
PATH=$(cd "$(dirname "$python")" && pwd):$PATH "$python" -m auditwheel repair -w "$folder" "$raw"/*.whl > /dev/null  # what is still shared (fmt, Highway) goes in
