#!/usr/bin/env bash
# Finds or fetches promtool and prometheus, which only tests use, and prints the folder that holds both.
#
# Debian's package is downloaded and unpacked, not installed. Where apt has none of the wanted version, both are built
# once from the pinned Go module. What is there stays in a cache outside the clone. Only the folder's path goes to
# standard output; what is being done goes to standard error.
set -euo pipefail

. "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/again.sh"

debian=2.42.0+ds # upstream's part of the version: Debian's own revisions are security updates
module=v0.316.0  # of Go, which is Prometheus 3.16.0
tools="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/tools"

say() { printf 'prometheus: %s\n' "$*" >&2; }

folder_of() {
  case "$1" in
    debian) echo "prometheus-$debian" ;;
    go) echo "prometheus-$module" ;;
  esac
}

from_debian() {
  local version
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
  version=$(apt-cache madison prometheus 2>/dev/null | awk -v wanted="$debian-" 'index($3, wanted) == 1 { print $3; exit }')
  [ -n "$version" ] || return 1
  say "downloading Debian's prometheus $version (once)"
  again apt-get -o APT::Sandbox::User=root download -qq "prometheus=$version" >&2 && dpkg -x ./prometheus_*.deb . || return 1
  mv usr/bin/prometheus usr/bin/promtool .
  ./promtool --version >/dev/null 2>&1 && ./prometheus --version >/dev/null 2>&1
}

from_go() {
  local program
  command -v go >/dev/null || { say "apt has no prometheus $debian and Go is not installed: install one of the two"; return 1; }
  say "building prometheus $module (once, minutes)"
  go mod init tools >&2 || return 1
  again go get "github.com/prometheus/prometheus@$module" >&2 || return 1
  export CGO_ENABLED=0
  for program in prometheus promtool; do
    # Without the clients of twenty clouds: targets come from a file.
    again go build -mod=mod -trimpath -tags remove_all_sd -ldflags '-s -w' -o "$program" \
      "github.com/prometheus/prometheus/cmd/$program" >&2 || return 1
  done
}

mkdir -p "$tools"
exec 9>"$tools/.prometheus.lock"
flock 9
for origin in debian go; do
  folder="$tools/$(folder_of "$origin")"
  if [ -x "$folder/prometheus" ] && [ -x "$folder/promtool" ]; then
    echo "$folder"
    exit
  fi
done
scratch=$(mktemp -d "$tools/.prometheus.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
for origin in debian go; do
  folder="$tools/$(folder_of "$origin")"
  mkdir "$scratch/$origin"
  if (cd "$scratch/$origin" && "from_$origin"); then
    mkdir -p "$folder"
    mv "$scratch/$origin/promtool" "$scratch/$origin/prometheus" "$folder/"
    echo "$folder"
    exit
  fi
done
exit 1
