//! What the watches last said, and who is concerned by what.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use apicredential::annotations;
use apicredential::api::ApiCredential;
use apicredential::object_key::Key;
use apicredential::target::ownership::CredentialLookup;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::{Resource, ResourceExt as _};

use super::{DecodeResult, Version};

#[cfg(test)]
mod tests;

/// What the watch last said of a Secret. One that was deleted is remembered as gone, so that "never seen" and
/// "seen and deleted since" differ.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Which one, and which of its versions.
    pub version: Version,
    /// Whether it still exists.
    pub present: bool,
    /// Of a target: what its token was made from and answers.
    pub origin: Option<Box<Origin>>,
}

/// Where the token in a target comes from, by the annotations beside it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The source that it was made from.
    pub source_version: Option<Version>,
    /// The renew request that it answers.
    pub renew_request: Option<Box<str>>,
}

impl Seen {
    pub(super) fn of(object: &PartialObjectMeta<Secret>) -> Self {
        let annotation = |name| object.annotations().get(name).map(String::as_str);
        let (made_from, answers) = (annotation(annotations::SOURCE_VERSION), annotation(annotations::RENEW_REQUEST));
        let origin = Origin { source_version: made_from.map(Version::from), renew_request: answers.map(Box::from) };
        Self {
            version: Version::from(apicredential::object_key::version(object).as_str()),
            present: true,
            origin: (made_from.is_some() || answers.is_some()).then(|| Box::new(origin)),
        }
    }

    /// What its token was made from, if that is known.
    pub fn source_version(&self) -> Option<&Version> {
        self.origin.as_ref()?.source_version.as_ref()
    }

    /// The renew request that its token answers, if there is one.
    pub fn renew_request(&self) -> Option<&str> {
        self.origin.as_ref()?.renew_request.as_deref()
    }
}

/// What the stores say about one credential.
#[derive(Clone, Debug)]
pub struct Glance {
    /// The spec's generation.
    pub generation: i64,
    /// The renew request.
    pub renew_request: Option<String>,
    /// The source Secret.
    pub source: Option<Seen>,
    /// The target Secret.
    pub target: Option<Seen>,
    /// All of it in short.
    pub imprint: Imprint,
}

/// A glance in short: if two are equal, nothing changed. Hashes under a key of this process, which nobody can aim at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imprint {
    /// Of the generation, the renew request, the source, and the other living credentials that name this target, by uid:
    /// when one goes, the target may be free.
    pub others: u64,
    /// Of the target.
    pub target: u64,
}

struct Entry {
    uid: Box<str>,
    created: Option<Timestamp>,
    generation: i64,
    renew_request: Option<Box<str>>,
    deleting: bool,
    source: Key,
    target: Key,
}

/// A Secret that a watch has shown, or that a credential names.
#[derive(Default)]
struct Named {
    seen: Option<Seen>,
    /// The credentials that name it, in order.
    by: Vec<Key>,
}

impl Named {
    fn is_worth_keeping(&self) -> bool {
        !self.by.is_empty() || self.seen.as_ref().is_some_and(|seen| seen.present)
    }
}

#[derive(Default)]
struct Inner {
    credentials: HashMap<Key, Entry>,
    sources: HashMap<Key, Named>,
    targets: HashMap<Key, Named>,
    claims: HashMap<Key, String>,
}

/// What the watches last said.
#[derive(Default)]
pub struct Index {
    inner: Mutex<Inner>,
    hasher: RandomState,
}

