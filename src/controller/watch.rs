//! The watches: they keep the [`Cache`] and enqueue the ApiCredentials for which something changed.
//!
//! ApiCredentials are watched as a whole, Secrets as metadata only and by label: one watch for source Secrets, one for
//! target Secrets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apicredential::annotations;
use apicredential::object_key::Key;
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::core::PartialObjectMeta;
use tokio::sync::{mpsc, watch};

use crate::clock::SuspendAwareInstant;
use crate::controller::cache::{Cache, DecodeResult, Effects, SecretRole, VersionSource};
use crate::controller::watch::changes::{Change, changes};
use crate::controller::watch::list_and_watch::{Lists, Scope};
use crate::kube_api::pruned::Pruned;

mod changes;
mod list_and_watch;

/// How long after its last error a watch counts as broken. A broken watch repeats its error sooner than that: after at most
/// 30 s, and as much again for the jitter.
const ERROR_SHADOW: Duration = Duration::from_secs(90);

/// The state of one stream.
#[derive(Default)]
struct StreamHealth {
    listed: bool,
    failed: Option<SuspendAwareInstant>,
    /// The permission to list or watch is missing.
    forbidden: bool,
}

impl StreamHealth {
    fn listed() -> Self {
        Self { listed: true, failed: None, forbidden: false }
    }

    fn fail(&mut self, forbidden: bool) {
        *self = Self { listed: self.listed, failed: Some(SuspendAwareInstant::now()), forbidden };
    }
}

/// Learns of ApiCredentials that are in the first list, and of those that are gone.
pub trait CacheObserver: Send + 'static {
    /// One of the first list, before anything is done about it.
    fn on_initial(&self, object: &DecodeResult);
    /// One that no longer exists.
    fn on_delete(&self, key: &Key);
}

/// Nobody learns of them.
impl CacheObserver for () {
    fn on_initial(&self, _object: &DecodeResult) {}

    fn on_delete(&self, _key: &Key) {}
}

/// The watches of one term as leader.
pub struct Watch {
    /// What they last showed.
    pub cache: Cache,
    queue: mpsc::UnboundedSender<Key>,
    credentials: Mutex<Vec<StreamHealth>>,
    secrets: Mutex<Vec<StreamHealth>>,
    ready: watch::Sender<bool>,
}

/// What has to be polled for the watches to go on. Neither ends.
pub struct Streams {
    /// Keeps the ApiCredentials in the cache.
    pub credentials: BoxStream<'static, ()>,
    /// Keeps the Secrets in the cache.
    pub secrets: BoxStream<'static, ()>,
}

