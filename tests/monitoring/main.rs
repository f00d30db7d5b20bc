//! Alerts, runbooks and dashboard: each by itself, and all of them with a real Prometheus that scrapes a real operator.

#![allow(dead_code, unused_imports, reason = "the support modules offer more than these tests use")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test support: a broken set-up fails the test, with its reason"
)]

mod dashboard;
mod expressions;
#[path = "../cluster/fixture.rs"]
mod fixture;
mod incident;
mod metrics;
mod prometheus;
mod rules;
mod runbooks;
#[path = "../support/tree.rs"]
mod support;
