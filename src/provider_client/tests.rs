//! Token exchanges with a small TLS server that follows a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apicredential::endpoint::Endpoint;
use apicredential::providers::Lifetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::*;

mod check;
mod server;

use server::{Server, TestCa, install_provider, json, listen, login, read_request};

const TOKEN: &str = r#"{"clientName":"client","token":"opaque-token","enabled":true}"#;

#[tokio::test]
async fn a_request_contains_what_the_vendor_documents_and_nothing_else() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start("127.0.0.1", move |mut stream, counter| {
        let sender = sender.clone();
        async move {
            let _ = sender.send(read_request(&mut stream, &counter).await);
            let _ = stream.write_all(json("201 Created", "set-cookie: AWSALB=x\r\n", TOKEN).as_bytes()).await;
        }
    })
    .await;
    let issued = server.exchange().await.unwrap();
    assert_eq!(issued.lifetime, Lifetime::Unstated);
    let request = seen.recv().await.flatten().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("host: {}", server.address);
    let agent = format!("user-agent: apicredential-operator/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        lines,
        [
            "POST /gh/admin/api_clients/client HTTP/1.1",
            "accept-encoding: identity",
            "accept: application/json",
            "content-length: 25",
            "content-type: application/json",
            &host,
            &agent,
        ]
    );
    assert_eq!(body, r#"{"secret":"+}B{KGTG6#\""}"#);
}

#[tokio::test]
async fn a_chunked_response_is_read() {
    let response = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let (start, end) = TOKEN.split_at(20);
    let response = format!("{response}14\r\n{start}\r\n{:x}\r\n{end}\r\n0\r\n\r\n", end.len());
    assert!(Server::answering(response).await.exchange().await.is_ok());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let second = Server::answering(json("200 OK", "", TOKEN)).await;
    for status in [301, 302, 303, 304, 305, 306, 307, 308] {
        let location = format!("location: https://{}/\r\n", second.address);
        let first = Server::answering(json(&format!("{status} Moved"), &location, "")).await;
        assert_eq!(first.reason().await, Reason::UnexpectedRedirect);
        assert_eq!(first.requests(), 1);
    }
    assert_eq!(second.requests(), 0);
}

