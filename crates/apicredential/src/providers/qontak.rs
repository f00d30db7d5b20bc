//! Mekari Qontak. The request is `POST {endpoint}/oauth/token`, an OAuth 2.0 password grant (RFC 6749 section 4.3) as
//! JSON. The response has the fields of Doorkeeper, an OAuth provider for Rails: `expires_in` counts from now even if an
//! existing token is returned again, and a token without it never expires.
//!
//! `created_at` and `refresh_token` are not used: the first is when the token was created and not when it was returned,
//! and using the second would revoke the token.

use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::info::ProviderInfo;
use super::json::Fields;
use super::lifetime::{self, Lifetime};
use super::request::TokenRequest;
use super::source_key::SourceKey;
use super::token;
use crate::endpoint::Endpoint;
use crate::reason::{Reason, Refusal};

pub(super) const INFO: ProviderInfo = ProviderInfo {
    label: "qontak",
    default_endpoint: "https://chat-service.qontak.com",
    other_endpoints: &["https://service-chat.qontak.com"],
    // The first use of a token in the vendor's documentation.
    check_path: Some(&["api", "open", "v1", "health"]),
};

/// The id of the OAuth client that the vendor publishes for all users. It is not a secret.
pub const QONTAK_PUBLIC_CLIENT_ID: &str = "RRrn6uIxalR_QaHFlcKOqbjHMG63elEdPTair9B9YdY";
/// The published secret of that OAuth client.
pub const QONTAK_PUBLIC_CLIENT_SECRET: &str = "Sa8IGIh_HpVK1ZLAF0iFf7jU760osaUNV659pBIZR00";

/// Qontak: `POST {endpoint}/oauth/token` with the password grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QontakSpec {
    /// Source Secret, in the same namespace, that holds the login. Required. It must have the label
    /// `apicredential.io/source: qontak`: with it, the owner of the Secret consents that its values are sent to Qontak.
    pub secret_ref: QontakSecretRef,
    /// Names of the keys in that Secret, such as `username: user`. Default: `username`, `password`, `client_id` and
    /// `client_secret`.
    #[serde(default)]
    pub keys: QontakKeys,
    /// Origin of the Qontak API, such as `https://chat-service.qontak.com`: scheme `https`, host and optional port,
    /// without a path. Default: the production service. It must be in the operator's allow-list for Qontak
    /// (`--allowed-endpoints`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// The source Secret of Qontak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QontakSecretRef {
    /// Name of the source Secret. Required; it must differ from `target.name`.
    pub name: String,
}

/// The names of the keys in the source Secret of Qontak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct QontakKeys {
    /// Key that holds the username. Default: `username`.
    pub username: String,
    /// Key that holds the password. Default: `password`.
    pub password: String,
    /// Key that holds the OAuth client id. Default: `client_id`. If the Secret lacks the key, the client id that Qontak
    /// publishes is used.
    pub client_id: String,
    /// Key that holds the OAuth client secret. Default: `client_secret`. If the Secret lacks the key, the client secret
    /// that Qontak publishes is used.
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

/// The block `spec.provider.qontak`, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QontakRequest {
    /// The origin that receives the request.
    pub endpoint: Endpoint,
    /// The key of the user name.
    pub username: SourceKey,
    /// The key of the user's password.
    pub password: SourceKey,
    /// The key of the OAuth client's id. The default is [`QONTAK_PUBLIC_CLIENT_ID`].
    pub client_id: SourceKey,
    /// The key of the OAuth client's secret. The default is [`QONTAK_PUBLIC_CLIENT_SECRET`].
    pub client_secret: SourceKey,
}

impl QontakRequest {
    /// A request for a token of the user whose login is in these keys of the source Secret.
    pub fn new(endpoint: Endpoint, keys: QontakKeys) -> Self {
        let field = "each of spec.provider.qontak.keys";
        let QontakKeys { username, password, client_id, client_secret } = keys;
        Self {
            endpoint,
            username: SourceKey::required(username, field),
            password: SourceKey::required(password, field),
            client_id: SourceKey::optional(client_id, field, QONTAK_PUBLIC_CLIENT_ID),
            client_secret: SourceKey::optional(client_secret, field, QONTAK_PUBLIC_CLIENT_SECRET),
        }
    }

    pub(super) fn parse(spec: &QontakSpec) -> Result<Self, Refusal> {
        Ok(Self::new(INFO.parse_endpoint(spec.endpoint.as_deref())?, spec.keys.clone()))
    }

    pub(super) fn source_keys(&self) -> Vec<&SourceKey> {
        vec![&self.username, &self.password, &self.client_id, &self.client_secret]
    }

    /// The first version of the fingerprint has the same number of fields for Welkin and Qontak. The two that Qontak does
    /// not have are empty.
    pub(super) fn identity(&self) -> [&str; 3] {
        [self.endpoint.as_str(), "", ""]
    }

    pub(super) fn login<E>(
        &self,
        mut value: impl FnMut(&SourceKey) -> Result<SecretString, E>,
    ) -> Result<QontakLogin, E> {
        Ok(QontakLogin {
            endpoint: self.endpoint.clone(),
            username: value(&self.username)?,
            password: value(&self.password)?,
            client_id: value(&self.client_id)?,
            client_secret: value(&self.client_secret)?,
        })
    }
}

/// A user of Qontak with the password, and the OAuth client that requests the token.
#[derive(Clone)]
pub struct QontakLogin {
    /// The origin that receives the request.
    pub endpoint: Endpoint,
    /// The user name.
    pub username: SecretString,
    /// The user's password.
    pub password: SecretString,
    /// The OAuth client's id, see [`QONTAK_PUBLIC_CLIENT_ID`].
    pub client_id: SecretString,
    /// The OAuth client's secret, see [`QONTAK_PUBLIC_CLIENT_SECRET`].
    pub client_secret: SecretString,
}

#[derive(Serialize)]
struct Body<'a> {
    username: &'a str,
    password: &'a str,
    grant_type: &'static str,
    client_id: &'a str,
    client_secret: &'a str,
}

impl QontakLogin {
    pub(super) fn expose(&self) -> Vec<&str> {
        let Self { endpoint: _, username, password, client_id, client_secret } = self;
        [username, password, client_id, client_secret].map(|value| value.expose_secret()).to_vec()
    }

    pub(super) fn build_request(&self) -> Result<TokenRequest, Reason> {
        let body = Body {
            username: self.username.expose_secret(),
            password: self.password.expose_secret(),
            grant_type: "password",
            client_id: self.client_id.expose_secret(),
            client_secret: self.client_secret.expose_secret(),
        };
        TokenRequest::json(&self.endpoint, &["oauth", "token"], &body)
    }

    /// Even if the token is a JWT, its claims are not used: the vendor documents `expires_in`.
    pub(super) fn parse_response(
        &self,
        fields: &Fields<'_>,
        issued_at: Timestamp,
    ) -> Result<(SecretString, Lifetime), Reason> {
        let token = token::parse(fields, "access_token")?;
        token::require_bearer(fields)?;
        Ok((token, lifetime::of_expires_in(fields, issued_at)?))
    }
}