impl Watch {
    /// Starts to watch these namespaces; all, if none is named. Keys to reconcile are sent to `queue`.
    pub fn start(
        client: &Client,
        namespaces: &[String],
        queue: mpsc::UnboundedSender<Key>,
        observer: impl CacheObserver,
    ) -> (Arc<Self>, Streams) {
        let scopes: Vec<Option<&str>> = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().map(|name| Some(name.as_str())).collect()
        };
        let healths = |count: usize| Mutex::new((0..count).map(|_| StreamHealth::default()).collect::<Vec<_>>());
        let watch = Arc::new(Self {
            cache: Cache::default(),
            queue,
            credentials: healths(scopes.len()),
            secrets: healths(scopes.len() * 2),
            ready: watch::Sender::new(false),
        });
        let lists = Arc::new(Lists::default());
        let streams = Streams {
            credentials: Arc::clone(&watch).credentials(client, &scopes, &lists, observer),
            secrets: Arc::clone(&watch).secrets(client, &scopes, &lists),
        };
        (watch, streams)
    }

    /// Enqueues an ApiCredential.
    pub fn enqueue(&self, key: &Key) {
        // The receiver is gone only when the term as leader has ended.
        let _ = self.queue.send(key.clone());
    }

    /// Enqueues those for which something changed.
    pub fn enqueue_all(&self, effects: &Effects) {
        effects.enqueue.iter().for_each(|key| self.enqueue(key));
    }

    /// Enqueues every other ApiCredential that names this target.
    pub fn enqueue_rivals(&self, target: &Key, except: &Key) {
        let rivals = self.cache.named_by(SecretRole::Target, target);
        rivals.iter().filter(|key| *key != except).for_each(|key| self.enqueue(key));
    }

    /// Returns once every list was read, or has failed once: without the permission to watch Secrets, live reads serve.
    /// At least one list of ApiCredentials was read.
    pub async fn ready(&self) {
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Whether what the Secret watches last showed can be trusted.
    pub fn is_healthy(&self) -> bool {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().all(|health| health.listed && health.failed.is_none_or(|mark| mark.elapsed() > ERROR_SHADOW))
    }

    /// Whether each kind is watched. `None` where the permission is missing.
    pub fn states(&self) -> [(&'static str, Option<bool>); 3] {
        let credentials = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        [
            ("ApiCredential", is_up(credentials.iter())),
            ("SourceSecret", is_up(secrets.iter().step_by(2))),
            ("TargetSecret", is_up(secrets.iter().skip(1).step_by(2))),
        ]
    }

    fn credentials(
        self: Arc<Self>,
        client: &Client,
        scopes: &[Option<&str>],
        lists: &Arc<Lists>,
        observer: impl CacheObserver,
    ) -> BoxStream<'static, ()> {
        let mut all = SelectAll::new();
        for (number, scope) in scopes.iter().enumerate() {
            let scope = Scope::<Pruned<DecodeResult>>::new(client, *scope, None, lists);
            let stream = changes(move || scope.clone().events());
            all.push(stream.map(move |change| (number, change)).boxed());
        }
        let mut lists = vec![0; scopes.len()];
        all.map(move |(number, change)| {
            if let Some(list) = lists.get_mut(number) {
                self.on_credential(number, list, change, &observer);
            }
        })
        .boxed()
    }

    fn on_credential(
        &self,
        number: usize,
        list: &mut u64,
        change: Change<Pruned<DecodeResult>>,
        observer: &impl CacheObserver,
    ) {
        let (key, effects) = match change {
            Change::ListBegins => {
                *list = self.cache.begin_list();
                return;
            }
            Change::Listed(key, Pruned(object)) => {
                if !self.has_listed(number) {
                    observer.on_initial(&object);
                }
                let effects = self.cache.apply(&key, object, VersionSource::List(*list));
                (key, effects)
            }
            Change::Applied(key, Pruned(object)) => {
                let effects = self.cache.apply(&key, object, VersionSource::Watch);
                (key, effects)
            }
            Change::Deleted(key, _) | Change::Unlisted(key) => {
                let effects = self.cache.remove(&key);
                (key, effects)
            }
            Change::ListEnds => {
                mark(&self.credentials, number, |health| *health = StreamHealth::listed());
                return self.check_ready();
            }
            Change::Failed { forbidden } => {
                mark(&self.credentials, number, |health| health.fail(forbidden));
                return self.check_ready();
            }
        };
        if effects.deleted.is_some() {
            observer.on_delete(&key);
        }
        self.enqueue_all(&effects);
    }

    fn secrets(
        self: Arc<Self>,
        client: &Client,
        scopes: &[Option<&str>],
        lists: &Arc<Lists>,
    ) -> BoxStream<'static, ()> {
        let mut all = SelectAll::new();
        for (number, scope) in scopes.iter().enumerate() {
            let roles = [(annotations::SOURCE, SecretRole::Source), (annotations::MANAGED, SecretRole::Target)];
            for (offset, (label, role)) in roles.into_iter().enumerate() {
                let scope = Scope::<Pruned<PartialObjectMeta<Secret>>>::new(client, *scope, Some(label), lists);
                let stream = changes(move || scope.clone().events());
                let number = number * 2 + offset;
                all.push(stream.map(move |change| (number, role, change)).boxed());
            }
        }
        let mut lists = vec![0; scopes.len() * 2];
        all.map(move |(number, role, change)| {
            if let Some(list) = lists.get_mut(number) {
                self.on_secret(number, role, list, change);
            }
        })
        .boxed()
    }

    fn on_secret(
        &self,
        number: usize,
        role: SecretRole,
        list: &mut u64,
        change: Change<Pruned<PartialObjectMeta<Secret>>>,
    ) {
        let effects = match change {
            Change::ListBegins => {
                *list = self.cache.begin_list();
                return;
            }
            Change::Listed(key, Pruned(object)) => {
                self.cache.apply_secret(role, &key, &object, VersionSource::List(*list))
            }
            Change::Applied(key, Pruned(object)) => self.cache.apply_secret(role, &key, &object, VersionSource::Watch),
            Change::Deleted(key, Pruned(object)) => self.cache.remove_secret(role, &key, &object),
            Change::Unlisted(key) => self.cache.remove_unlisted_secret(role, &key, *list),
            Change::ListEnds => {
                mark(&self.secrets, number, |health| *health = StreamHealth::listed());
                return self.check_ready();
            }
            Change::Failed { forbidden } => {
                mark(&self.secrets, number, |health| health.fail(forbidden));
                return self.check_ready();
            }
        };
        // During the first list nothing has been reconciled yet.
        if *self.ready.borrow() {
            self.enqueue_all(&effects);
        }
    }

    /// Whether the first list of this scope's ApiCredentials is complete.
    fn has_listed(&self, number: usize) -> bool {
        let credentials = self.credentials.lock().unwrap_or_else(PoisonError::into_inner);
        credentials.get(number).is_some_and(|health| health.listed)
    }

    fn check_ready(&self) {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let known = secrets.iter().all(|health| health.listed || health.failed.is_some());
        if known && are_settled(&self.credentials) {
            self.ready.send_replace(true);
        }
    }
}

/// Of one kind in all its namespaces.
fn is_up<'a>(mut healths: impl Iterator<Item = &'a StreamHealth> + Clone) -> Option<bool> {
    let forbidden = healths.clone().any(|health| health.forbidden);
    (!forbidden).then(|| healths.all(|health| health.listed && health.failed.is_none()))
}

fn mark(healths: &Mutex<Vec<StreamHealth>>, number: usize, change: impl FnOnce(&mut StreamHealth)) {
    if let Some(health) = healths.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number) {
        change(health);
    }
}

/// Each list was read or has failed, and not all have failed: a namespace that may not be listed does not stop the
/// others, and an API server that is away is waited for.
fn are_settled(healths: &Mutex<Vec<StreamHealth>>) -> bool {
    let healths = healths.lock().unwrap_or_else(PoisonError::into_inner);
    healths.iter().all(|health| health.listed || health.failed.is_some()) && healths.iter().any(|health| health.listed)
}
