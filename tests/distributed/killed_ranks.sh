#!/bin/bash
# killed_ranks.sh MPIRUN PROGRAM: a rank is killed at random moments; each time the run ends promptly, and another number of ranks goes on. The
# result has the bits of a run that nothing happened to. BAYESFLOW_KILLS: how often, 4 unless said.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
mkdir "$folder/whole" "$folder/killed"
expected=$("$1" -n 1 "$2" "$folder/whole") || { echo "the run that is left alone failed"; exit 1; }
kills=0 tries=0 longest=3000  # milliseconds until a rank is killed
while [ "$kills" -lt "${BAYESFLOW_KILLS:-4}" ] && [ "$tries" -lt 40 ]; do
  tries=$((tries + 1)) ranks=$((2 + tries % 3))
  rm -f "$folder"/killed/pid.*
  "$1" -n "$ranks" "$2" "$folder/killed" >"$folder/out" 2>"$folder/err" &
  run=$!
  victim=$((RANDOM % ranks))
  for _ in $(seq 600); do [ -s "$folder/killed/pid.$victim" ] && break; sleep 0.1; done
  wait=$((RANDOM % longest))
  sleep "$((wait / 1000)).$(printf %03d $((wait % 1000)))"
  if kill -9 "$(cat "$folder/killed/pid.$victim")" 2>/dev/null; then
    kills=$((kills + 1))
    for _ in $(seq 300); do kill -0 $run 2>/dev/null || break; sleep 0.1; done
    kill -0 $run 2>/dev/null && { echo "the other ranks of $ranks have not ended 30 s after rank $victim was killed"; kill $run; exit 1; }
  fi
  wait $run
  if [ -s "$folder/out" ]; then  # it had ended before
    [ "$kills" -gt 0 ] && break
    longest=$((longest > 100 ? longest / 2 : 100))
    rm -rf "$folder/killed" && mkdir "$folder/killed"
  fi
done
got=$("$1" -n 3 "$2" "$folder/killed") || { echo "the last run failed"; exit 1; }
[ "$got" = "$expected" ] || { echo "after $kills kills: $got; left alone: $expected"; exit 1; }
[ "$kills" -gt 0 ] || { echo "no rank was killed"; exit 1; }
echo "after $kills kills: $got"
