//! The operator: it keeps API tokens valid in a cluster.
//!
//! The path of one token: [`controller::watch`] enqueues an `ApiCredential` in the [`controller::work_queue`].
//! [`controller::reconcile`] observes its source and target Secrets and lets the pure crate [`apicredential`] decide, from
//! facts and the time alone, whether to do nothing, repair, reject or exchange. [`rate_limit`] grants a permit for the
//! endpoint, [`provider_client`] sends the one token request, [`controller::token_issuer`] writes the token under guard,
//! and the status and an event report the outcome. One replica at a time does this: the holder of the [`lease`].

// In groups, in the order in which data reaches them.
pub mod cli;
pub mod clock;
pub mod flags;
pub mod lease;
pub mod process;
pub mod runtime;
pub mod telemetry;

pub mod controller;
pub mod kube_api;
pub mod provider_client;
pub mod rate_limit;

pub mod http_server;
pub mod metrics;

// The same token exchange, started manually, and what its terminal shows.
pub mod exchange_cli;
pub mod terminal;
