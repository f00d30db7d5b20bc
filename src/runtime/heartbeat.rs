//! Background tasks: the heartbeat of the reconcile loop, and the watch for changes of certificate and login files.

use std::sync::Arc;
use std::time::Duration;

use apicredential::object_key::Key;
use tokio::sync::mpsc;
use tokio::time::interval;
use tracing::{error, info, warn};

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
/// no restart. What a file no longer holds is no longer trusted, even if it holds nothing that can be used. Each problem is
/// logged once.
pub(super) async fn watch_files(files: TransportFiles, mut current: Transport, provider_client: Arc<ProviderClient>) {
    let mut logged = Vec::new();
    let mut tick = interval(INTERVAL);
    loop {
        tick.tick().await;
        let (new, errors) = files.read();
        if new != current {
            match provider_client.set_transport(&new) {
                Ok(()) => info!("the CA file or the proxy login file has changed; its new content is in use"),
                Err(error) => {
                    let error = error.to_string();
                    error!(
                        error,
                        "no request can be sent to a provider since the CA file or the proxy login file has changed"
                    );
                }
            }
            current = new;
        }
        for error in errors.iter().filter(|error| !logged.contains(*error)) {
            let error = error.to_string();
            warn!(
                error,
                "a file that --provider-ca-file or --provider-proxy-credentials-file names cannot be used as it is; what it held before is no longer trusted"
            );
        }
        logged = errors;
    }
}
