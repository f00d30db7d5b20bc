//! The head of a response: status and headers, which are classified before the body is read.
//!
//! The first problem determines the reason, in this order: status, encoding, content type. Problems of the body follow
//! in the provider's parser: size, JSON, login, token, token type, expiry.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use crate::reason::Reason;

const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeFailure {
    /// One of the provider's reasons.
    pub reason: Reason,
    /// How long the provider requests to wait, from 1 s to 15 min. Only with `RateLimited`, and only if the header
    /// `Retry-After` is readable.
    pub retry_after: Option<Duration>,
}

impl From<Reason> for ExchangeFailure {
    fn from(reason: Reason) -> Self {
        Self { reason, retry_after: None }
    }
}

/// Checks that the body of a response may contain a token.
///
/// # Errors
/// The reason that follows from status, encoding or content type, in this order.
pub fn classify_response(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Result<(), ExchangeFailure> {
    if let Some(failure) = classify_status(status, headers, now) {
        return Err(failure);
    }
    if !has_only(headers, &CONTENT_ENCODING, "identity") || !has_only(headers, &TRANSFER_ENCODING, "chunked") {
        return Err(Reason::UnexpectedEncoding.into());
    }
    if !is_json(headers) {
        return Err(Reason::UnexpectedContentType.into());
    }
    Ok(())
}

/// The failure that the status alone determines; `None` for a status of 2xx.
pub fn classify_status(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<ExchangeFailure> {
    let reason = status_reason(status, headers)?;
    let retry_after = if reason == Reason::RateLimited { retry_after(headers, now) } else { None };
    Some(ExchangeFailure { reason, retry_after })
}

fn status_reason(status: StatusCode, headers: &HeaderMap) -> Option<Reason> {
    match status.as_u16() {
        200..=299 => None,
        300..=399 => Some(Reason::UnexpectedRedirect),
        400 | 401 | 403 => Some(Reason::CredentialsRejected),
        404 => Some(Reason::NotFoundAtProvider),
        408 => Some(Reason::ProviderTimeout),
        429 => Some(Reason::RateLimited),
        503 if headers.contains_key(RETRY_AFTER) => Some(Reason::RateLimited),
        500..=599 => Some(Reason::ProviderUnavailable),
        _ => Some(Reason::UnexpectedStatus),
    }
}

/// Whole seconds or an HTTP date (RFC 9110 section 10.2.3). A number that overflows counts as the longest wait. Anything
/// else, such as `-1`, `1e9` or `soon`, is ignored.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(SystemTime::from(now)).unwrap_or_default()
    };
    Some(wait.clamp(MIN_RETRY_AFTER, MAX_RETRY_AFTER))
}

/// By how many seconds our clock is ahead of the server's, from the header `Date` (RFC 9110 section 6.6.1).
pub fn skew(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let server_time = Timestamp::try_from(httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?).ok()?;
    Some(now.as_second() - server_time.as_second())
}

/// Whether a list header is absent or has only this item.
fn has_only(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().all(|value| {
        let Ok(list) = value.to_str() else { return false };
        list.split(',').map(str::trim).all(|item| item.is_empty() || item.eq_ignore_ascii_case(word))
    })
}

/// Whether the content type is `application/json` or `application/*+json`, in any case and with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = essence.strip_prefix("application/") else { return false };
    subtype == "json" || subtype.strip_suffix("+json").is_some_and(|kind| !kind.is_empty() && !kind.contains('/'))
}
