#!/usr/bin/env bash
# test_versions.sh TREE [TEST...]: for every Python 3.9 to 3.13 on this machine (python3.X on the path, or pyenv's) a wheel is made and installed into a fresh environment,
# and the tests run against it. From 3.12 on the wheel of 3.12 is used. TREE is a build tree with libbayesflow.a.
set -euo pipefail
tree=$(realpath "$1"); shift
cd "$(dirname "$0")/.."
tests=("$@"); [ ${#tests[@]} -gt 0 ] || tests=(tests/python/test_{simulation,networks,trainers,package,types}.py)

find_python() {
  local candidate
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    "$candidate" -c '' 2> /dev/null && { echo "$candidate"; return; }  # pyenv's commands on the path may be there and not work
  done
  return 0
}

failed=()
for version in ${VERSIONS:-3.9 3.10 3.11 3.12 3.13}; do
  python=$(find_python "$version")
  [ -n "$python" ] || { echo "Python $version is not on this machine"; continue; }
  environment=build/versions/$version
  [ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
  "$environment/bin/pip" install -q --disable-pip-version-check -r python/requirements-test.txt

  wheel() { ls build/wheels/bayesflow_cpp-*-"$1"-*.whl 2> /dev/null; }
  tag=cp${version/./}; [ "${version#3.}" -ge 12 ] && tag=cp312-abi3
  case $version in 3.9 | 3.10 | 3.11 | 3.12) rm -f $(wheel "$tag"); python/wheel.sh "$environment/bin/python" "$tree" build/wheels ;; esac
  wheel "$tag" > /dev/null || python/wheel.sh "$environment/bin/python" "$tree" build/wheels  # 3.13, where there is no 3.12
  "$environment/bin/pip" install -q --disable-pip-version-check --force-reinstall --no-deps "$(wheel "$tag")"

  echo "Python $version: $(basename "$(wheel "$tag")")"
  # A script in the background ignores interrupts, and the tests of Ctrl-C with it, unless they are told otherwise.
  env --default-signal=INT "$environment/bin/python" -m pytest -q -p no:cacheprovider "${tests[@]}" || failed+=("$version")
done
[ ${#failed[@]} -eq 0 ] || { echo "Failed with Python: ${failed[*]}"; exit 1; }
