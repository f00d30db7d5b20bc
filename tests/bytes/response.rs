//! A provider's whole response: `welkin 200 1700000000` (the provider, the status, the time of the request), headers,
//! an empty line, the body.

use apicredential::decide::{self, Cause, TokenEvaluation};
use apicredential::endpoint::{Endpoint, PathSegment};
use apicredential::providers::{Issued, Lifetime, Login, QontakLogin, WelkinLogin, response};
use apicredential::reason::Reason;
use apicredential::schedule::{self, Expiry, Margin, Policy};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The client that every Welkin response must be about.
pub const CLIENT: &str = "VBOPNRYRWJIP";
/// Ten years, in seconds.
const LONGEST: i64 = 315_576_000;
/// Times with fractions are `f64`: near today they are exact to a quarter of a microsecond.
const ROUNDING: f64 = 1e-6;

/// The reasons that a response can have. The other reasons of a provider are those of a connection without a whole
/// response, and of a token that expired in transit.
const REASONS: [Reason; 15] = [
    Reason::CredentialsRejected,
    Reason::ClientDisabled,
    Reason::NotFoundAtProvider,
    Reason::RateLimited,
    Reason::ProviderUnavailable,
    Reason::ProviderTimeout,
    Reason::UnexpectedRedirect,
    Reason::UnexpectedStatus,
    Reason::UnexpectedContentType,
    Reason::UnexpectedEncoding,
    Reason::InvalidResponse,
    Reason::InvalidToken,
    Reason::UnsupportedTokenType,
    Reason::ImplausibleExpiry,
    Reason::ResponseMismatch,
];

/// A response is rejected for a reason of the table, or its token is the one in the body and is not valid for longer
/// than stated.
pub fn check(input: &[u8]) {
    let (line, mut rest) = super::first_line(input);
    let words = super::words(line);
    let (provider, status, sent) = (
        words.first(),
        words.get(1).and_then(|word| word.parse().ok()),
        words.get(2).and_then(|word| word.parse().ok()),
    );
    let inputs = login(provider.is_some_and(|name| *name == "qontak"));
    let sent = second(sent.unwrap_or(1_700_000_000));
    let Ok(status) = StatusCode::from_u16(status.unwrap_or(200)) else { return };
    let mut headers = HeaderMap::new();
    loop {
        let (line, after) = super::first_line(rest);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { break };
        let (name, value) = (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
        rest = after;
    }
    let body = rest.strip_prefix(b"\n").unwrap_or(rest);

    match response::classify_response(status, &headers, sent) {
        Err(failure) => {
            assert!(REASONS.contains(&failure.reason), "{}", failure.reason);
            let backoff = failure.retry_after.map(|backoff| backoff.as_secs());
            assert!(backoff.is_none_or(|backoff| (1..=900).contains(&backoff)), "{backoff:?}");
            assert!(backoff.is_none() || failure.reason == Reason::RateLimited, "{} pauses", failure.reason);
        }
        Ok(()) => {
            assert!(status.is_success(), "{status} is no success");
            let kind = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
            assert!(kind.to_ascii_lowercase().contains("json"), "{kind} is not JSON");
        }
    }
    read(&inputs, body, sent);
}

/// The inputs of an exchange with either provider.
pub fn login(qontak: bool) -> Login {
    let secret = |text: &str| SecretString::from(text.to_owned());
    if qontak {
        Login::Qontak(QontakLogin {
            endpoint: Endpoint::parse("https://qontak.example").unwrap(),
            username: secret("user"),
            password: secret("password"),
            client_id: secret("id"),
            client_secret: secret("secret"),
        })
    } else {
        Login::Welkin(WelkinLogin {
            endpoint: Endpoint::parse("https://welkin.example").unwrap(),
            tenant: PathSegment::parse("gh").unwrap(),
            client_name: PathSegment::parse(CLIENT).unwrap(),
            secret: secret("secret"),
        })
    }
}

/// A whole second between 1970 and the year 2096: the wall clock of the client.
pub fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second.clamp(0, 4_000_000_000)).unwrap()
}

/// Parses a body and checks the result against the body.
pub fn read(inputs: &Login, body: &[u8], sent: Timestamp) {
    match inputs.parse_response(body, sent) {
        Err(reason) => assert!(REASONS.contains(&reason), "{reason}"),
        Ok(issued) => {
            let said: Said<'_> = serde_json::from_slice(body).expect("an accepted body is a JSON object");
            assert_eq!(issued.issued_at, sent);
            the_token_is_the_one_in_the_body(inputs, &issued, &said);
            it_is_valid_as_long_as_stated(inputs, &issued, &said);
            what_is_written_is_valid(&issued);
        }
    }
}

/// The body, parsed by another parser.
#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    token: Option<&'a RawValue>,
    access_token: Option<&'a RawValue>,
    token_type: Option<&'a RawValue>,
    enabled: Option<&'a RawValue>,
    #[serde(rename = "clientName")]
    client_name: Option<&'a RawValue>,
    expires_in: Option<&'a RawValue>,
}

