//! The records of source and target Secrets: a slot for each watch, because a Secret that loses the label of one watch is
//! deleted for that watch only.

use std::collections::HashMap;

use apicredential::annotations;
use apicredential::object_key::Key;
use apicredential::revision::Revision;
use kube::{Resource, ResourceExt as _};

use super::arrival::{Arrival, CallStart, VersionSource};

/// What a Secret is to an ApiCredential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretRole {
    /// It holds a login.
    Source,
    /// It receives a token.
    Target,
}

/// What was last shown of a Secret. One that was deleted is remembered as absent while an ApiCredential names it, so that
/// "never seen" and "deleted since" differ, and a late reply does not bring it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRecord {
    /// Which Secret, and which of its versions.
    pub revision: Revision,
    /// Whether it exists.
    pub is_present: bool,
    /// Of a target: the source Secret that its token was made from, by the annotation beside it.
    pub token_source: Option<Revision>,
}

impl SecretRecord {
    /// The record of a Secret that exists.
    pub fn of(secret: &impl Resource) -> Self {
        let token_source = annotation(secret, annotations::SOURCE_VERSION);
        Self {
            revision: Revision::of(secret),
            is_present: true,
            token_source: token_source.map(|text| Revision::from(text.as_str())),
        }
    }
}

/// A Secret that a watch has shown, or that an ApiCredential names.
#[derive(Default)]
struct SecretEntry {
    record: Option<SecretRecord>,
    /// A watch has shown it. What only a reply has shown goes with the last ApiCredential that names it: without the
    /// permission to watch, nothing else would ever remove it.
    is_watched: bool,
    /// The number of the last event that changed the record, which counted as a change for everyone who names the Secret.
    counted_at: u64,
    /// How many lists had begun when our last reply arrived.
    written_in: u64,
    /// The ApiCredentials that name it, in order.
    named_by: Vec<Key>,
}

impl SecretEntry {
    fn is_worth_keeping(&self) -> bool {
        let is_present = self.record.as_ref().is_some_and(|record| record.is_present);
        !self.named_by.is_empty() || (self.is_watched && is_present)
    }

    fn version(&self) -> Option<u64> {
        self.record.as_ref()?.revision.number()
    }

    /// Returns whether it is another record than before.
    fn set(&mut self, record: SecretRecord) -> bool {
        let changed = self.record.as_ref() != Some(&record);
        self.record = Some(record);
        changed
    }

    fn set_absent(&mut self, revision: Option<Revision>) -> bool {
        let Some(record) = &mut self.record else { return false };
        if let Some(revision) = revision {
            record.revision = revision;
        }
        std::mem::replace(&mut record.is_present, false)
    }
}

/// What follows from the reply to our own write.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// The ApiCredentials for which it is a change.
    pub changed: Vec<Key>,
    /// The watch was faster than the reply: our own write counted as a change for the ApiCredential that wrote it.
    pub echo_was_counted: bool,
}

/// All Secrets, by what they are.
#[derive(Default)]
pub(super) struct Secrets {
    sources: HashMap<Key, Box<SecretEntry>>,
    targets: HashMap<Key, Box<SecretEntry>>,
    /// Events of the watches so far.
    pub events: u64,
}

impl Secrets {
    fn slot(&self, role: SecretRole) -> &HashMap<Key, Box<SecretEntry>> {
        match role {
            SecretRole::Source => &self.sources,
            SecretRole::Target => &self.targets,
        }
    }

    fn slot_mut(&mut self, role: SecretRole) -> &mut HashMap<Key, Box<SecretEntry>> {
        match role {
            SecretRole::Source => &mut self.sources,
            SecretRole::Target => &mut self.targets,
        }
    }

    /// Takes in what a watch shows. Returns the ApiCredentials for which that is a change.
    pub(super) fn apply(
        &mut self,
        role: SecretRole,
        key: &Key,
        record: SecretRecord,
        origin: VersionSource,
    ) -> Vec<Key> {
        self.events += 1;
        let event = self.events;
        let entry = self.slot_mut(role).entry(key.clone()).or_default();
        let arrival = match origin {
            VersionSource::List(list) => {
                Arrival::compare_listed(record.revision.number(), entry.version(), entry.written_in >= list)
            }
            VersionSource::Watch | VersionSource::Reply(_) => {
                Arrival::compare(record.revision.number(), entry.version())
            }
        };
        entry.is_watched = true;
        let changed = arrival != Arrival::Outdated && entry.set(record);
        if changed {
            entry.counted_at = event;
        }
        if changed { entry.named_by.clone() } else { Vec::new() }
    }

