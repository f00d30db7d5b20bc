# For scripts with long-running parts: each part has a log and a line with its result. To be sourced, with `logs` set.
#
# With NO_SKIP=1 a part fails that leaves out what this machine cannot run; otherwise the line states what was left out.

mkdir -p "$logs"
failed=0

# The name of a part, the minutes at most, and its command; the output goes to a file of that name.
part() {
  local name=$1 most=$2 began=$SECONDS log="$logs/$1.log" skipped
  shift 2
  printf '%s: begins, at most %d minutes: %s\n' "$name" "$most" "$*"
  if ! timeout $((most * 60 + 300)) "$@" >"$log" 2>&1; then
    printf '%s: FAILED in %d s, see %s\n' "$name" $((SECONDS - began)) "$log"
    failed=$((failed + 1))
    return
  fi
  skipped=$(grep -oE '(^|: )SKIPPED: .*' "$log" | head -n 3 || true)
  if [ -z "$skipped" ]; then
    printf '%s: passed in %d s\n' "$name" $((SECONDS - began))
    return
  fi
  printf '%s\n' "$skipped" | sed -E 's/^(: )?/  /'
  if [ "${NO_SKIP:-}" = 1 ]; then
    printf '%s: FAILED in %d s, because NO_SKIP=1 lets nothing be left out\n' "$name" $((SECONDS - began))
    failed=$((failed + 1))
  else
    printf '%s: passed in %d s, without that\n' "$name" $((SECONDS - began))
  fi
}

# Runs two functions of parts at once. The failed parts of both count.
at_once() {
  local other
  (failed=0; "$2"; exit "$failed") &
  other=$!
  "$1"
  wait "$other" || failed=$((failed + $?))
}

# The lines of a part's log that match.
lines() {
  sed -nE "s/^($2)/  \\1/p" "$logs/$1.log" || true
}

finish() {
  printf '%d parts failed, after %d minutes\n' "$failed" $((SECONDS / 60))
  [ "$failed" -eq 0 ]
}
