//! What is kept per credential beside the watches, kept in step with them.

use std::sync::Arc;

use apicredential::api::ApiCredentialStatus;
use apicredential::endpoint::AllowedEndpoints;
use apicredential::object_key::Key;
use apicredential::schedule::Timings;
use kube::Resource as _;

use crate::controller::memory::{Memory, number};
use crate::controller::reconcile;
use crate::controller::watch::held::Held;
use crate::controller::watch::{DecodeResult, Listener};
use crate::metrics::Metrics;
use crate::rate_limit::RateLimiter;

/// Hears of each credential that comes, changes or goes.
pub(super) struct Books {
    pub memory: Arc<Memory>,
    pub gates: RateLimiter<Key>,
    pub metrics: Metrics,
    pub allowed: AllowedEndpoints,
    pub pace: Timings,
}

impl Listener for Books {
    fn found(&self, object: &DecodeResult) {
        reconcile::restore_pause(object, &self.gates, &self.allowed, &self.pace);
    }

    fn changing(&self, before: &Held, now: &DecodeResult) {
        let before = || before.open().0.ok()?.status;
        self.memory.leaves_store(uid(now), before, status(now));
    }

    fn stored(&self, now: &DecodeResult) {
        let version = number(now.meta().resource_version.as_deref());
        self.memory.is_in_store(uid(now), version, status(now));
    }

    fn gone(&self, key: &Key, uid: &str) {
        self.memory.forget(uid);
        self.gates.forget(key);
        self.metrics.remove_credential(key);
    }
}

fn uid(object: &DecodeResult) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

fn status(object: &DecodeResult) -> Option<&ApiCredentialStatus> {
    object.0.as_ref().ok()?.status.as_ref()
}
