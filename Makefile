# Rust, Go, make and a shell are all that is needed. Everything runs on this machine, on loopback.

CARGO ?= cargo
# More than there are cores: cluster tests wait for a server far more than they compute.
TEST_THREADS ?= 6
# For `make provider` and `make control-plane`.
ARGS ?=
# Where the test run keeps the audit logs of the API servers, and the same suite for each mode of the chart.
AUDIT := $(CURDIR)/target/suite-audit
MODES = TEST_THREADS=$(TEST_THREADS) $(CARGO) test --locked --test cluster -- --ignored --nocapture --test-threads=1 modes::

.DEFAULT_GOAL := help
.PHONY: help build check test nightly modes rollout bench bench-smoke budgets torture mutants fuzz e2e-node demo provider control-plane generate manifests check-generated lint fmt clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the operator
	$(CARGO) build --locked

check: ## The inner loop: format, lint, unit tests, and the tests that need no control plane
	$(CARGO) fmt --all --check
	@$(MAKE) --no-print-directory lint
	$(CARGO) test --locked --lib --bins --test structure --test compatibility --test bytes --test model --test gitops --test generated

test: ## Run all tests but those of `make nightly`; the first run builds the real API server
	@echo "The programs of the control plane: found, or built once from tests/control-plane/go.mod"
	@tests/control-plane/build.sh etcd kube-apiserver kube-controller-manager kubectl
	@echo "Helm, kustomize and kstatus: found, or built once from tests/tools/"
	@tests/tools/build.sh
	@echo "CRDs of Argo CD, External Secrets and Flux: found, or generated once from tests/docs/crds"
	@tests/docs/crds/build.sh
	@echo "The kubectl plugin, for tests that would otherwise wait for its build in the middle of what they time"
	$(CARGO) build --locked --quiet --bin kubectl-apicredential --example control-plane
	rm -rf $(AUDIT) && mkdir -p $(AUDIT)
	OPERATOR_AUDIT=$(AUDIT) $(CARGO) test --locked --no-fail-fast -- --test-threads=$(TEST_THREADS)
	@echo "Which permissions of the mode cluster the suite has used, and that none was missing"
	SUITE_AUDIT=$(AUDIT) $(MODES)in_all_namespaces
	@echo "The tests of a clock that jumps: the operator is built with a clock that a test can set"
	$(CARGO) test --locked --features simulated-clock --test clock -- --test-threads=$(TEST_THREADS)
	@echo "Left to make nightly:"
	@tests/nightly.sh --list

nightly: ## Run what `make test` and .ci/run leave out: hours; with NO_SKIP=1 a part fails that cannot run here
	@tests/nightly.sh

modes: ## Run the suite under the service account of each mode of the chart and print which permissions it used
	$(MODES)

rollout: ## Roll out from an older build to this one and back, and count exchanges and writes; builds the older one once
	$(CARGO) test --locked --test cluster -- --ignored --nocapture a_rollout_from_an_older_build

bench: ## Measure it and the ceiling into docs/performance.md; BENCH_N, BENCH_MINUTES, BENCH_SCENARIOS scale it
	@tests/control-plane/build.sh > /dev/null
	$(CARGO) build --release --locked --package apicredential-operator --bin apicredential-operator
	$(CARGO) build --release --locked --package apicredential-operator --example bench
	@target/release/examples/bench

bench-smoke: ## Run each scenario small, on a debug build, and hold what can be counted to its goal
	@tests/control-plane/build.sh > /dev/null
	$(CARGO) build --locked --bin apicredential-operator --example bench
	@BENCH_SMOKE=1 target/debug/examples/bench

budgets: ## Hold the size of a release to its budget
	@tests/tools/budgets.sh

torture: ## Run what takes too long for `make test`, within TORTURE_MINUTES=120
	@tests/torture.sh

mutants: ## Show that seeded bugs are caught, and those that cargo-mutants thinks of; ARGS='03 07' for some of the first
	@tests/mutants/run.sh $(ARGS)
	@test -n "$(ARGS)" || tests/mutants/generated.sh

fuzz: ## Search for bytes that break the properties of tests/bytes; FUZZ_SECONDS=60 for each
	@fuzz/run.sh

e2e-node: ## Let a pod on a real kubelet use the token that it mounts; says SKIPPED where this machine cannot
	@tests/e2e-node/run.sh

demo: ## See it work on a real API server with mock providers; HOLD=1 keeps it up
	@tests/demo/run.sh

provider: ## Run the mock provider manually; ARGS=--help
	$(CARGO) run --locked --quiet --example provider -- $(ARGS)

control-plane: ## Run the local control plane manually; ARGS=--help
	$(CARGO) run --locked --quiet --example control-plane -- $(ARGS)

generate: ## Rewrite crds/, deploy/gitops/argocd/argocd-cm.yaml and the tables of README.md and docs/api.md
	crd=$$($(CARGO) run --locked --quiet -- crd) && printf '%s\n' "$$crd" > crds/apicredentials.yaml
	UPDATE_GOLDEN=1 $(CARGO) test --locked --quiet --test generated --test gitops

manifests: ## Render the Helm chart to deploy/install.yaml and deploy/rendered/
	deploy/render.sh

check-generated: ## Fail if crds/, README.md, docs/api.md, a Cargo.lock or what is rendered from the chart do not fit the code
	$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml > /dev/null
	$(CARGO) test --locked --test generated --test gitops --test chart

lint: ## Run clippy on every crate; a warning is an error
	$(CARGO) clippy --locked --all-targets --all-features -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

clean: ## Remove what was built here; the control plane's programs stay in their cache
	$(CARGO) clean
