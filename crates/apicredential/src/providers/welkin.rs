//! Welkin Health. The request is `POST {endpoint}/{tenant}/admin/api_clients/{clientName}` with `{"secret": "…"}`. The
//! response is `{"clientName": "…", "token": "<JWT>", "enabled": true}`; the token's times are claims of the JWT.

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
use crate::endpoint::{Endpoint, PathSegment};
use crate::reason::{Reason, Refusal};

pub(super) const INFO: ProviderInfo = ProviderInfo {
    label: "welkin",
    default_keys: &["secret"],
    default_endpoint: "https://api.live.welkincloud.io",
    other_endpoints: &["https://api.stg.welkincloud.io"],
    has_unstated_lifetimes: true,
    check_path: None,
};

/// Welkin: `POST {endpoint}/{tenant}/admin/api_clients/{clientName}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WelkinSpec {
    /// Welkin tenant, such as `gh`. Required; 1 to 128 letters, digits, '_' or '-'. It is one segment of the URL.
    pub tenant: String,
    /// Name of the API client in that tenant, such as `VBOPNRYRWJIP`. Required; 1 to 128 letters, digits, '_' or '-'.
    /// It is one segment of the URL.
    pub client_name: String,
    /// Source Secret, in the same namespace, that holds the secret of the API client. Required. It must have the label
    /// `apicredential.io/source: welkin`: with it, the owner of the Secret consents that its key `secret` is
    /// sent to Welkin. The annotation `apicredential.io/source-keys` permits another key.
    pub secret_ref: SecretRef,
    /// Names of the keys in that Secret, such as `secret: client-secret`. Default: `secret: secret`.
    #[serde(default)]
    pub keys: WelkinKeys,
    /// Origin of the Welkin API, such as `https://api.stg.welkincloud.io`: scheme `https`, host and optional port,
    /// without a path. Default: `https://api.live.welkincloud.io`, the production service. It must be in the operator's allow-list for Welkin
    /// (`--allowed-endpoints`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// The names of the keys in the source Secret of Welkin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct WelkinKeys {
    /// Key that holds the secret of the API client, such as `client-secret`. Default: `secret`. The value must have no invisible
    /// character at either end, such as a trailing newline or a byte order mark.
    pub secret: String,
}

impl Default for WelkinKeys {
    fn default() -> Self {
        Self { secret: "secret".to_owned() }
    }
}

/// The block `spec.provider.welkin`, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WelkinRequest {
    /// The origin that receives the request.
    pub endpoint: Endpoint,
    /// The first segment of the path.
    pub tenant: PathSegment,
    /// The last segment of the path.
    pub client_name: PathSegment,
    /// The key of the API client's secret.
    pub secret: SourceKey,
}

impl WelkinRequest {
    /// A request for a token of this API client, whose secret is in this key of the source Secret.
    pub fn new(endpoint: Endpoint, tenant: PathSegment, client_name: PathSegment, keys: WelkinKeys) -> Self {
        let secret = SourceKey::new(keys.secret, "spec.provider.welkin.keys.secret");
        Self { endpoint, tenant, client_name, secret }
    }

    pub(super) fn parse(spec: &WelkinSpec) -> Result<Self, Refusal> {
        Ok(Self::new(
            INFO.parse_endpoint(spec.endpoint.as_deref())?,
            parse_segment(&spec.tenant, "spec.provider.welkin.tenant")?,
            parse_segment(&spec.client_name, "spec.provider.welkin.clientName")?,
            spec.keys.clone(),
        ))
    }

    pub(super) fn source_keys(&self) -> Vec<&SourceKey> {
        vec![&self.secret]
    }

    pub(super) fn placeholders(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("endpoint", self.endpoint.as_str()),
            ("tenant", self.tenant.as_str()),
            ("clientName", self.client_name.as_str()),
        ]
    }

    pub(super) fn identity(&self) -> [&str; 3] {
        [self.endpoint.as_str(), self.tenant.as_str(), self.client_name.as_str()]
    }

    pub(super) fn login<E>(
        &self,
        mut value: impl FnMut(&SourceKey) -> Result<SecretString, E>,
    ) -> Result<WelkinLogin, E> {
        Ok(self.with_secret(value(&self.secret)?))
    }

    /// The login with this secret of the API client.
    pub fn with_secret(&self, secret: SecretString) -> WelkinLogin {
        WelkinLogin {
            endpoint: self.endpoint.clone(),
            tenant: self.tenant.clone(),
            client_name: self.client_name.clone(),
            secret,
        }
    }
}

fn parse_segment(text: &str, field: &str) -> Result<PathSegment, Refusal> {
    PathSegment::parse(text).map_err(|_| {
        Refusal::new(Reason::InvalidSpec, format!("{field} must be 1 to 128 of the characters A-Z a-z 0-9 _ -."))
    })
}

/// An API client of Welkin with its secret.
#[derive(Clone)]
pub struct WelkinLogin {
    /// The origin that receives the request.
    pub endpoint: Endpoint,
    /// The first segment of the path.
    pub tenant: PathSegment,
    /// The last segment of the path. A response for another API client is rejected.
    pub client_name: PathSegment,
    /// The API client's secret, any text.
    pub secret: SecretString,
}

#[derive(Serialize)]
struct Body<'a> {
    secret: &'a str,
}

impl WelkinLogin {
    pub(super) fn expose(&self) -> Vec<(&'static str, &str)> {
        vec![("secret", self.secret.expose_secret())]
    }

    pub(super) fn build_request(&self) -> Result<TokenRequest, Reason> {
        let path = [self.tenant.as_str(), "admin", "api_clients", self.client_name.as_str()];
        TokenRequest::json(&self.endpoint, &path, &Body { secret: self.secret.expose_secret() })
    }

    /// `enabled` and `clientName` are optional: a response without them is accepted if its token is valid.
    pub(super) fn parse_response(
        &self,
        fields: &Fields<'_>,
        issued_at: Timestamp,
    ) -> Result<(SecretString, Lifetime), Reason> {
        if fields.boolean("enabled")? == Some(false) {
            return Err(Reason::ClientDisabled);
        }
        if fields.text("clientName")?.is_some_and(|name| name != self.client_name.as_str()) {
            return Err(Reason::ResponseMismatch);
        }
        let token = token::parse(fields, "token")?;
        token::require_bearer(fields)?;
        let lifetime = match token::claims(&token) {
            Some(claims) => lifetime::of_claims(&Fields::parse(&claims).ok_or(Reason::InvalidToken)?, issued_at)?,
            // An opaque token or an encrypted JWT is valid, but its times cannot be read.
            None => Lifetime::Unstated,
        };
        Ok((token, lifetime))
    }
}
