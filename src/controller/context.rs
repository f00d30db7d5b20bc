//! What every reconcile works with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use apicredential::object_key::Key;
use apicredential::plan::AllowLists;
use apicredential::schedule::Timings;

use crate::controller::token_issuer::TokenIssuer;
use crate::metrics::Metrics;
use crate::rate_limit::RateLimiter;

/// What every reconcile works with.
pub struct Context {
    /// The API server, the providers and the watches.
    pub issuer: TokenIssuer,
    /// Permits to send to an endpoint.
    pub limiter: RateLimiter<Key>,
    /// What counts.
    pub metrics: Metrics,
    /// The exchanges under way.
    pub in_flight: InFlight,
    /// What the flags set.
    pub settings: ReconcileSettings,
}

/// What the flags set for a reconcile.
#[derive(Clone)]
pub struct ReconcileSettings {
    /// What a spec may name.
    pub allowed: Arc<AllowLists>,
    /// Delays and intervals.
    pub timings: Timings,
    /// The key of the HMACs under which the values of the last attempt and of the stored token are remembered. Drawn when
    /// the process starts.
    pub session_key: Arc<[u8; 32]>,
}

/// The exchanges under way, which a process or a term that ends waits for.
#[derive(Clone, Default)]
pub struct InFlight {
    count: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
}

/// One exchange under way. It counts until it is dropped.
pub struct InFlightGuard(Arc<AtomicUsize>);

impl InFlight {
    /// Begins one. `None` once the process is about to end.
    pub fn start(&self) -> Option<InFlightGuard> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let guard = InFlightGuard(Arc::clone(&self.count));
        (!self.stopping.load(Ordering::SeqCst)).then_some(guard)
    }

    /// From now on none begins.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether none is under way.
    pub fn are_done(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
