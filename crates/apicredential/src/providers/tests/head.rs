//! Status and headers.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::*;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().map(pair) {
        headers.append(name, value);
    }
    headers
}

fn head(status: u16, pairs: &[(&str, &str)]) -> Result<(), ExchangeFailure> {
    response::classify_response(StatusCode::from_u16(status).unwrap(), &headers(pairs), now())
}

#[test]
fn every_status_has_its_reason() {
    for (status, reason) in [
        (101, Reason::UnexpectedStatus),
        (301, Reason::UnexpectedRedirect),
        (302, Reason::UnexpectedRedirect),
        (303, Reason::UnexpectedRedirect),
        (304, Reason::UnexpectedRedirect),
        (305, Reason::UnexpectedRedirect),
        (306, Reason::UnexpectedRedirect),
        (307, Reason::UnexpectedRedirect),
        (308, Reason::UnexpectedRedirect),
        (400, Reason::CredentialsRejected),
        (401, Reason::CredentialsRejected),
        (402, Reason::UnexpectedStatus),
        (403, Reason::CredentialsRejected),
        (404, Reason::NotFoundAtProvider),
        (405, Reason::UnexpectedStatus),
        (408, Reason::ProviderTimeout),
        (418, Reason::UnexpectedStatus),
        (429, Reason::RateLimited),
        (500, Reason::ProviderUnavailable),
        (502, Reason::ProviderUnavailable),
        (503, Reason::ProviderUnavailable),
        (504, Reason::ProviderUnavailable),
        (599, Reason::ProviderUnavailable),
        (600, Reason::UnexpectedStatus),
        (999, Reason::UnexpectedStatus),
    ] {
        assert_eq!(head(status, &[]), Err(reason.into()), "{status}");
    }
    for status in [200, 201, 202, 299] {
        assert_eq!(head(status, &[("content-type", "application/json")]), Ok(()), "{status}");
    }
    assert_eq!(head(204, &[]), Err(Reason::UnexpectedContentType.into()));
}

#[test]
fn the_status_takes_precedence_over_headers_and_encoding_over_content_type() {
    let odd = [("content-encoding", "gzip"), ("content-type", "text/html")];
    assert_eq!(head(401, &odd), Err(Reason::CredentialsRejected.into()));
    assert_eq!(head(200, &odd), Err(Reason::UnexpectedEncoding.into()));
}

#[test]
fn a_retry_after_is_parsed_and_clamped() {
    let at = |seconds: i64| httpdate::fmt_http_date((Timestamp::from_second(NOW + seconds).unwrap()).into());
    for (text, seconds) in [
        ("0", Some(1)),
        ("1", Some(1)),
        (" 30 ", Some(30)),
        ("900", Some(900)),
        ("901", Some(900)),
        ("1000000000", Some(900)),
        ("99999999999999999999999999", Some(900)),
        (&at(60), Some(60)),
        (&at(-60), Some(1)),
        (&at(100_000), Some(900)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(1)),
        ("Sun Nov  6 08:49:37 1994", Some(1)),
        ("-1", None),
        ("+30", None),
        ("1e9", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("30, 40", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("\u{ff}\u{fe}", None),
    ] {
        let expected = ExchangeFailure { reason: Reason::RateLimited, retry_after: seconds.map(Duration::from_secs) };
        assert_eq!(head(429, &[("retry-after", text)]), Err(expected), "{text}");
        assert_eq!(head(503, &[("retry-after", text)]), Err(expected), "{text}");
    }
    assert_eq!(head(500, &[("retry-after", "30")]), Err(Reason::ProviderUnavailable.into()));
}

#[test]
fn only_json_without_content_encoding_is_parsed() {
    for (name, value, reason) in [
        ("content-type", "application/json", None),
        ("content-type", "Application/JSON; charset=utf-8", None),
        ("content-type", "application/vnd.api+json;v=1", None),
        ("content-type", "application/problem+JSON", None),
        ("content-type", "text/html", Some(Reason::UnexpectedContentType)),
        ("content-type", "text/json", Some(Reason::UnexpectedContentType)),
        ("content-type", "application/jsonp", Some(Reason::UnexpectedContentType)),
        ("content-type", "application/+json", Some(Reason::UnexpectedContentType)),
        ("content-type", "application/a/b+json", Some(Reason::UnexpectedContentType)),
        ("content-type", "", Some(Reason::UnexpectedContentType)),
        ("content-type", "\u{ff}", Some(Reason::UnexpectedContentType)),
        ("content-encoding", "identity", None),
        ("content-encoding", "Identity", None),
        ("content-encoding", "gzip", Some(Reason::UnexpectedEncoding)),
        ("content-encoding", "identity, br", Some(Reason::UnexpectedEncoding)),
        ("content-encoding", "zstd", Some(Reason::UnexpectedEncoding)),
        ("content-encoding", "\u{ff}", Some(Reason::UnexpectedEncoding)),
        ("transfer-encoding", "chunked", None),
        ("transfer-encoding", "gzip, chunked", Some(Reason::UnexpectedEncoding)),
    ] {
        let mut pairs = vec![(name, value)];
        if name != "content-type" {
            pairs.push(("content-type", "application/json"));
        }
        assert_eq!(head(200, &pairs).err(), reason.map(ExchangeFailure::from), "{name}: {value}");
    }
    let twice = [("content-type", "application/json"), ("content-encoding", "identity"), ("content-encoding", "gzip")];
    assert_eq!(head(200, &twice), Err(Reason::UnexpectedEncoding.into()));
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(
        status in 100_u16..1000,
        name in prop::sample::select(vec!["content-type", "content-encoding", "transfer-encoding", "retry-after"]),
        value in prop::collection::vec(0x20_u8..=0x7e, 0..40),
    ) {
        let mut headers = HeaderMap::new();
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(&value).unwrap());
        if let Err(failure) = response::classify_response(StatusCode::from_u16(status).unwrap(), &headers, now())
            && let Some(wait) = failure.retry_after
        {
            prop_assert!((1..=900).contains(&wait.as_secs()));
        }
    }
}
