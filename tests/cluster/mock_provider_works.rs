//! Tests of the mock provider: it must respond as the vendors do, or the tests that use it prove nothing.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::support::provider::{Front, MockProvider, QONTAK_CLIENT_ID, QONTAK_CLIENT_SECRET, Reply};
use crate::support::space::poll;

#[tokio::test]
async fn welkin_returns_a_token_in_the_documented_format_and_counts() {
    let mock_provider = MockProvider::start();
    let client = mock_provider.welkin("VBOPNRYRWJIP");
    client.accept("right").lifetime(90.0);
    let (status, body) = request_welkin(&mock_provider, "VBOPNRYRWJIP", "right").await;
    assert_eq!((status, &body["clientName"], &body["enabled"]), (201, &json!("VBOPNRYRWJIP"), &json!(true)));
    let token = body["token"].as_str().unwrap();
    let claims = claims(token);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 90);
    let (status, again) = request_welkin(&mock_provider, "VBOPNRYRWJIP", "right").await;
    assert_eq!(status, 200, "both codes occur in the field");
    assert_ne!(again["token"], body["token"]);
    assert_eq!(client.count(), 2);
    assert_eq!(client.tokens()[0].text, token);
}

#[tokio::test]
async fn welkin_rejects_a_wrong_secret_and_an_unknown_client_with_arrays() {
    let mock_provider = MockProvider::start();
    let client = mock_provider.welkin("known");
    client.accept("right");
    let (status, body) = request_welkin(&mock_provider, "known", "wrong").await;
    assert_eq!(status, 401);
    assert!(body[0]["errorCode"].is_string());
    assert_eq!(client.requests()[0].secret, "wrong");
    let (status, body) = request_welkin(&mock_provider, "stranger", "wrong").await;
    assert_eq!(status, 404);
    assert!(body[0]["errorCode"].is_string());
    assert_eq!(mock_provider.total(), 2);
}

#[tokio::test]
async fn qontak_returns_the_same_token_with_fewer_seconds_while_it_is_valid() {
    let mock_provider = MockProvider::start();
    let user = mock_provider.qontak("user");
    user.accept("right").lifetime(3600.5).reuse_tokens(true);
    let (status, first) = request_qontak(&mock_provider, "user", "right").await;
    assert_eq!((status, &first["token_type"]), (201, &json!("Bearer")));
    let fewer = poll(Duration::from_secs(10), async || {
        let (_, next) = request_qontak(&mock_provider, "user", "right").await;
        let same = next["access_token"] == first["access_token"];
        (same && next["expires_in"].as_f64() < first["expires_in"].as_f64()).then_some(next)
    });
    assert_eq!(fewer.await.expect("fewer seconds")["created_at"], first["created_at"]);
    mock_provider.set_clock(SignedDuration::from_secs(3601));
    let (_, next) = request_qontak(&mock_provider, "user", "right").await;
    assert_ne!(next["access_token"], first["access_token"], "a new token once the first has expired");
    assert_eq!(user.tokens().len(), 2);
}

#[tokio::test]
async fn qontak_rejects_in_the_format_of_doorkeeper() {
    let mock_provider = MockProvider::start();
    mock_provider.qontak("user").accept("right");
    let (status, body) = request_qontak(&mock_provider, "user", "wrong").await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
    mock_provider.qontak("user").accept_oauth_client("other", "client");
    let (status, body) = request_qontak(&mock_provider, "user", "right").await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_client")));
}

#[tokio::test]
async fn the_health_page_accepts_a_valid_token() {
    let mock_provider = MockProvider::start();
    let user = mock_provider.qontak("user");
    let (_, body) = request_qontak(&mock_provider, "user", "any").await;
    let url = format!("{}/api/open/v1/health", mock_provider.origin());
    let health = async |token: &str| {
        let request = http_client(&mock_provider).get(&url).bearer_auth(token);
        request.send().await.unwrap().status().as_u16()
    };
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(health(token).await, 200);
    assert_eq!(health("another").await, 401);
    user.revoke_tokens();
    assert_eq!(health(token).await, 401);
}

