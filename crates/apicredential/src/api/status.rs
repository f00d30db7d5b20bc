//! What the operator says about an `ApiCredential`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::Provider;

/// What the operator knows and says about the token. Only a view: the truth is in the Secret, and a lost status is
/// written again without asking the provider.
// For the same reason a field that cannot be read is a lost one, and no reason to leave the credential alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiCredentialStatus {
    /// The generation of the spec that this status speaks of; -1 before the first look.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready (the Secret holds a token that is usable now), Renewed (how the last attempt ended), SourceResolved (the
    /// credentials could be read) and, with spec.verification, Verified (what the provider said when the token was last
    /// tried); Reconciling (will be tried again by itself) or Stalled (somebody must act) only while
    /// true.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The provider that issued the stored token.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// The stored token's times and type; never the token, nor a hash of it.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenStatus>,
    /// When the token will be renewed, jitter included; absent for a token that never expires and has no maxAge.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
    /// When the next attempt is made; only while failing.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// The last request that was sent to the provider.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<LastAttempt>,
    /// Failed attempts of the same class in a row.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub failed_attempts: Option<i32>,
    /// Successful exchanges for this object.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// The renew request that was last answered with a failed attempt.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub last_handled_renew_request: Option<String>,
    /// The Secret of our last write.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetStatus>,
    /// The last check whether the provider takes the token; only with spec.verification.
    #[serde(deserialize_with = "readable", skip_serializing_if = "Option::is_none")]
    // Boxed: most credentials have none, and a status is kept for each of them.
    pub verification: Option<Box<VerificationStatus>>,
}

/// The stored token's times and type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenStatus {
    /// When it was issued.
    pub issued_time: Time,
    /// When it expires; absent for a token that never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration_time: Option<Time>,
    /// Its whole lifetime in seconds; absent for a token that never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<i64>,
    /// The token's type: `Bearer`.
    #[serde(rename = "type")]
    pub type_: String,
}

/// The last request that was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastAttempt {
    /// When it was sent.
    pub time: Time,
    /// How it ended, such as Issued or RateLimited.
    pub reason: String,
    /// The generation of the spec it was made for.
    pub generation: i64,
    /// The source Secret it was made with: uid and resourceVersion, a slash between.
    pub source_version: String,
}

/// The Secret of our last write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// Its name.
    pub name: String,
    /// Its uid and resourceVersion, a slash between.
    pub version: String,
}

/// The last check whether the provider takes the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationStatus {
    /// When it was sent. The next one comes no sooner than spec.verification.interval later.
    pub time: Time,
    /// When the token was issued that was tried: it may have been replaced since.
    pub token_issued_time: Time,
    /// How many tokens in a row were refused, without one that was taken in between; absent while the last one was
    /// taken. From the second on the next exchange waits longer each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_tokens: Option<i32>,
}

/// The field's value, or nothing if it is not of that shape.
fn readable<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(deserializer: D) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_cannot_be_read_is_lost_and_the_others_are_not() {
        let status = serde_json::json!({
            "observedGeneration": "three", "conditions": [{"type": "Ready"}], "provider": "Acme", "failedAttempts": 1.5,
            "token": {"issuedTime": "yesterday", "type": "Bearer"}, "renewalTime": "", "revision": 41,
        });
        let read: ApiCredentialStatus = serde_json::from_value(status).unwrap();
        assert_eq!(read, ApiCredentialStatus { revision: Some(41), ..ApiCredentialStatus::default() });
    }
}
