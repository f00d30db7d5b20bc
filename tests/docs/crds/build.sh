#!/usr/bin/env bash
# Finds or generates the definitions of other projects' kinds that the pages use, and prints the folder that holds them,
# with a folder for each project.
#
# The projects' Go modules have the types; controller-gen makes definitions of them, as the projects themselves do, here
# without the descriptions. The versions are those of the Go modules beside this file. What is made goes to a cache
# outside the clone. Only the folder's path goes to standard output; what is being done goes to standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../tools/again.sh"
tools="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/tools"
version=$(cat "$here"/*/go.mod "$here"/*/types.go "$here/build.sh" | cksum | cut -d ' ' -f 1)
into="$tools/definitions-$version"
export CGO_ENABLED=0

say() { printf 'definitions: %s\n' "$*" >&2; }

# Of all kinds in a project's packages only those that a page uses.
kinds_of() {
  case "$1" in
    argocd) echo argoproj.io_applications ;;
    external-secrets) echo external-secrets.io_externalsecrets generators.external-secrets.io_webhooks ;;
    flux) echo kustomize.toolkit.fluxcd.io_kustomizations ;;
  esac
}

generate() {
  local project=$1 kind package paths=()
  for package in $(sed -n 's/.*_ "\(.*\)".*/\1/p' "$here/$project/types.go"); do
    paths+=("paths=$package")
  done
  say "generating those of $project (once)"
  (cd "$here/$project" && again "$scratch/controller-gen" crd:maxDescLen=0 "${paths[@]}" "output:crd:dir=$scratch/all") >&2
  mkdir -p "$scratch/definitions/$project"
  for kind in $(kinds_of "$project"); do
    mv "$scratch/all/$kind.yaml" "$scratch/definitions/$project/"
  done
}

mkdir -p "$tools"
exec 9>"$tools/.definitions.lock"
flock 9
if [ ! -d "$into" ]; then
  command -v go >/dev/null || { say "Go is not installed: install Go"; exit 1; }
  scratch=$(mktemp -d "$tools/.definitions.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  say "building controller-gen (once)"
  (cd "$here/flux" && again go build -trimpath -buildvcs=false -o "$scratch/" sigs.k8s.io/controller-tools/cmd/controller-gen) >&2
  for project in argocd external-secrets flux; do
    generate "$project"
  done
  mv "$scratch/definitions" "$into"
fi
echo "$into"
