#!/bin/sh
# same_bits.sh MPIRUN PROGRAM: 1, 2, 3, 4 and 8 ranks give the same bits.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
expected=
for ranks in 1 2 3 4 8; do
  got=$("$1" -n "$ranks" "$2") || { echo "$ranks ranks failed"; exit 1; }
  [ -n "$got" ] || { echo "$ranks ranks printed nothing"; exit 1; }
  [ -z "$expected" ] && expected=$got
  [ "$got" = "$expected" ] || { echo "$ranks ranks: $got; one rank: $expected"; exit 1; }
done
echo "1, 2, 3, 4 and 8 ranks: $expected"
