//! The watches: which change wakes which credential, and what the watches last said.
//!
//! They may say that *nothing changed*, never *what to do*: Secret data is never cached, and a credential that is
//! woken looks at the live objects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apicredential::annotations;
use apicredential::api::ApiCredential;
use apicredential::object_key::Key;
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Client, Resource};
use tokio::sync::{mpsc, watch};

use crate::clock::SuspendAwareInstant;
use crate::controller::memory::Stored;
use crate::controller::watch::changes::{Change, changes};
use crate::controller::watch::held::Held;
use crate::controller::watch::index::{Index, Seen};
use crate::kube_api::pruned::Pruned;

mod changes;
pub mod held;
pub mod index;
mod version;

pub use version::Version;

/// A credential as the watch delivers it; one that cannot be decoded must not stop the others.
pub type DecodeResult = DeserializeGuard<ApiCredential>;
/// A credential that was taken out of the store to be looked at.
#[derive(Clone)]
pub struct Opened {
    /// As the store has it.
    pub held: Held,
    /// The same.
    pub credential: Arc<ApiCredential>,
}

/// How long after its last error a watch counts as broken: a broken one repeats its error sooner than that, after 30 s and
/// as much again for the jitter.
const ERROR_SHADOW: Duration = Duration::from_secs(90);
/// How long the API server lets one watch request live.
const WATCH_SECONDS: u32 = 200;
const PAGE: u32 = 100;

/// What became of one stream.
#[derive(Default)]
struct StreamHealth {
    listed: bool,
    failed: Option<SuspendAwareInstant>,
    /// There is no right to list or watch it.
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

/// Who hears of credentials before anything else is done about them.
pub trait Listener: Send + 'static {
    /// One of the first list.
    fn found(&self, object: &DecodeResult);
    /// One of which the store is about to take another version.
    fn changing(&self, before: &Held, now: &DecodeResult);
    /// One that the store has now.
    fn stored(&self, now: &DecodeResult);
    /// One that is no more, by its uid.
    fn gone(&self, key: &Key, uid: &str);
}

/// Nobody hears.
impl Listener for () {
    fn found(&self, _object: &DecodeResult) {}

    fn changing(&self, _before: &Held, _now: &DecodeResult) {}

    fn stored(&self, _now: &DecodeResult) {}

    fn gone(&self, _key: &Key, _uid: &str) {}
}

/// The watches of one term as leader.
pub struct Watch {
    /// What they last said.
    pub index: Index,
    store: Mutex<HashMap<Key, Held>>,
    wakes: mpsc::UnboundedSender<Key>,
    credentials: Mutex<Vec<StreamHealth>>,
    secrets: Mutex<Vec<StreamHealth>>,
    ready: watch::Sender<bool>,
}

/// What has to be polled for the watches to go on. Neither ends.
pub struct Streams {
    /// Keeps the credentials.
    pub credentials: BoxStream<'static, ()>,
    /// Keeps the Secrets' part of the index.
    pub secrets: BoxStream<'static, ()>,
}

