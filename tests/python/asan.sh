#!/usr/bin/env bash
# asan.sh [PYTHON] [PYTEST ARGUMENT...]: the Python tests with the address and undefined-behaviour sanitizers in the library and in the bindings, in the tree of `make sanitize`
# (build/asan). PYTHON is one with what requirements-test.txt names; build/venv's if left out.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=$(realpath -s "${1:-build/venv/bin/python}"); shift || true
cmake --preset asan -DBAYESFLOW_PYTHON=ON -DPython_EXECUTABLE="$python" > /dev/null
cmake --build build/asan -j "$(nproc)" --target _core

# A package of links: neither the release build's module in python/bayesflow_cpp nor an installed package may be imported instead.
package=build/asan/package/bayesflow_cpp
rm -rf "$package"; mkdir -p "$package"
for file in python/bayesflow_cpp/*; do
  case $file in *.so) ;; *) ln -s "$PWD/$file" "$package/" ;; esac
done
ln -s "$PWD"/build/asan/python/_core.*.so "$package/"

# The interpreter is not instrumented: the sanitizer has to be there before it, and what Python keeps until its end is no leak. Tests of memory, of import time and of
# child processes that are killed say nothing here.
# A child forked while another thread held the lock of the sanitizer's allocator waits for it for ever (GCC 12): test_after_fork is left out.
[ $# -gt 0 ] || set -- --deselect tests/python/test_native.py::test_after_fork tests/python/test_{simulation,networks,building_blocks,diagnostics,trainers,report,native,computational_utilities,hostile_arguments,words}.py
LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $(gcc -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 \
UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH=build/asan/package PYTHONMALLOC=malloc env --default-signal=INT "$python" -m pytest -q -p no:cacheprovider "$@"
