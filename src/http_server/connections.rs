//! The connections of one port: how many may be open, and for how long.
//!
//! A port can be reached from the whole cluster network. Without these limits a client that sends nothing, that sends its
//! request byte by byte, or that does not read the response could exhaust memory or file descriptors, or keep a probe waiting.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;
use tower::ServiceExt as _;
use tracing::warn;

/// The time for the whole head of a request. A probe sends it with its first packet.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// A scrape of ten thousand ApiCredentials takes well under a second; Prometheus itself gives up after 10 s by default.
const LIFETIME: Duration = Duration::from_secs(15);

/// Connections that may wait for the head of their request at once.
const HEADS: usize = 64;

/// Responses that may be sent at once. Each holds its whole body: the metrics of ten thousand ApiCredentials are several MB.
const RESPONSES: usize = 8;

/// The delay before the next accept after an error such as "too many open files".
const ERROR_DELAY: Duration = Duration::from_secs(1);

/// Serves one request on each connection, until the future is dropped. `flag` names the listener in the log.
pub async fn serve(listener: TcpListener, flag: &'static str, router: Router) -> Infallible {
    let (heads, responses) = (OldestGoes::new(HEADS), OldestGoes::new(RESPONSES));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, router.clone(), heads.clone(), responses.clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(flag, kind = %error.kind(), "cannot accept a connection; trying again in 1s");
                sleep(ERROR_DELAY).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, heads: OldestGoes, responses: OldestGoes) {
    let close = Arc::new(Notify::new());
    heads.add(&close);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        heads.remove(&close);
        responses.add(&close);
        router.clone().oneshot(request)
    });
    let mut http = http1::Builder::new();
    // One request for each connection, so that the lifetime of a connection never cuts off a later request.
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).keep_alive(false);
    tokio::select! {
        // How a connection ends concerns only its client.
        _ = http.serve_connection(TokioIo::new(stream), service) => {}
        () = close.notified() => {}
        () = sleep(LIFETIME) => {}
    }
}

/// Connections in the order in which they were added. Over the limit, the oldest is closed: a new one is more likely to come
/// from a client that behaves. Clones share the connections.
#[derive(Clone)]
struct OldestGoes {
    limit: usize,
    connections: Arc<Mutex<VecDeque<Weak<Notify>>>>,
}

impl OldestGoes {
    fn new(limit: usize) -> Self {
        Self { limit, connections: Arc::default() }
    }

    fn add(&self, close: &Arc<Notify>) {
        self.with(|connections| {
            connections.retain(|open| open.strong_count() > 0);
            connections.push_back(Arc::downgrade(close));
            if connections.len() > self.limit
                && let Some(oldest) = connections.pop_front().and_then(|oldest| oldest.upgrade())
            {
                oldest.notify_one();
            }
        });
    }

    fn remove(&self, close: &Arc<Notify>) {
        self.with(|connections| connections.retain(|open| !std::ptr::eq(open.as_ptr(), Arc::as_ptr(close))));
    }

    fn with(&self, change: impl FnOnce(&mut VecDeque<Weak<Notify>>)) {
        // A panic while the lock was held cannot leave the list invalid.
        change(&mut self.connections.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
