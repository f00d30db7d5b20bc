//! A `Retry-After`: `429 1700000000` (the status, the wall clock), and the header's value.

use apicredential::providers::{ExchangeFailure, response};
use apicredential::reason::Reason;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// A backoff is 1 s to 15 min long and the requested one within that, or there is none.
pub fn check(input: &[u8]) {
    let (line, value) = super::first_line(input);
    let words = super::words(line);
    let status = words.first().and_then(|word| word.parse().ok()).unwrap_or(429);
    let now = super::response::second(words.get(1).and_then(|word| word.parse().ok()).unwrap_or(1_700_000_000));
    let (Ok(status), Ok(value)) = (StatusCode::from_u16(status), HeaderValue::from_bytes(value)) else { return };
    let headers: HeaderMap = [(RETRY_AFTER, value.clone())].into_iter().collect();
    let Err(ExchangeFailure { reason, retry_after }) = response::classify_response(status, &headers, now) else {
        panic!("a response without a content type was accepted");
    };
    let throttled = [429, 503].contains(&status.as_u16());
    assert_eq!(reason == Reason::RateLimited, throttled, "{status}: {reason}");
    let Some(backoff) = retry_after else { return assert!(requested(&value, now).is_none() || !throttled) };
    assert!(throttled, "{reason} pauses");
    assert_eq!(backoff.subsec_nanos(), 0);
    assert!((1..=900).contains(&backoff.as_secs()), "{backoff:?}");
    if let Some(requested) = requested(&value, now) {
        assert_eq!(i128::from(backoff.as_secs()), requested.clamp(1, 900), "{value:?}");
    }
}

/// The time in the header, parsed by another parser: seconds, or a date in the one format that may be generated.
fn requested(value: &HeaderValue, now: Timestamp) -> Option<i128> {
    let text = value.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(i128::MAX));
    }
    let date = DateTimeParser::new().parse_timestamp(text).ok()?;
    // Only as it may be generated: the recipient may accept the other formats, and another case, or not.
    let generated = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string() == text && date.as_second() >= 0;
    generated.then(|| i128::from(date.as_second()) - i128::from(now.as_second()))
}
