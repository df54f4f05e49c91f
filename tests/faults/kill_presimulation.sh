#!/usr/bin/env bash
# Kills presimulations at random moments, looks at what is left, and lets them go on: nothing that was complete may be lost, and
# the end must be, byte for byte, the file of a run that nobody disturbed.
#   kill_presimulation.sh PROGRAM KILLS [FOLDER]
set -euo pipefail
program=$1 kills=$2
work=$(mktemp -d ${3:+-p "$3"})
trap 'rm -rf "$work"' EXIT
RANDOM=4711
inside=0
for kind in fixed varying; do
  extra=(); [ $kind = varying ] && extra=(varying)
  n=60000
  start=$(date +%s%N)
  "$program" run "$work/whole.h5" $n "${extra[@]}" > /dev/null
  took=$((($(date +%s%N) - start) / 1000000))
  for ((kill = 1; kill <= (kills + 1) / 2; ++kill)); do
    reached=0
    rm -f "$work"/parts.h5*
    # Several kills of one file, each after a random part of what a whole run takes.
    for again in 1 2 3; do
      "$program" run "$work/parts.h5" $n "${extra[@]}" > "$work/progress" & pid=$!
      sleep "$(awk -v ms=$((RANDOM % (took / 2 + 1))) 'BEGIN { print ms / 1000 }')"
      { kill -KILL $pid && wait $pid; } 2> /dev/null || true
      said=$(tail -n 1 "$work/progress" 2> /dev/null); said=${said:-0}
      [ "$said" -gt "$reached" ] && reached=$said
      [ -f "$work/parts.h5" ] || { [ "$reached" -eq 0 ] || { echo "the file is gone"; exit 1; }; continue; }
      "$program" check "$work/parts.h5" "$reached"
      [ "$reached" -lt $((n - 200)) ] && [ "$reached" -gt 0 ] && inside=$((inside + 1))
    done
    "$program" run "$work/parts.h5" $n "${extra[@]}" > /dev/null
    cmp "$work/whole.h5" "$work/parts.h5"
    [ "$(ls "$work"/parts.h5* | wc -l)" -eq 1 ] || { echo "leftovers: $(ls "$work")"; exit 1; }
  done
  rm -f "$work/whole.h5"
done
[ "$inside" -gt 0 ] || { echo "no kill came in the middle of a run"; exit 1; }
echo "$((3 * 2 * ((kills + 1) / 2))) kills, $inside in the middle of writing; nothing lost, and all files equal undisturbed ones"
