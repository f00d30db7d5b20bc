//! Bad responses, each with its expected reason. 429 and similar are in `throttled`, bad TLS is in `unreachable`.

use std::time::Duration;

use apicredential::api::Provider::{self, Qontak, Welkin};
use apicredential::reason::Reason;
use serde_json::Value;

use crate::hostile::{BODY, HEADER, LOCATION, TOKEN, token};
use crate::support::provider::{MockProvider, Reply};

/// One bad response.
pub struct Row {
    /// The name of the ApiCredential.
    pub name: &'static str,
    pub provider: Provider,
    pub reply: Reply,
    pub reason: Reason,
}

fn row(name: &'static str, provider: Provider, reply: Reply, reason: Reason) -> Row {
    // A load balancer's cookies, and other headers.
    Row { name, provider, reply: reply.header("x-hostile", HEADER).header("set-cookie", HEADER), reason }
}

/// All rows. Redirects lead to this other server.
pub fn rows(elsewhere: &MockProvider) -> Vec<Row> {
    let mut rows = statuses();
    rows.extend(redirects(elsewhere));
    rows.extend(transports());
    rows.extend(bodies());
    rows.extend(tokens());
    rows.extend(expiries());
    rows
}

fn statuses() -> Vec<Row> {
    let error = |status| Reply::error_with(status, TOKEN, BODY);
    vec![
        row("status-400", Welkin, error(400), Reason::CredentialsRejected),
        row("status-400-qontak", Qontak, error(400), Reason::CredentialsRejected),
        row("status-401", Welkin, error(401), Reason::CredentialsRejected),
        row("status-401-qontak", Qontak, error(401), Reason::CredentialsRejected),
        row("status-403", Welkin, error(403), Reason::CredentialsRejected),
        row("status-404", Welkin, error(404), Reason::NotFoundAtProvider),
        row("status-404-html", Qontak, html(404), Reason::NotFoundAtProvider),
        row("status-408", Welkin, error(408), Reason::ProviderTimeout),
        row("status-418", Welkin, error(418), Reason::UnexpectedStatus),
        row("status-500", Welkin, error(500), Reason::ProviderUnavailable),
        row("status-502-html", Qontak, html(502), Reason::ProviderUnavailable),
        row("status-503", Qontak, error(503), Reason::ProviderUnavailable),
        row("status-500-good-body", Welkin, token(Welkin).status(500), Reason::ProviderUnavailable),
    ]
}

fn html(status: u16) -> Reply {
    let page = format!("<html><body>{BODY} {TOKEN}</body></html>");
    Reply::raw(status, page).header("content-type", "text/html; charset=utf-8")
}

fn redirects(elsewhere: &MockProvider) -> Vec<Row> {
    let location = format!("{}/{LOCATION}/oauth/token?code={LOCATION}", elsewhere.origin());
    let redirect = |status| Reply::redirect(status, &location);
    vec![
        row("redirect-301", Welkin, redirect(301), Reason::UnexpectedRedirect),
        row("redirect-302", Qontak, redirect(302), Reason::UnexpectedRedirect),
        row("redirect-303", Welkin, redirect(303), Reason::UnexpectedRedirect),
        row("redirect-304", Qontak, redirect(304), Reason::UnexpectedRedirect),
        row("redirect-305", Welkin, redirect(305), Reason::UnexpectedRedirect),
        row("redirect-306", Qontak, redirect(306), Reason::UnexpectedRedirect),
        row("redirect-307", Welkin, redirect(307), Reason::UnexpectedRedirect),
        row("redirect-308", Qontak, redirect(308), Reason::UnexpectedRedirect),
    ]
}

fn transports() -> Vec<Row> {
    let pause = Duration::from_millis(100);
    vec![
        row("hang", Welkin, Reply::hang(), Reason::ProviderTimeout),
        row("drip", Welkin, token(Welkin).drip(1, pause), Reason::ProviderTimeout),
        row("drip-qontak", Qontak, token(Qontak).drip(1, pause), Reason::ProviderTimeout),
        row("cut", Welkin, token(Welkin).cut(40), Reason::ConnectionFailed),
        row("cut-at-once", Qontak, token(Qontak).cut(0), Reason::ConnectionFailed),
        row("ten-megabytes", Welkin, Reply::filler(10_000_000), Reason::ResponseTooLarge),
        row("a-byte-too-much", Qontak, Reply::filler(64 * 1024 + 1), Reason::ResponseTooLarge),
        row("gzip-bomb", Welkin, Reply::gzip_bomb(), Reason::UnexpectedEncoding),
        row("gzip-claimed", Qontak, token(Qontak).header("content-encoding", "gzip"), Reason::UnexpectedEncoding),
    ]
}

