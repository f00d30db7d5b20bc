//! The providers that issue tokens.
//!
//! Each provider has one module, which owns everything about it: the block of the spec, the keys of the source Secret
//! with their defaults, the parsed request and what identifies it, the login, the HTTP request, the parser of the
//! response, the endpoints and the token check. The enums in this file dispatch to those modules. Every dispatch is an
//! exhaustive `match`, so a provider that is missing somewhere does not compile.
//!
//! The head of a response is classified in the same way for all providers, see [`response`]. A failure is a [`Reason`]:
//! of what a provider sends, only the token and its times leave this module.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::endpoint::Endpoint;
use crate::reason::{Reason, Refusal};
use info::ProviderInfo;

mod allowed_endpoints;
mod info;
mod json;
mod lifetime;
mod qontak;
mod request;
pub mod response;
mod source_secret;
#[cfg(test)]
mod tests;
mod token;
mod welkin;

pub use allowed_endpoints::{AllowedEndpoints, AllowedEndpointsError};
pub use lifetime::Lifetime;
pub use qontak::{
    QONTAK_PUBLIC_CLIENT_ID, QONTAK_PUBLIC_CLIENT_SECRET, QontakClientKeys, QontakKeys, QontakLogin, QontakRequest,
    QontakSpec,
};
pub use request::TokenRequest;
pub use response::ExchangeFailure;
pub use source_secret::{SecretRef, SourceKey};
pub use token::TOKEN_TYPE;
pub use welkin::{WelkinKeys, WelkinLogin, WelkinRequest, WelkinSpec};

/// Defines the enum, its list and its names together, so that no variant can be missing from one of them.
macro_rules! providers {
    ($($(#[$doc:meta])* $name:ident => $info:path,)*) => {
/// A provider that issues Bearer tokens.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Provider {
            $($(#[$doc])* $name,)*
        }

        impl Provider {
            /// All providers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in specs, messages and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            const fn info(self) -> &'static ProviderInfo {
                match self { $(Self::$name => &$info,)* }
            }
        }
    };
}

providers! {
    /// Welkin Health, patient care.
    Welkin => welkin::INFO,
    /// Mekari Qontak, messaging.
    Qontak => qontak::INFO,
}

impl Provider {
    /// The name of the provider's block in the spec, and the value of the label `apicredential.io/source` by which the
    /// owner of a Secret consents to its use for this provider.
    pub const fn label(self) -> &'static str {
        self.info().label
    }

    /// The default names of the keys in a source Secret, in the order of [`ProviderRequest::source_keys`].
    pub const fn default_keys(self) -> &'static [&'static str] {
        self.info().default_keys
    }

    /// The endpoint of a spec that names none: the vendor's live service. The list of allowed endpoints applies to it
    /// like to any other.
    pub fn default_endpoint(self) -> Endpoint {
        self.info().default_endpoint()
    }

    /// Whether the vendor documents a request that uses a token and changes nothing.
    pub const fn has_check(self) -> bool {
        self.info().check_path.is_some()
    }

    /// Whether a token without a stated expiry may expire, so that a lifetime has to be assumed. If not, it never expires.
    pub const fn has_unstated_lifetimes(self) -> bool {
        self.info().has_unstated_lifetimes
    }

    /// The URL of that request, a `GET` with the token as Bearer token. `None` if the vendor documents none.
    pub fn check_url(self, endpoint: &Endpoint) -> Option<url::Url> {
        endpoint.join(self.info().check_path?)
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The provider that issues the token: `type`, and the block of that name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderSpec {
    /// Provider: `Welkin` or `Qontak`. Required, immutable. The block of the same name must be set, and no other.
    #[serde(rename = "type")]
    pub type_: Provider,
    /// Welkin tenant, API client and endpoint. Required when `type` is `Welkin`, otherwise not permitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welkin: Option<Box<WelkinSpec>>,
    /// Qontak login and endpoint. Required when `type` is `Qontak`, otherwise not permitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qontak: Option<Box<QontakSpec>>,
}

/// The block of one provider in a [`ProviderSpec`].
#[derive(Clone, Copy, Debug)]
enum ProviderBlock<'a> {
    Welkin(&'a WelkinSpec),
    Qontak(&'a QontakSpec),
}

impl ProviderSpec {
    /// The name of the source Secret, even if the rest of the spec is invalid. `None` if no block is set.
    pub fn source_name(&self) -> Option<&str> {
        self.blocks().next().map(|block| match block {
            ProviderBlock::Welkin(welkin) => welkin.secret_ref.name.as_str(),
            ProviderBlock::Qontak(qontak) => qontak.secret_ref.name.as_str(),
        })
    }

    /// The blocks that are set. A valid spec has one.
    fn blocks(&self) -> impl Iterator<Item = ProviderBlock<'_>> {
        // Without `..`, so that a new block does not compile until it is listed here.
        let Self { type_: _, welkin, qontak } = self;
        let welkin = welkin.as_deref().map(ProviderBlock::Welkin);
        let qontak = qontak.as_deref().map(ProviderBlock::Qontak);
        welkin.into_iter().chain(qontak)
    }
}

impl ProviderBlock<'_> {
    fn provider(self) -> Provider {
        match self {
            Self::Welkin(_) => Provider::Welkin,
            Self::Qontak(_) => Provider::Qontak,
        }
    }

    fn parse(self) -> Result<ProviderRequest, Refusal> {
        match self {
            Self::Welkin(welkin) => WelkinRequest::parse(welkin).map(ProviderRequest::Welkin),
            Self::Qontak(qontak) => QontakRequest::parse(qontak).map(ProviderRequest::Qontak),
        }
    }
}

/// `spec.provider`, parsed: where to request a token, for whom, and which keys of the source Secret hold the login.
///
/// Equal requests use the same keys of the source Secret and return tokens for the same client or user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderRequest {
    /// A request to Welkin.
    Welkin(WelkinRequest),
    /// A request to Qontak.
    Qontak(QontakRequest),
}

