#!/usr/bin/env bash
# Packs the kubectl plugin for this machine's platform, with a manifest for krew.
#
#   deploy/krew/pack.sh folder [uri]       uri: the URL of the published archive; default: the local file
#
# PROGRAM is the path of a built program. Test the package before it is published with
#   kubectl krew install --manifest=folder/apicredential.yaml --archive=folder/kubectl-apicredential-….tar.gz
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$here/../..
into=${1:?"usage: deploy/krew/pack.sh folder [uri]"}
version=$(sed -n '/^\[workspace\.package\]$/,/^$/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) arch=amd64 ;;
  Linux-aarch64) arch=arm64 ;;
  *) echo "krew: the plugin is packed on Linux, on x86_64 or aarch64; this is $(uname -s) on $(uname -m)" >&2; exit 1 ;;
esac

program=${PROGRAM:-}
if [ -z "$program" ]; then
  (cd "$root" && cargo build --release --locked --package kubectl-apicredential >&2)
  program=$root/target/release/kubectl-apicredential
fi

mkdir -p "$into"
into=$(cd "$into" && pwd)
archive=kubectl-apicredential-v$version-linux-$arch.tar.gz
contents=$(mktemp -d)
trap 'rm -r "$contents"' EXIT
install -m 755 "$program" "$contents/kubectl-apicredential"
install -m 644 "$root/LICENSE" "$contents/LICENSE"
# Reproducible: the same program always gives the same archive.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$contents" -c LICENSE kubectl-apicredential |
  gzip -n -9 >"$into/$archive"
sum=$(sha256sum "$into/$archive" | cut -d ' ' -f 1)
sed -e '1d' -e "s|VERSION|$version|" -e "s|ARCH\$|$arch|" -e "s|URI\$|${2:-file://$into/$archive}|" -e "s|SHA256|$sum|" \
  "$here/apicredential.yaml" >"$into/apicredential.yaml"
echo "$into/apicredential.yaml"
