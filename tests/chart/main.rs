//! The Helm chart: what it renders, what it rejects, and what it passes to the operator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken chart fails the test, with its reason"
)]

#[path = "../support/helm.rs"]
mod helm;
mod kustomize;
mod permissions;
mod pod;
mod refusals;
mod renderings;

use serde_json::Value;

/// Values for all settings.
const EVERYTHING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/everything.yaml");

/// The first object of that kind.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}
