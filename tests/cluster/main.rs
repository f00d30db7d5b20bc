//! Tests against a real API server, the real operator binary and the mock provider.

#![allow(dead_code, unused_imports, reason = "the support modules offer more than these tests use")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test support: a broken set-up fails the test, with its reason"
)]

mod allow_list;
mod backoff;
mod churn;
mod container;
mod corporate;
mod crash;
mod crd_rules;
mod deletion;
mod exchange_cli;
mod expiring;
mod fairness;
mod first_token;
mod fixture;
mod gitops;
mod guard_rails;
mod guesses;
#[path = "../support/helm.rs"]
mod helm;
mod hostile;
mod install;
mod kubectl;
mod large_objects;
mod lease;
mod logs;
mod loose_schema;
mod manual;
mod memory;
mod merge;
mod metrics;
mod midflight;
mod mock_provider_works;
mod modes;
mod namespaces;
mod old_tokens;
mod outage;
mod outside;
mod ownership;
mod privileges;
mod renderings;
mod renewal;
mod responses;
mod restart;
mod robust;
mod same_token;
mod signals;
mod source;
mod source_changes;
mod spec_walk;
mod strict_api;
#[path = "../support/tree.rs"]
mod support;
mod support_works;
mod suspend;
mod table;
mod target;
mod target_metadata;
mod throttled;
#[path = "../exchange_cli/transcript.rs"]
mod transcript;
mod unanswered;
mod unauthorized;
mod unreachable;
mod unusual_responses;
mod upgrade;
mod verification;
mod webhooks;
mod write_rejected;
