use std::net::SocketAddr;

use apicredential::api::Provider;
use apicredential::reason::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(10);

struct TestServer {
    address: SocketAddr,
    health: Health,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

async fn start(metrics: Metrics, limit: Duration) -> TestServer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, health) = (listener.local_addr().unwrap(), Health::new(limit));
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    let task = tokio::spawn(serve(listener, health.clone(), metrics, shutdown));
    TestServer { address, health, stop, task }
}

async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    timeout(SOON, stream.read_to_string(&mut response)).await.expect("the connection is closed").unwrap();
    response
}

async fn fetch(server: &TestServer, path: &str) -> String {
    send(server.address, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await
}

#[tokio::test]
async fn metrics_are_served_as_openmetrics() {
    let metrics = Metrics::new();
    metrics.exchange_ended(Provider::Welkin, Reason::Issued, Duration::from_millis(5));
    let server = start(metrics, SOON).await;
    let response = fetch(&server, "/metrics").await;
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(response.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(response.contains("apicredential_exchanges_total{") && response.ends_with("# EOF\n"));
}

#[tokio::test]
async fn readyz_reports_the_readiness() {
    let server = start(Metrics::new(), SOON).await;
    assert!(fetch(&server, "/readyz").await.starts_with("HTTP/1.1 503"));
    for (readiness, code, text) in [
        (Readiness::Standby, 200, "standing by"),
        (Readiness::Leading, 200, "leading"),
        (Readiness::ShuttingDown, 503, "shutting down"),
    ] {
        server.health.set_ready(readiness);
        let response = fetch(&server, "/readyz").await;
        assert!(response.starts_with(&format!("HTTP/1.1 {code}")) && response.contains(text), "{response}");
    }
}

#[tokio::test]
async fn liveness_fails_only_when_the_reconcile_loop_of_a_leader_is_stuck() {
    let server = start(Metrics::new(), Duration::ZERO).await;
    for readiness in [Readiness::Starting, Readiness::Standby, Readiness::ShuttingDown] {
        server.health.set_ready(readiness);
        assert!(fetch(&server, "/livez").await.starts_with("HTTP/1.1 200"));
    }
    server.health.set_ready(Readiness::Leading);
    let response = fetch(&server, "/livez").await;
    assert!(response.starts_with("HTTP/1.1 500") && response.contains("is stuck"), "{response}");
    assert!(fetch(&server, "/readyz").await.starts_with("HTTP/1.1 200"), "readiness is independent of liveness");
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
    let server = start(Metrics::new(), SOON).await;
    assert!(fetch(&server, "/").await.starts_with("HTTP/1.1 404"));
    let post = "POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    assert!(send(server.address, post).await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn the_server_does_not_wait_for_a_request_body() {
    let server = start(Metrics::new(), SOON).await;
    let post = "POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000000\r\n\r\n";
    assert!(send(server.address, post).await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn a_slow_client_is_disconnected_and_another_can_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bounded = BoundedListener::with_limits(listener, 1, Duration::from_secs(5));
    let router = router(Health::new(SOON), Metrics::new());
    tokio::spawn(async move { axum::serve(bounded, router).await });
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let request = "GET /livez HTTP/1.1\r\nHost: test\r\n\r\n";
    let response = timeout(SOON, send(address, request)).await.expect("the slow client used the only connection");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let mut rest = Vec::new();
    let closed = timeout(SOON, slow.read_to_end(&mut rest)).await;
    assert!(closed.is_ok());
}

#[tokio::test]
async fn the_server_shuts_down_although_a_client_hangs() {
    let server = start(Metrics::new(), SOON).await;
    let _hanging = TcpStream::connect(server.address).await.unwrap();
    fetch(&server, "/livez").await;
    drop(server.stop);
    timeout(SOON, server.task).await.expect("in time").unwrap().unwrap();
}
