#!/usr/bin/env bash
# Finds or builds an older operator, for a rollout from it to today's and back, and prints the path of its program.
#
#   tests/tools/older_build.sh [commit]
#
# By default that of the oldest release whose tag exists in the clone; before the first release it is the first commit that has
# today's CRD. What is built goes to a cache outside the clone. Only the path goes to standard
# output. Without the Git history (an archive, a shallow clone) it prints only the reason, and exits with 3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'older build: %s\n' "$*" >&2; }

oldest_with_a_crd_to_roll_from() {
  local commit release
  release=$(git tag --list 'v*' | sort -V | head -n 1)
  if [ -n "$release" ]; then echo "$release"; return; fi
  for commit in $(git log --reverse --format=%H -- crds/apicredentials.yaml 2>/dev/null); do
    if git show "$commit:crds/apicredentials.yaml" | cmp -s - crds/apicredentials.yaml; then echo "$commit"; return; fi
  done
}

if [ "$(git rev-parse --show-prefix 2>/dev/null || echo none)" != "" ] ||
  [ "$(git rev-parse --is-shallow-repository)" = true ]; then
  say "this is no clone with its whole history"
  exit 3
fi
commit=$(git rev-parse --verify "${1:-$(oldest_with_a_crd_to_roll_from)}^{commit}")
into="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/older/$commit"
program="$into/apicredential-operator"
mkdir -p "$into"
exec 9>"$into/.lock"
flock 9
if [ ! -x "$program" ]; then
  say "building $(git log -1 --format='%h (%s)' "$commit"), once, some minutes, into $into"
  source=$(mktemp -d)
  trap 'rm -rf "$source"' EXIT
  git archive "$commit" | tar -x -C "$source"
  (cd "$source" && CARGO_TARGET_DIR="$source/target" "${CARGO:-cargo}" build --locked --bin apicredential-operator >&2)
  cp "$source/target/debug/apicredential-operator" "$into/.apicredential-operator"
  mv "$into/.apicredential-operator" "$program"
fi
echo "$program"
