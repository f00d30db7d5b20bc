#!/usr/bin/env bash
# What a release may weigh. A budget that is no longer kept is a decision: raise it here, and say in the commit what for.
#
#   tests/tools/budgets.sh         all budgets; the release build takes minutes
#   tests/tools/budgets.sh quick   those that need no build
#
# How long a start takes is a figure of docs/performance.md; how many requests it takes, make bench-smoke holds to its goal.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Bytes of the stripped program, on amd64: 9.1 MB when this was written.
PROGRAM=$((10 * 1024 * 1024))
# Packages that the program is built of, its own included: what grows the program is most often one more of these.
PACKAGES=210
# Files that the image adds to its base.
FILES=1

cargo=${CARGO:-cargo}
failed=0
within() {
  local what=$1 now=$2 budget=$3
  if ((now <= budget)); then
    printf '%s: %d, within the budget of %d\n' "$what" "$now" "$budget"
  else
    printf '%s: %d, over the budget of %d\n' "$what" "$now" "$budget"
    failed=1
  fi
}
within "files in the image" "$(sed -n '/^FROM ${RUN_IMAGE}/,$p' Dockerfile | grep -cE '^(COPY|ADD) ')" "$FILES"
packages=$("$cargo" tree --locked --package apicredential-operator --edges normal --prefix none | cut -d ' ' -f 1,2 | sort -u | wc -l)
within "packages of the program" "$packages" "$PACKAGES"
if [ "${1:-}" != quick ]; then
  "$cargo" build --release --locked --quiet --package apicredential-operator
  within "bytes of the program" "$(stat -c %s target/release/apicredential-operator)" "$PROGRAM"
fi
exit "$failed"
