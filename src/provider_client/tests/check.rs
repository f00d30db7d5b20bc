//! Token checks with a small TLS server.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use secrecy::SecretString;

use super::server::{Server, json, read_request};
use super::*;
use crate::provider_client::TokenCheck;

const TOKEN: &str = "WPuW1u-v21SkfqfC7NNBD9NvNg3ojy8ftuUpVy3ArbU";

impl Server {
    async fn check(&self, timeout: Duration) -> TokenCheck {
        check(&self.client(timeout), self).await
    }
}

async fn check(client: &ProviderClient, server: &Server) -> TokenCheck {
    let endpoint = Endpoint::parse(&format!("https://{}", server.address)).unwrap();
    client.check(Provider::Qontak, &endpoint, &SecretString::from(TOKEN)).await
}

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_check_contains_what_the_vendor_documents_and_nothing_else() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start("127.0.0.1", move |mut stream, counter| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(read_request(&mut stream, &counter).await);
            let _ = stream.write_all(json("200 OK", "", "{}").as_bytes()).await;
        }
    })
    .await;
    assert_eq!(server.check(LONG).await, TokenCheck::Accepted);
    let request = seen.recv().await.flatten().unwrap();
    let mut lines: Vec<&str> = request.trim_end().lines().collect();
    lines[1..].sort_unstable();
    assert_eq!(
        lines,
        [
            "GET /api/open/v1/health HTTP/1.1",
            "accept-encoding: identity",
            "accept: application/json",
            &format!("authorization: Bearer {TOKEN}"),
            &format!("host: {}", server.address),
            &format!("user-agent: apicredential-operator/{}", env!("CARGO_PKG_VERSION")),
        ]
    );
}

#[tokio::test]
async fn a_provider_without_a_documented_check_receives_no_request() {
    let server = Server::answering(json("200 OK", "", "{}")).await;
    let endpoint = Endpoint::parse(&format!("https://{}", server.address)).unwrap();
    assert!(!Provider::Welkin.has_check() && Provider::Qontak.has_check());
    let result = server.client(LONG).check(Provider::Welkin, &endpoint, &SecretString::from(TOKEN)).await;
    assert_eq!(result, TokenCheck::Unavailable(Reason::InvalidSpec.into()));
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn a_check_is_one_request_whatever_the_response_and_a_redirect_is_not_followed() {
    let second = Server::answering(json("200 OK", "", "{}")).await;
    let location = format!("location: https://{}/\r\n", second.address);
    for (status, headers, expected) in [
        ("200 OK", "", TokenCheck::Accepted),
        ("204 No Content", "", TokenCheck::Accepted),
        ("401 Unauthorized", "www-authenticate: Bearer error=\"invalid_token\"\r\n", TokenCheck::Revoked),
        ("403 Forbidden", "", TokenCheck::Unavailable(Reason::UnexpectedStatus.into())),
        ("503 Service Unavailable", "", TokenCheck::Unavailable(Reason::ProviderUnavailable.into())),
        ("302 Found", location.as_str(), TokenCheck::Unavailable(Reason::UnexpectedRedirect.into())),
        ("307 Temporary Redirect", location.as_str(), TokenCheck::Unavailable(Reason::UnexpectedRedirect.into())),
    ] {
        let server = Server::answering(json(status, headers, "")).await;
        assert_eq!(server.check(LONG).await, expected, "{status}");
        assert_eq!(server.requests(), 1, "{status}");
    }
    assert_eq!(second.requests(), 0);
}

#[tokio::test]
async fn a_failed_connection_does_not_mean_that_the_token_is_revoked() {
    let cut = Server::answering("HTTP/1.1 401 Unauth").await;
    assert_eq!(cut.check(LONG).await, TokenCheck::Unavailable(Reason::ConnectionFailed.into()));
    assert_eq!(cut.requests(), 1);
    let wrong_host = Server::start("other.example", |_, _| async {}).await;
    assert_eq!(wrong_host.check(LONG).await, TokenCheck::Unavailable(Reason::TlsFailed.into()));
    let silent = Server::start("127.0.0.1", |mut stream, counter| async move {
        read_request(&mut stream, &counter).await;
        std::future::pending::<()>().await;
    })
    .await;
    let result = silent.check(Duration::from_millis(500)).await;
    assert_eq!(result, TokenCheck::Unavailable(Reason::ProviderTimeout.into()));
}

#[tokio::test]
async fn the_status_is_the_result_and_the_body_is_not_read() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let server = Server::start("127.0.0.1", move |mut stream, counter| {
        let count = Arc::clone(&count);
        async move {
            read_request(&mut stream, &counter).await;
            let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 104857600\r\n\r\n").await;
            while count.load(Ordering::SeqCst) < 100 << 20 && stream.write_all(&[b' '; 1024]).await.is_ok() {
                count.fetch_add(1024, Ordering::SeqCst);
            }
        }
    })
    .await;
    let client = server.client(LONG);
    assert_eq!(check(&client, &server).await, TokenCheck::Revoked);
    drop(client);
    assert!(written.load(Ordering::SeqCst) < 100 << 20);
}

#[tokio::test]
async fn checks_reuse_a_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let server = Server::start("127.0.0.1", move |mut stream, counter| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            while read_request(&mut stream, &counter).await.is_some() {
                let _ = stream.write_all(json("200 OK", "", r#"{"status":"success"}"#).as_bytes()).await;
            }
        }
    })
    .await;
    let client = server.client(LONG);
    for _ in 0..5 {
        assert_eq!(check(&client, &server).await, TokenCheck::Accepted);
        // A separate task returns the connection to the pool.
        tokio::task::yield_now().await;
    }
    assert_eq!(server.requests(), 5);
    assert!(connections.load(Ordering::SeqCst) < 5, "no connection was reused");
}
