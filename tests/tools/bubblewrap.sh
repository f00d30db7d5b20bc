#!/usr/bin/env bash
# Finds bubblewrap, or fetches Debian's package once into a cache without installing it, and prints the program's path.
# Exit status 3: this machine has neither.
set -euo pipefail
exec </dev/null

if command -v bwrap; then exit; fi
cache="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/tools/bubblewrap"
program="$cache/usr/bin/bwrap"
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
if [ ! -x "$program" ]; then
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || exit 3
  echo "fetching bubblewrap (once) into $cache" >&2
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  (
    cd "$scratch"
    apt-get download --quiet bubblewrap >&2 || { apt-get update --quiet >&2 && apt-get download --quiet bubblewrap >&2; } || exit 3
    dpkg -x bubblewrap*.deb "$cache"
  ) || exit 3
fi
"$program" --version >&2 || exit 3
echo "$program"
