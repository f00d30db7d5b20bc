#!/usr/bin/env bash
# `make e2e-node`: a real kubelet and container runtime, beside the local control plane, run a pod that mounts the Secret.
# A missing prerequisite is reported as SKIPPED and is no failure; E2E_NODE=required makes it one. E2E_NODE_TEST names
# one of the tests by the prefix of its name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
exec </dev/null

skip() {
  printf 'SKIPPED: %s\n' "$*"
  [ "${E2E_NODE:-}" != required ] || exit 1
  exit 0
}

# Where the kernel keeps cgroups: one hierarchy, or one for each controller.
hierarchies() {
  awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts
}

# What nodes leave behind: empty cgroups, as soon as the kernel has ended the last process in them.
remove_cgroups() {
  local hierarchy left try
  for hierarchy in $(hierarchies); do
    for left in "$hierarchy/$cgroups"*; do
      for try in {1..50}; do
        [ -d "$left" ] || break
        find "$left" -depth -type d -exec rmdir {} \; 2>/dev/null || sleep 0.2
      done
      [ ! -d "$left" ] || echo "e2e-node: $left could not be removed" >&2
    done
  done
}

finish() {
  local status=$?
  trap - EXIT INT TERM HUP
  # The test's own reaper ends what the test has started.
  if [ -n "$test" ]; then
    kill "$test" 2>/dev/null || true
    wait "$test" 2>/dev/null || true
  fi
  remove_cgroups
  rm -rf "$scratch"
  exit "$status"
}

# The needs of the machine, the cheapest first.
[ "$(uname -s)" = Linux ] || skip "a kubelet needs Linux"
[ "$(id -u)" -eq 0 ] || skip "a kubelet and containers need root"
for program in unshare mount tar sha256sum; do
  command -v "$program" >/dev/null || skip "$program is not installed"
done
unshare --mount --pid --fork --kill-child --mount-proc mount -t tmpfs node /run 2>/dev/null ||
  skip "namespaces and mounts are not permitted here"
[ -c /dev/kmsg ] || skip "a kubelet reads /dev/kmsg, which is not here"
cgroups="apicredential-e2e-$$-"
hierarchies=$(hierarchies)
[ -n "$hierarchies" ] || skip "no cgroups are mounted here"
for hierarchy in $hierarchies; do
  { mkdir "$hierarchy/${cgroups}try" && rmdir "$hierarchy/${cgroups}try"; } 2>/dev/null || skip "$hierarchy is not writable"
done
runtime=$(tests/tools/container-runtime.sh) || skip "containerd and runc are not installed and cannot be fetched"
kubelet=$(tests/control-plane/build.sh kubelet)
export PATH="$runtime${runtime:+:}$kubelet:$PATH"
for program in kubelet containerd runc; do
  case "$(command -v "$program")" in
    /run/* | /var/lib/* | /var/log/*) skip "$program is below a folder that the node hides" ;;
  esac
done

test=""
scratch=$(mktemp -d)
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

(cd tests/e2e-node/pod && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$scratch/pod" .)
tests/e2e-node/image.sh "$scratch/pod" localhost/pod:e2e "$scratch/image.tar"
tests/control-plane/build.sh >/dev/null
# The program itself, and not through cargo, so that a signal reaches it.
cargo test --locked --quiet --test e2e-node --no-run
program=$(cargo test --locked --test e2e-node --no-run --message-format=json 2>/dev/null |
  sed -n '/"name":"e2e-node"/s/.*"executable":"\([^"]*\)".*/\1/p')

export E2E_NODE_IMAGE="$scratch/image.tar" E2E_NODE_CGROUPS="/$cgroups"
"$program" --ignored --nocapture ${E2E_NODE_TEST:+"$E2E_NODE_TEST"} &
test=$!
status=0
wait "$test" || status=$?
test=""
exit "$status"
