//! Keeps API tokens alive in a cluster.
//!
//! The path of one token: the [`watch`] wakes an [`credential::ApiCredential`], which takes its place in the [`queue`]; [`reconcile`] parses its spec into a
//! [`plan`], [`observe`]s the source and the target Secret, and lets [`decide`] say, from facts and the time alone,
//! whether to rest, repair, refuse or exchange; the [`gate`] of the endpoint gives leave, [`exchange`] sends the one
//! request, [`deliver`] writes the token under guard, [`report`] turns the outcome into status and event, and [`rest`]
//! says when to wake again. One replica at a time does this: the [`leader`].
//!
//! `clock`, `cluster`, `exchange`, `leader`, `watch` and `serve` touch the world. `plan`, `decide`, `rest`, `report`,
//! the providers and the rendering are pure: they know no client and are told the time.

// In the order in which data meets them.
pub mod args;
pub mod clock;
pub mod leader;
pub mod process;
pub mod run;
pub mod telemetry;

pub mod credential;
pub mod endpoint;
pub mod names;
pub mod plan;
pub mod reason;

pub mod cluster;
pub mod decide;
pub mod deliver;
pub mod exchange;
pub mod gate;
pub mod memory;
pub mod observe;
pub mod queue;
pub mod reconcile;
pub mod report;
pub mod rest;
pub mod watch;

pub mod metrics;
pub mod serve;
pub mod served;

// The same exchange, asked for by a person.
pub mod hand;
