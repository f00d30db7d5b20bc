use std::net::SocketAddr;

use apicredential::api::Provider;
use apicredential::reason::Reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(10);

struct Served {
    address: SocketAddr,
    health: Health,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

async fn served(metrics: Metrics, limit: Duration) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, health) = (listener.local_addr().unwrap(), Health::new(limit));
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    let task = tokio::spawn(serve(listener, health.clone(), metrics, shutdown));
    Served { address, health, stop, task }
}

async fn send(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(SOON, stream.read_to_string(&mut answer)).await.expect("the connection is closed").unwrap();
    answer
}

async fn fetch(served: &Served, path: &str) -> String {
    send(served.address, &format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await
}

#[tokio::test]
async fn metrics_are_served_as_openmetrics() {
    let metrics = Metrics::new();
    metrics.exchange_ended(Provider::Welkin, Reason::Issued, Duration::from_millis(5));
    let served = served(metrics, SOON).await;
    let answer = fetch(&served, "/metrics").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(answer.contains("apicredential_exchanges_total{") && answer.ends_with("# EOF\n"));
}

#[tokio::test]
async fn readiness_follows_the_one_value() {
    let served = served(Metrics::new(), SOON).await;
    assert!(fetch(&served, "/readyz").await.starts_with("HTTP/1.1 503"));
    for (readiness, code, text) in [
        (Readiness::StandingBy, 200, "standing by"),
        (Readiness::Leading, 200, "leading"),
        (Readiness::ShuttingDown, 503, "shutting down"),
    ] {
        served.health.set_ready(readiness);
        let answer = fetch(&served, "/readyz").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")) && answer.contains(text), "{answer}");
    }
}

#[tokio::test]
async fn liveness_fails_only_when_the_loop_of_a_leader_stands_still() {
    let served = served(Metrics::new(), Duration::ZERO).await;
    for readiness in [Readiness::Starting, Readiness::StandingBy, Readiness::ShuttingDown] {
        served.health.set_ready(readiness);
        assert!(fetch(&served, "/livez").await.starts_with("HTTP/1.1 200"));
    }
    served.health.set_ready(Readiness::Leading);
    let answer = fetch(&served, "/livez").await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("stands still"), "{answer}");
    assert!(fetch(&served, "/readyz").await.starts_with("HTTP/1.1 200"), "one says nothing of the other");
}

#[test]
fn a_beat_keeps_a_leader_alive() {
    let health = Health::new(Duration::from_millis(40));
    health.set_ready(Readiness::Leading);
    let deadline = Instant::now() + Duration::from_millis(80);
    while Instant::now() < deadline {
        health.record_progress();
        assert!(health.is_alive() || health.pulse.lock().unwrap().record_progress.elapsed() >= health.limit);
    }
    while health.is_alive() {
        assert!(Instant::now() < deadline + SOON, "without beats it dies");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let served = served(Metrics::new(), SOON).await;
    assert!(fetch(&served, "/").await.starts_with("HTTP/1.1 404"));
    let post = "POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    assert!(send(served.address, post).await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let served = served(Metrics::new(), SOON).await;
    let post = "POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000000\r\n\r\n";
    assert!(send(served.address, post).await.starts_with("HTTP/1.1 405"));
}

#[tokio::test]
async fn a_slow_peer_is_cut_off_and_makes_room() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bounded = BoundedListener::with_limits(listener, 1, Duration::from_secs(5));
    let router = router(Health::new(SOON), Metrics::new());
    tokio::spawn(async move { axum::serve(bounded, router).await });
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let request = "GET /livez HTTP/1.1\r\nHost: test\r\n\r\n";
    let answer = timeout(SOON, send(address, request)).await.expect("the slow one had the only place");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut rest = Vec::new();
    let closed = timeout(SOON, slow.read_to_end(&mut rest)).await;
    assert!(closed.is_ok());
}

#[tokio::test]
async fn shutdown_ends_the_server_although_a_peer_hangs() {
    let served = served(Metrics::new(), SOON).await;
    let _hanging = TcpStream::connect(served.address).await.unwrap();
    fetch(&served, "/livez").await;
    drop(served.stop);
    timeout(SOON, served.task).await.expect("in time").unwrap().unwrap();
}
