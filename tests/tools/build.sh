#!/usr/bin/env bash
# Finds or builds Helm, at the version that the Go module beside this file pins, and prints the folder that holds it.
#
# It goes to a cache outside the clone, so a second clone finds it. Only the folder's path goes to standard output; what
# is being done goes to standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(awk '$1 == "helm.sh/helm/v4" { print $2; exit }' "$here/go.mod")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/tools/helm-$version"

say() { printf 'tools: %s\n' "$*" >&2; }

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
if [ ! -x "$cache/helm" ]; then
  command -v go >/dev/null || { say "helm is missing and Go is not installed: install Go"; exit 1; }
  say "building helm $version (once; takes minutes) into $cache"
  (
    cd "$here"
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$cache/.helm.$$" helm.sh/helm/v4/cmd/helm >&2
  )
  mv "$cache/.helm.$$" "$cache/helm"
fi
echo "$cache"
