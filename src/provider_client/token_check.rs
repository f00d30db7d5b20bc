//! A token tried against its provider: the one documented request that uses it and changes nothing.
//!
//! Only the status line counts, and only two of its values say anything of the token: 2xx takes it, 401 refuses it
//! (RFC 6750 section 3.1). Everything else, 403 and 404 included, speaks of the service, of a right or of the way there.

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

/// What a provider says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenCheck {
    /// It takes the token.
    Accepted,
    /// It does not, although it may once have issued it.
    Revoked,
    /// It said nothing about the token.
    Unavailable(ExchangeFailure),
}

impl ProviderClient {
    /// Tries a token once. Takes no longer than the timeout, whatever the provider does.
    pub async fn check(&self, provider: Provider, endpoint: &Endpoint, token: &SecretString) -> TokenCheck {
        let start = clock::SuspendAwareInstant::now();
        let mut status = None;
        let asked = tokio::time::timeout(self.timeout(), self.ask_about(provider, endpoint, token, &mut status)).await;
        let verdict = match asked {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(reason)) => TokenCheck::Unavailable(reason.into()),
            Err(_elapsed) => TokenCheck::Unavailable(Reason::ProviderTimeout.into()),
        };
        tracing::debug!(
            provider = provider.as_str(),
            status,
            ?verdict,
            duration_seconds = start.elapsed().as_secs_f64(),
            "a provider was asked whether it takes a token"
        );
        verdict
    }

    async fn ask_about(
        &self,
        provider: Provider,
        endpoint: &Endpoint,
        token: &SecretString,
        status: &mut Option<u16>,
    ) -> Result<TokenCheck, Reason> {
        let url = provider.check_url(endpoint).ok_or(Reason::InvalidSpec)?;
        let headers = headers(token).ok_or(Reason::InvalidToken)?;
        let response =
            self.client().get(url).headers(headers).send().await.map_err(|error| request_error::reason(&error))?;
        *status = Some(response.status().as_u16());
        self.note_skew(provider, response.headers());
        // The body is not read: hyper takes what has come with the head, so that the connection can be kept, and closes
        // it on more.
        Ok(classify_check_response(response.status(), response.headers(), clock::now()))
    }
}

/// None if the token cannot stand in a header, and so is none.
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
        // To an exchange these speak of the credentials; of a token they say nothing.
        400 | 403 | 404 => TokenCheck::Unavailable(Reason::UnexpectedStatus.into()),
        _ => response::refusal(status, headers, now).map_or(TokenCheck::Accepted, TokenCheck::Unavailable),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_2xx_takes_a_token_and_only_401_refuses_it() {
        let now = Timestamp::UNIX_EPOCH;
        let verdict =
            |status: u16| classify_check_response(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), now);
        for status in 100..=999 {
            match (status, verdict(status)) {
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
            assert_eq!(verdict(status), TokenCheck::Unavailable(reason.into()), "{status}");
        }
    }

    #[test]
    fn a_check_that_is_told_to_slow_down_says_for_how_long() {
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
    fn a_token_that_is_no_header_is_not_sent_and_one_that_is_does_not_show() {
        assert!(headers(&SecretString::from("a\r\nx: y")).is_none());
        let headers = headers(&SecretString::from("aZ09-._~+/==")).unwrap();
        assert_eq!(headers[AUTHORIZATION], "Bearer aZ09-._~+/==");
        assert!(!format!("{headers:?}").contains("aZ09"));
    }
}
