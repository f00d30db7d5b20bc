//! Welkin's formats: a Cognito ID token in JSON, errors in an array, a load balancer's cookies.

use apicredential::api::Provider;
use apicredential_operator::clock;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::random;
use super::exchange::{Presented, answer};
use super::script::{Fields, Reply};
use super::state::{Account, ProviderState};

pub fn routes() -> Router<ProviderState> {
    Router::new().route("/{tenant}/admin/api_clients/{client}", post(exchange))
}

async fn exchange(
    State(state): State<ProviderState>,
    Path((tenant, client)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let key = (Provider::Welkin, client);
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(secret) = body["secret"].as_str() else {
        return refusal(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "The body must hold the secret.");
    };
    if !state.open().accounts.contains_key(&key) {
        state.open().strangers.push(format!("welkin {tenant}/{}", key.1));
        return refusal(StatusCode::NOT_FOUND, "API_CLIENT_NOT_FOUND", "There is no such API client.");
    }
    answer(&state, key, Presented { tenant, secret: secret.to_owned(), oauth_client: None, headers }).await
}

fn refusal(status: StatusCode, code: &str, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(error(code, text)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response
}

/// The token, and the body that carries it.
pub fn token(client: &str, account: &mut Account, reply: &Reply, now: Timestamp) -> (String, String) {
    let token = jwt(reply, now);
    account.issue(&token, reply.lifetime, now);
    let fields = Fields::new().with("clientName", client).with("token", token.as_str()).with("enabled", true);
    (token, fields.edited(&reply.fields).into_text())
}

/// Errors are arrays.
pub fn error(code: &str, text: &str) -> String {
    let date = clock::now_seconds().to_string();
    json!([{"errorCode": code, "componentType": "ADMIN", "message": text, "details": null, "date": date}]).to_string()
}

pub fn load_balancer_cookies(headers: &mut HeaderMap) {
    for name in ["AWSALB", "AWSALBCORS"] {
        let cookie = format!("{name}={}; Path=/; Secure", random::base64url::<24>());
        headers.append(SET_COOKIE, HeaderValue::from_str(&cookie).expect("base64 fits a header"));
    }
}

/// The claims of the vendor's sample. The signature is random bytes of RS256's length, because no test verifies it.
fn jwt(reply: &Reply, now: Timestamp) -> String {
    let issued = clock::whole_seconds(now).as_second();
    let mut claims = Fields::new()
        .with("sub", random::suffix())
        .with("custom:type", "API_CLIENT")
        .with("iss", "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_StandIn00")
        .with("jti", random::base64url::<16>())
        .with("aud", "standinstandinstandin00000")
        .with("token_use", "id")
        .with("auth_time", issued)
        .with("iat", issued);
    if let Some(lifetime) = reply.lifetime {
        claims = claims.with("exp", later(issued, lifetime));
    }
    let header = json!({"kid": "c3RhbmQtaW4ga2V5", "alg": "RS256"}).to_string();
    let encode = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    let claims = claims.edited(&reply.claims).into_text();
    format!("{}.{}.{}", encode(header), encode(claims), random::base64url::<256>())
}

/// A whole number where possible, as Cognito's are; RFC 7519 allows fractions.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "times of this century fit")]
fn later(issued: i64, lifetime: f64) -> Value {
    if lifetime.fract() == 0.0 { (issued + lifetime as i64).into() } else { (issued as f64 + lifetime).into() }
}
