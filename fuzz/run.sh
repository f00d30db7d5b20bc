#!/usr/bin/env bash
# `make fuzz`: searches, guided by coverage, for inputs that break the properties of tests/bytes.
#
#   FUZZ_SECONDS=60    how long for each property; under 60 it is a smoke: it starts from fuzz/corpus alone, keeps nothing
#   FUZZ_TARGETS=      which properties, by name; all of them by default
#   fuzz/run.sh keep   adds to fuzz/corpus the inputs that reach new code, and drops the rest
#   fuzz/run.sh check  compiles the targets without building them, and searches for nothing
#
# An input that breaks a property is left in fuzz/corpus, where `cargo test --test bytes` finds it.
# libFuzzer comes with the crate libfuzzer-sys and needs a C++ compiler. Coverage is counted by the stable compiler's own
# sanitizer-coverage pass; no sanitizer is linked, for the operator has no unsafe code of its own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

seconds=${FUZZ_SECONDS:-60}
cache="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/fuzz"
host=$(rustc -vV | sed -n 's/^host: //p')
read -ra targets <<<"${FUZZ_TARGETS:-$(ls corpus | tr '\n' ' ')}"
mkdir -p "$cache/log"

build() {
  local pass=(
    -Cpasses=sancov-module -Ccodegen-units=1 -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 --cfg fuzzing
  )
  command -v "${CXX:-c++}" >/dev/null || { echo "fuzz: libFuzzer needs a C++ compiler, such as g++"; exit 1; }
  echo "fuzz: building the properties with coverage counters (the first time takes minutes)"
  # With --target the flags are for the program alone, not for what builds it.
  RUSTFLAGS="${pass[*]}" CARGO_TARGET_DIR="$cache/target" \
    cargo build --locked --quiet --release --target "$host"
}

fuzz() {
  local target=$1
  shift
  TARGET=$target "$cache/target/$host/release/fuzz" -dict=words.dict -max_len=4096 -timeout=30 -report_slow_units=600 \
    -print_final_stats=1 -artifact_prefix="corpus/$target/" "$@"
}

# One property for its time: a line of what was done, or what broke it.
search() {
  local target=$1 log="$cache/log/$1.log" found="$cache/corpus/$1" began=$SECONDS status=0
  # A smoke run does the same each time, so that its findings can be reproduced.
  local smoke=()
  [ "$seconds" -ge 60 ] || { found=$(mktemp -d); smoke=(-seed=1); }
  mkdir -p "$found"
  fuzz "$target" -max_total_time="$seconds" "${smoke[@]}" "$found" "corpus/$target" >"$log" 2>&1 || status=$?
  [ "$seconds" -ge 60 ] || rm -rf "$found"
  awk -v target="$target" -v seconds=$((SECONDS - began)) -v status="$status" '
    / cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "corp:") corpus = $(i + 1) } }
    /^stat::number_of_executed_units/ { done = $2 }
    END { split(corpus, size, "/")
      printf "%-10s %12d %8d %9d %8d  %s\n", target, done, seconds, cov, size[1], status ? "FAILED" : "passed" }' "$log"
  [ "$status" -eq 0 ] && return
  grep -A3 "panicked at" "$log" | head -20 || true
  grep -E "^SUMMARY|Test unit written" "$log" || tail -5 "$log"
  return 1
}

keep() {
  local target before
  for target in "${targets[@]}"; do
    mkdir -p "$cache/corpus/$target"
    before=$(ls "corpus/$target" | wc -l)
    # Edges alone, not how often: else thousands of inputs would differ.
    fuzz "$target" -merge=1 -use_counters=0 -max_len=2048 "corpus/$target" "$cache/corpus/$target" >"$cache/log/$target-keep.log" 2>&1
    rm -rf "$cache/corpus/${target:?}"
    echo "fuzz: $target: $before inputs kept before, $(ls "corpus/$target" | wc -l) now"
  done
}

if [ "${1:-}" = check ]; then
  CARGO_TARGET_DIR="$cache/target" cargo check --locked --quiet
  echo "fuzz: the targets compile"
  exit
fi
build
if [ "${1:-}" = keep ]; then
  keep
  exit
fi
echo "fuzz: ${#targets[@]} properties, $seconds s each"
printf '%-10s %12s %8s %9s %8s\n' property executions seconds coverage corpus
passed=0 failed=0
for target in "${targets[@]}"; do
  if search "$target"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" -eq 0 ] || echo "fuzz: what broke a property lies in fuzz/corpus; see it again with: cargo test --test bytes"
[ "$failed" -eq 0 ]
