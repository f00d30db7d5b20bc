//! What the operator counts, as OpenMetrics text.
//!
//! The names are a contract with dashboards and alerts. Per-credential series exist on the leader only and go with
//! their credential; provider and outcome come from closed tables, so the number of the other series is bounded.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use crate::credential::Provider;
use crate::reason::Reason;

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCredential {
    namespace: String,
    name: String,
}

impl OfCredential {
    fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// All metrics; a clone is another handle on the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    exchanges: Exchanges,
    lateness: Histogram,
    expiry: Family<OfCredential, Gauge>,
    ready: Family<OfCredential, Gauge>,
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
            lateness: add(
                &mut registry,
                "renewal_lateness_seconds",
                "From the planned renewal to the written token; earlier counts as 0",
                Histogram::new(LATENESS_BUCKETS),
            ),
            expiry: add(
                &mut registry,
                "token_expiry_timestamp_seconds",
                "When the token in the Secret expires, as Unix time; absent without a token or an expiry",
                Family::default(),
            ),
            ready: add(
                &mut registry,
                "ready",
                "1 while the Secret holds a usable token, else 0; on the leader only",
                Family::default(),
            ),
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

    /// Shows a credential as it is now; without an expiry (no token, or one that never expires) that series is absent.
    pub fn set_credential(&self, namespace: &str, name: &str, ready: bool, expires: Option<Timestamp>) {
        let credential = OfCredential::new(namespace, name);
        self.ready.get_or_create(&credential).set(i64::from(ready));
        match expires {
            Some(expires) => drop(self.expiry.get_or_create(&credential).set(expires.as_second())),
            None => drop(self.expiry.remove(&credential)),
        }
    }

    /// Forgets a credential that is gone.
    pub fn remove_credential(&self, namespace: &str, name: &str) {
        let credential = OfCredential::new(namespace, name);
        self.ready.remove(&credential);
        self.expiry.remove(&credential);
    }

    /// Forgets all credentials: another replica shows them now.
    pub fn clear_credentials(&self) {
        self.ready.clear();
        self.expiry.clear();
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

fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line<'a>(text: &'a str, start: &str) -> Option<&'a str> {
        text.lines().find(|line| line.starts_with(start))
    }

    fn expiry() -> Option<Timestamp> {
        Timestamp::from_second(1_800_000_000).ok()
    }

    #[test]
    fn the_names_are_those_of_the_contract_with_one_suffix_each() {
        let metrics = Metrics::new();
        metrics.exchange_ended(Provider::Welkin, Reason::Issued, Duration::from_millis(70));
        metrics.renewed(Provider::Qontak, "due");
        metrics.lateness(3.0);
        metrics.set_credential("care", "welkin", true, expiry());
        let text = metrics.encode();
        for expected in [
            concat!("apicredential_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "apicredential_exchanges_total{provider=\"Welkin\",outcome=\"Issued\"} 1",
            "apicredential_exchange_duration_seconds_bucket{le=\"0.1\",provider=\"Welkin\"} 1",
            "apicredential_exchange_duration_seconds_count{provider=\"Welkin\"} 1",
            "apicredential_renewals_total{provider=\"Qontak\",cause=\"due\"} 1",
            "apicredential_renewal_lateness_seconds_sum 3.0",
            "apicredential_token_expiry_timestamp_seconds{namespace=\"care\",name=\"welkin\"} 1800000000",
            "apicredential_ready{namespace=\"care\",name=\"welkin\"} 1",
        ] {
            assert_eq!(line(&text, expected), Some(expected), "{text}");
        }
        assert!(text.ends_with("# EOF\n") && !text.contains("_total_total") && !text.contains("_info_info"));
    }

    #[test]
    fn a_credential_that_is_gone_takes_its_series_along() {
        let metrics = Metrics::new();
        metrics.set_credential("a", "gone", true, expiry());
        metrics.set_credential("a", "stays", false, expiry());
        metrics.remove_credential("a", "gone");
        let text = metrics.encode();
        assert!(!text.contains("gone") && text.contains("apicredential_ready{namespace=\"a\",name=\"stays\"} 0"));
    }

    #[test]
    fn a_token_without_an_expiry_has_no_expiry_series() {
        let metrics = Metrics::new();
        metrics.set_credential("a", "b", true, expiry());
        metrics.set_credential("a", "b", true, None);
        let text = metrics.encode();
        assert_eq!(line(&text, "apicredential_token_expiry_timestamp_seconds{"), None);
        assert!(line(&text, "apicredential_ready{").is_some());
    }

    #[test]
    fn a_lost_leadership_clears_the_credentials_and_keeps_the_counters() {
        let metrics = Metrics::new();
        metrics.set_credential("a", "b", true, expiry());
        metrics.exchange_ended(Provider::Qontak, Reason::RateLimited, Duration::ZERO);
        metrics.clear_credentials();
        let text = metrics.encode();
        assert!(!text.contains("namespace=") && text.contains("outcome=\"RateLimited\"} 1"));
    }

    #[test]
    fn an_early_renewal_counts_as_punctual_and_nonsense_not_at_all() {
        let metrics = Metrics::new();
        for seconds in [-5.0, 0.0, f64::NAN, f64::INFINITY] {
            metrics.lateness(seconds);
        }
        let text = metrics.encode();
        assert!(line(&text, "apicredential_renewal_lateness_seconds_sum 0.0").is_some(), "{text}");
        assert!(line(&text, "apicredential_renewal_lateness_seconds_count 2").is_some(), "{text}");
    }

    #[test]
    fn label_values_are_escaped() {
        let metrics = Metrics::new();
        metrics.set_credential("a", "quote\"back\\slash\nline", true, None);
        assert!(metrics.encode().contains(r#"name="quote\"back\\slash\nline""#));
    }
}
