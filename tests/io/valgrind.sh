#!/usr/bin/env bash
# Tests of files under valgrind: valgrind.sh TEST_PROGRAM [GTEST_FILTER]. Fails at the first read or write of memory that is not the program's, and at lost memory.
set -euo pipefail
exec valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite "$1" --gtest_filter="${2:-*}"
