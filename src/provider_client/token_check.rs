//! Checks with the provider whether a token is still accepted, by a documented request that uses it and changes nothing.
//!
//! Only the status of the response is used: 2xx means that the token is accepted, 401 that it is not (RFC 6750 section
//! 3.1). Every other status, 403 and 404 included, is about the service, a permission or the network and not about the
//! token.

use apicredential::api::Provider;
use apicredential::endpoint::Endpoint;
use apicredential::providers::{ExchangeFailure, TOKEN_TYPE, response};
use apicredential::reason::Reason;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::{ProviderClient, request_error};
use crate::clock;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCheck {
    /// The provider accepts the token.
    Accepted,
    /// The provider does not accept the token, although it may have issued it.
    Revoked,
    /// The check failed, so nothing is known about the token.
    Unavailable(ExchangeFailure),
}

impl ProviderClient {
    /// Checks a token with one request, within the timeout.
    pub async fn check(&self, provider: Provider, endpoint: &Endpoint, token: &SecretString) -> TokenCheck {
        let start = clock::SuspendAwareInstant::now();
        let mut status = None;
        let request = self.request_check(provider, endpoint, token, &mut status);
        let check = match tokio::time::timeout(self.timeout(), request).await {
            Ok(Ok(check)) => check,
            Ok(Err(reason)) => TokenCheck::Unavailable(reason.into()),
            Err(_elapsed) => TokenCheck::Unavailable(Reason::ProviderTimeout.into()),
        };
        tracing::debug!(
            provider = provider.as_str(),
            status,
            ?check,
            duration_seconds = start.elapsed().as_secs_f64(),
            "checked a token with its provider"
        );
        check
    }

    async fn request_check(
        &self,
        provider: Provider,
        endpoint: &Endpoint,
        token: &SecretString,
        status: &mut Option<u16>,
    ) -> Result<TokenCheck, Reason> {
        let url = provider.check_url(endpoint).ok_or(Reason::InvalidSpec)?;
        let headers = headers(token).ok_or(Reason::InvalidToken)?;
        let response =
            self.client()?.get(url).headers(headers).send().await.map_err(|error| request_error::reason(&error))?;
        *status = Some(response.status().as_u16());
        self.note_skew(provider, response.headers());
        // The body is not read: hyper drops the part that arrived together with the head and keeps the connection, or
        // closes the connection if there is more.
        Ok(classify_check_response(response.status(), response.headers(), clock::now()))
    }
}

/// The headers of the request. `None` if the token cannot be in a header, and so is not a token.
fn headers(token: &SecretString) -> Option<HeaderMap> {
    let text = Zeroizing::new(format!("{TOKEN_TYPE} {}", token.expose_secret()).into_bytes());
    let mut bearer = HeaderValue::from_maybe_shared(bytes::Bytes::from_owner(text)).ok()?;
    // Debug output shows it as "Sensitive".
    bearer.set_sensitive(true);
    let json = HeaderValue::from_static("application/json");
    let identity = HeaderValue::from_static("identity");
    Some([(AUTHORIZATION, bearer), (ACCEPT, json), (ACCEPT_ENCODING, identity)].into_iter().collect())
}

fn classify_check_response(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> TokenCheck {
    match status.as_u16() {
        401 => TokenCheck::Revoked,
        // For a token request, these statuses are about the credentials. About a token they say nothing.
        400 | 403 | 404 => TokenCheck::Unavailable(Reason::UnexpectedStatus.into()),
        _ => response::classify_status(status, headers, now).map_or(TokenCheck::Accepted, TokenCheck::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_2xx_accepts_a_token_and_only_401_rejects_it() {
        let now = Timestamp::UNIX_EPOCH;
        let check =
            |status: u16| classify_check_response(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), now);
        for status in 100..=999 {
            match (status, check(status)) {
                (200..=299, TokenCheck::Accepted) | (401, TokenCheck::Revoked) => {}
                (200..=299 | 401, other) => panic!("{status}: {other:?}"),
                (_, other) => assert!(matches!(other, TokenCheck::Unavailable(_)), "{status}: {other:?}"),
            }
        }
        for (status, reason) in [
            (307, Reason::UnexpectedRedirect),
            (400, Reason::UnexpectedStatus),
            (403, Reason::UnexpectedStatus),
            (404, Reason::UnexpectedStatus),
            (408, Reason::ProviderTimeout),
            (418, Reason::UnexpectedStatus),
            (429, Reason::RateLimited),
            (503, Reason::ProviderUnavailable),
        ] {
            assert_eq!(check(status), TokenCheck::Unavailable(reason.into()), "{status}");
        }
    }

    #[test]
    fn a_throttled_check_reports_how_long_to_wait() {
        let headers = [(http::header::RETRY_AFTER, HeaderValue::from_static("7"))].into_iter().collect();
        for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
            let failure = ExchangeFailure { reason: Reason::RateLimited, retry_after: Some(Duration::from_secs(7)) };
            assert_eq!(
                classify_check_response(status, &headers, Timestamp::UNIX_EPOCH),
                TokenCheck::Unavailable(failure)
            );
        }
    }

    #[test]
    fn a_token_that_cannot_be_in_a_header_is_not_sent_and_debug_output_contains_no_token() {
        assert!(headers(&SecretString::from("a\r\nx: y")).is_none());
        let headers = headers(&SecretString::from("aZ09-._~+/==")).unwrap();
        assert_eq!(headers[AUTHORIZATION], "Bearer aZ09-._~+/==");
        assert!(!format!("{headers:?}").contains("aZ09"));
    }
}
