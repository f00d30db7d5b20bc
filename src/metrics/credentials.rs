//! The series per ApiCredential. Only the leader has them, and they are removed with the ApiCredential. The series of an
//! unknown time is absent, never 0.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apicredential::api::ApiCredentialStatus;
use apicredential::object_key::Key;
use apicredential::reason::Reason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// The values of the series of one ApiCredential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialGauges {
    /// The target Secret contains a usable token.
    pub ready: bool,
    /// `spec.suspend`.
    pub suspended: bool,
    /// Failed attempts since the last success.
    pub failures: i64,
    /// When the token was issued, as Unix time in seconds.
    pub issued: Option<i64>,
    /// When the token expires, as Unix time in seconds.
    pub expires: Option<i64>,
    /// When the next renewal is planned, as Unix time in seconds.
    pub renewal: Option<i64>,
}

impl CredentialGauges {
    /// The values from a status.
    pub fn of(status: &ApiCredentialStatus, suspended: bool) -> Self {
        let token = status.token.as_ref();
        // The provider returned the same token again: the next attempt is shortly before it expires, and until then the
        // renewal is not overdue.
        let postponed = status.unresolved_failure() == Some(Reason::TokenNotExtended);
        let renewal = if postponed { &status.next_attempt_time } else { &status.renewal_time };
        Self {
            ready: status.is_ready(),
            suspended,
            failures: i64::from(status.failed_attempts.unwrap_or(0)),
            issued: token.map(|token| token.issued_time.0.as_second()),
            expires: token.and_then(|token| token.expiration_time.as_ref()).map(|time| time.0.as_second()),
            renewal: renewal.as_ref().map(|time| time.0.as_second()),
        }
    }
}

/// A series per ApiCredential: its name, its help and its value.
type Series = (&'static str, &'static str, fn(&CredentialGauges) -> Option<i64>);

const SERIES: [Series; 6] = [
    ("ready", "1 if the target Secret contains a usable token, else 0; only on the leader", |gauges| {
        Some(i64::from(gauges.ready))
    }),
    ("suspended", "1 if spec.suspend is true, else 0; only on the leader", |gauges| Some(i64::from(gauges.suspended))),
    ("consecutive_failures", "Failed attempts since the last success; only on the leader", |gauges| {
        Some(gauges.failures)
    }),
    (
        "token_issued_timestamp_seconds",
        "Unix time when the token in the target Secret was issued; absent without a token",
        |gauges| gauges.issued,
    ),
    (
        "token_expiry_timestamp_seconds",
        "Unix time when the token in the target Secret expires; absent without a token or an expiry",
        |gauges| gauges.expires,
    ),
    ("renewal_timestamp_seconds", "Unix time of the next planned renewal; absent if none is planned", |gauges| {
        gauges.renewal
    }),
];

/// The values of all ApiCredentials. They become series when Prometheus scrapes them.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    gauges: Arc<Mutex<HashMap<Key, CredentialGauges>>>,
}

impl Credentials {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let credentials = Self::default();
        registry.register_collector(Box::new(credentials.clone()));
        credentials
    }

    pub(super) fn set(&self, key: &Key, gauges: CredentialGauges) {
        self.lock().insert(key.clone(), gauges);
    }

    pub(super) fn remove(&self, key: &Key) {
        self.lock().remove(key);
    }

    pub(super) fn clear(&self) {
        *self.lock() = HashMap::new();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, CredentialGauges>> {
        self.gauges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Credentials {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = self.lock();
        for (name, help, value) in SERIES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (key, gauges) in all.iter() {
                if let Some(value) = value(gauges) {
                    let labels = [("resource_namespace", key.namespace()), ("resource_name", key.name())];
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}
