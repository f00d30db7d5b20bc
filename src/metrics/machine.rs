//! How the operator itself is doing: its loop, its watches, its lease, its writes, its clock.

use std::time::Duration;

use apicredential::api::Provider;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{OfProvider, add};
use crate::clock;

/// From a look that sends nothing to one that waits for a slow provider, in seconds.
const LOOK_BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 5.0, 10.0, 30.0];
/// From an idle endpoint to the longest pause that a provider can ask for, in seconds.
const WAIT_BUCKETS: [f64; 9] = [0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    operation: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: &'static str,
}

/// All of it; a clone is another handle on the same numbers.
#[derive(Clone, Debug)]
pub struct OperatorMetrics {
    looks: Counter,
    look_seconds: Histogram,
    queue: Gauge,
    wait_seconds: Histogram,
    writes: Family<Write, Counter>,
    skew: Family<OfProvider, Gauge>,
    watch_up: Family<Kind, Gauge>,
    watch_changed: Family<Kind, Gauge>,
    leader: Gauge,
}

impl OperatorMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            looks: add(registry, "reconciles", "Looks at a credential", Counter::default()),
            look_seconds: add(
                registry,
                "reconcile_duration_seconds",
                "From the begin of a look at a credential to its end",
                Histogram::new(LOOK_BUCKETS),
            ),
            queue: add(
                registry,
                "queue_depth",
                "Credentials that wait for the turn of their provider's endpoint",
                Gauge::default(),
            ),
            wait_seconds: add(
                registry,
                "throttle_wait_seconds",
                "From wanting an exchange to being let through by rate, pause and queue",
                Histogram::new(WAIT_BUCKETS),
            ),
            writes: add(registry, "target_writes", "Writes to target Secrets, by how they ended", Family::default()),
            skew: add(
                registry,
                "clock_skew_seconds",
                "Our clock minus the Date of the provider's last answer; absent before one",
                Family::default(),
            ),
            watch_up: add(
                registry,
                "watch_up",
                "1 while the watch of this kind works, else 0; absent without the right to watch it",
                Family::default(),
            ),
            watch_changed: add(
                registry,
                "watch_changed_timestamp_seconds",
                "Since when the watch of this kind is up or down, as Unix time",
                Family::default(),
            ),
            leader: add(registry, "leader", "1 on the replica that acts, 0 on one that stands by", Gauge::default()),
        }
    }

    /// Counts a look at a credential.
    pub fn looked(&self, took: Duration) {
        self.looks.inc();
        self.look_seconds.observe(took.as_secs_f64());
    }

    /// Notes how many credentials wait for their endpoint's turn.
    pub fn set_queue(&self, depth: usize) {
        self.queue.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// Notes how long a credential waited for its endpoint's turn.
    pub fn let_through(&self, waited: Duration) {
        self.wait_seconds.observe(waited.as_secs_f64());
    }

    /// Counts a write to a target.
    pub fn wrote(&self, operation: &'static str, result: &'static str) {
        self.writes.get_or_create(&Write { operation, result }).inc();
    }

    /// Notes by how many seconds our clock is ahead of a provider's.
    pub fn set_skew(&self, provider: Provider, seconds: i64) {
        self.skew.get_or_create(&OfProvider { provider: provider.as_str() }).set(seconds);
    }

    /// Notes whether the watch of a kind works; none: there is no right to watch it, or no watch.
    pub fn set_watch(&self, kind: &'static str, up: Option<bool>) {
        let kind = Kind { kind };
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

    /// Notes whether this replica acts.
    pub fn set_leader(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }
}
