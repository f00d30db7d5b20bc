//! What one term as leader remembers of each credential, by uid: enough to know that nothing changed.
//!
//! Nothing here is needed for correctness across a restart; it is seeded from the status.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use apicredential::target::fingerprint::Mac;
use jiff::Timestamp;

use crate::clock::SuspendAwareInstant;
use crate::controller::watch::Version;
use crate::controller::watch::index::{Glance, Imprint};

/// What is remembered of one credential.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// What the stores said when it was last decided on.
    pub glance: Option<Imprint>,
    /// When that look began.
    pub looked: Option<SuspendAwareInstant>,
    /// The credential's resourceVersion in the store at that look.
    pub version: Option<u64>,
    /// The target's version after our own write, which the store may not show yet.
    pub written: Option<Version>,
    /// When something is due even if nothing changes.
    pub due: Option<Timestamp>,
    /// The status as we last said it: newer than the store's while the watch lags.
    pub status: Option<Arc<ApiCredentialStatus>>,
    /// That status could not be written yet.
    pub status_unsaved: bool,
    /// The status as we last wrote it, until the store has it.
    pub saved: Option<Arc<ApiCredentialStatus>>,
    /// The credential's resourceVersion in the store when we last wrote the status, and after it.
    pub resource_version: Option<Box<(String, String)>>,
    /// What the last attempt was made with.
    pub attempted: Option<Box<Attempted>>,
    /// The next attempt that the status names counts at most until then: it was written before a restart, or before
    /// the clock was set back.
    pub latest_attempt: Option<Timestamp>,
    /// The generation of the spec that the source was last read for, and found to be what the token was made from.
    pub source_read: Option<i64>,
    /// The target was ours once.
    pub target_known: bool,
    /// Since when it waits for the turn of its endpoint.
    pub waits_since: Option<SuspendAwareInstant>,
    /// The last write was rejected or too late: ask the API server dry before spending an exchange.
    pub dry_run_first: bool,
    /// Writes and dry runs that failed in a row, without an exchange.
    pub failed_writes: u32,
    /// A token issued in the future, and when it was first seen.
    pub ahead: Option<Box<(Timestamp, Timestamp)>>,
    /// The next check comes at most then, although the last one is told to have been in the future.
    pub latest_check: Option<Timestamp>,
}

/// What an attempt was made with; the values only as an HMAC under a key of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// The spec's part.
    pub identity: Mac,
    /// The source's part.
    pub values: Mac,
}

impl Remembered {
    /// Whether the stores say what they said when this credential was last decided on.
    pub fn is_unchanged(&self, now: &Glance) -> bool {
        let Some(before) = self.glance else { return false };
        let is_ours =
            || now.target.as_ref().is_some_and(|seen| seen.present && Some(&seen.version) == self.written.as_ref());
        before.others == now.imprint.others && (before.target == now.imprint.target || is_ours())
    }

    /// Whether the store shows an older credential than before, which only an API server can do whose data was put back:
    /// what is remembered of it then is of a world that is gone.
    pub fn is_of_a_later_world(&self, credential: &ApiCredential) -> bool {
        number(credential.metadata.resource_version.as_deref())
            .zip(self.version)
            .is_some_and(|(now, before)| now < before)
    }

    /// Whether the store does not show our own last write of the status yet. Versions of one object can be compared
    /// as numbers; where they are none, only the version before our write is known to be too old.
    pub fn status_lags(&self, credential: &ApiCredential) -> bool {
        let Some((before, written)) = self.resource_version.as_deref() else { return false };
        let stored = credential.metadata.resource_version.as_deref().unwrap_or_default();
        match (stored.parse::<u64>(), written.parse::<u64>()) {
            (Ok(stored), Ok(written)) => stored < written,
            _ => stored == before,
        }
    }

    /// Lets go of what is kept only until the store has our last write of the status, if it has: `version` is the one there.
    fn settle(&mut self, version: Option<u64>) {
        let written = self.resource_version.as_deref().and_then(|(_, written)| number(Some(written)));
        if version.zip(written).is_some_and(|(version, written)| version >= written) {
            self.saved = None;
            self.resource_version = None;
        }
    }

