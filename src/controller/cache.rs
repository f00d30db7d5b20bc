//! What the watches and our own writes last showed: one record per ApiCredential and one per Secret.
//!
//! The cache may show that *nothing changed*. It never shows *what to do*: Secret data is not in it, and a reconcile that
//! has something to do reads the live objects.
//!
//! **Two counters** show whether something changed. `changes` counts the events that changed something for an
//! ApiCredential (an event that repeats our own write is not one) and the reconciles that began to work. `handled` is the
//! value that `changes` had when the last reconcile that left nothing undone *began*. While they differ the ApiCredential is
//! dirty: an event in the middle of a reconcile, an error, a panic or a cancel is never lost.
//!
//! **Our own writes go through.** The API server's reply to a write is put into the cache, in the order of
//! resourceVersions, so the watch need not be waited for. A lower version than the cached one is ignored, with one
//! exception: a list that shows one is of an API server whose data were restored, and what was remembered of the object is
//! dropped. A reply never brings back what a watch has shown to be deleted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use apicredential::object_key::Key;
use apicredential::revision::Revision;
use apicredential::target::ownership::CredentialLookup;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;

mod arrival;
mod credential;
mod object;
mod secrets;
mod snapshot;
#[cfg(test)]
mod tests;

use arrival::Arrival;
use credential::{CredentialState, Plan};
use secrets::Secrets;

pub use arrival::{CallStart, DecodeResult, VersionSource};
pub use object::{CachedObject, renew_request};
pub use secrets::{SecretRecord, SecretRole};
pub use snapshot::{Remember, Snapshot};

/// What follows from a change of the cache.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The ApiCredentials for which something changed.
    pub enqueue: Vec<Key>,
    /// The uid of an ApiCredential that no longer exists under its name.
    pub deleted: Option<String>,
}

#[derive(Default)]
struct Inner {
    /// Boxed, because a growing map is there twice for a moment, and up to half of it is empty.
    credentials: HashMap<Key, Box<CredentialState>>,
    secrets: Secrets,
    /// Targets that nobody else may write until the end of a write, and the uid of the ApiCredential that writes.
    claims: HashMap<Key, String>,
    /// Lists that have begun.
    lists: u64,
}

