//! What the operator does when the clocks do not: steps, sleep, and two replicas whose clocks differ.
//!
//! The operator here is built with the feature `simulated-clock`: its one clock module shifts what the machine says.
//! Timers are left alone, as a step of the wall clock or the machine's sleep leaves them alone.

#![allow(dead_code, unused_imports, reason = "the support modules offer more than the tests of one issue use")]
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
mod forward;
#[path = "../cluster/life.rs"]
mod life;
mod quiet;
mod replicas;
mod sleep;
#[path = "../support/tree.rs"]
mod support;
mod world;
