//! The operator's behaviour when clocks change: steps, suspension, and two replicas whose clocks differ.
//!
//! The operator here is built with the feature `simulated-clock`: its one clock module shifts the machine's time.
//! Timers are not shifted, because neither a step of the wall clock nor a suspension shifts them.

#![allow(dead_code, unused_imports, reason = "the support modules offer more than these tests use")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test support: a broken set-up fails the test, with its reason"
)]

mod back;
mod checks;
#[path = "../cluster/fixture.rs"]
mod fixture;
mod forward;
mod quiet;
mod replicas;
mod sleep;
#[path = "../support/tree.rs"]
mod support;
mod touches;
mod world;
