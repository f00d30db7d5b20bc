#!/usr/bin/env bash
# `make demo`: builds the programs, then runs steps.sh on its own control plane, which stops with the demo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

echo "Building the operator, the mock provider and the demo's client"
cargo build --locked --quiet --bin apicredential-operator --examples
DEMO_PROGRAMS=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/debug

echo "Looking up the programs of the control plane, or building them (takes minutes the first time)"
tests/control-plane/build.sh >/dev/null
DEMO_KUBECTL=$(command -v kubectl) || DEMO_KUBECTL=$(tests/control-plane/build.sh kubectl)/kubectl

echo "Starting etcd, kube-apiserver and kube-controller-manager on loopback"
export DEMO_PROGRAMS DEMO_KUBECTL
exec "$DEMO_PROGRAMS/examples/control-plane" --empty -- tests/demo/steps.sh
