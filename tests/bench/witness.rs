//! Records when each ApiCredential becomes Ready, with a watch of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apicredential::api::ApiCredential;
use futures::StreamExt as _;
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use tokio::task::JoinHandle;

/// When each ApiCredential was first Ready, by name; the names are unique in all namespaces.
pub struct Witness {
    ready: Arc<Mutex<HashMap<String, Instant>>>,
    task: JoinHandle<()>,
}

impl Witness {
    pub fn start(client: &Client) -> Self {
        let ready: Arc<Mutex<HashMap<String, Instant>>> = Arc::default();
        let credentials: Api<ApiCredential> = Api::all(client.clone());
        let seen = Arc::clone(&ready);
        let task = tokio::spawn(async move {
            let events = watcher(credentials, watcher::Config::default().timeout(280)).default_backoff();
            events
                .for_each(|event| {
                    if let Ok(watcher::Event::Apply(credential) | watcher::Event::InitApply(credential)) = event
                        && is_ready(&credential)
                    {
                        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                        seen.entry(credential.name_any()).or_insert_with(Instant::now);
                    }
                    futures::future::ready(())
                })
                .await;
        });
        Self { ready, task }
    }

    pub fn count(&self) -> usize {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub fn ready_at(&self, name: &str) -> Option<Instant> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }

    /// Waits until this many are Ready. Returns when the last of them was.
    pub async fn wait_for(&self, count: usize) -> Instant {
        self.wait_long_for(count, Duration::from_secs(120)).await
    }

    /// The same, though nothing may happen for this long.
    pub async fn wait_long_for(&self, count: usize, patience: Duration) -> Instant {
        let mut last = (self.count(), Instant::now());
        while self.count() < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
            if self.count() > last.0 {
                last = (self.count(), Instant::now());
            }
            assert!(last.1.elapsed() < patience, "only {} of {count} became Ready", last.0);
        }
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.values().max().copied().unwrap_or_else(Instant::now)
    }

    /// Waits until these are Ready, whatever the others are. Returns when the last of them was.
    pub async fn wait_for_these(&self, names: &[String]) -> Instant {
        let began = Instant::now();
        loop {
            let times: Option<Vec<Instant>> = names.iter().map(|name| self.ready_at(name)).collect();
            if let Some(last) = times.and_then(|times| times.into_iter().max()) {
                return last;
            }
            assert!(began.elapsed() < Duration::from_secs(1200), "they did not become Ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn is_ready(credential: &ApiCredential) -> bool {
    let conditions = credential.status.as_ref().map_or(&[][..], |status| &status.conditions);
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
