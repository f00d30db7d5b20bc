//! What a user requests: `spec` of an `ApiCredential`. The doc comments are what `kubectl explain apicred.spec` prints.

use std::collections::BTreeMap;
use std::fmt;

use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::ApiCredentialStatus;

/// What to keep: whose token, in which Secret, renewed when.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "apicredential.io",
    version = "v1alpha1",
    kind = "ApiCredential",
    plural = "apicredentials",
    shortname = "apicred",
    category = "apicredentials",
    namespaced,
    crates(kube_core = "::kube_core"),
    status = "ApiCredentialStatus",
    derive = "PartialEq",
    doc = "Keeps one Secret that holds a Bearer token which is valid now and is renewed before it expires. Whoever may create an ApiCredential may thereby create a Secret of the name in spec.target.name.",
    selectable = ".spec.provider.type",
    selectable = ".spec.target.name",
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider.type"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.token.expirationTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
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
    /// Who issues the token, and which Secret holds the credentials for it.
    pub provider: ProviderSpec,
    /// The Secret that receives the token.
    pub target: TargetSpec,
    /// When to renew; by default when a third of the token's lifetime remains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal: Option<RenewalSpec>,
    /// Asks the provider now and then whether it still takes the token, so that one which was revoked is noticed and
    /// replaced before it expires. Only for a provider that documents such a request: Qontak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<VerificationSpec>,
    /// While true nothing is sent to the provider and no Secret is written. The token that is there stays, the status
    /// goes on telling the truth about it, and a renewal that was asked for meanwhile happens on resume.
    #[serde(default)]
    pub suspend: bool,
}

/// The provider: `type`, and the block that it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderSpec {
    /// Which provider: Welkin or Qontak. Immutable. The block of the same name must be set, and no other.
    #[serde(rename = "type")]
    pub type_: Provider,
    /// Where to ask and whom to be, when type is Welkin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welkin: Option<WelkinSpec>,
    /// Where to ask and whom to be, when type is Qontak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qontak: Option<QontakSpec>,
}

/// A provider that issues Bearer tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Provider {
    /// Welkin Health, patient care.
    Welkin,
    /// Mekari Qontak, messaging.
    Qontak,
}

impl Provider {
    /// The name in specs, messages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Welkin => "Welkin",
            Self::Qontak => "Qontak",
        }
    }

    /// The value of the source label that permits a Secret to be shown to this provider.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Welkin => "welkin",
            Self::Qontak => "qontak",
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Welkin: `POST {endpoint}/{tenant}/admin/api_clients/{clientName}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WelkinSpec {
    /// The Welkin tenant, such as `gh`: one segment of the URL, of letters, digits, '_' and '-'.
    pub tenant: String,
    /// The name of the API client in that tenant, such as `VBOPNRYRWJIP`: one segment of the URL, of letters, digits,
    /// '_' and '-'.
    pub client_name: String,
    /// The Secret, in the same namespace, that holds the API client's secret. It must carry the label
    /// `apicredential.io/source: welkin`, which is its owner's consent to show it to Welkin.
    pub secret_ref: WelkinSecretRef,
    /// The origin to ask, such as `https://api.stg.welkincloud.io`; it must be on the operator's allow-list for Welkin.
    /// The default is the live service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A key of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WelkinSecretRef {
    /// The Secret's name.
    pub name: String,
    /// The key whose value is the API client's secret, without a line break at the end.
    #[serde(default = "default_secret_key")]
    pub key: String,
}

fn default_secret_key() -> String {
    "secret".to_owned()
}

/// Qontak: `POST {endpoint}/oauth/token` with the password grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QontakSpec {
    /// The Secret, in the same namespace, that holds the login. It must carry the label
    /// `apicredential.io/source: qontak`, which is its owner's consent to show it to Qontak.
    pub secret_ref: QontakSecretRef,
    /// The names of the keys in that Secret, where they differ from the defaults.
    #[serde(default)]
    pub keys: QontakKeys,
    /// The origin to ask, such as `https://chat-service.qontak.com`; it must be on the operator's allow-list for Qontak.
    /// The default is the live service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QontakSecretRef {
    /// The Secret's name.
    pub name: String,
}

/// Which key of the source Secret holds what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct QontakKeys {
    /// The key that holds the user's name.
    pub username: String,
    /// The key that holds the user's password.
    pub password: String,
    /// The key that holds the OAuth client's id. The Secret need not have it: the default is the id that Qontak publishes.
    pub client_id: String,
    /// The key that holds the OAuth client's secret. The Secret need not have it: the default is what Qontak publishes.
    pub client_secret: String,
}

impl Default for QontakKeys {
    fn default() -> Self {
        Self {
            username: "username".to_owned(),
            password: "password".to_owned(),
            client_id: "client_id".to_owned(),
            client_secret: "client_secret".to_owned(),
        }
    }
}

/// The Secret that receives the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetSpec {
    /// The name of the Secret to write, in the same namespace. Immutable, and never a Secret that holds credentials.
    pub name: String,
    /// Owner: the operator creates the Secret, and it is deleted together with this object. Merge: the Secret exists and
    /// consents by the annotation `apicredential.io/allow: <name of this object>`; only our keys are written, and they
    /// stay. Immutable.
    #[serde(default)]
    pub creation_policy: CreationPolicy,
    /// The key that receives the token and nothing else.
    #[serde(default = "default_token_key")]
    pub token_key: String,
    /// Further keys to write, such as `authorization: "Bearer {token}"`. The placeholders are {token} (at most once in a
    /// value), {tokenType}, {expiresAt}, {issuedAt} and {provider}. "{{" is a literal "{"; a "}" is one by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<BTreeMap<String, String>>,
    /// Labels and annotations for the Secret, only with creationPolicy Owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TargetMetadata>,
}

fn default_token_key() -> String {
    "token".to_owned()
}

/// How the target Secret comes to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CreationPolicy {
    /// The operator creates the Secret; it goes with the credential.
    #[default]
    Owner,
    /// The Secret exists and consents by annotation; only our keys are written, and they stay.
    Merge,
}

/// Labels and annotations that are written to the target Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetMetadata {
    /// Labels by name. Names under kubernetes.io, k8s.io, apicredential.io and argoproj.io are reserved, except
    /// app.kubernetes.io/name, instance, component, part-of and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations by name, with the same reserved names as labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// When to renew. Durations are like `1h30m`: hours, minutes and seconds, each a whole number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenewalSpec {
    /// Renew this long before the token expires, such as `20m`: at least 2m, and at most half the lifetime counts.
    /// Excludes renewBeforePercentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<String>,
    /// Renew when this percentage of the token's lifetime remains: 10 to 50. Excludes renewBefore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before_percentage: Option<i32>,
    /// Renew at this age even if the token lives longer, such as `24h`: at least 5m. Not limited by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    /// The lifetime to assume where the provider states none and does not mean "never": at least 5m, by default 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_lifetime: Option<String>,
}

/// How often to ask whether the provider still takes the token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerificationSpec {
    /// At least this long lies between two checks, and between the issue of a token and its first, such as `1h`: at least
    /// 5m. Up to a tenth more spreads the checks of many credentials.
    #[serde(default = "default_interval")]
    pub interval: String,
}

fn default_interval() -> String {
    "1h".to_owned()
}
