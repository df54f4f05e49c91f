#!/usr/bin/env bash
# install_dependencies.sh [GROUP...]: installs the Debian packages of these groups that are missing, and says nothing if there are none. Groups: library (the default) is
# what the library, the Python package and the tutorial are built with; tests is what tests and benchmarks need besides, browser what looks at the report in one;
# checks is for formatting, clang-tidy and a Debian 13 to test in; docs for the documentation site. Where packages cannot be installed (no apt-get, no root), it looks for the programs and headers themselves, and says which are not there.
set -euo pipefail
cd /
[ $# -gt 0 ] || set -- library

# group | Debian package | what it is | a program, or a header, that tells whether it is there
needs='
library | make                | GNU Make                                          | make
library | g++                 | a C++20 compiler: GCC 12 or Clang 14, or later    | c++
library | cmake               | CMake 3.22 or later                               | cmake
library | ninja-build         | Ninja                                             | ninja
library | ccache              | ccache                                            |
library | pkg-config          | pkg-config                                        | pkg-config
library | python3             | Python 3.9 or later                               | python3
library | python3-dev         | headers of Python                                 | Python.h
library | python3-venv        | Python: module venv                               |
library | libhwy-dev          | Highway 1.0 or later                              | hwy/highway.h
library | librandom123-dev    | Random123                                         | Random123/philox.h
library | libfmt-dev          | fmt 9 or later                                    | fmt/format.h
library | libhdf5-dev         | HDF5 1.10 or later                                | hdf5.h
library | nlohmann-json3-dev  | JSON for Modern C++ (nlohmann)                    | nlohmann/json.hpp
library | libxxhash-dev       | xxHash 0.8 or later                               | xxhash.h
library | libboost-math-dev   | Boost.Math                                        | boost/math/distributions/gamma.hpp
library | gnuplot-nox         | gnuplot 5 (PNG and PDF figures of C++ programs)   | gnuplot
tests   | python3-h5py        | h5py                                              |
tests   | libgtest-dev        | GoogleTest                                        | gtest/gtest.h
tests   | libcli11-dev        | CLI11                                             | CLI/CLI.hpp
tests   | librapidcheck-dev   | RapidCheck                                        | rapidcheck.h
tests   | libdnnl-dev         | oneDNN                                            | dnnl.hpp
tests   | libbenchmark-dev    | Google Benchmark                                  | benchmark/benchmark.h
tests   | mold                | the linker mold                                   | mold
tests   | valgrind            | Valgrind                                          | valgrind
tests   | libc6-dbg           | debugging symbols of the C library                |
browser | chromium            | Chromium                                          | chromium
checks  | clang-format        | clang-format 14                                   | clang-format
checks  | clang-tidy          | clang-tidy 14                                     | clang-tidy
checks  | debootstrap         | debootstrap                                       | debootstrap
docs    | doxygen             | Doxygen                                           | doxygen
'

rows() {  # the rows of the wanted groups, fields separated by single bars
  sed -E '/^$/d; s/ *\| */|/g' <<< "$needs" | grep -E "^($(IFS='|'; echo "$*"))\|"
}

wanted=() packages=()
while IFS='|' read -r _ package name probe; do
  dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || { packages+=("$package"); wanted+=("$package|$name|$probe"); }
done < <(rows "$@")
[ ${#packages[@]} -gt 0 ] || exit 0

as_root=(); [ "$(id -u)" -eq 0 ] || as_root=(sudo)
if command -v apt-get > /dev/null && { [ ${#as_root[@]} -eq 0 ] || command -v sudo > /dev/null; }; then
  echo "Installing from Debian: ${packages[*]}"
  show=/dev/stdout; [ -t 1 ] || show=/dev/null  # the progress, where somebody looks on
  if "${as_root[@]}" apt-get update -q > "$show" &&
     "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends -o Dpkg::Progress-Fancy=1 "${packages[@]}" > "$show"; then
    exit 0
  fi
fi

there() {  # whether a program is in PATH, or the compiler finds a header; nothing to look for counts as found
  case $1 in
    '') ;;
    */*|*.h|*.hpp) c++ -std=c++20 -fsyntax-only -x c++ $(pkg-config --cflags hdf5 python3 2> /dev/null) -include "$1" /dev/null 2> /dev/null ;;
    *) command -v "$1" > /dev/null ;;
  esac
}
missing=() named=()
for row in "${wanted[@]}"; do
  IFS='|' read -r package name probe <<< "$row"
  there "$probe" || { missing+=("$package"); named+=("$name"); }
done
[ ${#missing[@]} -gt 0 ] || exit 0
{
  echo "Needed, and not found:"
  printf '  %s\n' "${named[@]}"
  echo "They could not be installed here: that takes apt-get (Debian) and root, or sudo. On Debian an administrator does it by"
  echo "  apt-get install ${missing[*]}"
  echo "Elsewhere install them with your system's packages, or say where they are: CMAKE_PREFIX_PATH, CPATH and PKG_CONFIG_PATH are heeded."
} >&2
exit 1
