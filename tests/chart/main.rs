//! The Helm chart: what it renders, what it refuses, and what it hands to the operator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken chart fails the test, with its reason"
)]

#[path = "../support/helm.rs"]
mod helm;
mod kustomize;
mod pod;
mod refusals;
mod renderings;
mod rights;

use serde_json::Value;

/// A value for everything that can be set.
const EVERYTHING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/chart/everything.yaml");

/// The first object of that kind.
fn of_kind<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}
