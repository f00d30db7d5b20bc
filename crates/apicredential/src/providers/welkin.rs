//! Welkin Health: `POST {endpoint}/{tenant}/admin/api_clients/{clientName}` with `{"secret": "…"}`, answered by
//! `{"clientName": "…", "token": "<JWT>", "enabled": true}`. The token's times are in the JWT.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::json::{self, Fields};
use super::{Lifetime, TokenRequest, expiry, token};
use crate::endpoint::{Endpoint, PathSegment};
use crate::reason::Reason;

#[derive(Serialize)]
struct Body<'a> {
    secret: &'a str,
}

pub(super) fn build_request(
    endpoint: &Endpoint,
    tenant: &PathSegment,
    client_name: &PathSegment,
    secret: &SecretString,
) -> Result<TokenRequest, Reason> {
    let path = [tenant.as_str(), "admin", "api_clients", client_name.as_str()];
    let url = endpoint.join(&path).ok_or(Reason::InvalidSpec)?;
    Ok(TokenRequest { url, body: json::write(&Body { secret: secret.expose_secret() })? })
}

/// `enabled` and `clientName` can only contradict: an answer that leaves them out is as good as its token.
pub(super) fn read(
    fields: &Fields<'_>,
    client_name: &PathSegment,
    issued_at: Timestamp,
) -> Result<(SecretString, Lifetime), Reason> {
    if fields.boolean("enabled")? == Some(false) {
        return Err(Reason::ClientDisabled);
    }
    if fields.text("clientName")?.is_some_and(|name| name != client_name.as_str()) {
        return Err(Reason::ResponseMismatch);
    }
    let token = token::read(fields, "token")?;
    token::require_bearer(fields)?;
    let lifetime = match token::claims(&token) {
        Some(claims) => expiry::of_claims(&Fields::parse(&claims).ok_or(Reason::InvalidToken)?, issued_at)?,
        // A token of another make (opaque, or an encrypted JWT) is as good to the resource server; it just says no times.
        None => Lifetime::Unstated,
    };
    Ok((token, lifetime))
}