impl Index {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a credential in. Returns whether it has to be looked at, and the targets that it no longer stands for.
    pub(super) fn apply_credential(&self, key: &Key, object: &DecodeResult) -> (bool, Vec<Key>) {
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
            let old = inner.unlink(key);
            inner.link(key, entry);
            old.iter().for_each(|old| inner.prune(old));
        }
        (changed, ended)
    }

    /// Forgets a credential; its uid and its target, if it was known.
    pub(super) fn remove_credential(&self, key: &Key) -> Option<(String, Key)> {
        let mut inner = self.lock();
        let entry = inner.unlink(key)?;
        inner.prune(&entry);
        Some((entry.uid.into(), entry.target))
    }

    /// What the watch says of a Secret; whether that is news.
    pub(super) fn see(&self, is_source: bool, key: &Key, seen: Seen) -> bool {
        let mut inner = self.lock();
        let named = inner.place(is_source).entry(key.clone()).or_default();
        let news = named.seen.as_ref() != Some(&seen);
        named.seen = Some(seen);
        news
    }

    pub(super) fn see_gone(&self, is_source: bool, key: &Key) -> bool {
        let mut inner = self.lock();
        let place = inner.place(is_source);
        let Some(named) = place.get_mut(key) else { return false };
        let news = named.seen.as_mut().is_some_and(|seen| std::mem::replace(&mut seen.present, false));
        if !named.is_worth_keeping() {
            place.remove(key);
        }
        news
    }

    /// The credentials that name this Secret as source or target.
    pub(super) fn credentials_of(&self, is_source: bool, secret: &Key) -> Vec<Key> {
        self.lock().place(is_source).get(secret).map(|named| named.by.clone()).unwrap_or_default()
    }

    /// The credentials that name this target.
    pub fn credentials_of_target(&self, target: &Key) -> Vec<Key> {
        self.credentials_of(false, target)
    }

    /// What the stores say now.
    pub fn glance(&self, credential: &ApiCredential, source: &str, target: &str) -> Glance {
        let key = Key::of(credential);
        let inner = self.lock();
        let named = inner.targets.get(&key.sibling(target));
        let rivals = named.into_iter().flat_map(|named| &named.by).filter(|rival| **rival != key);
        let living = rivals.filter_map(|rival| inner.credentials.get(rival)).filter(|entry| !entry.deleting);
        let rivals: Vec<&str> = living.map(|entry| &*entry.uid).collect();
        let generation = credential.metadata.generation.unwrap_or(0);
        let renew_request = renew_request(credential);
        let source = inner.sources.get(&key.sibling(source)).and_then(|named| named.seen.clone());
        let target = named.and_then(|named| named.seen.clone());
        let imprint = Imprint {
            others: self.hasher.hash_one((generation, &renew_request, &source, rivals)),
            target: self.hasher.hash_one(&target),
        };
        Glance { generation, renew_request, source, target, imprint }
    }

    /// The uid of the credential of that name.
    pub(super) fn uid(&self, key: &Key) -> Option<Box<str>> {
        self.lock().credentials.get(key).map(|entry| entry.uid.clone())
    }

    /// Whether this very credential exists.
    pub fn knows(&self, key: &Key, uid: &str) -> bool {
        self.lock().credentials.get(key).is_some_and(|entry| *entry.uid == *uid)
    }

    /// Whether this very credential exists and is not being deleted.
    pub fn lives(&self, key: &Key, uid: &str) -> bool {
        self.lock().credentials.get(key).is_some_and(|entry| *entry.uid == *uid && !entry.deleting)
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
    fn place(&mut self, is_source: bool) -> &mut HashMap<Key, Named> {
        if is_source { &mut self.sources } else { &mut self.targets }
    }

    fn unlink(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.credentials.remove(key)?;
        for (place, secret) in [(&mut self.sources, &entry.source), (&mut self.targets, &entry.target)] {
            if let Some(named) = place.get_mut(secret) {
                named.by.retain(|other| other != key);
            }
        }
        Some(entry)
    }

    /// Forgets what nobody names any more and no watch shows.
    fn prune(&mut self, entry: &Entry) {
        for (place, secret) in [(&mut self.sources, &entry.source), (&mut self.targets, &entry.target)] {
            if place.get(secret).is_some_and(|named| !named.is_worth_keeping()) {
                place.remove(secret);
            }
        }
    }

    fn link(&mut self, key: &Key, mut entry: Entry) {
        for (place, secret) in [(&mut self.sources, &mut entry.source), (&mut self.targets, &mut entry.target)] {
            if let Some((shared, _)) = place.get_key_value(secret) {
                *secret = shared.clone();
            }
            let named = place.entry(secret.clone()).or_default();
            if let Err(free) = named.by.binary_search(key) {
                // Most are named by one.
                named.by.reserve_exact(1);
                named.by.insert(free, key.clone());
            }
        }
        self.credentials.insert(key.clone(), entry);
    }
}

impl Entry {
    fn of(key: &Key, object: &DecodeResult) -> Self {
        let meta = object.meta();
        let spec = object.0.as_ref().ok().map(|credential| &credential.spec);
        Self {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            created: meta.creation_timestamp.as_ref().map(|time| time.0),
            generation: meta.generation.unwrap_or(0),
            renew_request: renew_request(object).map(Box::from),
            deleting: meta.deletion_timestamp.is_some(),
            source: key.sibling(spec.map_or("", |spec| source_name(&spec.provider))),
            target: key.sibling(spec.map_or("", |spec| &spec.target.name)),
        }
    }
}

/// The source Secret that a spec names, whether or not the rest of it makes sense.
pub fn source_name(provider: &apicredential::api::ProviderSpec) -> &str {
    let welkin = provider.welkin.as_ref().map(|welkin| welkin.secret_ref.name.as_str());
    welkin.or(provider.qontak.as_ref().map(|qontak| qontak.secret_ref.name.as_str())).unwrap_or_default()
}

/// The longest renew request, in characters; a longer one is ignored.
const LONGEST_REQUEST: usize = 128;

/// The renew request of a credential, if it has one that counts.
pub fn renew_request(object: &impl Resource) -> Option<String> {
    let text = object.meta().annotations.as_ref()?.get(annotations::RENEW_REQUESTED_AT)?;
    (!text.is_empty() && text.chars().count() <= LONGEST_REQUEST).then(|| text.clone())
}

impl CredentialLookup for Index {
    fn uid_lives(&self, namespace: &str, name: &str, uid: &str) -> bool {
        self.lives(&Key::new(namespace, name), uid)
    }

    fn name_lives(&self, namespace: &str, name: &str) -> bool {
        self.lock().credentials.get(&Key::new(namespace, name)).is_some_and(|entry| !entry.deleting)
    }

    fn is_oldest_for_target(&self, credential: &ApiCredential) -> bool {
        let target = Key::of(credential).sibling(&credential.spec.target.name);
        let own =
            (credential.metadata.creation_timestamp.as_ref().map(|time| time.0), credential.uid().unwrap_or_default());
        let own = (own.0, own.1.as_str());
        let inner = self.lock();
        let Some(named) = inner.targets.get(&target) else { return true };
        let rivals = named.by.iter().filter_map(|key| inner.credentials.get(key)).filter(|entry| !entry.deleting);
        rivals.map(|entry| (entry.created, &*entry.uid)).all(|rival| own <= rival)
    }
}
