//! Background tasks: the heartbeat of the reconcile loop, and the watch for changes of certificate and login files.

use std::sync::Arc;
use std::time::Duration;

use apicredential::object_key::Key;
use tokio::sync::mpsc;
use tokio::time::interval;
use tracing::{info, warn};

use crate::clock;
use crate::controller::watch::Watch;
use crate::metrics::OperatorMetrics;
use crate::provider_client::ProviderClient;
use crate::provider_client::transport::{Transport, TransportFiles};
use crate::rate_limit::RateLimiter;

/// The interval of the heartbeat and of the checks of files.
const INTERVAL: Duration = Duration::from_secs(10);

/// The sources of the metrics that the heartbeat updates.
pub(super) struct Observed {
    pub metrics: OperatorMetrics,
    pub provider_client: Arc<ProviderClient>,
    pub watch: Arc<Watch>,
}

impl Observed {
    fn update(&self, rate_limiter: &RateLimiter<Key>) {
        self.metrics.set_queue(rate_limiter.waiting());
        for (provider, skew) in self.provider_client.skews() {
            self.metrics.set_skew(provider, skew);
        }
        for (kind, up) in self.watch.states() {
            self.metrics.set_watch(kind, up);
        }
    }
}

/// Enqueues the keys whose turn has come in the rate limiter. At each interval it also removes abandoned places from the rate
/// limiter's queues, updates metrics, and enqueues a key that cannot exist. When that key comes out of the work queue, the
/// reconcile loop has made progress.
pub(super) async fn heartbeat(
    mut admitted: mpsc::UnboundedReceiver<Key>,
    enqueue: mpsc::UnboundedSender<Key>,
    rate_limiter: RateLimiter<Key>,
    observed: Observed,
) {
    let heartbeat_key = Key::new("", "heartbeat");
    let mut tick = interval(INTERVAL);
    loop {
        tokio::select! {
            key = admitted.recv() => match key {
                Some(key) => drop(enqueue.send(key)),
                None => return,
            },
            _ = tick.tick() => {
                rate_limiter.sweep(clock::steady());
                observed.update(&rate_limiter);
                drop(enqueue.send(heartbeat_key.clone()));
            }
        }
    }
}

/// Reads the files of the transport at each interval and uses their new content, so that a replaced certificate or login needs
/// no restart. If a file cannot be used, the old content stays in use, and one warning is logged.
pub(super) async fn watch_files(files: TransportFiles, mut current: Transport, provider_client: Arc<ProviderClient>) {
    let mut logged = None;
    let mut tick = interval(INTERVAL);
    loop {
        tick.tick().await;
        let error = match files.read() {
            Ok(new) if new == current => None,
            Ok(new) => match provider_client.set_transport(&new) {
                Ok(()) => {
                    info!("the CA file or the proxy login file has changed; its new content is in use");
                    current = new;
                    None
                }
                Err(error) => Some(error.to_string()),
            },
            Err(error) => Some(error.to_string()),
        };
        if error.is_some() && error != logged {
            warn!(error, "the CA file or the proxy login file cannot be used; its previous content stays in use");
        }
        logged = error;
    }
}
