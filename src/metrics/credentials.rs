//! The series of each credential: on the leader only, and gone with their credential. A time that is not known is
//! absent, never 0.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apicredential::api::ApiCredentialStatus;
use apicredential::object_key::Key;
use apicredential::reason::Reason;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// What is shown of one credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CredentialGauges {
    /// The Secret holds a usable token.
    pub ready: bool,
    /// `spec.suspend`.
    pub suspended: bool,
    /// Attempts that failed since the last one that did not.
    pub failures: i64,
    /// When the token was issued.
    pub issued: Option<Timestamp>,
    /// When it expires.
    pub expires: Option<Timestamp>,
    /// When it is to be renewed.
    pub renewal: Option<Timestamp>,
}

impl CredentialGauges {
    /// What a status says.
    pub fn of(status: &ApiCredentialStatus, suspended: bool) -> Self {
        let token = status.token.as_ref();
        // A provider that did not extend the token is asked again near its end: until then nothing is overdue.
        let put_off = status.unresolved_failure() == Some(Reason::TokenNotExtended);
        let renewal = if put_off { &status.next_attempt_time } else { &status.renewal_time };
        Self {
            ready: status.is_ready(),
            suspended,
            failures: i64::from(status.failed_attempts.unwrap_or(0)),
            issued: token.map(|token| token.issued_time.0),
            expires: token.and_then(|token| token.expiration_time.as_ref()).map(|time| time.0),
            renewal: renewal.as_ref().map(|time| time.0),
        }
    }
}

/// A series of each credential: its name, its help, and its value where there is one.
type Series = (&'static str, &'static str, fn(&CredentialGauges) -> Option<i64>);

const SERIES: [Series; 6] = [
    ("ready", "1 while the Secret holds a usable token, else 0; on the leader only", |shown| {
        Some(i64::from(shown.ready))
    }),
    ("suspended", "1 while spec.suspend is true, else 0; on the leader only", |shown| Some(i64::from(shown.suspended))),
    ("consecutive_failures", "Attempts that failed since the last success; on the leader only", |shown| {
        Some(shown.failures)
    }),
    (
        "token_issued_timestamp_seconds",
        "When the token in the Secret was issued, as Unix time; absent without a token",
        |shown| shown.issued.map(Timestamp::as_second),
    ),
    (
        "token_expiry_timestamp_seconds",
        "When the token in the Secret expires, as Unix time; absent without a token or an expiry",
        |shown| shown.expires.map(Timestamp::as_second),
    ),
    ("renewal_timestamp_seconds", "When the next renewal is planned, as Unix time; absent if none is", |shown| {
        shown.renewal.map(Timestamp::as_second)
    }),
];

/// All of them: kept once each, and turned into series when a scrape asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Credentials {
    shown: Arc<Mutex<HashMap<Key, CredentialGauges>>>,
}

impl Credentials {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let credentials = Self::default();
        registry.register_collector(Box::new(credentials.clone()));
        credentials
    }

    pub(super) fn set(&self, key: &Key, shown: CredentialGauges) {
        self.lock().insert(key.clone(), shown);
    }

    pub(super) fn remove(&self, key: &Key) {
        self.lock().remove(key);
    }

    pub(super) fn clear(&self) {
        *self.lock() = HashMap::new();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, CredentialGauges>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Credentials {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = self.lock();
        for (name, help, value) in SERIES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (key, shown) in all.iter() {
                if let Some(value) = value(shown) {
                    let labels = [("namespace", key.namespace()), ("name", key.name())];
                    ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}
