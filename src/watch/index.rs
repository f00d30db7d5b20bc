//! What the watches last said, and who is concerned by what.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::{Resource, ResourceExt as _};

use super::{Guarded, Key};
use crate::credential::ApiCredential;
use crate::names;
use crate::observe::{self, Living};

#[cfg(test)]
mod tests;

/// What the watch last said of a Secret. One that was deleted is remembered as gone, so that "never seen" and
/// "seen and deleted since" differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `uid/resourceVersion`.
    pub version: String,
    /// Whether it still exists.
    pub present: bool,
    /// Of a target: the source that its token was made from.
    pub source_version: Option<String>,
    /// Of a target: the renew request that its token answers.
    pub renew_request: Option<String>,
}

impl Seen {
    pub(super) fn of(object: &PartialObjectMeta<Secret>) -> Self {
        let annotation = |name| object.annotations().get(name).cloned();
        Self {
            version: observe::version(object),
            present: true,
            source_version: annotation(names::SOURCE_VERSION),
            renew_request: annotation(names::RENEW_REQUEST),
        }
    }
}

/// What the stores say about one credential: if two glances are equal, nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The spec's generation.
    pub generation: i64,
    /// The renew request.
    pub renew_request: Option<String>,
    /// The source Secret.
    pub source: Option<Seen>,
    /// The target Secret.
    pub target: Option<Seen>,
    /// The other living credentials that name this target, by uid: when one goes, the target may be free.
    pub rivals: Vec<String>,
}

struct Entry {
    uid: String,
    created: Option<Timestamp>,
    generation: i64,
    renew_request: Option<String>,
    deleting: bool,
    source: Key,
    target: Key,
}

#[derive(Default)]
struct Inner {
    credentials: HashMap<Key, Entry>,
    by_source: HashMap<Key, BTreeSet<Key>>,
    by_target: HashMap<Key, BTreeSet<Key>>,
    sources: HashMap<Key, Seen>,
    targets: HashMap<Key, Seen>,
    claims: HashMap<Key, String>,
}

/// What the watches last said.
#[derive(Default)]
pub struct Index {
    inner: Mutex<Inner>,
}

impl Index {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a credential in. Returns whether it has to be looked at, and the targets that it no longer stands for.
    pub(super) fn apply_credential(&self, key: &Key, object: &Guarded) -> (bool, Vec<Key>) {
        let entry = Entry::of(key, object);
        let mut inner = self.lock();
        let mut ended = Vec::new();
        let mut changed = true;
        if let Some(old) = inner.credentials.get(key) {
            let same = old.uid == entry.uid && old.deleting == entry.deleting;
            changed = !(same && old.generation == entry.generation && old.renew_request == entry.renew_request);
            if !same || old.target != entry.target {
                ended.push(old.target.clone());
            }
        }
        if changed {
            inner.unlink(key);
            inner.link(key, entry);
        }
        (changed, ended)
    }

    /// Forgets a credential; its uid and its target, if it was known.
    pub(super) fn remove_credential(&self, key: &Key) -> Option<(String, Key)> {
        let mut inner = self.lock();
        let entry = inner.unlink(key)?;
        if !inner.by_target.contains_key(&entry.target)
            && inner.targets.get(&entry.target).is_some_and(|seen| !seen.present)
        {
            inner.targets.remove(&entry.target);
        }
        Some((entry.uid, entry.target))
    }

    /// What the watch says of a Secret; whether that is news.
    pub(super) fn see(&self, is_source: bool, key: &Key, seen: &Seen) -> bool {
        let mut inner = self.lock();
        let place = if is_source { &mut inner.sources } else { &mut inner.targets };
        place.insert(key.clone(), seen.clone()).is_none_or(|old| old != *seen)
    }

    pub(super) fn see_gone(&self, is_source: bool, key: &Key) -> bool {
        let mut inner = self.lock();
        let wanted = if is_source { inner.by_source.contains_key(key) } else { inner.by_target.contains_key(key) };
        let place = if is_source { &mut inner.sources } else { &mut inner.targets };
        if !wanted {
            return place.remove(key).is_some();
        }
        place.get_mut(key).is_some_and(|seen| std::mem::replace(&mut seen.present, false))
    }

    /// The credentials that name this Secret as source or target.
    pub(super) fn credentials_of(&self, is_source: bool, secret: &Key) -> Vec<Key> {
        let inner = self.lock();
        let place = if is_source { &inner.by_source } else { &inner.by_target };
        place.get(secret).into_iter().flatten().cloned().collect()
    }

    /// The credentials that name this target.
    pub fn credentials_of_target(&self, target: &Key) -> Vec<Key> {
        self.credentials_of(false, target)
    }