    /// Takes in the reply to our own write of a target. Only if no list has begun since the call was sent may it show a Secret
    /// that was not there.
    pub(super) fn apply_reply(
        &mut self,
        key: &Key,
        record: SecretRecord,
        call: CallStart,
        lists: u64,
        writer: &Key,
    ) -> Reply {
        let is_fresh = call.lists == lists;
        // Nobody names it any more: it goes with its owner, or is not ours to follow.
        let Some(entry) = self.targets.get_mut(key).filter(|entry| !entry.named_by.is_empty()) else {
            return Reply::default();
        };
        let is_present = entry.record.as_ref().is_some_and(|record| record.is_present);
        let is_outdated = Arrival::compare(record.revision.number(), entry.version()) == Arrival::Outdated;
        if is_outdated || !(is_fresh || is_present) {
            return Reply::default();
        }
        entry.written_in = lists;
        let was_counted = std::mem::take(&mut entry.counted_at) > call.events;
        if !entry.set(record) {
            return Reply { changed: Vec::new(), echo_was_counted: was_counted };
        }
        let changed = entry.named_by.iter().filter(|other| *other != writer).cloned().collect();
        Reply { changed, echo_was_counted: false }
    }

    /// A watch shows that a Secret is gone, at this revision.
    pub(super) fn remove(&mut self, role: SecretRole, key: &Key, revision: Revision) -> Vec<Key> {
        let is_outdated =
            |entry: &SecretEntry| Arrival::compare(revision.number(), entry.version()) == Arrival::Outdated;
        match self.slot(role).get(key) {
            Some(entry) if !is_outdated(entry) => self.set_absent(role, key, Some(revision)),
            _ => Vec::new(),
        }
    }

    /// A list lacks a Secret that was there before, unless it was written since that list began.
    pub(super) fn remove_unlisted(&mut self, role: SecretRole, key: &Key, list: u64) -> Vec<Key> {
        match self.slot(role).get(key) {
            Some(entry) if entry.written_in < list => self.set_absent(role, key, None),
            _ => Vec::new(),
        }
    }

    fn set_absent(&mut self, role: SecretRole, key: &Key, revision: Option<Revision>) -> Vec<Key> {
        let slot = self.slot_mut(role);
        let Some(entry) = slot.get_mut(key) else { return Vec::new() };
        let changed = entry.set_absent(revision);
        let named_by = entry.named_by.clone();
        if !entry.is_worth_keeping() {
            slot.remove(key);
        }
        if changed { named_by } else { Vec::new() }
    }

    /// Notes that an ApiCredential names a Secret. Returns the Secret's key, shared with the slot.
    pub(super) fn link(&mut self, role: SecretRole, secret: &Key, credential: &Key) -> Key {
        let slot = self.slot_mut(role);
        let shared = slot.get_key_value(secret).map_or_else(|| secret.clone(), |(key, _)| key.clone());
        let named_by = &mut slot.entry(shared.clone()).or_default().named_by;
        if let Err(free) = named_by.binary_search(credential) {
            // Most Secrets are named by one.
            named_by.reserve_exact(1);
            named_by.insert(free, credential.clone());
        }
        shared
    }

    /// The opposite of [`Secrets::link`]. A Secret that nobody names and no watch shows is forgotten.
    pub(super) fn unlink(&mut self, role: SecretRole, secret: &Key, credential: &Key) {
        let slot = self.slot_mut(role);
        let Some(entry) = slot.get_mut(secret) else { return };
        entry.named_by.retain(|other| other != credential);
        if !entry.is_worth_keeping() {
            slot.remove(secret);
        }
    }

    pub(super) fn named_by(&self, role: SecretRole, secret: &Key) -> Vec<Key> {
        self.slot(role).get(secret).map(|entry| entry.named_by.clone()).unwrap_or_default()
    }

    pub(super) fn record(&self, role: SecretRole, secret: &Key) -> Option<SecretRecord> {
        self.slot(role).get(secret)?.record.clone()
    }
}

fn annotation(object: &impl Resource, name: &str) -> Option<String> {
    object.annotations().get(name).cloned()
}