    /// Whether somebody else has changed or removed the status that we said last.
    pub fn status_is_lost(&self, credential: &ApiCredential) -> bool {
        let said = self.status.as_deref();
        !self.status_lags(credential) && said.is_some_and(|said| credential.status.as_ref() != Some(said))
    }
}

/// A resourceVersion as a number, if it is one.
pub fn number(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}

/// What the store has of a credential.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Its resourceVersion, if that is a number.
    pub version: Option<u64>,
    /// Its status.
    pub status: Option<ApiCredentialStatus>,
}

/// As it lies in the memory.
struct Kept {
    /// Without its status, if that is the stored one.
    remembered: Remembered,
    said_as_stored: bool,
}

/// The memory of one term as leader.
#[derive(Default)]
pub struct Memory(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Boxed: a map has room for more than it holds.
    by_uid: HashMap<Box<str>, Box<Kept>>,
    /// The one whose status the store is just changing: until it has, nothing can be said to be as stored.
    changing: Option<Box<str>>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered; none on the first look.
    pub fn recall(&self, uid: &str, stored: impl FnOnce() -> Stored) -> Option<Remembered> {
        let all = self.lock();
        let kept = all.by_uid.get(uid)?;
        let said = if kept.said_as_stored { stored().status.map(Arc::new) } else { kept.remembered.status.clone() };
        Some(Remembered { status: said, ..kept.remembered.clone() })
    }

    /// Remembers. A status that is the stored one is not kept twice.
    pub fn keep(&self, uid: &str, mut remembered: Remembered, stored: impl FnOnce() -> Stored) {
        let mut all = self.lock();
        let stored = stored();
        remembered.settle(stored.version);
        let is_settled = all.changing.as_deref() != Some(uid);
        let said_as_stored =
            is_settled && remembered.status.is_some() && remembered.status.as_deref() == stored.status.as_ref();
        let status = remembered.status.clone().filter(|_| !said_as_stored);
        let kept = Box::new(Kept { remembered: Remembered { status, ..remembered }, said_as_stored });
        all.by_uid.insert(uid.into(), kept);
    }

    /// The store is about to take another status of a credential. What was said is remembered, whoever says the other.
    /// `before` is asked for the one that the store has.
    pub fn leaves_store(
        &self,
        uid: &str,
        before: impl FnOnce() -> Option<ApiCredentialStatus>,
        now: Option<&ApiCredentialStatus>,
    ) {
        let mut all = self.lock();
        all.changing = Some(uid.into());
        let Some(kept) = all.by_uid.get_mut(uid).filter(|kept| kept.said_as_stored) else { return };
        let before = before();
        if before.as_ref() != now {
            kept.said_as_stored = false;
            kept.remembered.status = before.map(Arc::new);
        }
    }

    /// The store has that version and status of a credential now: what was said or saved need not be kept twice.
    pub fn is_in_store(&self, uid: &str, version: Option<u64>, now: Option<&ApiCredentialStatus>) {
        let mut all = self.lock();
        all.changing = None;
        let Some(kept) = all.by_uid.get_mut(uid) else { return };
        kept.remembered.settle(version);
        if now.is_some() && kept.remembered.status.as_deref() == now {
            kept.said_as_stored = true;
            kept.remembered.status = None;
        }
    }

    /// Forgets a credential that is gone.
    pub fn forget(&self, uid: &str) {
        self.lock().by_uid.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(revision: i64) -> ApiCredentialStatus {
        ApiCredentialStatus { revision: Some(revision), ..ApiCredentialStatus::default() }
    }

    fn said(memory: &Memory, store: Option<&ApiCredentialStatus>) -> Option<i64> {
        let stored = || Stored { version: None, status: store.cloned() };
        memory.recall("u", stored).and_then(|remembered| remembered.status?.revision)
    }

    fn keep(memory: &Memory, revision: i64, store: &ApiCredentialStatus) {
        let remembered = Remembered { status: Some(Arc::new(status(revision))), ..Remembered::default() };
        memory.keep("u", remembered, || Stored { version: None, status: Some(store.clone()) });
    }

    #[test]
    fn what_was_said_is_not_kept_twice_and_not_lost_when_somebody_edits_it() {
        let (memory, ours, edited) = (Memory::default(), status(1), status(9));
        keep(&memory, 1, &ours);
        assert!(memory.lock().by_uid["u"].remembered.status.is_none(), "the store has it");
        assert_eq!(said(&memory, Some(&ours)), Some(1));
        memory.leaves_store("u", || Some(ours.clone()), Some(&edited));
        memory.is_in_store("u", None, Some(&edited));
        assert_eq!(said(&memory, Some(&edited)), Some(1));
        memory.leaves_store("u", || Some(edited.clone()), None);
        assert_eq!(said(&memory, None), Some(1));
    }

    #[test]
    fn what_was_said_is_kept_until_the_store_has_it() {
        let (memory, before, ours) = (Memory::default(), status(1), status(2));
        keep(&memory, 2, &before);
        assert_eq!(said(&memory, Some(&before)), Some(2), "the watch lags");
        memory.leaves_store("u", || Some(before.clone()), Some(&ours));
        memory.is_in_store("u", None, Some(&ours));
        assert!(memory.lock().by_uid["u"].remembered.status.is_none());
        assert_eq!(said(&memory, Some(&ours)), Some(2));
        memory.leaves_store("u", || Some(ours.clone()), Some(&ours));
        memory.is_in_store("u", None, Some(&ours));
        assert_eq!(said(&memory, Some(&ours)), Some(2), "a label changed");
        // A look ends while the store changes: whichever it finds there, what it said is kept.
        memory.leaves_store("u", || Some(ours.clone()), Some(&status(3)));
        keep(&memory, 2, &ours);
        memory.is_in_store("u", None, Some(&status(3)));
        assert_eq!(said(&memory, Some(&status(3))), Some(2), "another's hand is seen");
        memory.leaves_store("u", || Some(status(3)), Some(&status(3)));
        keep(&memory, 3, &status(3));
        memory.is_in_store("u", None, Some(&status(3)));
        assert_eq!(said(&memory, Some(&status(3))), Some(3));
        memory.forget("u");
        assert_eq!(said(&memory, Some(&ours)), None);
    }

    /// What a look remembers that has just written a status: made for version 4, and version 7 after it.
    fn after_a_write() -> Remembered {
        let status = Some(Arc::new(status(2)));
        let resource_version = Some(Box::new(("4".to_owned(), "7".to_owned())));
        Remembered { saved: status.clone(), status, resource_version, ..Remembered::default() }
    }

    fn keeps_saved(memory: &Memory) -> bool {
        let all = memory.lock();
        let kept = &all.by_uid["u"].remembered;
        assert_eq!(kept.saved.is_some(), kept.resource_version.is_some(), "both or neither");
        kept.saved.is_some()
    }

    #[test]
    fn what_was_saved_is_let_go_as_soon_as_the_store_has_it() {
        let memory = Memory::default();
        memory.keep("u", after_a_write(), || Stored { version: Some(4), status: Some(status(1)) });
        memory.is_in_store("u", Some(5), Some(&status(1)));
        assert!(keeps_saved(&memory), "a label was edited before our write, and the watch is that far only");
        memory.is_in_store("u", Some(7), Some(&status(2)));
        assert!(!keeps_saved(&memory));
        assert_eq!(said(&memory, Some(&status(2))), Some(2));
        // The watch may be faster than the end of the look.
        memory.keep("u", after_a_write(), || Stored { version: Some(9), status: Some(status(2)) });
        assert!(!keeps_saved(&memory));
        // Where versions are no numbers, the next look finds out.
        memory.keep("u", after_a_write(), Stored::default);
        memory.is_in_store("u", None, Some(&status(2)));
        assert!(keeps_saved(&memory));
    }
}
