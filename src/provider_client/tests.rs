//! One exchange against a small TLS server that does whatever a test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apicredential::endpoint::Endpoint;
use apicredential::providers::Lifetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::*;

mod check;
mod server;

use server::{Authority, Server, inputs, install_provider, json, listen, read_request};

const TOKEN: &str = r#"{"clientName":"client","token":"opaque-token","enabled":true}"#;

#[tokio::test]
async fn a_request_has_what_the_vendor_documents_and_nothing_more() {
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
async fn a_chunked_answer_is_read() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let (start, end) = TOKEN.split_at(20);
    let answer = format!("{answer}14\r\n{start}\r\n{:x}\r\n{end}\r\n0\r\n\r\n", end.len());
    assert!(Server::answering(answer).await.exchange().await.is_ok());
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
async fn a_refusal_is_one_request_and_its_pause_is_passed_on() {
    let server = Server::answering(json("429 Too Many Requests", "retry-after: 7\r\n", "{}")).await;
    let failure = server.exchange().await.unwrap_err();
    assert_eq!(failure, ExchangeFailure { reason: Reason::RateLimited, retry_after: Some(Duration::from_secs(7)) });
    let server = Server::answering(json("503 Service Unavailable", "", "{}")).await;
    assert_eq!(server.reason().await, Reason::ProviderUnavailable);
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn an_encoded_answer_is_not_read() {
    let server = Server::answering(json("200 OK", "content-encoding: gzip\r\n", TOKEN)).await;
    assert_eq!(server.reason().await, Reason::UnexpectedEncoding);
}

#[tokio::test]
async fn an_endless_body_is_left_after_64_kib_whatever_length_it_claims() {
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
async fn an_answer_that_is_cut_is_a_failed_connection_and_not_asked_for_again() {
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
async fn a_hanging_or_dripping_server_is_left_at_the_deadline() {
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
async fn a_certificate_that_does_not_fit_is_a_tls_failure() {
    let wrong_host = Server::start("other.example", |_, _| async {}).await;
    assert_eq!(wrong_host.reason().await, Reason::TlsFailed);
    let stranger = Server::answering(json("200 OK", "", TOKEN)).await;
    let wire = wrong_host.wire(Duration::from_secs(10));
    assert_eq!(wire.exchange(&inputs(stranger.address)).await.unwrap_err().reason, Reason::TlsFailed);
    assert_eq!(stranger.requests(), 0);
}

#[tokio::test]
async fn a_handshake_that_is_cut_or_refused_is_a_failed_connection_and_one_that_hangs_a_timeout() {
    let trusted = Server::start("127.0.0.1", |_, _| async {}).await;
    let wire = trusted.wire(Duration::from_secs(10));
    let reason = async |address| wire.exchange(&inputs(address)).await.expect_err("a failure").reason;

    let reset = listen(|stream| async move { drop(stream) }).await;
    assert_eq!(reason(reset).await, Reason::ConnectionFailed);
    let cut = listen(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.shutdown().await;
    })
    .await;
    assert_eq!(reason(cut).await, Reason::ConnectionFailed);
    let deaf = listen(|stream| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let hasty = trusted.wire(Duration::from_secs(1));
    let timeout = hasty.exchange(&inputs(deaf)).await.expect_err("a failure");
    assert_eq!(timeout.reason, Reason::ProviderTimeout);
    let plain = listen(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    assert_eq!(reason(plain).await, Reason::TlsFailed);
    // Held, so that no other test listens there.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    assert_eq!(reason(closed.local_addr().unwrap()).await, Reason::ConnectionFailed);
}

#[tokio::test]
async fn a_name_that_is_not_resolved_is_a_dns_failure() {
    struct NoNames;
    impl reqwest::dns::Resolve for NoNames {
        fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
            Box::pin(async { Err("no such name".into()) })
        }
    }
    install_provider();
    let client = protected(certificates(Authority::new().0.pem().as_bytes()).unwrap()).dns_resolver(NoNames);
    let wire = ProviderClient {
        client: Arc::new(RwLock::new(client.build().unwrap())),
        timeout: Duration::from_secs(5),
        skews: Arc::default(),
    };
    let mut inputs = inputs("127.0.0.1:1".parse().unwrap());
    if let Login::Welkin(login) = &mut inputs {
        login.endpoint = Endpoint::parse("https://nowhere.example").unwrap();
    }
    assert_eq!(wire.exchange(&inputs).await.unwrap_err().reason, Reason::DnsFailed);
}

#[tokio::test]
async fn a_connection_is_kept_and_one_that_closed_meanwhile_costs_no_second_request() {
    // Answers twice on a connection, then closes it without a word.
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
    let wire = server.wire(Duration::from_secs(10));
    let mut sent = 0;
    for _ in 0..20 {
        sent += 1;
        // Without a pause the close races with the next request: it may fail, but it is never sent twice.
        let _ = wire.exchange(&inputs(server.address)).await;
        assert!(server.requests() <= sent);
    }
    assert!(connections.load(Ordering::SeqCst) < 20, "no connection was used again");
}

#[tokio::test]
async fn a_request_that_was_written_to_a_dying_connection_is_not_sent_again() {
    // Answers the first request of the first connection, reads the second one, and closes instead of answering.
    let server = Server::start("127.0.0.1", |mut stream, counter| async move {
        read_request(&mut stream, &counter).await;
        let _ = stream.write_all(json("200 OK", "", TOKEN).as_bytes()).await;
        read_request(&mut stream, &counter).await;
    })
    .await;
    let wire = server.wire(Duration::from_secs(10));
    assert!(wire.exchange(&inputs(server.address)).await.is_ok());
    assert_eq!(wire.exchange(&inputs(server.address)).await.unwrap_err().reason, Reason::ConnectionFailed);
    assert_eq!(server.requests(), 2);
}

#[test]
fn a_ca_file_without_certificates_is_refused() {
    install_provider();
    let broken: &[u8] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for pem in [b"".as_slice(), b"nonsense", broken] {
        let error = ProviderClient::new(Duration::from_secs(1), &Transport::trusting(pem)).err();
        assert_eq!(error, Some(ProviderClientError::BadCertificates));
    }
}

#[tokio::test]
async fn the_log_at_trace_level_has_neither_path_nor_secret_nor_answer() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    // While there is but one, tracing asks the thread's own subscriber whether a callsite is of interest, and keeps the
    // "never" of a thread of another test for everybody.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let server = Server::answering(json("200 OK", "x-header: sentinel-header\r\n", TOKEN)).await;
    assert!(server.exchange().await.is_ok());
    let checked = Server::answering(json("401 Unauthorized", "", "{}")).await;
    let endpoint = Endpoint::parse(&format!("https://{}", checked.address)).unwrap();
    let _ = checked.wire(Duration::from_secs(10)).check(Provider::Qontak, &endpoint, &"opaque-token".into()).await;
    let wrong_host = Server::start("sentinel-name.example", |_, _| async {}).await;
    assert_eq!(wrong_host.reason().await, Reason::TlsFailed);
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("checked a token with its provider"), "{text}");
    assert!(text.contains("a provider was asked for a token") && text.contains("hyper_util"), "{text}");
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
