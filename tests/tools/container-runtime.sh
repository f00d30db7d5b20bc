#!/usr/bin/env bash
# Finds containerd, its shim, ctr and runc, or fetches Debian's packages once into a cache without installing them, and
# prints what to put before PATH (nothing, where they are installed).
# Exit status 3: this machine has neither.
set -euo pipefail
exec </dev/null

cache="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/tools/container-runtime"
folders="$cache/usr/bin:$cache/usr/sbin"

complete() {
  local program
  for program in containerd containerd-shim-runc-v2 ctr runc; do command -v "$program" || return 1; done >/dev/null
}

if complete; then exit; fi
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
PATH="$folders:$PATH"
if ! complete; then
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || exit 3
  echo "fetching containerd and runc (once) into $cache" >&2
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  (
    cd "$scratch"
    fetch() { apt-get download --quiet containerd runc >&2; }
    fetch || { apt-get update --quiet >&2 && fetch; } || exit 3
    for package in *.deb; do dpkg -x "$package" "$cache"; done
  ) || exit 3
fi
# The packages are only unpacked, so their libraries may be missing.
containerd --version >&2 && runc --version >&2 || exit 3
echo "$folders"
