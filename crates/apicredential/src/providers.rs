//! The one place that sends to a provider: one request, one deadline, one answer or one reason.
//!
//! Each provider is two pure functions, what to ask and how to read the answer (`welkin`, `qontak`); `answer` judges
//! status and headers the same way for both, `wire` moves the bytes. From answer to reason the order is: status (any
//! body), encoding, content type, size, JSON, enabled, clientName, token, token type, expiry. `check` asks the other
//! question, whether a provider takes a token that there is.
//!
//! Nothing that a provider sent leaves this module but the token and its times: a failure is a [`Reason`].

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::api::Provider;
use crate::endpoint::{Endpoint, PathSegment};
use crate::reason::Reason;

mod expiry;
mod json;
mod qontak;
pub mod response;
#[cfg(test)]
mod tests;
mod token;
mod welkin;

pub use qontak::{QONTAK_PUBLIC_CLIENT_ID, QONTAK_PUBLIC_CLIENT_SECRET};

/// The only type of token there is, whatever case a provider writes it in.
pub const TOKEN_TYPE: &str = "Bearer";

/// Everything that a request to a provider is made of.
#[derive(Clone)]
pub enum Login {
    /// An exchange of an API client's secret.
    Welkin {
        /// Where to ask.
        endpoint: Endpoint,
        /// The first path segment.
        tenant: PathSegment,
        /// The last path segment; the answer must be about it.
        client_name: PathSegment,
        /// The API client's secret: arbitrary text.
        secret: SecretString,
    },
    /// An OAuth 2.0 password grant.
    Qontak {
        /// Where to ask.
        endpoint: Endpoint,
        /// The user.
        username: SecretString,
        /// The user's password.
        password: SecretString,
        /// The OAuth client; see [`QONTAK_PUBLIC_CLIENT_ID`].
        client_id: SecretString,
        /// The OAuth client's secret; see [`QONTAK_PUBLIC_CLIENT_SECRET`].
        client_secret: SecretString,
    },
}

impl Login {
    /// Who is asked.
    pub fn provider(&self) -> Provider {
        match self {
            Self::Welkin { .. } => Provider::Welkin,
            Self::Qontak { .. } => Provider::Qontak,
        }
    }

    /// Where.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Welkin { endpoint, .. } | Self::Qontak { endpoint, .. } => endpoint,
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.provider().as_str()).field("endpoint", self.endpoint()).finish_non_exhaustive()
    }
}

/// What the provider said about the token's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It ends then; whole seconds, cut towards the past. May already be over.
    Until(Timestamp),
    /// It does not end.
    Never,
    /// Nothing was said, and "never" is not what that means.
    Unstated,
}

/// A token, as issued.
#[derive(Clone, Debug)]
pub struct Issued {
    /// An RFC 6750 `b64token` of at most 16 KiB.
    pub token: SecretString,
    /// `Bearer`.
    pub token_type: &'static str,
    /// The wall clock just before the request; whole seconds, cut towards the past.
    pub issued_at: Timestamp,
    /// Until when it is good.
    pub lifetime: Lifetime,
}

/// No token, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeFailure {
    /// One of the provider's reasons.
    pub reason: Reason,
    /// With `RateLimited`: how long the provider asks to wait, clamped to 1 s … 15 min; absent without a readable header.
    pub retry_after: Option<Duration>,
}

impl From<Reason> for ExchangeFailure {
    fn from(reason: Reason) -> Self {
        Self { reason, retry_after: None }
    }
}

/// One request, ready to send. It has no `Debug`: the body is the credentials.
pub struct TokenRequest {
    /// The endpoint and a path of fixed words and checked segments.
    pub url: url::Url,
    /// JSON, wiped from memory with its last handle.
    pub body: bytes::Bytes,
}

/// The two pure functions of each provider.
impl Login {
    /// What to send.
    ///
    /// # Errors
    /// `InvalidSpec`, if a URL parser makes anything else of the path than was meant.
    pub fn build_request(&self) -> Result<TokenRequest, Reason> {
        match self {
            Self::Welkin { endpoint, tenant, client_name, secret } => {
                welkin::build_request(endpoint, tenant, client_name, secret)
            }
            Self::Qontak { endpoint, username, password, client_id, client_secret } => {
                qontak::build_request(endpoint, &qontak::Login { username, password, client_id, client_secret })
            }
        }
    }

    /// Reads the body of an answer whose head was found good by [`judge`]. `issued_at` is the wall clock just before
    /// the request, in whole seconds.
    ///
    /// # Errors
    /// What is wrong with the body, or what it says is wrong with the inputs.
    pub fn read(&self, body: &[u8], issued_at: Timestamp) -> Result<Issued, Reason> {
        let fields = json::Fields::parse(body).ok_or(Reason::InvalidResponse)?;
        let (token, lifetime) = match self {
            Self::Welkin { client_name, .. } => welkin::read(&fields, client_name, issued_at),
            Self::Qontak { .. } => qontak::read(&fields, issued_at),
        }?;
        Ok(Issued { token, token_type: TOKEN_TYPE, issued_at, lifetime })
    }
}

impl Provider {
    /// Whether the vendor documents a request that tries a token and changes nothing.
    pub const fn has_check(self) -> bool {
        match self {
            Self::Qontak => true,
            Self::Welkin => false,
        }
    }

    /// The URL of that request: `GET` with the token as Bearer. `None` where the vendor documents none.
    pub fn check_url(self, endpoint: &Endpoint) -> Option<url::Url> {
        match self {
            Self::Qontak => qontak::health(endpoint),
            Self::Welkin => None,
        }
    }
}
