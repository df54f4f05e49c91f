#!/usr/bin/env bash
# Fuzzes the loaders of model and simulation files for some minutes; clang is needed.
#   fuzz.sh MINUTES [BUILD_FOLDER]
set -euo pipefail
minutes=${1:-10}
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${2:-$root/build/fuzz}
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBAYESFLOW_FUZZ=ON \
  -DCMAKE_CXX_COMPILER_LAUNCHER="${BAYESFLOW_LAUNCHER:-}" > "$build.log" 2>&1 ||
  { cat "$build.log"; exit 1; }
cmake --build "$build" --target fuzz_files
mkdir -p "$build/corpus"
for file in "$root"/tests/io/data/*.h5; do
  for first in 0 1 3; do
    { printf "\\x0$first"; cat "$file"; } > "$build/corpus/$(basename "$file").$first"
  done
done
cd "$build"
"$build/tests/fuzz_files" -max_total_time=$((minutes * 60)) -max_len=200000 -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=20 -print_final_stats=1 corpus
