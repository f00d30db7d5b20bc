//! The series of each credential: on the leader only, and gone with their credential. A time that is not known is
//! absent, never 0.

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::add;
use crate::credential::ApiCredentialStatus;
use crate::reason::Reason;
use crate::report;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    namespace: String,
    name: String,
}

type Series = Family<Labels, Gauge>;

/// What is shown of one credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
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

impl Shown {
    /// What a status says.
    pub fn of(status: &ApiCredentialStatus, suspended: bool) -> Self {
        let token = status.token.as_ref();
        // A provider that did not extend the token is asked again near its end: until then nothing is overdue.
        let put_off = report::open_failure(status) == Some(Reason::TokenNotExtended);
        let renewal = if put_off { &status.next_attempt_time } else { &status.renewal_time };
        Self {
            ready: report::is_ready(status),
            suspended,
            failures: i64::from(status.failed_attempts.unwrap_or(0)),
            issued: token.map(|token| token.issued_time.0),
            expires: token.and_then(|token| token.expiration_time.as_ref()).map(|time| time.0),
            renewal: renewal.as_ref().map(|time| time.0),
        }
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    ready: Series,
    suspended: Series,
    failures: Series,
    issued: Series,
    expires: Series,
    renewal: Series,
}

impl Credentials {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut series = |name, help| add(registry, name, help, Series::default());
        Self {
            ready: series("ready", "1 while the Secret holds a usable token, else 0; on the leader only"),
            suspended: series("suspended", "1 while spec.suspend is true, else 0; on the leader only"),
            failures: series("consecutive_failures", "Attempts that failed since the last success; on the leader only"),
            issued: series(
                "token_issued_timestamp_seconds",
                "When the token in the Secret was issued, as Unix time; absent without a token",
            ),
            expires: series(
                "token_expiry_timestamp_seconds",
                "When the token in the Secret expires, as Unix time; absent without a token or an expiry",
            ),
            renewal: series(
                "renewal_timestamp_seconds",
                "When the next renewal is planned, as Unix time; absent if none is",
            ),
        }
    }

    pub(super) fn set(&self, namespace: &str, name: &str, shown: &Shown) {
        let labels = Labels { namespace: namespace.to_owned(), name: name.to_owned() };
        let flags = [(&self.ready, i64::from(shown.ready)), (&self.suspended, i64::from(shown.suspended))];
        for (series, value) in flags.into_iter().chain([(&self.failures, shown.failures)]) {
            series.get_or_create(&labels).set(value);
        }
        let times = [(&self.issued, shown.issued), (&self.expires, shown.expires), (&self.renewal, shown.renewal)];
        for (series, time) in times {
            match time {
                Some(time) => {
                    series.get_or_create(&labels).set(time.as_second());
                }
                None => {
                    series.remove(&labels);
                }
            }
        }
    }

    pub(super) fn remove(&self, namespace: &str, name: &str) {
        let labels = Labels { namespace: namespace.to_owned(), name: name.to_owned() };
        for series in self.all() {
            series.remove(&labels);
        }
    }

    pub(super) fn clear(&self) {
        self.all().for_each(|series| series.clear());
    }

    fn all(&self) -> impl Iterator<Item = &Series> {
        [&self.ready, &self.suspended, &self.failures, &self.issued, &self.expires, &self.renewal].into_iter()
    }
}
