#!/usr/bin/env bash
# guards_test.sh NM LIBRARY: a static object within a function is made under a guard. A child that is forked while another thread makes it
# waits for ever where it reaches that function. So such objects lie outside of functions, or are constant, or are made when the library is
# loaded, as the two here are.
set -euo pipefail
symbols=$("$1" -C "$2")
guarded=$(grep -o 'guard variable for bayesflow.*)::.*' <<< "$symbols" | sort -u)
for known in 'bayesflow::InterruptRegistry::instance()::registry' 'bayesflow::io::(anonymous namespace)::Locks::instance()::locks'; do
  grep -qxF "guard variable for $known" <<< "$guarded" || { echo "no $known: this test looks for the wrong thing"; exit 1; }
  guarded=$(grep -vxF "guard variable for $known" <<< "$guarded" || true)
done
[ -z "$guarded" ] && exit
echo "static objects within functions; move them to the scope of their namespace, or make them constexpr:"
echo "$guarded"
exit 1