#[tokio::test]
async fn a_rejection_is_not_retried_and_its_retry_after_is_returned() {
    let server = Server::answering(json("429 Too Many Requests", "retry-after: 7\r\n", "{}")).await;
    let failure = server.exchange().await.unwrap_err();
    assert_eq!(failure, ExchangeFailure { reason: Reason::RateLimited, retry_after: Some(Duration::from_secs(7)) });
    let server = Server::answering(json("503 Service Unavailable", "", "{}")).await;
    assert_eq!(server.reason().await, Reason::ProviderUnavailable);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn an_encoded_response_is_not_read() {
    let server = Server::answering(json("200 OK", "content-encoding: gzip\r\n", TOKEN)).await;
    assert_eq!(server.reason().await, Reason::UnexpectedEncoding);
}

#[tokio::test]
async fn reading_of_an_endless_body_stops_after_64_kib_whatever_its_content_length_is() {
    for claim in ["content-length: 10485760", "connection: close"] {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let server = Server::start("127.0.0.1", move |mut stream, counter| {
            let count = Arc::clone(&count);
            async move {
                read_request(&mut stream, &counter).await;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{claim}\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                while count.load(Ordering::SeqCst) < 10 << 20 && stream.write_all(&[b' '; 1024]).await.is_ok() {
                    count.fetch_add(1024, Ordering::SeqCst);
                }
            }
        })
        .await;
        assert_eq!(server.reason().await, Reason::ResponseTooLarge, "{claim}");
        assert!(written.load(Ordering::SeqCst) < 10 << 20, "{claim}");
    }
}

#[tokio::test]
async fn a_body_of_exactly_64_kib_is_read() {
    let padded = format!("{TOKEN}{}", " ".repeat(MAX_BODY - TOKEN.len()));
    assert!(Server::answering(json("200 OK", "", &padded)).await.exchange().await.is_ok());
    let server = Server::answering(json("200 OK", "", &format!("{padded} "))).await;
    assert_eq!(server.reason().await, Reason::ResponseTooLarge);
}

#[tokio::test]
async fn a_truncated_response_is_a_failed_connection_and_the_request_is_not_sent_again() {
    let whole = json("200 OK", "", TOKEN);
    for length in [0, 1, 20, whole.len() - 20, whole.len() - 1] {
        let server = Server::answering(whole.as_bytes()[..length].to_vec()).await;
        assert_eq!(server.reason().await, Reason::ConnectionFailed, "{length} bytes");
        assert_eq!(server.requests(), 1, "{length} bytes");
    }
    let server = Server::answering("SSH-2.0-OpenSSH_9.6\r\n").await;
    assert_eq!(server.reason().await, Reason::ConnectionFailed);
}

#[tokio::test]
async fn a_request_to_a_server_that_hangs_or_is_very_slow_ends_at_the_timeout() {
    let server = Server::start("127.0.0.1", |mut stream, counter| async move {
        read_request(&mut stream, &counter).await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(server.reason_within(Duration::from_millis(500)).await, Reason::ProviderTimeout);
    let server = Server::start("127.0.0.1", |mut stream, counter| async move {
        read_request(&mut stream, &counter).await;
        for byte in json("200 OK", "", TOKEN).as_bytes() {
            let _ = stream.write_all(&[*byte]).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    assert_eq!(server.reason_within(Duration::from_secs(5)).await, Reason::ProviderTimeout);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn a_certificate_for_another_host_or_of_an_unknown_ca_is_a_tls_failure() {
    let wrong_host = Server::start("other.example", |_, _| async {}).await;
    assert_eq!(wrong_host.reason().await, Reason::TlsFailed);
    let unknown_ca = Server::answering(json("200 OK", "", TOKEN)).await;
    let client = wrong_host.client(Duration::from_secs(10));
    assert_eq!(client.exchange(&login(unknown_ca.address)).await.unwrap_err().reason, Reason::TlsFailed);
    assert_eq!(unknown_ca.requests(), 0);
}

#[tokio::test]
async fn a_handshake_that_breaks_off_is_a_failed_connection_and_one_that_hangs_is_a_timeout() {
    let trusted = Server::start("127.0.0.1", |_, _| async {}).await;
    let client = trusted.client(Duration::from_secs(10));
    let reason = async |address| client.exchange(&login(address)).await.expect_err("a failure").reason;

    let reset = listen(|stream| async move { drop(stream) }).await;
    assert_eq!(reason(reset).await, Reason::ConnectionFailed);
    let closed_early = listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.shutdown().await;
    })
    .await;
    assert_eq!(reason(closed_early).await, Reason::ConnectionFailed);
    let silent = listen(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let impatient = trusted.client(Duration::from_secs(1));
    let timeout = impatient.exchange(&login(silent)).await.expect_err("a failure");
    assert_eq!(timeout.reason, Reason::ProviderTimeout);
    let plain = listen(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    assert_eq!(reason(plain).await, Reason::TlsFailed);
    // Kept bound, so that no other test can listen on this port.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    assert_eq!(reason(closed.local_addr().unwrap()).await, Reason::ConnectionFailed);
}

#[tokio::test]
async fn a_host_name_that_cannot_be_resolved_is_a_dns_failure() {
    struct NoNames;
    impl reqwest::dns::Resolve for NoNames {
        fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
            Box::pin(async { Err("no such name".into()) })
        }
    }
    install_provider();
    let client = hardened_builder(vec![Certificate::from_der(TestCa::new().0.der()).unwrap()]).dns_resolver(NoNames);
    let client = ProviderClient {
        client: Arc::new(RwLock::new(Some(client.build().unwrap()))),
        timeout: Duration::from_secs(5),
        skews: Arc::default(),
    };
    let mut login = login("127.0.0.1:1".parse().unwrap());
    if let Login::Welkin(welkin) = &mut login {
        welkin.endpoint = Endpoint::parse("https://nowhere.example").unwrap();
    }
    assert_eq!(client.exchange(&login).await.unwrap_err().reason, Reason::DnsFailed);
}

#[tokio::test]
async fn a_connection_is_reused_and_one_that_the_server_closed_causes_no_second_request() {
    // Responds to two requests on a connection and then closes it.
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let server = Server::start("127.0.0.1", move |mut stream, counter| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            for _ in 0..2 {
                read_request(&mut stream, &counter).await;
                let _ = stream.write_all(json("200 OK", "", TOKEN).as_bytes()).await;
            }
        }
    })
    .await;
    let client = server.client(Duration::from_secs(10));
    let mut sent = 0;
    for _ in 0..20 {
        sent += 1;
        // The close races with the next request: the request may fail, but it is never sent twice.
        let _ = client.exchange(&login(server.address)).await;
        assert!(server.requests() <= sent);
    }
    assert!(connections.load(Ordering::SeqCst) < 20, "no connection was reused");
}

#[tokio::test]
async fn a_request_on_a_connection_that_the_server_closes_is_not_sent_again() {
    // Responds to the first request, reads the second one, and closes the connection without a response.
    let server = Server::start("127.0.0.1", |mut stream, counter| async move {
        read_request(&mut stream, &counter).await;
        let _ = stream.write_all(json("200 OK", "", TOKEN).as_bytes()).await;
        read_request(&mut stream, &counter).await;
    })
    .await;
    let client = server.client(Duration::from_secs(10));
    assert!(client.exchange(&login(server.address)).await.is_ok());
    assert_eq!(client.exchange(&login(server.address)).await.unwrap_err().reason, Reason::ConnectionFailed);
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_ca_that_is_withdrawn_is_no_longer_trusted() {
    let server = Server::answering(json("200 OK", "", TOKEN)).await;
    let client = server.client(Duration::from_secs(10));
    assert!(client.exchange(&login(server.address)).await.is_ok());
    // Without CAs of the system's the new transport cannot be used; the old one is not used either.
    let _ = client.set_transport(&Transport::trusting(b""));
    assert_eq!(client.exchange(&login(server.address)).await.unwrap_err().reason, Reason::TlsFailed);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn the_log_at_trace_level_contains_no_path_no_secret_and_no_response() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    // With a single subscriber, tracing caches for all threads whether a callsite is enabled in the current thread, and the
    // thread of another test could disable it. A second subscriber prevents this.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let server = Server::answering(json("200 OK", "x-header: sentinel-header\r\n", TOKEN)).await;
    assert!(server.exchange().await.is_ok());
    let checked = Server::answering(json("401 Unauthorized", "", "{}")).await;
    let endpoint = Endpoint::parse(&format!("https://{}", checked.address)).unwrap();
    let _ = checked.client(Duration::from_secs(10)).check(Provider::Qontak, &endpoint, &"opaque-token".into()).await;
    let wrong_host = Server::start("sentinel-name.example", |_, _| async {}).await;
    assert_eq!(wrong_host.reason().await, Reason::TlsFailed);
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("checked a token with its provider"), "{text}");
    assert!(text.contains("token request finished") && text.contains("hyper_util"), "{text}");
    for sentinel in ["KGTG6", "opaque-token", "sentinel", "api_clients"] {
        assert!(!text.contains(sentinel), "{text}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