/// The claims, parsed by another parser.
#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    exp: Option<&'a RawValue>,
    iat: Option<&'a RawValue>,
}

/// The member of an accepted body as text, with its escapes resolved.
fn text(raw: Option<&RawValue>) -> Option<String> {
    raw.map(|raw| serde_json::from_str(raw.get()).expect("a member that has to be text is text"))
}

/// The member of an accepted body as a number, written as a JSON number or as a string, in which any character may be
/// escaped: `"\u0031e3"` is 1000.
fn number(raw: Option<&RawValue>) -> Option<f64> {
    let raw = raw?;
    let text = if raw.get().starts_with('"') { text(Some(raw))? } else { raw.get().to_owned() };
    Some(text.parse().expect("a member that has to be a number is a number"))
}

fn the_token_is_the_one_in_the_body(inputs: &Login, issued: &Issued, said: &Said<'_>) {
    let token = issued.token.expose_secret();
    let stem = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    assert!(!stem.is_empty() && stem.bytes().all(allowed), "no b64token");
    assert!(token.len() <= 16 * 1024, "{} bytes", token.len());
    if let Some(kind) = text(said.token_type) {
        assert!(kind.eq_ignore_ascii_case("bearer"), "a token of type {kind:?}");
    }
    match inputs {
        Login::Qontak(_) => assert_eq!(text(said.access_token).as_deref(), Some(token)),
        Login::Welkin(_) => {
            assert_eq!(text(said.token).as_deref(), Some(token));
            assert!(said.enabled.is_none_or(|enabled| enabled.get() == "true"), "of a disabled client");
            assert!(
                said.client_name.is_none() || text(said.client_name).as_deref() == Some(CLIENT),
                "of another client"
            );
        }
    }
    let shown = format!("{issued:?}");
    assert!(token.len() < 32 || !shown.contains(token), "the token shows itself");
}

fn it_is_valid_as_long_as_stated(inputs: &Login, issued: &Issued, said: &Said<'_>) {
    let sent = issued.issued_at.as_second();
    let end = match inputs {
        Login::Qontak(_) => number(said.expires_in).map(|lifetime| seconds(sent) + lifetime),
        Login::Welkin(_) => claims(issued.token.expose_secret()).and_then(|claims| {
            let claims: Claims<'_> =
                serde_json::from_slice(&claims).expect("claims of an accepted token are an object");
            let expiry = number(claims.exp)?;
            let start = number(claims.iat).unwrap_or(seconds(sent));
            Some(expiry.min(seconds(sent) + (expiry - start)))
        }),
    };
    match (issued.lifetime, end) {
        (Lifetime::Until(time), Some(end)) => {
            let expiry = time.as_second();
            assert_eq!(time.subsec_nanosecond(), 0, "not a whole second");
            assert!(seconds(expiry) <= end.max(0.0) + ROUNDING, "{expiry} is later than {end}");
            assert!(seconds(expiry) > end - 1.0 - ROUNDING, "{expiry} is earlier than {end}");
            assert!(expiry <= sent + LONGEST, "{expiry} is more than ten years after {sent}");
        }
        (Lifetime::Never, None) => assert!(matches!(inputs, Login::Qontak(_)), "no expiry means unstated"),
        (Lifetime::Unstated, None) => assert!(matches!(inputs, Login::Welkin(_)), "no expiry means never"),
        (lifetime, end) => panic!("{lifetime:?} was made of {end:?}"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact for the years in question")]
fn seconds(second: i64) -> f64 {
    second as f64
}

/// The claims of a JWT in compact form, if they are an object.
fn claims(token: &str) -> Option<Vec<u8>> {
    let parts: Vec<&str> = token.split('.').collect();
    let [_, payload, _] = parts.as_slice() else { return None };
    let lenient = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    let claims = GeneralPurpose::new(&URL_SAFE, lenient).decode(payload).ok()?;
    let whole: &RawValue = serde_json::from_slice(&claims).ok()?;
    whole.get().starts_with('{').then_some(claims)
}

fn what_is_written_is_valid(issued: &Issued) {
    let policy = Policy { margin: Margin::Default, max_age: None, assumed_lifetime: 3600 };
    let now = schedule::later(issued.issued_at, 1);
    match decide::evaluate_token(Cause::Missing, issued.issued_at, &issued.lifetime, None, &policy, now) {
        TokenEvaluation::Write { expiry: Expiry::At(time), .. } => assert!(time > now, "{time} is over at {now}"),
        TokenEvaluation::Write { expiry: Expiry::Never, .. } => assert_eq!(issued.lifetime, Lifetime::Never),
        TokenEvaluation::AlreadyExpired => assert!(matches!(issued.lifetime, Lifetime::Until(time) if time <= now)),
        TokenEvaluation::NotExtended | TokenEvaluation::StillRevoked => panic!("there was nothing to extend"),
    }
}
