//! The controller: the watches and their cache, the work queue, and one reconcile.
//!
//! Read [`reconcile`] first. [`watch`] fills the [`cache`] and enqueues keys in the [`work_queue`], which runs a reconcile
//! for each: `observe` reads the live objects, the pure crate decides, `exchange`, `verify` or a repair acts, and
//! `status_writer` writes the status. [`restore`] replaces the first observation of a term where the status proves that
//! nothing changed. [`token_issuer`] sends the token request and writes its token.

pub mod cache;
pub mod context;
pub mod history;
pub mod reconcile;
pub mod restore;
pub mod token_issuer;
pub mod watch;
pub mod work_queue;

mod attempt_history;
mod backoff;
mod check_history;
mod dry_run;
mod exchange;
mod observe;
mod reconciliation;
mod repair;
mod reserve_slot;
mod source_history;
mod status_input;
mod status_writer;
mod verify;
