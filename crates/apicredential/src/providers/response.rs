//! The head of an answer: status and headers, judged before a byte of the body is read.

use std::time::{Duration, SystemTime};

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use super::ExchangeFailure;
use crate::reason::Reason;

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Whether the body is worth reading, and if not, why.
///
/// # Errors
/// The reason that status, encoding or content type give, in this order.
pub fn classify_response(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Result<(), ExchangeFailure> {
    if let Some(failure) = refusal(status, headers, now) {
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

/// Why the status alone makes an answer none.
pub fn refusal(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<ExchangeFailure> {
    let reason = reason(status, headers)?;
    let retry_after = if reason == Reason::RateLimited { retry_after(headers, now) } else { None };
    Some(ExchangeFailure { reason, retry_after })
}

fn reason(status: StatusCode, headers: &HeaderMap) -> Option<Reason> {
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

/// Whole seconds or an HTTP date (RFC 9110 section 10.2.3). A number too large to read is a long time; anything else,
/// such as `-1`, `1e9` or `soon`, is not readable.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        date.duration_since(SystemTime::from(now)).unwrap_or_default()
    };
    Some(wait.clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
}

/// By how many seconds our clock is ahead of the server's, if that tells its time (RFC 9110 section 6.6.1).
pub fn skew(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let theirs = Timestamp::try_from(httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?).ok()?;
    Some(now.as_second() - theirs.as_second())
}

/// Whether a list header, if it is there at all, has only this word.
fn has_only(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().all(|value| {
        let Ok(list) = value.to_str() else { return false };
        list.split(',').map(str::trim).all(|item| item.is_empty() || item.eq_ignore_ascii_case(word))
    })
}

/// `application/json` or `application/*+json`, whatever the case and the parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(|value| value.to_str()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = essence.strip_prefix("application/") else { return false };
    subtype == "json" || subtype.strip_suffix("+json").is_some_and(|kind| !kind.is_empty() && !kind.contains('/'))
}
