#!/usr/bin/env bash
# fast_tests.sh COMPILER...: builds everything with each of these compilers, in build/<compiler>, and runs the fast tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
for compiler in "$@"; do
  tree=build/$compiler
  BAYESFLOW_LAUNCHER=$(command -v ccache) cmake --preset release -B "$tree" -DCMAKE_CXX_COMPILER="$compiler" > /dev/null
  cmake --build "$tree" -j "${JOBS:-$(nproc)}" -- -k 0
  ctest --test-dir "$tree" -j "${JOBS:-$(nproc)}" -LE slow --output-on-failure
done
