//! What a user requests: `spec` of an `ApiCredential`. The doc comments are what `kubectl explain apicred.spec` prints.

use std::collections::BTreeMap;

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::StoredStatus;
use crate::providers::ProviderSpec;

/// The token to keep valid: its provider, its target Secret and when to renew it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "apicredential.io",
    version = "v1alpha1",
    kind = "ApiCredential",
    plural = "apicredentials",
    shortname = "apicred",
    namespaced,
    crates(kube_core = "::kube_core"),
    status = "StoredStatus",
    derive = "PartialEq",
    doc = "ApiCredential keeps a Bearer token valid in a Secret: the operator requests it from the provider with the login in the source Secret, writes it to the target Secret and renews it before it expires. Permission to create an ApiCredential includes creating a Secret with the name in spec.target.name.",
    selectable = ".spec.provider.type",
    selectable = ".spec.target.name",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider.type"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.token.expirationTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Suspended", type_ = "boolean", json_path = ".spec.suspend", priority = 1),
    printcolumn(name = "Renewal", type_ = "string", json_path = ".status.renewalTime", priority = 1),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failedAttempts", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[expect(clippy::duplicated_attributes, reason = "columns repeat their type and priority")]
#[serde(rename_all = "camelCase")]
pub struct ApiCredentialSpec {
    /// Provider that issues the token, and the source Secret that holds the login. Required.
    pub provider: ProviderSpec,
    /// Target Secret, which receives the token. Required.
    pub target: TargetSpec,
    /// When to renew the token, such as `maxAge: 24h`. Default: when a third of its lifetime remains. A failed renewal
    /// leaves the stored token in use. Durations are whole hours, minutes and seconds, written like `90m`, `24h` or
    /// `1h30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<RenewalSpec>,
    /// Checks at an interval that the provider still accepts the token, such as `interval: 30m`, so that a revoked token
    /// is replaced before it expires. Default: no checks. Only possible when `provider.type` is `Qontak`; Welkin documents no such request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationSpec>,
    /// Suspends the operator's work on this ApiCredential. Default: `false`. While `true`, no request is sent to the
    /// provider and no Secret is written. The stored token stays, and the status still reports whether it is valid. A
    /// renewal that is requested meanwhile happens after `suspend` is set to `false`.
    #[serde(default)]
    pub suspend: bool,
}

/// The target Secret, which receives the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetSpec {
    /// Name of the target Secret, in the same namespace, such as `welkin-token`. Required, immutable; 1 to 253
    /// characters. It must differ from the name of the source Secret.
    pub name: String,
    /// Who creates the target Secret: `Owner` or `Merge`. Default: `Owner`. Immutable. `Owner`: the operator creates
    /// the Secret, and Kubernetes deletes it together with the ApiCredential. `Merge`: the Secret exists already and
    /// permits the write with the annotation `apicredential.io/allow: <name of the ApiCredential>` for the key `token`, or
    /// `<name>:<key>,<key>` for exactly these keys; the operator writes only its own keys, and they stay when the
    /// ApiCredential is deleted.
    #[serde(default)]
    pub creation_policy: CreationPolicy,
    /// Key that receives the raw token, such as `access-token`. Default: `token`. 1 to 253 letters, digits, '-', '_' and
    /// '.'.
    #[serde(default = "default_token_key")]
    pub token_key: String,
    /// Further keys to write, such as `authorization: "Bearer {token}"`. Default: none. At most 16 keys, with values of at
    /// most 512 characters. The placeholders are {token} (at most once in a value), {tokenType} (`Bearer`), {issuedAt}
    /// and {expiresAt} (RFC 3339; `never` for a token that never expires), {provider} and {endpoint}; with Welkin also
    /// {tenant} and {clientName}. Write "{{" for a literal "{"; a literal "}" needs no escape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<BTreeMap<String, String>>,
    /// Labels and annotations of the target Secret, such as `labels: {app.kubernetes.io/part-of: billing}`. Default: none.
    /// Only permitted when `creationPolicy` is `Owner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TargetMetadata>,
}

impl TargetSpec {
    /// The key of the token if the spec names none.
    pub const DEFAULT_TOKEN_KEY: &str = "token";
}

fn default_token_key() -> String {
    TargetSpec::DEFAULT_TOKEN_KEY.to_owned()
}

/// Who creates the target Secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CreationPolicy {
    /// The operator creates the Secret, and Kubernetes deletes it together with the ApiCredential.
    #[default]
    Owner,
    /// The Secret exists and permits the write by annotation. The operator writes only its own keys, and they stay.
    Merge,
}

/// Labels and annotations that are written to the target Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetMetadata {
    /// Labels by name, such as `app.kubernetes.io/part-of: billing`. Default: none; at most 32. A name that is not in the operator's
    /// `--allowed-target-metadata` is left out; by default that list has app.kubernetes.io/name, component, part-of and
    /// version and reloader.stakater.com/match. Names under kubernetes.io, k8s.io, apicredential.io and
    /// argoproj.io are reserved, except app.kubernetes.io/name, instance, component, part-of and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations by name, such as `reloader.stakater.com/match: "true"`. Default: none; at most 32, with values of at most 4096
    /// characters. The same names as for labels are allowed and reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// When to renew the token.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenewalSpec {
    /// Lead time: renew this long before the token expires, such as `20m`. At least `2m`; a lead time of more than half
    /// of the token's lifetime counts as half. Default: a third of the lifetime. Excludes `renewBeforePercentage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
    /// Lead time as a percentage: renew when this share of the token's lifetime remains, such as `25`. 10 to 50.
    /// Default: a third of the lifetime. Excludes `renewBefore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before_percentage: Option<i32>,
    /// Maximum age: renew at this age even if the token is valid for longer, such as `24h`. At least `5m`. Default: no
    /// limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    /// Lifetime to assume when Welkin states no expiry for the token, such as `30m`. At least `5m`. Default: `1h`. Only
    /// permitted when `provider.type` is `Welkin`: a token for which Qontak states no expiry never expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_lifetime: Option<String>,
}

/// How often to check that the provider still accepts the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationSpec {
    /// Minimum time between two checks, and between the issue of a token and its first check, such as `30m`. At least
    /// `5m`. Default: `1h`. The operator adds up to a tenth of the interval, so that the checks of many ApiCredentials
    /// are spread.
    #[serde(default = "default_interval")]
    pub interval: String,
}

fn default_interval() -> String {
    "1h".to_owned()
}
