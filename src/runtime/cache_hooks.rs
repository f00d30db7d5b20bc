//! Keeps the rate limiter and the metrics in step with the ApiCredentials that exist.

use std::sync::Arc;

use apicredential::object_key::Key;
use apicredential::plan::AllowLists;
use apicredential::schedule::Timings;

use crate::controller::cache::DecodeResult;
use crate::controller::restore;
use crate::controller::watch::CacheObserver;
use crate::metrics::Metrics;
use crate::rate_limit::RateLimiter;

/// What is kept for each ApiCredential beside the cache.
pub(super) struct CacheHooks {
    pub limiter: RateLimiter<Key>,
    pub metrics: Metrics,
    pub allowed: Arc<AllowLists>,
    pub timings: Timings,
}

impl CacheObserver for CacheHooks {
    fn on_initial(&self, object: &DecodeResult) {
        restore::restore_pause(object, &self.limiter, &self.allowed, &self.timings);
    }

    fn on_delete(&self, key: &Key) {
        self.limiter.forget(key);
        self.metrics.remove_credential(key);
    }
}
