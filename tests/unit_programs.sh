#!/usr/bin/env bash
# unit_programs.sh BUILD JOBS: the layers' test programs of a build, several at a time, each as one process: with sanitizers that takes a
# fraction of the time of one process for each test, as ctest runs them. Slow tests are left out. Shows the output of those that fail.
set -euo pipefail
build=$1 jobs=$2
run() {
  local program=$1 shard=$2 out
  out=$(mktemp)
  if ! GTEST_TOTAL_SHARDS=2 GTEST_SHARD_INDEX=$shard "$program" --gtest_filter='-*Slow*' --gtest_brief=1 > "$out" 2>&1; then
    cat "$out"
    echo "FAILED: $program, part $shard of 2"
    rm "$out"
    return 1
  fi
  echo "$(basename "$program"), part $shard: $(tail -n 1 "$out")"
  rm "$out"
}
export -f run
find "$build/tests" -maxdepth 1 -name 'test_*' -type f -perm -u+x -printf '%s %p\n' | sort -rn | cut -d' ' -f2 |
  while read -r program; do printf '%s 0\n%s 1\n' "$program" "$program"; done | xargs -P "$jobs" -L 1 bash -c 'run "$0" "$1"'