    /// What the stores say now.
    pub fn glance(&self, credential: &ApiCredential, source: &str, target: &str) -> Glance {
        let key = Key::of(credential);
        let inner = self.lock();
        let rivals = inner.by_target.get(&key.sibling(target)).into_iter().flatten().filter(|rival| **rival != key);
        let living = rivals.filter_map(|rival| inner.credentials.get(rival)).filter(|entry| !entry.deleting);
        Glance {
            rivals: living.map(|entry| entry.uid.clone()).collect(),
            generation: credential.metadata.generation.unwrap_or(0),
            renew_request: renew_request(credential),
            source: inner.sources.get(&key.sibling(source)).cloned(),
            target: inner.targets.get(&key.sibling(target)).cloned(),
        }
    }

    /// Whether this very credential exists.
    pub fn knows(&self, key: &Key, uid: &str) -> bool {
        self.lock().credentials.get(key).is_some_and(|entry| entry.uid == uid)
    }

    /// Whether this very credential exists and is not being deleted.
    pub fn lives(&self, key: &Key, uid: &str) -> bool {
        self.lock().credentials.get(key).is_some_and(|entry| entry.uid == uid && !entry.deleting)
    }

    /// Claims a target for a credential until [`Index::release`]; false if another one holds it.
    pub fn claim(&self, target: &Key, uid: &str) -> bool {
        let mut inner = self.lock();
        inner.claims.entry(target.clone()).or_insert_with(|| uid.to_owned()) == uid
    }

    /// Gives a claim back.
    pub fn release(&self, target: &Key) {
        self.lock().claims.remove(target);
    }
}

impl Inner {
    fn unlink(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.credentials.remove(key)?;
        for (place, secret) in [(&mut self.by_source, &entry.source), (&mut self.by_target, &entry.target)] {
            if let Some(keys) = place.get_mut(secret) {
                keys.remove(key);
                if keys.is_empty() {
                    place.remove(secret);
                }
            }
        }
        Some(entry)
    }

    fn link(&mut self, key: &Key, entry: Entry) {
        self.by_source.entry(entry.source.clone()).or_default().insert(key.clone());
        self.by_target.entry(entry.target.clone()).or_default().insert(key.clone());
        self.credentials.insert(key.clone(), entry);
    }
}

impl Entry {
    fn of(key: &Key, object: &Guarded) -> Self {
        let meta = object.meta();
        let spec = object.0.as_ref().ok().map(|credential| &credential.spec);
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            generation: meta.generation.unwrap_or(0),
            renew_request: renew_request(object),
            deleting: meta.deletion_timestamp.is_some(),
            source: key.sibling(spec.map_or("", |spec| source_name(&spec.provider))),
            target: key.sibling(spec.map_or("", |spec| &spec.target.name)),
        }
    }
}

/// The source Secret that a spec names, whether or not the rest of it makes sense.
pub fn source_name(provider: &crate::credential::ProviderSpec) -> &str {
    let welkin = provider.welkin.as_ref().map(|welkin| welkin.secret_ref.name.as_str());
    welkin.or(provider.qontak.as_ref().map(|qontak| qontak.secret_ref.name.as_str())).unwrap_or_default()
}

/// The longest renew request, in characters; a longer one is ignored.
const LONGEST_REQUEST: usize = 128;

/// The renew request of a credential, if it has one that counts.
pub fn renew_request(object: &impl Resource) -> Option<String> {
    let text = object.meta().annotations.as_ref()?.get(names::RENEW_REQUESTED_AT)?;
    (!text.is_empty() && text.chars().count() <= LONGEST_REQUEST).then(|| text.clone())
}

impl Living for Index {
    fn uid_lives(&self, namespace: &str, uid: &str) -> bool {
        let inner = self.lock();
        inner.credentials.iter().any(|(key, entry)| key.namespace == namespace && entry.uid == uid && !entry.deleting)
    }

    fn name_lives(&self, namespace: &str, name: &str) -> bool {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        self.lock().credentials.get(&key).is_some_and(|entry| !entry.deleting)
    }

    fn is_oldest_for_target(&self, credential: &ApiCredential) -> bool {
        let target = Key::of(credential).sibling(&credential.spec.target.name);
        let inner = self.lock();
        let rank = |entry: &Entry| (entry.created, entry.uid.clone());
        let own =
            (credential.metadata.creation_timestamp.as_ref().map(|time| time.0), credential.uid().unwrap_or_default());
        let rivals = inner.by_target.get(&target).into_iter().flatten().filter_map(|key| inner.credentials.get(key));
        rivals.filter(|entry| !entry.deleting).all(|entry| entry.uid == own.1 || own < rank(entry))
    }
}
