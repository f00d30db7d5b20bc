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
use super::source_secret::{SecretRef, SourceKey};
use super::token;
use crate::endpoint::Endpoint;
use crate::reason::{Reason, Refusal};

pub(super) const INFO: ProviderInfo = ProviderInfo {
    label: "qontak",
    default_keys: &["username", "password", "client_id", "client_secret"],
    default_endpoint: "https://chat-service.qontak.com",
    other_endpoints: &["https://service-chat.qontak.com"],
    has_unstated_lifetimes: false,
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
    /// `apicredential.io/source: qontak`: with it, the owner of the Secret consents that the keys with the
    /// default names are sent to Qontak. The annotation `apicredential.io/source-keys` permits other keys.
    pub secret_ref: SecretRef,
    /// Names of the keys in that Secret, such as `username: user`. Default: `username: username` and `password: password`.
    /// A value is read from the Secret only if its key is named here or has a default.
    #[serde(default)]
    pub keys: QontakKeys,
    /// Origin of the Qontak API, such as `https://service-chat.qontak.com`: scheme `https`, host and optional port,
    /// without a path. Default: `https://chat-service.qontak.com`, the production service. It must be in the operator's allow-list for Qontak
    /// (`--allowed-endpoints`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// The names of the keys in the source Secret of Qontak.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct QontakKeys {
    /// Key that holds the username, such as `user`. Default: `username`.
    pub username: String,
    /// Key that holds the password, such as `pass`. Default: `password`. The value must have no invisible
    /// character at either end, such as a trailing newline or a byte order mark.
    pub password: String,
    /// Key that holds the id of your own OAuth client, such as `client_id`. Requires `clientSecret`. Default: none; the
    /// OAuth client that Qontak publishes is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Key that holds the secret of your own OAuth client, such as `client_secret`. Requires `clientId`. Default: none;
    /// the OAuth client that Qontak publishes is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
}

impl Default for QontakKeys {
    fn default() -> Self {
        Self { username: "username".to_owned(), password: "password".to_owned(), client_id: None, client_secret: None }
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
    /// The keys of the user's own OAuth client. `None` for the one that Qontak publishes.
    pub client: Option<QontakClientKeys>,
}

/// The keys of an OAuth client in the source Secret of Qontak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QontakClientKeys {
    /// The key of the client's id.
    pub id: SourceKey,
    /// The key of the client's secret.
    pub secret: SourceKey,
}

impl QontakRequest {
    /// A request for a token of the user whose login is in these keys of the source Secret.
    ///
    /// # Errors
    /// `InvalidSpec` if the keys name half of an OAuth client.
    pub fn new(endpoint: Endpoint, keys: QontakKeys) -> Result<Self, Refusal> {
        let client = match (keys.client_id, keys.client_secret) {
            (None, None) => None,
            (Some(id), Some(secret)) => Some(QontakClientKeys {
                id: SourceKey::new(id, "spec.provider.qontak.keys.clientId"),
                secret: SourceKey::new(secret, "spec.provider.qontak.keys.clientSecret"),
            }),
            _ => {
                return Err(Refusal::invalid_spec(
                    "spec.provider.qontak.keys names only one of clientId and clientSecret; name both or neither.",
                ));
            }
        };
        Ok(Self {
            endpoint,
            username: SourceKey::new(keys.username, "spec.provider.qontak.keys.username"),
            password: SourceKey::new(keys.password, "spec.provider.qontak.keys.password"),
            client,
        })
    }

    pub(super) fn parse(spec: &QontakSpec) -> Result<Self, Refusal> {
        Self::new(INFO.parse_endpoint(spec.endpoint.as_deref())?, spec.keys.clone())
    }

    pub(super) fn source_keys(&self) -> Vec<&SourceKey> {
        let client = self.client.iter().flat_map(|client| [&client.id, &client.secret]);
        [&self.username, &self.password].into_iter().chain(client).collect()
    }

    pub(super) fn placeholders(&self) -> Vec<(&'static str, &str)> {
        vec![("endpoint", self.endpoint.as_str())]
    }

    pub(super) fn identity(&self) -> [&str; 1] {
        [self.endpoint.as_str()]
    }

    pub(super) fn login<E>(
        &self,
        mut value: impl FnMut(&SourceKey) -> Result<SecretString, E>,
    ) -> Result<QontakLogin, E> {
        let (username, password) = (value(&self.username)?, value(&self.password)?);
        let (client_id, client_secret) = match &self.client {
            None => (QONTAK_PUBLIC_CLIENT_ID.into(), QONTAK_PUBLIC_CLIENT_SECRET.into()),
            Some(client) => (value(&client.id)?, value(&client.secret)?),
        };
        Ok(QontakLogin { endpoint: self.endpoint.clone(), username, password, client_id, client_secret })
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
    pub(super) fn expose(&self) -> Vec<(&'static str, &str)> {
        let Self { endpoint: _, username, password, client_id, client_secret } = self;
        vec![
            ("username", username.expose_secret()),
            ("password", password.expose_secret()),
            ("clientId", client_id.expose_secret()),
            ("clientSecret", client_secret.expose_secret()),
        ]
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
