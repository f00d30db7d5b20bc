//! What the operator reports about an `ApiCredential`, and the queries of other modules.
//!
//! The doc comments of the fields are what `kubectl explain apicred.status` prints.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use self::condition_type::{READY, RECONCILING, RENEWED, STALLED, VERIFIED};
use crate::reason::{Class, Reason};
use crate::revision::Revision;

/// What the target Secret holds and how the last attempt ended. Only the operator writes it. A lost status is written
/// again without a token exchange, because the target Secret holds the truth.
// For the same reason a field that cannot be read counts as absent, and the other fields stay in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiCredentialStatus {
    /// Generation of the spec that this status describes, such as `3`. Default: `-1`, before the first reconcile. When it differs
    /// from `metadata.generation`, the status describes an older spec.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions, by type. Default: `Ready` is `Unknown` before the first reconcile. `Ready`: the target Secret holds a token that is valid now and fits the spec. `Renewed`:
    /// the last attempt issued a token, or a fitting token was adopted. `SourceResolved`: the source Secret exists,
    /// consents and has the keys. `Verified`: the provider accepted the token in the last check; only with
    /// `spec.verification`. While not ready, one of two more is present: `Reconciling` when the operator retries
    /// without a person, `Stalled` when a person has to change something.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Times and type of the token in the target Secret; never the token or a hash of it. Absent while the target
    /// Secret holds no token that fits the spec.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenStatus>,
    /// Time of the planned renewal, jitter included, such as `2026-01-31T08:40:00Z`. Absent for a token that never
    /// expires when there is no `maxAge`.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
    /// Time of the next attempt, such as `2026-01-31T08:41:00Z`. Present only while attempts fail, and after `TokenNotExtended`.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// Last token request that was sent to the provider, and how it ended. An attempt that the operator refused before
    /// sending a request does not change it.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<LastAttempt>,
    /// Number of consecutive failed attempts of the same class, such as `2`. A successful attempt sets it to 0.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub failed_attempts: Option<i32>,
    /// Number of successful token exchanges for this ApiCredential, such as `41`.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Value of the annotation `apicredential.io/renew-requested-at` that an attempt last answered, whether it succeeded
    /// or failed. While it differs from the annotation, the request is pending.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub last_handled_renew_request: Option<String>,
    /// Target Secret after the operator's last write, or as it was when its token was adopted.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetStatus>,
    /// Last check whether the provider accepts the token. Only with `spec.verification`.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    // Boxed, because most statuses have none, and the operator keeps a status for each ApiCredential in memory.
    pub verification: Option<Box<VerificationStatus>>,
}

/// The status in an ApiCredential. In a box, because the operator caches thousands of ApiCredentials without it.
pub type StoredStatus = Box<ApiCredentialStatus>;

impl ApiCredentialStatus {
    /// The status before the first reconcile: the default in the CRD, which the API server sets. `kubectl wait` waits
    /// with it, and GitOps tools see an object in progress.
    pub fn initial() -> Self {
        let ready = Condition {
            type_: READY.to_owned(),
            status: "Unknown".to_owned(),
            reason: Reason::Pending.as_str().to_owned(),
            message: "Waiting for the operator.".to_owned(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: None,
        };
        Self { observed_generation: Some(-1), conditions: vec![ready], ..Self::default() }
    }

    /// Whether `Ready` is True.
    pub fn is_ready(&self) -> bool {
        self.condition(READY).is_some_and(|condition| condition.status == "True")
    }

    /// Whether `Renewed` is True.
    pub fn is_renewed(&self) -> bool {
        self.condition(RENEWED).is_some_and(|condition| condition.status == "True")
    }

    /// Whether the condition of that type has that reason.
    pub fn has_reason(&self, type_: &str, reason: Reason) -> bool {
        self.condition(type_).is_some_and(|condition| condition.reason == reason.as_str())
    }

    /// Whether the provider refused, in the last check, the token that was issued at that time.
    pub fn is_revoked(&self, issued_at: Timestamp) -> bool {
        self.verification.as_ref().is_some_and(|check| check.token_issued_time.0 == issued_at)
            && self.has_reason(VERIFIED, Reason::TokenRevoked)
    }

    /// The reason of the last attempt, if it failed and no token was issued or adopted since.
    pub fn unresolved_failure(&self) -> Option<Reason> {
        let reason = Reason::parse(&self.last_attempt.as_ref()?.reason)?;
        let is_unresolved = self.failed_attempts.unwrap_or(0) > 0
            || (reason == Reason::TokenNotExtended && self.next_attempt_time.is_some());
        (is_unresolved && reason != Reason::Issued).then_some(reason)
    }

    /// The class whose delay applies to the [unresolved failure](Self::unresolved_failure).
    pub fn unresolved_failure_class(&self) -> Option<Class> {
        self.unresolved_failure().map(Reason::retry_class)
    }

    /// The condition of that type. `Ready=Unknown` counts as absent: it is the default in the CRD, and the operator never
    /// writes it.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        let is_default = |condition: &Condition| condition.type_ == READY && condition.status == "Unknown";
        self.conditions.iter().find(|condition| condition.type_ == type_ && !is_default(condition))
    }

