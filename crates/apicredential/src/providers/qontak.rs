//! Mekari Qontak: `POST {endpoint}/oauth/token`, an OAuth 2.0 password grant as JSON, answered in the manner of Doorkeeper:
//! `expires_in` counts from now even for a token that is handed out again, and without it the token never expires.
//! `created_at` and `refresh_token` are never looked at: the one is the birth of the row, the other would revoke the token.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use url::Url;

use super::json::{self, Fields};
use super::{Lifetime, TokenRequest, expiry, token};
use crate::endpoint::Endpoint;
use crate::reason::Reason;

/// The OAuth client of the vendor's public page, the same for everybody; no secret.
pub const QONTAK_PUBLIC_CLIENT_ID: &str = "RRrn6uIxalR_QaHFlcKOqbjHMG63elEdPTair9B9YdY";
/// Its counterpart, printed on the same page.
pub const QONTAK_PUBLIC_CLIENT_SECRET: &str = "Sa8IGIh_HpVK1ZLAF0iFf7jU760osaUNV659pBIZR00";

pub(super) struct Login<'a> {
    pub(super) username: &'a SecretString,
    pub(super) password: &'a SecretString,
    pub(super) client_id: &'a SecretString,
    pub(super) client_secret: &'a SecretString,
}

#[derive(Serialize)]
struct Body<'a> {
    username: &'a str,
    password: &'a str,
    grant_type: &'static str,
    client_id: &'a str,
    client_secret: &'a str,
}

pub(super) fn build_request(endpoint: &Endpoint, login: &Login<'_>) -> Result<TokenRequest, Reason> {
    let url = endpoint.join(&["oauth", "token"]).ok_or(Reason::InvalidSpec)?;
    let body = Body {
        username: login.username.expose_secret(),
        password: login.password.expose_secret(),
        grant_type: "password",
        client_id: login.client_id.expose_secret(),
        client_secret: login.client_secret.expose_secret(),
    };
    Ok(TokenRequest { url, body: json::write(&body)? })
}

/// `GET {endpoint}/api/open/v1/health`: what the vendor's page shows a token used for first.
pub(super) fn health(endpoint: &Endpoint) -> Option<Url> {
    endpoint.join(&["api", "open", "v1", "health"])
}

/// The token may or may not be a JWT; its claims are not asked, for `expires_in` is the vendor's word.
pub(super) fn read(fields: &Fields<'_>, issued_at: Timestamp) -> Result<(SecretString, Lifetime), Reason> {
    let token = token::read(fields, "access_token")?;
    token::require_bearer(fields)?;
    Ok((token, expiry::of_expires_in(fields, issued_at)?))
}
