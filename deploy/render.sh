#!/usr/bin/env bash
# Renders the chart for installations without Helm: install.yaml, and one example for each mode in rendered/.
#
#   deploy/render.sh [folder]       default: deploy
#
# Each file in deploy/helm/values/ is one rendering. The comment at its top becomes the top of the rendered file.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
into=${1:-$here}
helm=$("$here/../tests/tools/build.sh" helm)
name=apicredential-operator

mkdir -p "$into/rendered"
for values in "$here"/helm/values/*.yaml; do
  rendering=$(basename "$values")
  [ "$rendering" = install.yaml ] || rendering="rendered/$rendering"
  {
    sed -n '/^#/!q; p' "$values"
    echo '#'
    echo '# Rendered from deploy/helm by `make manifests`.'
    "$helm" template "$name" "$here/helm/$name" --namespace "$name" --set createNamespace=true --values "$values" |
      sed -e '/^# Source: /d' -e '/^$/{ N; /\n---$/D }'
  } >"$into/$rendering"
done
