//! Qontak's formats: Doorkeeper's password grant, and one call that uses the token.

use apicredential::api::Provider;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::random;
use super::exchange::{Presented, answer, disturb};
use super::script::{Fields, Flow, Point, Reply};
use super::state::{Account, ProviderState};

pub fn routes() -> Router<ProviderState> {
    Router::new().route("/oauth/token", post(exchange)).route("/api/open/v1/health", get(health))
}

async fn exchange(State(state): State<ProviderState>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    if field("grant_type") != "password" {
        return refusal(StatusCode::BAD_REQUEST, &error("unsupported_grant_type", "Only password is supported."));
    }
    let key = (Provider::Qontak, field("username"));
    if !state.open().accounts.contains_key(&key) {
        state.open().strangers.push(format!("qontak {}", key.1));
        return refusal(StatusCode::BAD_REQUEST, &error("invalid_grant", "The authorization grant is invalid."));
    }
    let oauth_client = Some((field("client_id"), field("client_secret")));
    answer(&state, key, Presented { tenant: String::new(), secret: field("password"), oauth_client, headers }).await
}

async fn health(State(state): State<ProviderState>, headers: HeaderMap) -> Response<Body> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let holder = bearer.and_then(|token| state.holder(Provider::Qontak, token));
    let valid = holder.as_ref().is_some_and(|(_, valid)| *valid);
    state.open().uses.push(("/api/open/v1/health".to_owned(), valid));
    let Some((key, _)) = holder else { return health_response(valid) };
    let at = state.now();
    let (number, reply) = state.with(&key, |account| {
        account.checks.push((at, 0));
        (account.checks.len() - 1, account.check.clone())
    });
    let Some(reply) = reply else {
        let response = health_response(valid);
        state.with(&key, |account| account.checks[number].1 = response.status().as_u16());
        return response;
    };
    tokio::time::sleep(reply.latency).await;
    if matches!(reply.flow, Flow::Hang) {
        std::future::pending::<()>().await;
    }
    if let Some(response) = disturb(&reply, Point::Arrived).await {
        return response;
    }
    let mut response = health_response(valid);
    if let Some(status) = reply.status {
        *response.status_mut() = StatusCode::from_u16(status).expect("a status code");
    }
    for (name, value) in &reply.headers {
        let name: HeaderName = name.parse().expect("a header name");
        response.headers_mut().insert(name, value.parse().expect("a header value"));
    }
    state.with(&key, |account| account.checks[number].1 = response.status().as_u16());
    disturb(&reply, Point::Issued).await.unwrap_or(response)
}

/// The service's response to the use of a token, by whether the token is valid.
fn health_response(valid: bool) -> Response<Body> {
    if valid {
        return refusal(StatusCode::OK, &json!({"status": "success", "data": {"health": "ok"}}).to_string());
    }
    let body = json!({"status": "error", "error": {"code": 401, "messages": ["Unauthorized"]}}).to_string();
    let mut response = refusal(StatusCode::UNAUTHORIZED, &body);
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"Doorkeeper\""));
    response
}

fn refusal(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

/// The token, and the body that carries it. With reuse, a valid token is returned with its remaining seconds.
pub fn token(account: &mut Account, reply: &Reply, now: Timestamp) -> (String, String) {
    let living = account.tokens.last().filter(|token| account.reuse && token.is_valid(now)).cloned();
    let token = living.unwrap_or_else(|| {
        account.issue(&random::base64url::<32>(), reply.lifetime, now);
        account.tokens.last().cloned().expect("a token was issued")
    });
    let mut fields = Fields::new().with("access_token", token.text.as_str()).with("token_type", "Bearer");
    if let Some(remaining) = token.remaining(now) {
        fields = fields.with("expires_in", seconds(remaining, reply.lifetime));
    }
    let fields = fields.with("refresh_token", random::base64url::<32>()).with("created_at", token.issued.as_second());
    (token.text, fields.edited(&reply.fields).into_text())
}

/// RFC 6749, section 5.2.
pub fn error(code: &str, text: &str) -> String {
    json!({"error": code, "error_description": text}).to_string()
}

/// A whole number unless the script sets a fraction.
#[expect(clippy::cast_possible_truncation, reason = "lifetimes fit")]
fn seconds(remaining: f64, lifetime: Option<f64>) -> Value {
    let whole = lifetime.is_none_or(|lifetime| lifetime.fract() == 0.0);
    if whole { (remaining.round() as i64).into() } else { remaining.into() }
}
