//! What the operator says about an `ApiCredential`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Provider;

/// What the operator knows and says about the token. Only a view: the truth is in the Secret, and a lost status is
/// written again without asking the provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiCredentialStatus {
    /// The generation of the spec that this status speaks of; -1 before the first look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready (the Secret holds a token that is usable now), Renewed (how the last attempt ended) and SourceResolved (the
    /// credentials could be read); Reconciling (will be tried again by itself) or Stalled (somebody must act) only while
    /// true.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The provider that issued the stored token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// The stored token's times and type; never the token, nor a hash of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenStatus>,
    /// When the token will be renewed, jitter included; absent for a token that never expires and has no maxAge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
    /// When the next attempt is made; only while failing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// The last request that was sent to the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_attempt: Option<LastAttempt>,
    /// Failed attempts of the same class in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_attempts: Option<i32>,
    /// Successful exchanges for this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// The renew request that was last answered with a failed attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_renew_request: Option<String>,
    /// The Secret of our last write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetStatus>,
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
