//! Records each renewal, with a watch of the targets' metadata: when it was planned, and when it was written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apicredential::annotations;
use apicredential::schedule::{Expiry, Margin, Policy, Timings, TokenLifetime, renewal_time};
use apicredential_operator::clock;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use tokio::task::JoinHandle;

/// Passed to the operator, too, so that tokens of some seconds can be renewed.
pub const MIN_RENEWAL_INTERVAL: Duration = Duration::from_secs(1);

/// A token as described by its Secret's annotations.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stored {
    issued: Timestamp,
    expires: Timestamp,
    planned: Timestamp,
}

/// A token that was replaced.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    pub planned: Timestamp,
    pub expired: Timestamp,
    pub written: Timestamp,
}

impl Renewal {
    /// Seconds from the planned time to the write, as a watch saw it.
    pub fn lateness(&self) -> f64 {
        self.written.duration_since(self.planned).as_secs_f64()
    }
}

#[derive(Default)]
struct Observed {
    stored: HashMap<String, Stored>,
    renewals: Vec<Renewal>,
}

pub struct Renewals {
    seen: Arc<Mutex<Observed>>,
    task: JoinHandle<()>,
}

impl Renewals {
    pub fn watch(client: &Client) -> Self {
        let seen: Arc<Mutex<Observed>> = Arc::default();
        let secrets: Api<PartialObjectMeta<Secret>> = Api::all(client.clone());
        let config = watcher::Config::default().labels(annotations::MANAGED).timeout(280);
        let sink = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let events = watcher(secrets, config).default_backoff();
            events
                .for_each(|event| {
                    if let Ok(watcher::Event::Apply(secret) | watcher::Event::InitApply(secret)) = event {
                        sink.lock().unwrap_or_else(PoisonError::into_inner).take(&secret);
                    }
                    futures::future::ready(())
                })
                .await;
        });
        Self { seen, task }
    }

    pub fn all(&self) -> Vec<Renewal> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).renewals.clone()
    }

    /// The planned renewals of the stored tokens, by the ApiCredential's name.
    pub fn planned(&self) -> HashMap<String, Timestamp> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.stored.iter().map(|(name, stored)| (name.clone(), stored.planned)).collect()
    }

    /// Waits until no renewal is late by more than a second.
    pub async fn caught_up(&self, patience: Duration) {
        let began = Instant::now();
        while self.planned().values().any(|planned| clock::now().duration_since(*planned).as_secs() >= 1) {
            assert!(began.elapsed() < patience, "the renewals do not catch up");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stored tokens that have expired.
    pub fn expired(&self) -> usize {
        let now = clock::now();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.stored.values().filter(|stored| stored.expires <= now).count()
    }
}

impl Drop for Renewals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Observed {
    fn take(&mut self, secret: &PartialObjectMeta<Secret>) {
        let now = clock::now();
        let text = |name: &str| secret.annotations().get(name).cloned().unwrap_or_default();
        let (Ok(issued), Ok(expires)) = (text(annotations::ISSUED_AT).parse(), text(annotations::EXPIRES_AT).parse())
        else {
            return;
        };
        let planned = planned(issued, expires, &text(annotations::OWNER_UID));
        let stored = Stored { issued, expires, planned };
        if let Some(before) = self.stored.insert(text(annotations::OWNER), stored)
            && before != stored
        {
            self.renewals.push(Renewal { planned: before.planned, expired: before.expires, written: now });
        }
    }
}

/// As the operator plans it.
fn planned(issued: Timestamp, expires: Timestamp, uid: &str) -> Timestamp {
    let policy = Policy { margin: Margin::Default, max_age: None, assumed_lifetime: 3600 };
    let pace = Timings {
        retry_base: Duration::from_secs(5),
        min_renewal_interval: MIN_RENEWAL_INTERVAL,
        resync: Duration::from_secs(600),
    };
    let lifetime = TokenLifetime { issued, expiry: Expiry::At(expires) };
    renewal_time(&lifetime, &policy, uid, &pace).unwrap_or(expires)
}

/// The largest number in one second.
pub fn busiest_second(times: impl Iterator<Item = Timestamp>) -> usize {
    let mut seconds: HashMap<i64, usize> = HashMap::new();
    for time in times {
        *seconds.entry(time.as_second()).or_default() += 1;
    }
    seconds.into_values().max().unwrap_or(0)
}