impl ProviderRequest {
    /// Parses `spec.provider`.
    ///
    /// # Errors
    /// `InvalidSpec`, with the field and the fix in the message.
    pub fn parse(spec: &ProviderSpec) -> Result<Self, Refusal> {
        let mut blocks = spec.blocks();
        match (blocks.next(), blocks.next()) {
            (Some(block), None) if block.provider() == spec.type_ => block.parse(),
            _ => Err(Refusal::new(
                Reason::InvalidSpec,
                format!(
                    "spec.provider.type is {}: exactly the block spec.provider.{} must be set.",
                    spec.type_,
                    spec.type_.label()
                ),
            )),
        }
    }

    /// The provider that receives the request.
    pub fn provider(&self) -> Provider {
        match self {
            Self::Welkin(_) => Provider::Welkin,
            Self::Qontak(_) => Provider::Qontak,
        }
    }

    /// The origin that receives the request.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Welkin(welkin) => &welkin.endpoint,
            Self::Qontak(qontak) => &qontak.endpoint,
        }
    }

    /// The values of the placeholders that this provider has in `spec.target.data`, by their names.
    pub fn placeholders(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Welkin(welkin) => welkin.placeholders(),
            Self::Qontak(qontak) => qontak.placeholders(),
        }
    }

    /// The keys of the source Secret that the request needs.
    pub fn source_keys(&self) -> Vec<&SourceKey> {
        match self {
            Self::Welkin(welkin) => welkin.source_keys(),
            Self::Qontak(qontak) => qontak.source_keys(),
        }
    }

    /// What a token belongs to apart from the login: the first fields of the fingerprint.
    ///
    /// The provider's name is the first of them, and the number of the others depends on it alone. The fields of a provider
    /// are part of the contract: a change makes every stored fingerprint invalid.
    pub fn identity(&self) -> Vec<&str> {
        let mut fields = vec![self.provider().as_str()];
        match self {
            Self::Welkin(welkin) => fields.extend(welkin.identity()),
            Self::Qontak(qontak) => fields.extend(qontak.identity()),
        }
        fields
    }

    /// The login, with the values that `value` returns for the keys of the source Secret.
    ///
    /// # Errors
    /// The first error of `value`.
    pub fn login<E>(&self, value: impl FnMut(&SourceKey) -> Result<SecretString, E>) -> Result<Login, E> {
        match self {
            Self::Welkin(welkin) => welkin.login(value).map(Login::Welkin),
            Self::Qontak(qontak) => qontak.login(value).map(Login::Qontak),
        }
    }
}

/// Everything that a token request contains: the secret values, and where and for whom they are used.
#[derive(Clone)]
pub enum Login {
    /// A login at Welkin.
    Welkin(WelkinLogin),
    /// A login at Qontak.
    Qontak(QontakLogin),
}

impl Login {
    /// The provider that receives the request.
    pub fn provider(&self) -> Provider {
        match self {
            Self::Welkin(_) => Provider::Welkin,
            Self::Qontak(_) => Provider::Qontak,
        }
    }

    /// The origin that receives the request.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Welkin(welkin) => &welkin.endpoint,
            Self::Qontak(qontak) => &qontak.endpoint,
        }
    }

    /// The secret values in clear text, each with the name that `keys` has for it.
    pub fn expose(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Welkin(welkin) => welkin.expose(),
            Self::Qontak(qontak) => qontak.expose(),
        }
    }

    /// Builds the HTTP request.
    ///
    /// # Errors
    /// `InvalidSpec` if a URL parser reads another path than the one that was built.
    pub fn build_request(&self) -> Result<TokenRequest, Reason> {
        match self {
            Self::Welkin(welkin) => welkin.build_request(),
            Self::Qontak(qontak) => qontak.build_request(),
        }
    }

    /// Parses the body of a response that [`response::classify_response`] accepted. `issued_at` is the wall clock just
    /// before the request, in whole seconds.
    ///
    /// # Errors
    /// What is wrong with the body, or what the body reports about the login.
    pub fn parse_response(&self, body: &[u8], issued_at: Timestamp) -> Result<Issued, Reason> {
        let fields = json::Fields::parse(body).ok_or(Reason::InvalidResponse)?;
        let (token, lifetime) = match self {
            Self::Welkin(welkin) => welkin.parse_response(&fields, issued_at),
            Self::Qontak(qontak) => qontak.parse_response(&fields, issued_at),
        }?;
        Ok(Issued { token, token_type: TOKEN_TYPE, issued_at, lifetime })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.provider().as_str()).field("endpoint", self.endpoint()).finish_non_exhaustive()
    }
}

/// A token that a provider has just issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// An RFC 6750 `b64token` of at most 16 KiB.
    pub token: SecretString,
    /// Always [`TOKEN_TYPE`].
    pub token_type: &'static str,
    /// The wall clock just before the request, rounded down to whole seconds.
    pub issued_at: Timestamp,
    /// How long the token is valid.
    pub lifetime: Lifetime,
}
