//! What goes on beside the looks: turns of the queues, the proof that the loop turns, and files that may change.

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

/// How often the loop is made to turn, forgotten places in a queue are swept, and files are looked at.
const PULSE: Duration = Duration::from_secs(10);

/// What is shown of the operator itself, whenever the loop is seen to turn.
pub(super) struct Observed {
    pub machine: OperatorMetrics,
    pub wire: Arc<ProviderClient>,
    pub watch: Arc<Watch>,
}

impl Observed {
    fn show(&self, gates: &RateLimiter<Key>) {
        self.machine.set_queue(gates.waiting());
        for (provider, skew) in self.wire.skews() {
            self.machine.set_skew(provider, skew);
        }
        for (kind, up) in self.watch.states() {
            self.machine.set_watch(kind, up);
        }
    }
}

/// Passes the gates' turns on, sweeps their queues, and proves that the loop turns: it wakes a credential that cannot
/// exist, and the beat is that the queue has been through with it.
pub(super) async fn pulse(
    mut turns: mpsc::UnboundedReceiver<Key>,
    wake: mpsc::UnboundedSender<Key>,
    gates: RateLimiter<Key>,
    observed: Observed,
) {
    let nobody = Key::new("", "pulse");
    let mut tick = interval(PULSE);
    loop {
        tokio::select! {
            turn = turns.recv() => match turn {
                Some(key) => drop(wake.send(key)),
                None => return,
            },
            _ = tick.tick() => {
                gates.sweep(clock::steady());
                observed.show(&gates);
                drop(wake.send(nobody.clone()));
            }
        }
    }
}

/// Looks at the files of the way to the providers now and then, and goes by what they say. Whoever replaces a mounted
/// certificate or password need not restart anything; what cannot be used leaves the old way in place, and is told once.
pub(super) async fn follow(files: TransportFiles, mut route: Transport, wire: Arc<ProviderClient>) {
    let mut told = None;
    let mut tick = interval(PULSE);
    loop {
        tick.tick().await;
        let trouble = match files.read() {
            Ok(now) if now == route => None,
            Ok(now) => match wire.set_transport(&now) {
                Ok(()) => {
                    info!("the files of the way to the providers have changed and are in use");
                    route = now;
                    None
                }
                Err(error) => Some(error.to_string()),
            },
            Err(error) => Some(error.to_string()),
        };
        if trouble.is_some() && trouble != told {
            warn!(
                error = trouble,
                "a file of the way to the providers cannot be used; what was read before stays in use"
            );
        }
        told = trouble;
    }
}
