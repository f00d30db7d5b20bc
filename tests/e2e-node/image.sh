#!/usr/bin/env bash
# Packs one static program into an image, as the tar archive of an OCI layout that `ctr images import` reads:
#
#   image.sh PROGRAM NAME ARCHIVE
set -euo pipefail
program=$1 name=$2 archive=$3

layout=$(mktemp -d)
trap 'rm -rf "$layout"' EXIT
blobs="$layout/blobs/sha256"
mkdir -p "$blobs"

# Moves a file among the blobs, under its digest, and prints that.
keep() {
  local digest
  digest=$(sha256sum "$1" | cut -d' ' -f1)
  mv "$1" "$blobs/$digest"
  echo "$digest"
}

# A digest as a descriptor of that type.
descriptor() {
  printf '"mediaType": "application/vnd.oci.image.%s", "digest": "sha256:%s", "size": %d' \
    "$1" "$2" "$(stat -c %s "$blobs/$2")"
}

platform=$(printf '"os": "linux", "architecture": "%s"' "$(go env GOARCH)")
tar -C "$(dirname "$program")" --owner=0 --group=0 --numeric-owner -cf "$layout/new" "$(basename "$program")"
layer=$(keep "$layout/new")
printf '{%s, "config": {"Entrypoint": ["/%s"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:%s"]}}' \
  "$platform" "$(basename "$program")" "$layer" >"$layout/new"
config=$(keep "$layout/new")
printf '{"schemaVersion": 2, "config": {%s}, "layers": [{%s}]}' \
  "$(descriptor config.v1+json "$config")" "$(descriptor layer.v1.tar "$layer")" >"$layout/new"
manifest=$(keep "$layout/new")
printf '{"schemaVersion": 2, "manifests": [{%s, "platform": {%s}, "annotations": {"io.containerd.image.name": "%s"}}]}' \
  "$(descriptor manifest.v1+json "$manifest")" "$platform" "$name" >"$layout/index.json"
printf '{"imageLayoutVersion": "1.0.0"}' >"$layout/oci-layout"
tar -C "$layout" -cf "$archive" oci-layout index.json blobs
