#!/usr/bin/env bash
# Finds or builds the programs of the local control plane and prints the folder that holds them all.
#
#   tests/control-plane/build.sh [program …]       default: etcd kube-apiserver kube-controller-manager
#
# A program that KUBEBUILDER_ASSETS has (the envtest convention) is used; a missing one is built once from
# the Go module beside this file. What is built goes to a cache outside the clone, so a second clone finds it.
# Only the folder's path goes to standard output; what is being done goes to standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../tools/again.sh"
version=$(awk '$1 == "k8s.io/kubernetes" { print $2; exit }' "$here/go.mod")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/control-plane/$version"
programs=("$@")
[ ${#programs[@]} -gt 0 ] || programs=(etcd kube-apiserver kube-controller-manager)

say() { printf 'control-plane: %s\n' "$*" >&2; }

package_of() {
  case "$1" in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    kube-apiserver | kube-controller-manager | kubectl | kubelet) echo "k8s.io/kubernetes/cmd/$1" ;;
    *) say "unknown program '$1'; known: etcd kube-apiserver kube-controller-manager kubectl kubelet"; exit 2 ;;
  esac
}

build() {
  local program=$1 package
  package=$(package_of "$program")
  command -v go >/dev/null || { say "$program is missing and Go is not installed: install Go, or set KUBEBUILDER_ASSETS"; exit 1; }
  say "building $program $version (once; kube-apiserver takes minutes) into $cache"
  (
    cd "$here"
    export CGO_ENABLED=0
    again go build -trimpath -buildvcs=false \
      -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$(echo "$version" | cut -d. -f2)" \
      -o "$cache/.$program.$$" "$package" >&2
  )
  mv "$cache/.$program.$$" "$cache/$program"
}

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
for program in "${programs[@]}"; do
  assets="${KUBEBUILDER_ASSETS:-}"
  if [ -n "$assets" ] && [ -x "$assets/$program" ]; then
    ln -sfn "$assets/$program" "$cache/$program"
  elif [ ! -e "$cache/$program" ] || [ -L "$cache/$program" ]; then
    rm -f "$cache/$program"
    build "$program"
  fi
done
echo "$cache"
