//! The controller: watches and their cache, the work queue, and one reconcile.

pub mod memory;
pub mod reconcile;
pub mod token_issuer;
pub mod watch;
pub mod work_queue;