/// The cache of one term as leader.
#[derive(Default)]
pub struct Cache(Mutex<Inner>);

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list begins. The number tells its entries from what is written after it began.
    pub fn begin_list(&self) -> u64 {
        let mut inner = self.lock();
        inner.lists += 1;
        inner.lists
    }

    /// Taken right before a call is sent, and given back with its reply.
    pub fn begin_call(&self) -> CallStart {
        let inner = self.lock();
        CallStart { lists: inner.lists, events: inner.secrets.events }
    }

    /// Takes in a version of an ApiCredential.
    pub fn apply(&self, key: &Key, object: DecodeResult, origin: VersionSource) -> Effects {
        self.lock().apply(key, object, origin)
    }

    /// Removes an ApiCredential that a watch shows to be deleted, or that a list no longer has.
    pub fn remove(&self, key: &Key) -> Effects {
        self.lock().remove(key)
    }

    /// Takes in the metadata of a Secret.
    pub fn apply_secret(
        &self,
        role: SecretRole,
        key: &Key,
        secret: &PartialObjectMeta<Secret>,
        origin: VersionSource,
    ) -> Effects {
        let mut inner = self.lock();
        let changed = inner.secrets.apply(role, key, SecretRecord::of(secret), origin);
        inner.count_changes(changed)
    }

    /// Takes in the reply to our own write of a target Secret. It is no change for the ApiCredential that wrote it.
    pub fn apply_target_reply(&self, writer: &Key, secret: &Secret, call: CallStart) -> Effects {
        let mut inner = self.lock();
        let key = writer.sibling(secret.metadata.name.as_deref().unwrap_or_default());
        let record = SecretRecord::of(secret);
        let lists = inner.lists;
        let reply = inner.secrets.apply_reply(&key, record, call, lists, writer);
        if reply.echo_was_counted {
            inner.with(writer, |state| state.changes -= 1);
        }
        inner.count_changes(reply.changed)
    }

    /// A watch shows a Secret to be deleted, or no longer to have the watch's label.
    pub fn remove_secret(&self, role: SecretRole, key: &Key, secret: &PartialObjectMeta<Secret>) -> Effects {
        let mut inner = self.lock();
        let changed = inner.secrets.remove(role, key, Revision::of(secret));
        inner.count_changes(changed)
    }

    /// A list no longer has a Secret that was there before.
    pub fn remove_unlisted_secret(&self, role: SecretRole, key: &Key, list: u64) -> Effects {
        let mut inner = self.lock();
        let changed = inner.secrets.remove_unlisted(role, key, list);
        inner.count_changes(changed)
    }

    /// What is known of an ApiCredential now. `None` if it does not exist.
    pub fn snapshot(&self, key: &Key) -> Option<Snapshot> {
        let inner = self.lock();
        let state = inner.credentials.get(key)?;
        Some(Snapshot {
            object: state.object.clone(),
            stored_status: Arc::clone(&state.stored_status),
            reported_status: state.reported_status.clone(),
            source: inner.secrets.record(SecretRole::Source, &state.source),
            target: inner.secrets.record(SecretRole::Target, &state.target),
            is_dirty: state.changes != state.handled,
            planned: state.plan.as_ref().map(|plan| (plan.began, plan.next)),
            history: state.history.clone(),
            changes: state.changes,
        })
    }

    /// A reconcile begins to work. Until it has settled, its ApiCredential counts as changed.
    pub fn begin(&self, key: &Key, snapshot: &mut Snapshot) {
        self.lock().with(key, |state| state.changes += 1);
        snapshot.changes += 1;
    }

    /// Keeps what a reconcile leaves for the next one. `begun_with` is what it began with: a change since then is not
    /// handled. Returns whether that very ApiCredential still exists.
    pub fn finish(&self, key: &Key, begun_with: &Snapshot, remember: Remember) -> bool {
        let mut inner = self.lock();
        let Some(state) = inner.credentials.get_mut(key).filter(|state| state.object.uid() == begun_with.object.uid())
        else {
            return false;
        };
        if remember.is_settled {
            state.handled = begun_with.changes;
        }
        state.plan = Some(Plan { began: remember.began, next: remember.next });
        state.history = Some(remember.history);
        state.report(remember.reported_status);
        true
    }

    /// Forgets what is remembered of an ApiCredential: the next reconcile begins like the first one of a term.
    pub fn forget_history(&self, key: &Key) {
        if let Some(state) = self.lock().credentials.get_mut(key) {
            state.forget();
        }
    }

    /// The ApiCredentials that name this Secret.
    pub fn named_by(&self, role: SecretRole, secret: &Key) -> Vec<Key> {
        self.lock().secrets.named_by(role, secret)
    }

    /// Whether this very ApiCredential exists and is not being deleted.
    pub fn is_live(&self, key: &Key, uid: &str) -> bool {
        self.lock().credentials.get(key).is_some_and(|state| state.object.uid() == uid && !state.object.is_deleting())
    }

    /// Claims a target for an ApiCredential until [`Cache::release`]. False if another one holds it.
    pub fn claim(&self, target: &Key, uid: &str) -> bool {
        self.lock().claims.entry(target.clone()).or_insert_with(|| uid.to_owned()) == uid
    }

    /// Releases the claim of a target.
    pub fn release(&self, target: &Key) {
        self.lock().claims.remove(target);
    }
}

impl Inner {
    fn apply(&mut self, key: &Key, object: DecodeResult, origin: VersionSource) -> Effects {
        let (object, status) = CachedObject::split(object);
        let before = self.credentials.get_mut(key);
        match (before, origin) {
            (Some(state), _) if state.object.uid() == object.uid() => {
                let arrival = match origin {
                    VersionSource::List(list) => state.arrival_in_list(&object, list),
                    VersionSource::Watch | VersionSource::Reply(_) => state.arrival(&object),
                };
                if arrival == Arrival::Outdated {
                    return Effects::default();
                }
                if let VersionSource::Reply(_) = origin {
                    state.written_in = self.lists;
                }
                self.update(key, object, status, arrival)
            }
            // A reply brings nothing back.
            (_, VersionSource::Reply(_)) => Effects::default(),
            (before, _) => {
                let replaced = before.is_some();
                let mut effects = if replaced { self.remove(key) } else { Effects::default() };
                self.insert(key, object, status);
                effects.enqueue.push(key.clone());
                effects
            }
        }
    }

