#!/usr/bin/env bash
# `make demo`: builds what is needed, then runs steps.sh on a control plane of its own, which ends with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

echo "Building the operator, the stand-in for the providers and the demo's own helper"
cargo build --locked --quiet --bin apicredential-operator --examples
DEMO_PROGRAMS=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug

echo "Finding the programs of the control plane, or building them once (the first time takes minutes)"
tests/control-plane/build.sh >/dev/null
DEMO_KUBECTL=$(command -v kubectl) || DEMO_KUBECTL=$(tests/control-plane/build.sh kubectl)/kubectl

echo "Starting etcd, kube-apiserver and kube-controller-manager on loopback"
export DEMO_PROGRAMS DEMO_KUBECTL
exec "$DEMO_PROGRAMS/examples/control-plane" --empty -- tests/demo/steps.sh
