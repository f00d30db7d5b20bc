//! `kubectl apicredential` on a real API server, beside the real operator: its output and exit codes.
//!
//! The expected output is in `golden/`; `UPDATE_GOLDEN=1` rewrites it.

#![allow(dead_code, unused_imports, reason = "the support modules offer more than these tests use")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test support: a broken set-up fails the test, with its reason"
)]

mod create;
mod doctor;
mod failures;
#[path = "../cluster/fixture.rs"]
mod fixture;
mod krew;
mod kubeconfig;
mod kubectl;
mod list;
mod renew;
mod status;
#[path = "../support/tree.rs"]
mod support;
mod transcript;
