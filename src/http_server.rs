//! `/metrics`, `/livez` and `/readyz`.
//!
//! Liveness says nothing of readiness. A restart heals a process whose loop stands still, and nothing else: not an API
//! server that is away, not a provider that fails, not a lease that another replica holds. So `/livez` asks only for
//! the heartbeat of the loop, and only while there is a loop, on the leader.

mod connection;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::metrics::Metrics;
use connection::BoundedListener;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// After the shutdown signal, answers that are under way get this long.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);

/// Where the process stands; the one source of the code and the text of `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet able to lead or to stand by.
    Starting,
    /// Another replica leads. Ready: a rolling update must not wait for a leader that it is about to end.
    StandingBy,
    /// This replica leads and its caches are filled.
    Leading,
    /// On the way out.
    ShuttingDown,
}

impl Readiness {
    const fn status(self) -> StatusCode {
        match self {
            Self::StandingBy | Self::Leading => StatusCode::OK,
            Self::Starting | Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Starting => "starting\n",
            Self::StandingBy => "standing by: another replica leads\n",
            Self::Leading => "leading\n",
            Self::ShuttingDown => "shutting down\n",
        }
    }
}

/// The heartbeat and the readiness; a clone is another handle on the same.
#[derive(Clone, Debug)]
pub struct Health {
    limit: Duration,
    pulse: Arc<Mutex<Pulse>>,
}

#[derive(Debug)]
struct Pulse {
    readiness: Readiness,
    /// Here a clock that stands still while the machine sleeps is the right one: a sleeping loop is not a stuck loop.
    record_progress: Instant,
}

impl Health {
    /// Starting; while leading, alive as long as the last beat is younger than `limit`.
    pub fn new(limit: Duration) -> Self {
        let pulse = Pulse { readiness: Readiness::Starting, record_progress: Instant::now() };
        Self { limit, pulse: Arc::new(Mutex::new(pulse)) }
    }

    /// The reconcile loop turned.
    pub fn record_progress(&self) {
        self.change(|pulse| pulse.record_progress = Instant::now());
    }

    /// Says where the process stands from now on. Counts as a beat.
    pub fn set_ready(&self, readiness: Readiness) {
        self.change(|pulse| *pulse = Pulse { readiness, record_progress: Instant::now() });
    }

    /// Where the process stands.
    pub fn readiness(&self) -> Readiness {
        self.change(|pulse| pulse.readiness)
    }

    /// False once the loop of a leader stands still.
    pub fn is_alive(&self) -> bool {
        self.change(|pulse| pulse.readiness != Readiness::Leading || pulse.record_progress.elapsed() < self.limit)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Pulse) -> T) -> T {
        // A panic elsewhere leaves two plain values that are right one by one.
        change(&mut self.pulse.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers on `listener` until `shutdown` resolves, and then at most two seconds longer.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
    shutdown: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (stop, stopped) = oneshot::channel::<()>();
    let server = axum::serve(BoundedListener::new(listener), router(health, metrics));
    let server = server.with_graceful_shutdown(async move { drop(stopped.await) });
    tokio::select! {
        ended = server.into_future() => ended,
        () = async {
            shutdown.await;
            drop(stop);
            sleep(SHUTDOWN_GRACE).await;
        } => Ok(()),
    }
}

fn router(health: Health, metrics: Metrics) -> Router {
    let scrape = async |State(metrics): State<Metrics>| answer(StatusCode::OK, OPENMETRICS, metrics.encode());
    let probes = Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(health);
    Router::new()
        .route("/metrics", get(scrape))
        .with_state(metrics)
        .merge(probes)
        .fallback(async || answer(StatusCode::NOT_FOUND, PLAIN, "not found: try /metrics, /livez or /readyz\n"))
        .method_not_allowed_fallback(async || answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is answered\n"))
}

async fn livez(State(health): State<Health>) -> Response {
    if health.is_alive() {
        answer(StatusCode::OK, PLAIN, "alive\n")
    } else {
        answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the reconcile loop stands still\n")
    }
}

async fn readyz(State(health): State<Health>) -> Response {
    let readiness = health.readiness();
    answer(readiness.status(), PLAIN, readiness.text())
}

/// One answer per connection, so that the connection's deadline never cuts a later request in two.
fn answer(status: StatusCode, content_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
#[path = "http_server/serve_test.rs"]
mod tests;
