#!/usr/bin/env bash
# Shows that the tests notice mistakes: each patch beside this file is one, made on purpose, and names the test that
# has to fail with it.
#
#   tests/mutants/run.sh [name …]        all of them, or those whose file name has this prefix: `run.sh 03 07`
#
# A patch begins with a sentence: the reasoning behind the mistake. `caught-by:` holds the arguments of `cargo test`. It
# counts as caught if the code compiles, and the tests fail with it and pass without it. The work is done on a copy of
# the tree; what is built is kept in target/mutants, so that the second run is quick.
set -euo pipefail
exec </dev/null

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
export CARGO_TARGET_DIR="$root/target/mutants"
scratch=$(mktemp -d)
log="$scratch/log"
trap 'rm -rf "$scratch"' EXIT

# A fresh copy, newer than anything that was built: cargo compares times, and would take what it built of the last run's
# last patch for this tree.
copy() {
  mkdir -p "$scratch/tree"
  (cd "$root" && git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf -) |
    tar -xmf - -C "$scratch/tree"
}

field() {
  sed -n "s/^$2: //p" "$1" | head -n 1
}

run_tests() {
  (cd "$scratch/tree" && RUST_BACKTRACE=0 cargo test --locked "$@" -- --test-threads=6) >"$log" 2>&1
}

tests_ran() {
  grep -qE '^test result: .* [1-9][0-9]* passed' "$log"
}

passed=0 failed=0
result() {
  printf '%-9s %-34s %s\n' "$1" "$2" "$3"
  if [ "$1" = caught ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# Split on purpose wherever it is used: these are arguments.
arguments_of() {
  read -r -a arguments < <(field "$1" caught-by)
}

# First without any mistake, so that the tree is built once for all of them.
passes_without() {
  local name
  name=$(basename "$1" .patch)
  arguments_of "$1"
  if run_tests "${arguments[@]}" && tests_ran; then return 0; fi
  result useless "$name" "'cargo test ${arguments[*]}' does not pass without the mistake"
  return 1
}

try() {
  local patch=$1 name
  name=$(basename "$patch" .patch)
  arguments_of "$patch"
  if ! patch --silent --forward --strip=1 --directory="$scratch/tree" <"$patch" >"$log" 2>&1; then
    result stale "$name" "the patch does not apply any more"
    return
  fi
  if ! (cd "$scratch/tree" && cargo test --locked "${arguments[@]}" --no-run) >"$log" 2>&1; then
    result broken "$name" "it does not compile: $(grep -m 1 '^error' "$log")"
  elif run_tests "${arguments[@]}"; then
    result MISSED "$name" "'cargo test ${arguments[*]}' passes all the same"
  else
    result caught "$name" "by $(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log" | head -n 1)"
  fi
  patch --silent --reverse --strip=1 --directory="$scratch/tree" <"$patch"
}

copy
echo "Seeded bugs: each is compiled and tested in a copy of the tree (minutes the first time)"
chosen=()
for patch in "$here"/*.patch; do
  name=$(basename "$patch" .patch)
  wanted=$([ $# -eq 0 ] && echo yes || true)
  for prefix in "$@"; do
    if [[ $name == "$prefix"* ]]; then wanted=yes; fi
  done
  if [ -n "$wanted" ] && passes_without "$patch"; then chosen+=("$patch"); fi
done
for patch in "${chosen[@]}"; do try "$patch"; done
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" -eq 0 ]
