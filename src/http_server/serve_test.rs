use std::net::SocketAddr;

use apicredential::api::Provider;
use apicredential::reason::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(10);

const LARGE: usize = 8 * 1024 * 1024;
/// The default timeout of a probe in Kubernetes.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn start_health(limit: Duration) -> (SocketAddr, Health) {
    let ((listener, address), health) = (bind().await, Health::new(limit));
    tokio::spawn(serve_health(listener, health.clone()));
    (address, health)
}

async fn start_metrics(metrics: Metrics) -> SocketAddr {
    let (listener, address) = bind().await;
    tokio::spawn(serve_metrics(listener, metrics));
    address
}

/// A port whose response is larger than what the system buffers for a connection.
async fn start_large() -> SocketAddr {
    let (listener, address) = bind().await;
    let router = Router::new().route("/metrics", get(async || "x".repeat(LARGE)));
    tokio::spawn(connections::serve(listener, "--listen", router));
    address
}

async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    timeout(SOON, stream.read_to_string(&mut response)).await.expect("the connection is closed").unwrap();
    response
}

async fn fetch(address: SocketAddr, path: &str) -> String {
    send(address, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await
}

#[tokio::test]
async fn metrics_are_served_as_openmetrics() {
    let metrics = Metrics::new();
    metrics.exchange_ended(Provider::Welkin, Reason::Issued, Duration::from_millis(5));
    let response = fetch(start_metrics(metrics).await, "/metrics").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(response.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(response.contains("apicredential_exchanges_total{") && response.ends_with("# EOF\n"));
}

#[tokio::test]
async fn readyz_reports_the_readiness() {
    let (address, health) = start_health(SOON).await;
    assert!(fetch(address, "/readyz").await.starts_with("HTTP/1.1 503"));
    for (readiness, code, text) in [
        (Readiness::Standby, 200, "standing by"),
        (Readiness::Leading, 200, "leading"),
        (Readiness::ShuttingDown, 503, "shutting down"),
    ] {
        health.set_ready(readiness);
        let response = fetch(address, "/readyz").await;
        assert!(response.starts_with(&format!("HTTP/1.1 {code}")) && response.contains(text), "{response}");
    }
}

#[tokio::test]
async fn liveness_fails_only_when_the_reconcile_loop_of_a_leader_is_stuck() {
    let (address, health) = start_health(Duration::ZERO).await;
    for readiness in [Readiness::Starting, Readiness::Standby, Readiness::ShuttingDown] {
        health.set_ready(readiness);
        assert!(fetch(address, "/livez").await.starts_with("HTTP/1.1 200"));
    }
    health.set_ready(Readiness::Leading);
    let response = fetch(address, "/livez").await;
    assert!(response.starts_with("HTTP/1.1 500") && response.contains("is stuck"), "{response}");
    assert!(fetch(address, "/readyz").await.starts_with("HTTP/1.1 200"), "readiness is independent of liveness");
}

#[test]
fn a_leader_that_records_progress_is_alive() {
    let health = Health::new(Duration::from_millis(40));
    health.set_ready(Readiness::Leading);
    let deadline = Instant::now() + Duration::from_millis(80);
    while Instant::now() < deadline {
        health.record_progress();
        assert!(health.is_alive() || health.state.lock().unwrap().last_progress.elapsed() >= health.limit);
    }
    while health.is_alive() {
        assert!(Instant::now() < deadline + SOON, "without progress it does not stay alive");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_rejected() {
    let (metrics, (health, _)) = (start_metrics(Metrics::new()).await, start_health(SOON).await);
    for (address, path) in [(metrics, "/"), (metrics, "/livez"), (health, "/"), (health, "/metrics")] {
        assert!(fetch(address, path).await.starts_with("HTTP/1.1 404"), "{path}");
    }
    for (address, path) in [(metrics, "/metrics"), (health, "/readyz")] {
        let post = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
        assert!(send(address, &post).await.starts_with("HTTP/1.1 405"), "{path}");
    }
}

#[tokio::test]
async fn the_server_does_not_wait_for_a_request_body() {
    let address = start_metrics(Metrics::new()).await;
    let post = "POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000000\r\n\r\n";
    assert!(send(address, post).await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn a_connection_serves_one_request() {
    let (address, _) = start_health(SOON).await;
    let twice = "GET /livez HTTP/1.1\r\nHost: test\r\n\r\n".repeat(2);
    assert_eq!(send(address, &twice).await.matches("HTTP/1.1 ").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_whole_head_is_closed_after_two_seconds() {
    let (address, _) = start_health(SOON).await;
    let start = Instant::now();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut dripping = TcpStream::connect(address).await.unwrap();
    let mut response = Vec::new();
    let (read, dripped) = tokio::join!(silent.read_to_end(&mut response), drip(&mut dripping));
    assert!(read.is_ok() && (1..100).contains(&dripped), "{dripped} bytes were taken");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

/// Sends a head that never ends, one byte each tenth of a second, until the connection is closed. Returns how many bytes.
async fn drip(stream: &mut TcpStream) -> usize {
    let (mut reader, mut writer) = stream.split();
    let head = b"GET /livez HTTP/1.1\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x'));
    let mut sent = 0;
    let writing = async {
        for byte in head {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            sent += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let mut response = Vec::new();
    tokio::select! {
        () = writing => {}
        _ = reader.read_to_end(&mut response) => {}
    }
    sent
}

#[tokio::test]
async fn no_probe_fails_while_others_hold_both_ports() {
    let ((probes, _), scrapes) = (start_health(SOON).await, start_large().await);
    for (address, path) in [(probes, "/livez"), (scrapes, "/metrics")] {
        let mut held = Vec::new();
        for _ in 0..64 {
            let mut slow_reader = TcpStream::connect(address).await.unwrap();
            slow_reader.write_all(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes()).await.unwrap();
            held.push(slow_reader);
        }
        for _ in 0..300 {
            held.push(TcpStream::connect(address).await.unwrap());
        }
        let mut dripping = TcpStream::connect(address).await.unwrap();
        let answers = async {
            let mut failed = 0;
            for _ in 0..50 {
                let probe = timeout(PROBE_TIMEOUT, fetch(probes, "/livez")).await;
                failed += usize::from(!probe.is_ok_and(|response| response.starts_with("HTTP/1.1 200")));
            }
            failed
        };
        let (failed, _) = tokio::join!(answers, drip(&mut dripping));
        assert_eq!(failed, 0, "of 50 probes");
        assert!(fetch(scrapes, "/metrics").await.len() > LARGE, "a scrape gets through, too");
    }
}

#[tokio::test]
async fn slow_readers_hold_few_responses_and_a_new_request_is_answered() {
    let address = start_large().await;
    let mut slow_readers = Vec::new();
    for _ in 0..64 {
        let mut slow_reader = TcpStream::connect(address).await.unwrap();
        slow_reader.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
        // The response has begun.
        slow_reader.read_exact(&mut [0; 12]).await.unwrap();
        slow_readers.push(slow_reader);
    }
    assert!(fetch(address, "/metrics").await.len() > LARGE);
    let mut whole = 0;
    for mut slow_reader in slow_readers {
        let mut rest = Vec::new();
        let read = timeout(SOON, slow_reader.read_to_end(&mut rest)).await.expect("it is closed");
        whole += usize::from(read.is_ok() && rest.len() > LARGE);
    }
    assert!((1..=8).contains(&whole), "{whole} responses were held until their clients read them");
}
