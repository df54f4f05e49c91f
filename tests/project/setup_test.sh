#!/usr/bin/env bash
# cmake/install_dependencies.sh on machines that it cannot install on: folders of links stand for their PATH.
set -euo pipefail
script=$(realpath "$(dirname "$0")/../../cmake/install_dependencies.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

machine() {  # machine NAME PROGRAM...: a folder with these programs only
  mkdir "$work/$1"
  local folder=$work/$1; shift
  for program in bash sh sed grep cat id env "$@"; do ln -s "$(command -v "$program")" "$folder/"; done
}
fail() { echo "$1"; cat "$work/out"; exit 1; }
run() {  # run NAME GROUP...: the script's output in $work/out, its status in $status
  local folder=$work/$1; shift
  status=0; env -i PATH="$folder" "$folder/bash" "$script" "$@" > "$work/out" 2>&1 || status=$?
}
says() { grep -qF -- "$1" "$work/out" || fail "expected: $1"; }

# Nothing is there: every library is named, with the command for Debian; ccache can be done without.
machine bare
run bare library
[ $status -eq 1 ] || fail "status $status"
for need in "a C++20 compiler" "CMake 3.22" Highway Random123 fmt HDF5 nlohmann "apt-get install make g++ cmake" CMAKE_PREFIX_PATH; do says "$need"; done
! grep -qE 'ccache|not found$|GoogleTest' "$work/out" || fail "more than what is needed"
run bare tests
says GoogleTest
! grep -q Highway "$work/out" || fail "the library's needs among the tests'"

# A system without apt-get where everything is installed in another way: not a word.
machine other "$(command -v c++ g++ clang++ | head -1)" make cmake ninja pkg-config python3 gnuplot
[ -e "$work/other/c++" ] || ln -s "$work/other/"*++ "$work/other/c++"
run other library
[ $status -eq 0 ] && [ ! -s "$work/out" ] || fail "status $status, and nothing was to be said"

# apt-get as root installs what is missing, and only that; its failure is reported with what was needed.
machine debian
printf '#!/bin/sh\ncase "$*" in *" g++") printf "install ok installed" ;; *) exit 1 ;; esac\n' > "$work/debian/dpkg-query"
printf '#!/bin/sh\n[ "$1" = -u ] && echo 0\n' > "$work/id" && ln -sf "$work/id" "$work/debian/id"
printf '#!/bin/sh\necho "$*" >> %s\n' "$work/calls" > "$work/debian/apt-get"
chmod +x "$work/id" "$work/debian/"{dpkg-query,apt-get}
run debian library
[ $status -eq 0 ] || fail "status $status"
grep -q '^install .* cmake ' "$work/calls" && ! grep -q '^install .* g++' "$work/calls" || fail "installed: $(cat "$work/calls")"
printf '#!/bin/sh\nexit 100\n' > "$work/debian/apt-get"
run debian library
[ $status -eq 1 ] || fail "status $status"
says "apt-get install make cmake ninja-build"
# The same without root and without sudo.
printf '#!/bin/sh\n[ "$1" = -u ] && echo 1000\n' > "$work/id"
run debian library
[ $status -eq 1 ] || fail "status $status"
says "an administrator does it by"

# make: the compiler cache that setup installs serves the first build already; a configuration that fails ends it, and is shown.
machine first make mkdir tr nproc "$(command -v test)"
printf '#!/bin/sh\nexit 1\n' > "$work/first/dpkg-query"
printf '#!/bin/sh\n[ "$1" = -u ] && echo 0\n' > "$work/root" && ln -sf "$work/root" "$work/first/id"
cat > "$work/first/apt-get" <<END
#!/bin/sh
[ "\$1" = update ] || { echo > $work/first/ccache; chmod +x $work/first/ccache; }
END
cat > "$work/first/cmake" <<END
#!/bin/sh
[ "\$1" = --build ] || { echo "\$BAYESFLOW_LAUNCHER" > $work/launcher; echo "no Highway"; exit 1; }
END
ln -s "$(command -v chmod)" "$work/first/"
chmod +x "$work/root" "$work/first/"{dpkg-query,apt-get,cmake}
mkdir -p "$work/tree/cmake" && cp "$(dirname "$script")/../Makefile" "$work/tree/" && cp "$script" "$work/tree/cmake/"
status=0; env -i PATH="$work/first" "$work/first/make" -C "$work/tree" library > "$work/out" 2>&1 || status=$?
[ $status -ne 0 ] || fail "a configuration that failed was passed over"
says "no Highway"
[ "$(cat "$work/launcher")" = "$work/first/ccache" ] || fail "the launcher was \"$(cat "$work/launcher")\""
echo "what is missing is said"
