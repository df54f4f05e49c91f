#!/usr/bin/env bash
# Kills trainings at random moments, starts them again until they end, and compares weights and history with those of an undisturbed one, bit for bit: every mode, and every class of
# amortizers.
#   kill_training.sh <fault_train> <number of kills of each>
set -euo pipefail
program=$1 kills=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
RANDOM=7
done_kills=0
in_writes=0
all=$("$program" list)
for mode in $all; do
  rm -rf "$work/$mode" "$work/straight"
  began=$(date +%s%N)
  expected=$("$program" "$mode" "$work/straight" 2 2> /dev/null)
  # Each kill is within half of the time that an undisturbed one takes here; then it may end.
  longest=$((($(date +%s%N) - began) / 2000000))
  here=0
  while :; do
    "$program" "$mode" "$work/$mode" $((1 + RANDOM % 2)) > "$work/out" 2> "$work/log" &
    pid=$!
    if [ "$here" -lt "$kills" ]; then
      delay=$((10 + RANDOM % longest))
      sleep "$((delay / 1000)).$(printf '%03d' $((delay % 1000)))"
      if kill -9 "$pid" 2> /dev/null; then
        wait "$pid" 2> /dev/null || true
        here=$((here + 1)) done_kills=$((done_kills + 1))
        compgen -G "$work/$mode/*.tmp" > /dev/null && in_writes=$((in_writes + 1))
        # What was announced as written is there and whole, or was replaced by newer ones.
        announced=$(grep -c 'was written' "$work/log" || true)
        [ "$announced" -eq 0 ] || compgen -G "$work/$mode/checkpoint_*.h5" > /dev/null || { echo "$mode: announced checkpoints are gone"; exit 1; }
        continue
      fi
    fi
    if ! wait "$pid"; then
      echo "$mode: the training that was taken up failed:"
      tail -5 "$work/log"
      exit 1
    fi
    break
  done
  if grep -q 'cannot be used' "$work/log"; then
    echo "$mode: a kill left a damaged checkpoint"
    exit 1
  fi
  if [ "$(cat "$work/out")" != "$expected" ]; then
    echo "$mode: expected $expected, got $(cat "$work/out")"
    exit 1
  fi
  echo "$mode: $here kills, $expected, as without"
done
echo "$done_kills kills, $in_writes of them within a write; every training ended with the bits of an undisturbed one"
