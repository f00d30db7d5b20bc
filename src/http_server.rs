//! `/metrics` on one port, `/livez` and `/readyz` on another.
//!
//! Probes have a port of their own, so that a client with access to the metrics cannot keep a probe waiting: a NetworkPolicy can
//! leave that port to the kubelet.
//!
//! Liveness is independent of readiness. A restart only helps a process whose reconcile loop is stuck. It does not help when
//! the API server is unavailable, a provider fails or another replica holds the lease. So `/livez` checks the heartbeat of
//! the reconcile loop and nothing else, and only on the leader, where the loop runs.

mod connections;

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::metrics::Metrics;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The state of the process. It determines the status code and the text of `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The process can neither lead nor stand by yet.
    Starting,
    /// Another replica leads. A standby counts as ready, because a rolling update must not wait until it becomes the leader.
    Standby,
    /// This replica leads and its caches are filled.
    Leading,
    /// The process is shutting down.
    ShuttingDown,
}

impl Readiness {
    const fn status(self) -> StatusCode {
        match self {
            Self::Standby | Self::Leading => StatusCode::OK,
            Self::Starting | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Starting => "starting\n",
            Self::Standby => "standing by: another replica leads\n",
            Self::Leading => "leading\n",
            Self::ShuttingDown => "shutting down\n",
        }
    }
}

/// The heartbeat and the readiness. Clones share them.
#[derive(Clone, Debug)]
pub struct Health {
    limit: Duration,
    state: Arc<Mutex<HealthState>>,
}

#[derive(Debug)]
struct HealthState {
    readiness: Readiness,
    /// When the reconcile loop last made progress. This clock stops while the machine is suspended, which is intended: a
    /// suspended loop is not stuck.
    last_progress: Instant,
}

impl Health {
    /// The initial state: starting. A leader counts as alive while its last progress is less than `limit` ago.
    pub fn new(limit: Duration) -> Self {
        let state = HealthState { readiness: Readiness::Starting, last_progress: Instant::now() };
        Self { limit, state: Arc::new(Mutex::new(state)) }
    }

    /// Records that the reconcile loop made progress.
    pub fn record_progress(&self) {
        self.with_state(|state| state.last_progress = Instant::now());
    }

    /// Sets the readiness. This also counts as progress.
    pub fn set_ready(&self, readiness: Readiness) {
        self.with_state(|state| *state = HealthState { readiness, last_progress: Instant::now() });
    }

    /// The readiness that was set last.
    pub fn readiness(&self) -> Readiness {
        self.with_state(|state| state.readiness)
    }

    /// False if this replica leads and its reconcile loop is stuck.
    pub fn is_alive(&self) -> bool {
        self.with_state(|state| state.readiness != Readiness::Leading || state.last_progress.elapsed() < self.limit)
    }

    fn with_state<T>(&self, action: impl FnOnce(&mut HealthState) -> T) -> T {
        // A panic while the lock was held cannot leave the state invalid.
        action(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Serves the probes on the listener of `--health-listen`, until the future is dropped.
pub async fn serve_health(listener: TcpListener, health: Health) -> Infallible {
    connections::serve(listener, "--health-listen", health_router(health)).await
}

/// Serves the metrics on the listener of `--listen`, until the future is dropped.
pub async fn serve_metrics(listener: TcpListener, metrics: Metrics) -> Infallible {
    connections::serve(listener, "--listen", metrics_router(metrics)).await
}

fn health_router(health: Health) -> Router {
    let probes = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(health);
    with_fallbacks(probes, "not found: try /livez or /readyz\n")
}

fn metrics_router(metrics: Metrics) -> Router {
    let scrape = async |State(metrics): State<Metrics>| respond(StatusCode::OK, OPENMETRICS, metrics.encode());
    with_fallbacks(Router::new().route("/metrics", get(scrape)).with_state(metrics), "not found: try /metrics\n")
}

fn with_fallbacks(router: Router, not_found: &'static str) -> Router {
    router.fallback(async move || respond(StatusCode::NOT_FOUND, PLAIN, not_found)).method_not_allowed_fallback(
        async || respond(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "method not allowed: use GET\n"),
    )
}

async fn livez(State(health): State<Health>) -> Response {
    if health.is_alive() {
        respond(StatusCode::OK, PLAIN, "alive\n")
    } else {
        respond(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the reconcile loop is stuck\n")
    }
}

async fn readyz(State(health): State<Health>) -> Response {
    let readiness = health.readiness();
    respond(readiness.status(), PLAIN, readiness.text())
}

fn respond(status: StatusCode, content_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
#[path = "http_server/serve_test.rs"]
mod tests;