impl Watch {
    /// Starts to watch these namespaces; all, if none is named. Who has to be looked at is sent to `wakes`.
    pub fn start(
        client: &Client,
        namespaces: &[String],
        wakes: mpsc::UnboundedSender<Key>,
        listener: impl Listener,
    ) -> (Arc<Self>, Streams) {
        let scopes: Vec<Option<&str>> = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().map(|name| Some(name.as_str())).collect()
        };
        let healths = |count: usize| Mutex::new((0..count).map(|_| StreamHealth::default()).collect::<Vec<_>>());
        let watch = Arc::new(Self {
            index: Index::default(),
            store: Mutex::default(),
            wakes,
            credentials: healths(scopes.len()),
            secrets: healths(scopes.len() * 2),
            ready: watch::Sender::new(false),
        });
        let streams = Streams {
            credentials: Arc::clone(&watch).credentials(client, &scopes, listener),
            secrets: Arc::clone(&watch).secrets(client, &scopes),
        };
        (watch, streams)
    }

    /// A credential as the watch delivered it last.
    pub fn held(&self, key: &Key) -> Option<Held> {
        self.store().get(key).cloned()
    }

    fn store(&self) -> MutexGuard<'_, HashMap<Key, Held>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store has of a credential now; `opened` is one that it had.
    pub fn stored(&self, key: &Key, opened: &Opened) -> Stored {
        let Some(now) = self.held(key) else { return Stored::default() };
        let status = if now.is(&opened.held) {
            opened.credential.status.clone()
        } else {
            now.open().0.ok().and_then(|credential| credential.status)
        };
        Stored { version: now.version, status }
    }

    /// Wakes a credential.
    pub fn wake(&self, key: &Key) {
        // The receiver is gone only when the term as leader has ended.
        let _ = self.wakes.send(key.clone());
    }

    /// Wakes every other credential that names this target.
    pub fn wake_rivals(&self, target: &Key, except: &str) {
        for key in self.index.credentials_of_target(target) {
            if key.name() != except {
                self.wake(&key);
            }
        }
    }

    /// Returns once every list was read, or has failed once: without the right to watch Secrets, live reads serve.
    /// At least one list of credentials was read.
    pub async fn ready(&self) {
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    /// Whether what the Secret watches last said can be trusted.
    pub fn healthy(&self) -> bool {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().all(|health| health.listed && health.failed.is_none_or(|mark| mark.elapsed() > ERROR_SHADOW))
    }

    /// Whether each kind is watched; none where there is no right to.
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
        listener: impl Listener,
    ) -> BoxStream<'static, ()> {
        let mut all = SelectAll::new();
        for (number, scope) in scopes.iter().enumerate() {
            let api = scoped::<Pruned<DecodeResult>>(client, *scope);
            let stream = changes(move || watcher(api.clone(), config()));
            all.push(stream.map(move |change| (number, change)).boxed());
        }
        all.map(move |(number, change)| self.credential(number, change, &listener)).boxed()
    }

    fn credential(&self, number: usize, change: Change<Pruned<DecodeResult>>, listener: &impl Listener) {
        match change {
            Change::Applied(key, Pruned(object)) => {
                if !self.lists(number) {
                    listener.found(&object);
                }
                let (held, before) = (Held::of(&object), self.held(&key));
                if let Some(uid) = self.index.uid(&key)
                    && object.meta().uid.as_deref() != Some(&*uid)
                {
                    // Deleted and created anew while no watch ran.
                    listener.gone(&key, &uid);
                }
                let version = held.version;
                if let Some(before) = &before {
                    listener.changing(before, &object);
                }
                self.store().insert(key.clone(), held);
                listener.stored(&object);
                let is_put_back =
                    before.and_then(|before| before.version).zip(version).is_some_and(|(before, now)| now < before);
                if self.applied(&key, &object) || is_put_back {
                    self.wake(&key);
                }
            }
            Change::Gone(key) => {
                self.store().remove(&key);
                if let Some((uid, target)) = self.index.remove_credential(&key) {
                    listener.gone(&key, &uid);
                    self.wake_rivals(&target, key.name());
                }
            }
            Change::Listed => {
                mark(&self.credentials, number, |health| *health = StreamHealth::listed());
                self.check_ready();
            }
            Change::Failed { forbidden } => {
                mark(&self.credentials, number, |health| health.fail(forbidden));
                self.check_ready();
            }
        }
    }

    /// Takes a credential into the index; whether it has to be looked at.
    fn applied(&self, key: &Key, object: &DecodeResult) -> bool {
        let (changed, ended) = self.index.apply_credential(key, object);
        for target in ended {
            self.wake_rivals(&target, key.name());
        }
        changed
    }

    fn secrets(self: Arc<Self>, client: &Client, scopes: &[Option<&str>]) -> BoxStream<'static, ()> {
        let mut all = SelectAll::new();
        for (number, scope) in scopes.iter().enumerate() {
            for (offset, label) in [annotations::SOURCE, annotations::MANAGED].into_iter().enumerate() {
                let api = scoped::<Pruned<PartialObjectMeta<Secret>>>(client, *scope);
                let stream = changes(move || watcher(api.clone(), config().labels(label)));
                let place = (number * 2 + offset, label == annotations::SOURCE);
                all.push(stream.map(move |change| (place, change)).boxed());
            }
        }
        all.map(move |((number, is_source), change)| self.secret(number, is_source, change)).boxed()
    }

    fn secret(&self, number: usize, is_source: bool, change: Change<Pruned<PartialObjectMeta<Secret>>>) {
        let (key, changed) = match change {
            Change::Applied(key, Pruned(object)) => {
                let changed = self.index.see(is_source, &key, Seen::of(&object));
                (key, changed)
            }
            Change::Gone(key) => {
                let changed = self.index.see_gone(is_source, &key);
                (key, changed)
            }
            Change::Listed => {
                mark(&self.secrets, number, |health| *health = StreamHealth::listed());
                return self.check_ready();
            }
            Change::Failed { forbidden } => {
                mark(&self.secrets, number, |health| health.fail(forbidden));
                return self.check_ready();
            }
        };
        // During the first list nobody has looked at anything yet.
        if changed && *self.ready.borrow() {
            for credential in self.index.credentials_of(is_source, &key) {
                self.wake(&credential);
            }
        }
    }

    /// Whether the first list of this scope's credentials is complete.
    fn lists(&self, number: usize) -> bool {
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

fn config() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE)
}

#[expect(clippy::disallowed_methods, reason = "the one place that lists across namespaces, and metadata only")]
fn scoped<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}
