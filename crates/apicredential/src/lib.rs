//! The pure part of the operator: what an `ApiCredential` means and what follows from what is known about it.
//!
//! Nothing here has a client or a clock: every function receives what was read and the time. The crate's dependencies
//! enforce this.
//!
//! [`api`] holds the resource and its rules. [`plan`] parses a spec into a [`plan::Plan`]. [`source`] checks the source
//! Secret, [`target`] the target Secret and renders a token into it. [`decide`] turns facts and the time into a
//! decision, [`schedule`] computes when the next step is due, [`providers`] builds token requests and parses their
//! responses, and [`status`] turns an outcome into status, conditions and events. Every outcome has a [`reason`].

// In groups, in the order in which data reaches them.
pub mod annotations;
pub mod api;
pub mod endpoint;
pub mod object_key;
pub mod plan;
pub mod reason;
pub mod revision;

pub mod decide;
pub mod next_reconcile;
pub mod providers;
pub mod schedule;
pub mod source;
pub mod status;
pub mod target;
