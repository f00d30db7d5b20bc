//! The metrics of the operator, in the OpenMetrics text format.
//!
//! Dashboards and alerts rely on the names. Only the leader has series per ApiCredential, and they are removed with the
//! ApiCredential. The labels of all other series have fixed sets of values, so their number is bounded.

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
mod operator;
#[cfg(test)]
mod tests;

pub use credentials::CredentialGauges;
use credentials::Credentials;
pub use operator::OperatorMetrics;

/// In seconds: from a request on an open connection to beyond the default of `--provider-timeout`, 15 s.
const EXCHANGE_BUCKETS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0];

/// In seconds: from punctual to an outage that is longer than the lead time of a token that is valid for an hour.
const LATENESS_BUCKETS: [f64; 9] = [0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1200.0, 3600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    provider: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabels {
    provider: &'static str,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider: &'static str,
}

/// All metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    exchanges: Exchanges,
    verifications: Family<OutcomeLabels, Counter>,
    lateness: Histogram,
    credentials: Credentials,
    /// The metrics of the operator itself.
    pub operator: OperatorMetrics,
}

/// The metrics of token exchanges.
#[derive(Clone, Debug)]
struct Exchanges {
    total: Family<OutcomeLabels, Counter>,
    seconds: Family<ProviderLabel, Histogram, fn() -> Histogram>,
    renewals: Family<CauseLabels, Counter>,
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
                "Time from the planned renewal to the write of the token; 0 if it was written earlier",
                Histogram::new(LATENESS_BUCKETS),
            ),
            credentials: Credentials::register(&mut registry),
            operator: OperatorMetrics::register(&mut registry),
            registry: Arc::new(registry),
        }
    }

    /// The metrics as text, of media type `application/openmetrics-text; version=1.0.0`.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }

    /// Counts a token request that was sent to a provider, by its outcome.
    pub fn exchange_ended(&self, provider: Provider, outcome: Reason, duration: Duration) {
        let provider = provider.as_str();
        self.exchanges.total.get_or_create(&OutcomeLabels { provider, outcome: outcome.as_str() }).inc();
        self.exchanges.seconds.get_or_create(&ProviderLabel { provider }).observe(duration.as_secs_f64());
    }

    /// Counts a token check, by its outcome.
    pub fn token_checked(&self, provider: Provider, outcome: Reason) {
        let outcome = OutcomeLabels { provider: provider.as_str(), outcome: outcome.as_str() };
        self.verifications.get_or_create(&outcome).inc();
    }

    /// Counts a token that was written, by the cause of its token exchange.
    pub fn token_renewed(&self, provider: Provider, cause: &'static str) {
        self.exchanges.renewals.get_or_create(&CauseLabels { provider: provider.as_str(), cause }).inc();
    }

    /// Records how many seconds after the planned time a renewed token was written. An earlier write counts as 0, because
    /// the sum of a histogram has no meaning with negative values.
    pub fn renewal_lateness(&self, seconds: f64) {
        if seconds.is_finite() {
            self.lateness.observe(seconds.max(0.0));
        }
    }

    /// Sets the gauges of an ApiCredential.
    pub fn set_credential(&self, key: &Key, gauges: CredentialGauges) {
        self.credentials.set(key, gauges);
    }

    /// Removes the series of an ApiCredential that was deleted.
    pub fn remove_credential(&self, key: &Key) {
        self.credentials.remove(key);
    }

    /// Removes the series of all ApiCredentials, because another replica leads now and exports them.
    pub fn clear_credentials(&self) {
        self.credentials.clear();
    }
}

impl Exchanges {
    fn register(registry: &mut Registry) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(EXCHANGE_BUCKETS);
        Self {
            total: add(registry, "exchanges", "Token requests sent to a provider, by outcome", Family::default()),
            seconds: add(
                registry,
                "exchange_duration_seconds",
                "Time from sending a token request to its outcome",
                Family::new_with_constructor(histogram),
            ),
            renewals: add(
                registry,
                "renewals",
                "Tokens written, by the cause of their token exchange",
                Family::default(),
            ),
        }
    }
}

/// The series of both results exist from the start, because Prometheus sees no increase in a series that first appears
/// with the value 1.
fn verifications(registry: &mut Registry) -> Family<OutcomeLabels, Counter> {
    let help = "Token checks at a provider, by outcome";
    let total: Family<OutcomeLabels, Counter> = add(registry, "verifications", help, Family::default());
    for provider in Provider::ALL.iter().copied().filter(|provider| provider.has_check()) {
        for result in [Reason::TokenAccepted, Reason::TokenRevoked] {
            drop(total.get_or_create(&OutcomeLabels { provider: provider.as_str(), outcome: result.as_str() }));
        }
    }
    total
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}
