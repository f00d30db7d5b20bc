#!/usr/bin/env bash
# Rewrites the seeded bugs whose surroundings have changed: `patch` finds their place if the lines themselves are
# still there. What cannot be placed is named, and has to be fixed manually.
set -euo pipefail
exec </dev/null

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
for patch in tests/mutants/*.patch; do
  git apply --check "$patch" 2>/dev/null && continue
  mapfile -t files < <(sed -n 's/^--- a\///p' "$patch")
  rm -rf "${scratch:?}/tree"
  for file in "${files[@]}"; do install -D "$file" "$scratch/tree/$file"; done
  if ! patch --silent --forward --strip=1 --no-backup-if-mismatch --directory="$scratch/tree" <"$patch" >/dev/null; then
    echo "$patch cannot be placed"
    status=1
    continue
  fi
  {
    sed '/^$/q' "$patch"
    for file in "${files[@]}"; do
      diff -u --label "a/$file" --label "b/$file" "$file" "$scratch/tree/$file" || true
    done
  } >"$scratch/new"
  cp "$scratch/new" "$patch"
  echo "$patch was rewritten"
done
exit "$status"