    fn insert(&mut self, key: &Key, object: CachedObject, status: Option<ApiCredentialStatus>) {
        let mut state = CredentialState::new(key, object, status);
        state.source = self.secrets.link(SecretRole::Source, &state.source, key);
        state.target = self.secrets.link(SecretRole::Target, &state.target, key);
        self.credentials.insert(key.clone(), Box::new(state));
    }

    /// Takes in another version of an object that is there.
    fn update(
        &mut self,
        key: &Key,
        object: CachedObject,
        status: Option<ApiCredentialStatus>,
        arrival: Arrival,
    ) -> Effects {
        let Some(state) = self.credentials.get_mut(key) else { return Effects::default() };
        let is_restored = arrival == Arrival::Restored;
        if is_restored {
            state.forget();
        }
        let changed = is_restored || object.differs_from(&state.object);
        let starts_deleting = object.is_deleting() && !state.object.is_deleting();
        let (source, target) = (key.sibling(object.source_name()), key.sibling(object.target_name()));
        let (old_source, old_target) = (state.source.clone(), state.target.clone());
        state.set(object, status);
        state.changes += u64::from(changed);
        let mut effects = Effects::default();
        if source != old_source {
            self.secrets.unlink(SecretRole::Source, &old_source, key);
            let source = self.secrets.link(SecretRole::Source, &source, key);
            self.with(key, |state| state.source = source);
        }
        if target != old_target {
            self.secrets.unlink(SecretRole::Target, &old_target, key);
            let target = self.secrets.link(SecretRole::Target, &target, key);
            self.with(key, |state| state.target = target);
        }
        if starts_deleting || target_changed(&old_target, self.credentials.get(key).map(Box::as_ref)) {
            effects = self.target_is_free(&old_target, key);
        }
        if changed {
            effects.enqueue.push(key.clone());
        }
        effects
    }

    fn with(&mut self, key: &Key, change: impl FnOnce(&mut CredentialState)) {
        if let Some(state) = self.credentials.get_mut(key) {
            change(state);
        }
    }

    fn remove(&mut self, key: &Key) -> Effects {
        let Some(state) = self.credentials.remove(key) else { return Effects::default() };
        self.secrets.unlink(SecretRole::Source, &state.source, key);
        self.secrets.unlink(SecretRole::Target, &state.target, key);
        let effects = self.target_is_free(&state.target, key);
        Effects { deleted: Some(state.object.uid().to_owned()), ..effects }
    }

    /// One ApiCredential no longer stands for a target: the others that name it may have it now.
    fn target_is_free(&mut self, target: &Key, except: &Key) -> Effects {
        let others = self.secrets.named_by(SecretRole::Target, target).into_iter().filter(|key| key != except);
        let others: Vec<Key> = others.collect();
        self.count_changes(others)
    }

    fn count_changes(&mut self, keys: Vec<Key>) -> Effects {
        for key in &keys {
            self.with(key, |state| state.changes += 1);
        }
        Effects { enqueue: keys, deleted: None }
    }
}

fn target_changed(before: &Key, state: Option<&CredentialState>) -> bool {
    state.is_some_and(|state| state.target != *before)
}

impl CredentialLookup for Cache {
    fn uid_exists(&self, namespace: &str, name: &str, uid: &str) -> bool {
        self.is_live(&Key::new(namespace, name), uid)
    }

    fn name_exists(&self, namespace: &str, name: &str) -> bool {
        self.lock().credentials.get(&Key::new(namespace, name)).is_some_and(|state| !state.object.is_deleting())
    }

    fn is_oldest_for_target(&self, credential: &ApiCredential) -> bool {
        let target = Key::of(credential).sibling(&credential.spec.target.name);
        let inner = self.lock();
        let rivals = inner.secrets.named_by(SecretRole::Target, &target);
        let rivals = rivals.iter().filter_map(|key| inner.credentials.get(key));
        let (created, uid) = (credential.metadata.creation_timestamp.as_ref(), credential.metadata.uid.as_deref());
        let own = (created.map(|time| time.0), uid.unwrap_or_default());
        rivals.filter(|state| !state.object.is_deleting()).all(|rival| own <= rival.object.age())
    }
}
