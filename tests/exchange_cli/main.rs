//! The command `exchange`: the real program against the mock provider, its golden transcripts and exit codes.

#![allow(dead_code, unused_imports, reason = "the support modules offer more than these tests use")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test support: a broken set-up fails the test, with its reason"
)]

mod check;
mod forms;
mod prompt;
mod refusals;
#[path = "../support/tree.rs"]
mod support;
mod transcript;
mod usage;
