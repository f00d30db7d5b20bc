#!/usr/bin/env bash
# Everything that takes too long for `make test`, and one table at the end. TORTURE_MINUTES (120 by default) bounds the
# faults, the search for bad bytes and the walk; the seeded bugs are not bounded. What waits for servers runs beside what
# computes.
#
# Results of single faults are kept, so that an interrupted run continues where it was. NO_SKIP=1: see tests/tools/parts.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

minutes=${TORTURE_MINUTES:-120}
logs=target/torture
. tests/tools/parts.sh

tests/control-plane/build.sh >/dev/null
cargo test --locked --no-run

single=$((minutes * 4 / 10)) pairs=$((minutes * 15 / 100))
export FAULTS_MINUTES=$single PAIRS_MINUTES=$pairs FUZZ_SECONDS=$((minutes * 60 / 10 / 6))

# These run servers and wait for them far more than they compute.
waiting() {
  part single-faults "$single" cargo test --locked --test faults -- --ignored --nocapture every_single_fault
  part pairs-of-faults "$pairs" cargo test --locked --test faults -- --ignored --nocapture random_pairs
  part rollout 20 make --no-print-directory rollout
  part spec-walk 10 cargo test --locked --test cluster -- --ignored --nocapture spec_walk
  part outside 10 cargo test --locked --test cluster -- --ignored --nocapture outside
  part large-objects 40 cargo test --locked --test cluster -- --ignored --nocapture --test-threads=1 large_objects
}

# These compile and compute, with what the others leave of the processors.
computing() {
  renice -n 10 -p "$BASHPID" >/dev/null
  MODEL_BOUND=large part model 15 cargo test --locked --test model -- --include-ignored --nocapture --test-threads 1
  part fuzz $((minutes / 10 + 10)) fuzz/run.sh
  part seeded-bugs 90 tests/mutants/run.sh
  part generated-bugs 60 tests/mutants/generated.sh
}

at_once waiting computing

printf '\n%s\n' "What came of it"
lines single-faults 'single: .*'
lines pairs-of-faults 'pairs.*'
lines model '.*(model, [a-z]+[^:]*: all [0-9]+ states).*'
lines rollout 'rollout, .*|rollout: SKIPPED.*'
lines spec-walk 'spec walk: .*'
lines outside 'outside: .*'
lines large-objects 'large objects: .*'
lines fuzz '[a-z]+ +[0-9]+ .*(passed|FAILED)'
lines seeded-bugs '(caught|MISSED|stale|broken|useless) .*|[0-9]+ passed, .*'
lines generated-bugs '[0-9]+ mutants tested .*|MISSED .*'
finish