    /// Whether there is a condition that the operator did not write: it replaces the status whole, so such a condition
    /// is from somebody else. `Reconciling` and `Stalled` are never present beside `Ready=True`.
    pub fn has_foreign_conditions(&self) -> bool {
        let is_abnormal = |type_: &str| [RECONCILING, STALLED].contains(&type_);
        self.conditions.iter().any(|condition| {
            let type_ = condition.type_.as_str();
            !condition_type::ALL.contains(&type_) || (self.is_ready() && is_abnormal(type_))
        })
    }

    /// This status with the transition times of `stored` where the condition's status is the same. A transition that
    /// could not be written does not count.
    #[must_use]
    pub fn transitions_since(mut self, stored: &Self) -> Self {
        for condition in &mut self.conditions {
            if let Some(before) = stored.condition(&condition.type_).filter(|before| before.status == condition.status)
            {
                condition.last_transition_time.clone_from(&before.last_transition_time);
            }
        }
        self
    }
}

/// The types of the conditions; docs/design/status.md defines when each of them is true.
pub mod condition_type {
    /// Whether the target Secret holds a token that is valid now and fits the spec.
    pub const READY: &str = "Ready";
    /// How the last attempt ended.
    pub const RENEWED: &str = "Renewed";
    /// Whether the source Secret exists, consents and has the keys.
    pub const SOURCE_RESOLVED: &str = "SourceResolved";
    /// Whether the provider accepted the token in the last check.
    pub const VERIFIED: &str = "Verified";
    /// Present while not ready and the operator retries without a person.
    pub const RECONCILING: &str = "Reconciling";
    /// Present while not ready and a person has to change something.
    pub const STALLED: &str = "Stalled";
    /// All of them, in the order in which the status lists them.
    pub const ALL: [&str; 6] = [READY, RENEWED, SOURCE_RESOLVED, VERIFIED, RECONCILING, STALLED];
}

/// Times and type of the token in the target Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenStatus {
    /// Time at which the token was issued, such as `2026-01-31T08:00:00Z`.
    pub issued_time: Time,
    /// Time at which the token expires, such as `2026-01-31T09:00:00Z`. Absent for a token that never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<Time>,
    /// Seconds from issue to expiry, such as `3600`. Absent for a token that never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<i64>,
    /// Type of the token: `Bearer`.
    #[serde(rename = "type")]
    pub type_: String,
}

/// The last token request that was sent to the provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastAttempt {
    /// Time at which the request was sent, such as `2026-01-31T08:00:00Z`.
    pub time: Time,
    /// Reason that names how the attempt ended, such as `Issued` or `RateLimited`. Later releases may add reasons.
    pub reason: String,
    /// Generation of the spec that the request was sent for, such as `3`.
    pub generation: i64,
    /// Version of the source Secret whose login was sent.
    pub source: SourceVersion,
}

/// A version of the source Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceVersion {
    /// Uid of the source Secret: another Secret of the same name has another uid.
    pub uid: String,
    /// Resource version of the source Secret, such as `4711`.
    pub resource_version: String,
}

impl SourceVersion {
    /// The uid and the resourceVersion as one value.
    pub fn revision(&self) -> Revision {
        Revision::new(&self.uid, &self.resource_version)
    }
}

impl From<&Revision> for SourceVersion {
    fn from(revision: &Revision) -> Self {
        Self { uid: revision.uid().to_owned(), resource_version: revision.resource_version().to_owned() }
    }
}

/// The target Secret after the operator's last write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// Name of the target Secret.
    pub name: String,
    /// Uid of the target Secret: another Secret of the same name has another uid.
    pub uid: String,
    /// Resource version of the target Secret, such as `4711`.
    pub resource_version: String,
}

impl TargetStatus {
    /// The target Secret of that name in that revision.
    pub fn new(name: String, revision: &Revision) -> Self {
        Self { name, uid: revision.uid().to_owned(), resource_version: revision.resource_version().to_owned() }
    }

    /// The uid and the resourceVersion as one value.
    pub fn revision(&self) -> Revision {
        Revision::new(&self.uid, &self.resource_version)
    }
}

/// The last check whether the provider accepts the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationStatus {
    /// Time at which the check was sent. The next one is at least `spec.verification.interval` later.
    pub time: Time,
    /// Time at which the checked token was issued. Another token may have replaced it since.
    pub token_issued_time: Time,
    /// Number of consecutive tokens that the provider refused; absent while it accepts them. From the second on, each
    /// refusal makes the operator wait longer before the next token exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_tokens: Option<i32>,
}

/// The value of the field, or its default if the field does not have the expected shape.
fn readable<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_cannot_be_read_counts_as_absent_and_the_others_stay_in_use() {
        let status = serde_json::json!({
            "observedGeneration": "three", "conditions": [{"type": "Ready"}], "failedAttempts": 1.5,
            "token": {"issuedTime": "yesterday", "type": "Bearer"}, "renewalTime": "", "revision": 41,
        });
        let read: ApiCredentialStatus = serde_json::from_value(status).unwrap();
        assert_eq!(read, ApiCredentialStatus { revision: Some(41), ..ApiCredentialStatus::default() });
    }
}
