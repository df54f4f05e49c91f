#!/usr/bin/env bash
# checks.sh TREE: what can be said of the sources without building them. Formatting; every header of include/ compiles alone, without warnings; clang-tidy on what changed
# in src/ since the commit of BAYESFLOW_SINCE (left out: since a day before the last commit). TREE is a configured build tree; JOBS at a time.
set -euo pipefail
tree=$(realpath "$1")
cd "$(dirname "$0")/../.."
jobs=${JOBS:-$(nproc)}
failed=()

# Other versions of clang-format set some lines otherwise.
if clang-format --version | grep -q 'version 14\.'; then
  git ls-files -z '*.cpp' '*.hpp' | xargs -0 -P "$jobs" -n 40 clang-format --dry-run --Werror || failed+=("formatting (make format)")
else
  echo "formatting is not checked: clang-format 14 is needed, and this is $(clang-format --version)"
fi

git ls-files -z 'include/*.hpp' | xargs -0 -P "$jobs" -I{} ${CXX:-c++} -std=c++20 -Iinclude -Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only -x c++ -include {} /dev/null ||
  failed+=("headers")

since=${BAYESFLOW_SINCE:-$(git rev-list -1 --before=$(($(git log -1 --format=%ct) - 86400)) HEAD)}
paths=('src/*.cpp')
grep -q /src/distributed/ "$tree/compile_commands.json" || paths+=(':!src/distributed')  # without MPI it is not built
mapfile -t changed < <(git diff --name-only --diff-filter=d "${since:-HEAD~1}" -- "${paths[@]}")
if [ ${#changed[@]} -gt 0 ]; then
  printf '%s\0' "${changed[@]}" | xargs -0 -P "$jobs" -n 1 clang-tidy -quiet -p "$tree" 2> >(grep -vE '^[0-9]+ warnings? generated|^Suppressed|^Use -header-filter' >&2) || failed+=("clang-tidy")
fi

[ ${#failed[@]} -eq 0 ] || { printf 'failed: %s\n' "${failed[@]}"; exit 1; }
echo "formatting, $(git ls-files 'include/*.hpp' | wc -l) headers and clang-tidy on ${#changed[@]} files since ${since:0:8}: nothing found"
