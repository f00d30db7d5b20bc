#!/usr/bin/env bash
# `make nightly`: everything that `make test` and `.ci/run` leave out because it need not run on every change.
#
#   tests/nightly.sh          all of it: hours; TORTURE_MINUTES as for tests/torture.sh
#   tests/nightly.sh --list   prints what it runs
#
# NO_SKIP=1 makes a part fail that this machine cannot run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

if [ "${1:-}" = --list ]; then
  cat <<'EOF'
  modes-suite    the cluster tests under the service account of each mode of the chart (make modes);
                 each change runs tests/cluster/privileges.rs in each mode, and the audit of the suite in the mode cluster
  size           the size of a release (make budgets); each change counts the packages it is built of
  pod            a pod on a kubelet in its default period (make e2e-node); each change runs one in a short period
  torture        all faults and pairs of faults, the large model, a rollout from an older build, the walk over the spec,
                 changes from outside, large objects, the fuzz targets, seeded and generated bugs (make torture); each
                 change runs a sample of the faults, the small model, and the kept and random inputs of the fuzz targets
EOF
  exit
fi

logs=target/nightly
. tests/tools/parts.sh

tests/control-plane/build.sh >/dev/null
cargo test --locked --no-run

part modes-suite 60 make --no-print-directory modes
part size 30 make --no-print-directory budgets
part pod 20 make --no-print-directory e2e-node
part torture $((${TORTURE_MINUTES:-120} + 150)) make --no-print-directory torture

printf '\n%s\n' "What came of it"
lines modes-suite 'suite, .*: left out .*|suite, .*: of it .*'
lines size '.*budget of .*'
lines pod '.*times 401|.*in the container .*'
sed -n '/^What came of it$/,$s/^  /  /p' "$logs/torture.log"
finish
