//! What the operator counts, as OpenMetrics text.
//!
//! The names are a contract with dashboards and alerts. Per-credential series exist on the leader only and go with
//! their credential; provider and outcome come from closed tables, so the number of the other series is bounded.

use std::sync::Arc;
use std::time::Duration;

use apicredential::api::Provider;
use apicredential::object_key::Key;
use apicredential::reason::Reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

mod credentials;
mod machine;
#[cfg(test)]
mod tests;

pub use credentials::CredentialGauges;
use credentials::Credentials;
pub use machine::OperatorMetrics;

/// From a warm connection to the total deadline of an exchange (15 s by default) and beyond, in seconds.
const EXCHANGE_BUCKETS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];

/// From punctual to an outage that ate the whole margin of an hourly token, in seconds.
const LATENESS_BUCKETS: [f64; 9] = [0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1200.0, 3600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    provider: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Cause {
    provider: &'static str,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProvider {
    provider: &'static str,
}

/// All metrics; a clone is another handle on the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    exchanges: Exchanges,
    verifications: Family<Outcome, Counter>,
    lateness: Histogram,
    credentials: Credentials,
    /// How the operator itself is doing.
    pub machine: OperatorMetrics,
}

/// What is counted per provider.
#[derive(Clone, Debug)]
struct Exchanges {
    total: Family<Outcome, Counter>,
    seconds: Family<OfProvider, Histogram, fn() -> Histogram>,
    renewals: Family<Cause, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("apicredential");
        // The encoder appends `_info` to an info metric and `_total` to a counter.
        registry.register("build", "The running version", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        Self {
            exchanges: Exchanges::register(&mut registry),
            verifications: verifications(&mut registry),
            lateness: add(
                &mut registry,
                "renewal_lateness_seconds",
                "From the planned renewal to the written token; earlier counts as 0",
                Histogram::new(LATENESS_BUCKETS),
            ),
            credentials: Credentials::register(&mut registry),
            machine: OperatorMetrics::register(&mut registry),
            registry: Arc::new(registry),
        }
    }

    /// The text that a scrape answers with, of media type `application/openmetrics-text; version=1.0.0`.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }

    /// Counts a request that was sent to a provider, by how it ended.
    pub fn exchange_ended(&self, provider: Provider, outcome: Reason, duration: Duration) {
        let provider = provider.as_str();
        self.exchanges.total.get_or_create(&Outcome { provider, outcome: outcome.as_str() }).inc();
        self.exchanges.seconds.get_or_create(&OfProvider { provider }).observe(duration.as_secs_f64());
    }

    /// Counts a token that was tried, by the verdict, or by why there is none.
    pub fn checked(&self, provider: Provider, outcome: Reason) {
        let outcome = Outcome { provider: provider.as_str(), outcome: outcome.as_str() };
        self.verifications.get_or_create(&outcome).inc();
    }

    /// Counts a token that was written, by the cause of its exchange.
    pub fn renewed(&self, provider: Provider, cause: &'static str) {
        self.exchanges.renewals.get_or_create(&Cause { provider: provider.as_str(), cause }).inc();
    }

    /// Notes how many seconds after its planned time a renewal was written. Earlier counts as 0: a histogram with
    /// negative observations has no meaningful sum.
    pub fn lateness(&self, seconds: f64) {
        if seconds.is_finite() {
            self.lateness.observe(seconds.max(0.0));
        }
    }

    /// Shows a credential as it is now.
    pub fn set_credential(&self, key: &Key, shown: CredentialGauges) {
        self.credentials.set(key, shown);
    }

    /// Forgets a credential that is gone.
    pub fn remove_credential(&self, key: &Key) {
        self.credentials.remove(key);
    }

    /// Forgets all credentials: another replica shows them now.
    pub fn clear_credentials(&self) {
        self.credentials.clear();
    }
}

impl Exchanges {
    fn register(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(EXCHANGE_BUCKETS);
        Self {
            total: add(registry, "exchanges", "Requests sent to a provider, by how they ended", Family::default()),
            seconds: add(
                registry,
                "exchange_duration_seconds",
                "From sending a request to a provider to its outcome",
                Family::new_with_constructor(histogram),
            ),
            renewals: add(registry, "renewals", "Tokens written, by the cause of their exchange", Family::default()),
        }
    }
}

/// The two verdicts are there from the start: a rise from nothing is none to Prometheus.
fn verifications(registry: &mut Registry) -> Family<Outcome, Counter> {
    let help = "Tokens that were tried at their provider, by what it said of them or why it said nothing";
    let total: Family<Outcome, Counter> = add(registry, "verifications", help, Family::default());
    for provider in Provider::ALL.iter().copied().filter(|provider| provider.has_check()) {
        for verdict in [Reason::TokenAccepted, Reason::TokenRevoked] {
            drop(total.get_or_create(&Outcome { provider: provider.as_str(), outcome: verdict.as_str() }));
        }
    }
    total
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}