#[tokio::test]
async fn scripted_replies_come_in_order_and_then_the_usual_one() {
    let mock_provider = MockProvider::start();
    let client = mock_provider.welkin("c");
    client.next(Reply::error(503).header("retry-after", "7")).next(Reply::token().field_text("expires_in", "1e400"));
    client.next(Reply::token().field("enabled", false).without_field("token").claim("exp", 1));
    assert_eq!(request_welkin(&mock_provider, "c", "s").await.0, 503);
    let text =
        send(&mock_provider, "gh/admin/api_clients/c", &json!({"secret": "s"})).await.unwrap().text().await.unwrap();
    assert!(text.ends_with(r#""expires_in":1e400}"#), "{text}");
    let (_, third) = request_welkin(&mock_provider, "c", "s").await;
    assert_eq!(third, json!({"clientName": "c", "enabled": false}));
    assert_eq!(request_welkin(&mock_provider, "c", "s").await.0, 200);
}

#[tokio::test]
async fn a_body_can_be_large_or_cut_or_a_bomb_or_never_come() {
    let mock_provider = MockProvider::start();
    let client = mock_provider.welkin("c");
    client.next(Reply::filler(10_000_000)).next(Reply::token().cut(40)).next(Reply::gzip_bomb()).next(Reply::hang());
    let ask = async || send(&mock_provider, "gh/admin/api_clients/c", &json!({"secret": "s"})).await;
    let large = ask().await.unwrap().bytes().await.unwrap();
    assert_eq!(large.len(), 10_000_000);
    serde_json::from_slice::<Value>(&large).unwrap();
    assert!(ask().await.unwrap().bytes().await.is_err(), "the connection ends before the body does");
    let bomb = ask().await.unwrap();
    assert_eq!(bomb.headers()["content-encoding"], "gzip");
    assert!(bomb.bytes().await.unwrap().len() < 2_000_000);
    tokio::select! {
        _ = ask() => panic!("it hangs"),
        () = async { while client.in_flight() == 0 { tokio::task::yield_now().await } } => {}
    }
    let gone = poll(Duration::from_secs(10), async || (client.in_flight() == 0).then_some(()));
    gone.await.expect("a request whose connection is closed is not in flight");
    assert_eq!((client.count(), client.max_in_flight()), (4, 1));
}

#[tokio::test]
async fn a_wrong_certificate_is_rejected_by_a_client_that_verifies() {
    for front in [Front::SelfSigned, Front::WrongHost, Front::Expired, Front::Cut] {
        let mock_provider = MockProvider::with_front(front);
        mock_provider.welkin("c");
        assert!(send(&mock_provider, "gh/admin/api_clients/c", &json!({"secret": "s"})).await.is_err(), "{front:?}");
        assert_eq!(mock_provider.total(), 0, "{front:?}");
        assert!(mock_provider.connections() > 0, "{front:?}");
    }
}

async fn request_welkin(mock_provider: &MockProvider, client: &str, secret: &str) -> (u16, Value) {
    let path = format!("gh/admin/api_clients/{client}");
    let response = send(mock_provider, &path, &json!({ "secret": secret })).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn request_qontak(mock_provider: &MockProvider, username: &str, password: &str) -> (u16, Value) {
    let body = json!({
        "username": username,
        "password": password,
        "grant_type": "password",
        "client_id": QONTAK_CLIENT_ID,
        "client_secret": QONTAK_CLIENT_SECRET,
    });
    let response = send(mock_provider, "oauth/token", &body).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn send(mock_provider: &MockProvider, path: &str, body: &Value) -> reqwest::Result<reqwest::Response> {
    http_client(mock_provider).post(format!("{}/{path}", mock_provider.origin())).json(body).send().await
}

fn http_client(mock_provider: &MockProvider) -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    let ca = reqwest::Certificate::from_pem(mock_provider.ca_pem().as_bytes()).unwrap();
    reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap()
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
