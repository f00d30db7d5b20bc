//! The metrics of the operator itself: reconciles, watches, leadership, writes and clock skew.

use std::time::Duration;

use apicredential::api::Provider;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{ProviderLabel, add};
use crate::clock;

/// In seconds: from a reconcile that sends no request to one that waits for a slow provider.
const RECONCILE_BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 5.0, 10.0, 30.0];
/// In seconds: from an idle endpoint to the longest `Retry-After` of a provider that the operator respects.
const WAIT_BUCKETS: [f64; 9] = [0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// The metrics of the operator itself. Clones share them.
#[derive(Clone, Debug)]
pub struct OperatorMetrics {
    reconciles: Counter,
    reconcile_seconds: Histogram,
    queue: Gauge,
    wait_seconds: Histogram,
    writes: Family<WriteLabels, Counter>,
    skew: Family<ProviderLabel, Gauge>,
    watch_up: Family<KindLabel, Gauge>,
    watch_changed: Family<KindLabel, Gauge>,
    leader: Gauge,
}

impl OperatorMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            reconciles: add(registry, "reconciles", "Reconciles of ApiCredentials", Counter::default()),
            reconcile_seconds: add(
                registry,
                "reconcile_duration_seconds",
                "Duration of a reconcile",
                Histogram::new(RECONCILE_BUCKETS),
            ),
            queue: add(
                registry,
                "queue_depth",
                "ApiCredentials in the queues of provider endpoints, waiting for a permit",
                Gauge::default(),
            ),
            wait_seconds: add(
                registry,
                "throttle_wait_seconds",
                "Time that an ApiCredential waited for a permit of its provider endpoint: queue, rate limit and backoff",
                Histogram::new(WAIT_BUCKETS),
            ),
            writes: add(registry, "target_writes", "Writes to target Secrets, by result", Family::default()),
            skew: add(
                registry,
                "clock_skew_seconds",
                "Clock of the operator minus the Date header of the provider's last response; absent before the first response",
                Family::default(),
            ),
            watch_up: add(
                registry,
                "watch_up",
                "1 if the watch of this kind works, else 0; absent without permission to watch it",
                Family::default(),
            ),
            watch_changed: add(
                registry,
                "watch_changed_timestamp_seconds",
                "Unix time of the last change of watch_up of this kind",
                Family::default(),
            ),
            leader: add(registry, "leader", "1 on the leader, 0 on a standby", Gauge::default()),
        }
    }

    /// Records a reconcile and its duration.
    pub fn reconciled(&self, took: Duration) {
        self.reconciles.inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// Sets the number of ApiCredentials that wait for a permit.
    pub fn set_queue(&self, depth: usize) {
        self.queue.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// Records how long an ApiCredential waited for its permit.
    pub fn admitted(&self, waited: Duration) {
        self.wait_seconds.observe(waited.as_secs_f64());
    }

    /// Counts a write to a target Secret.
    pub fn target_written(&self, operation: &'static str, result: &'static str) {
        self.writes.get_or_create(&WriteLabels { operation, result }).inc();
    }

    /// Sets by how many seconds the clock of the operator is ahead of a provider's.
    pub fn set_skew(&self, provider: Provider, seconds: i64) {
        self.skew.get_or_create(&ProviderLabel { provider: provider.as_str() }).set(seconds);
    }

    /// Sets whether the watch of a kind works. `None` means that there is no watch, or no permission for it.
    pub fn set_watch(&self, kind: &'static str, up: Option<bool>) {
        let kind = KindLabel { kind };
        let Some(up) = up else {
            self.watch_up.remove(&kind);
            self.watch_changed.remove(&kind);
            return;
        };
        let known = self.watch_up.get(&kind).map(|gauge| gauge.get());
        if known != Some(i64::from(up)) {
            self.watch_up.get_or_create(&kind).set(i64::from(up));
            self.watch_changed.get_or_create(&kind).set(clock::now().as_second());
        }
    }

    /// Sets whether this replica is the leader.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}
