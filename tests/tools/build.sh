#!/usr/bin/env bash
# Finds or builds programs that tests need beside the control plane's, and prints the path of each.
#
#   tests/tools/build.sh [program …]       default: helm kustomize kstatus
#
# The versions are those of the Go module beside this file; kstatus is our own program over a library, in a module of its
# own. What is built goes to a cache outside the clone, so a second
# clone finds it. Only the paths go to standard output; what is being done goes to standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/again.sh"
tools="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/tools"
programs=("$@")
[ ${#programs[@]} -gt 0 ] || programs=(helm kustomize kstatus)

say() { printf 'tools: %s\n' "$*" >&2; }

module_of() {
  case "$1" in
    helm) echo helm.sh/helm/v4 ;;
    kustomize) echo sigs.k8s.io/kustomize/kustomize/v5 ;;
    kstatus) echo sigs.k8s.io/cli-utils ;;
    *) say "unknown program '$1'; known: helm kustomize kstatus"; exit 2 ;;
  esac
}

package_of() {
  case "$1" in
    helm) echo helm.sh/helm/v4/cmd/helm ;;
    kstatus) echo . ;;
    *) module_of "$1" ;;
  esac
}

# The directory of its Go module.
directory_of() {
  case "$1" in
    kstatus) echo "$here/kstatus" ;;
    *) echo "$here" ;;
  esac
}

build() {
  local program=$1 into=$2
  command -v go >/dev/null || { say "$program is missing and Go is not installed: install Go"; exit 1; }
  say "building $program (once; helm takes minutes) into $into"
  (
    cd "$(directory_of "$program")"
    export CGO_ENABLED=0
    again go build -trimpath -buildvcs=false -ldflags "-s -w" \
      -o "$into/.$program.$$" "$(package_of "$program")" >&2
  )
  mv "$into/.$program.$$" "$into/$program"
}

mkdir -p "$tools"
exec 9>"$tools/.lock"
flock 9
for program in "${programs[@]}"; do
  module=$(module_of "$program")
  directory=$(directory_of "$program")
  version=$(awk -v module="$module" '$1 == module && $2 ~ /^v/ { print $2; exit }' "$directory/go.mod")
  # Our own source changes without a new version of the library.
  [ "$directory" = "$here" ] || version="$version-$(cat "$directory"/*.go | sha256sum | cut -c 1-12)"
  into="$tools/$program-$version"
  if [ ! -x "$into/$program" ]; then
    mkdir -p "$into"
    build "$program" "$into"
  fi
  echo "$into/$program"
done