fn bodies() -> Vec<Row> {
    let raw = |text: &str| Reply::raw(200, text.replace("BODY", BODY).replace("TOKEN", TOKEN));
    vec![
        row("html", Welkin, html(200), Reason::UnexpectedContentType),
        row("no-type", Qontak, token(Qontak).header("content-type", ""), Reason::UnexpectedContentType),
        row("html-declared-as-json", Welkin, raw("<html>BODY</html>"), Reason::InvalidResponse),
        row("empty", Qontak, raw(""), Reason::InvalidResponse),
        row("half", Qontak, raw("{\"access_token\": \"TOKEN\""), Reason::InvalidResponse),
        row("an-array", Welkin, raw("[{\"token\": \"TOKEN\"}]"), Reason::InvalidResponse),
        row("a-string", Qontak, raw("\"TOKEN\""), Reason::InvalidResponse),
        row("not-utf-8", Welkin, Reply::raw(200, *b"{\"token\": \"\xff\xfe\"}"), Reason::InvalidResponse),
        row("no-token", Welkin, token(Welkin).without_field("token"), Reason::InvalidResponse),
        row("no-access-token", Qontak, token(Qontak).without_field("access_token"), Reason::InvalidResponse),
        row("disabled", Welkin, token(Welkin).field("enabled", false), Reason::ClientDisabled),
        row("disabled-text", Welkin, token(Welkin).field("enabled", BODY), Reason::InvalidResponse),
        row("other-client", Welkin, token(Welkin).field("clientName", BODY), Reason::ResponseMismatch),
    ]
}

fn tokens() -> Vec<Row> {
    let welkin = |value: Value| token(Welkin).field("token", value);
    let qontak = |value: Value| token(Qontak).field("access_token", value);
    let long = |length| TOKEN.repeat(length / TOKEN.len() + 1);
    vec![
        row("token-null", Welkin, welkin(Value::Null), Reason::InvalidToken),
        row("token-null-qontak", Qontak, qontak(Value::Null), Reason::InvalidToken),
        row("token-empty", Welkin, welkin("".into()), Reason::InvalidToken),
        row("token-newline", Qontak, qontak(format!("{TOKEN}\nX-Injected: yes").into()), Reason::InvalidToken),
        row("token-number", Qontak, qontak(12_345.into()), Reason::InvalidToken),
        row("token-too-long", Welkin, welkin(long(17_000).into()), Reason::InvalidToken),
        row("token-of-a-megabyte", Welkin, welkin(long(1_000_000).into()), Reason::ResponseTooLarge),
        row("type-mac", Qontak, token(Qontak).field("token_type", "mac"), Reason::UnsupportedTokenType),
        row("type-number", Qontak, token(Qontak).field("token_type", 1), Reason::UnsupportedTokenType),
    ]
}

fn expiries() -> Vec<Row> {
    let expires = |json: &str| token(Qontak).field_text("expires_in", json);
    let expiry = |json: &str| token(Welkin).claim_text("exp", json);
    vec![
        row("expires-0", Qontak, expires("0"), Reason::TokenAlreadyExpired),
        row("expires-negative", Qontak, expires("-3600"), Reason::TokenAlreadyExpired),
        row("expires-huge", Qontak, expires("99999999999999999999"), Reason::ImplausibleExpiry),
        row("expires-1e400", Qontak, expires("1e400"), Reason::ImplausibleExpiry),
        row("expires-a-word", Qontak, expires("\"soon\""), Reason::InvalidResponse),
        row("expires-an-object", Qontak, expires("{}"), Reason::InvalidResponse),
        row("exp-past", Welkin, token(Welkin).lifetime(-60.0), Reason::TokenAlreadyExpired),
        row("exp-long-past", Welkin, expiry("1615232027"), Reason::TokenAlreadyExpired),
        row("exp-milliseconds", Welkin, expiry("1999999999000"), Reason::ImplausibleExpiry),
        row("exp-far", Welkin, expiry("9999999999"), Reason::ImplausibleExpiry),
        row("exp-1e400", Welkin, expiry("1e400"), Reason::ImplausibleExpiry),
        row("exp-a-word", Welkin, expiry("\"soon\""), Reason::InvalidResponse),
    ]
}
