//! What one term as leader remembers of each credential, by uid: enough to know that nothing changed.
//!
//! Nothing here is needed for correctness across a restart; it is seeded from the status.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::clock::Mark;
use crate::credential::{ApiCredential, ApiCredentialStatus};
use crate::watch::index::{Glance, Seen};

/// What is remembered of one credential.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// What the stores said when it was last decided on.
    pub glance: Option<Glance>,
    /// When that look began.
    pub looked: Option<Mark>,
    /// The credential's resourceVersion in the store at that look.
    pub version: Option<String>,
    /// The target's version after our own write, which the store may not show yet.
    pub written: Option<String>,
    /// When something is due even if nothing changes.
    pub due: Option<Timestamp>,
    /// The status as we last said it: newer than the store's while the watch lags.
    pub status: Option<ApiCredentialStatus>,
    /// That status could not be written yet.
    pub status_unsaved: bool,
    /// The status as we last wrote it, until the store has it.
    pub saved: Option<ApiCredentialStatus>,
    /// The credential's resourceVersion in the store when we last wrote the status, and after it.
    pub resource_version: Option<(String, String)>,
    /// What the last attempt was made with.
    pub attempted: Option<Attempted>,
    /// The next attempt that the status names counts at most until then: it was written before a restart, or before
    /// the clock was set back.
    pub latest_attempt: Option<Timestamp>,
    /// The generation of the spec that the source was last read for, and found to be what the token was made from.
    pub source_read: Option<i64>,
    /// The target was ours once.
    pub target_known: bool,
    /// Since when it waits for the turn of its endpoint.
    pub waits_since: Option<Mark>,
    /// The last write was rejected or too late: ask the API server dry before spending an exchange.
    pub dry_run_first: bool,
    /// Writes and dry runs that failed in a row, without an exchange.
    pub failed_writes: u32,
    /// A token issued in the future, and when it was first seen.
    pub ahead: Option<(Timestamp, Timestamp)>,
}

/// What an attempt was made with; the values only as an HMAC under a key of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// The spec's part.
    pub identity: String,
    /// The source's part.
    pub values: String,
}

impl Remembered {
    /// Whether the stores say what they said when this credential was last decided on.
    pub fn is_unchanged(&self, now: &Glance) -> bool {
        let Some(before) = &self.glance else { return false };
        let written = |seen: &Seen| seen.present && Some(&seen.version) == self.written.as_ref();
        before.generation == now.generation
            && before.renew_request == now.renew_request
            && before.source == now.source
            && before.rivals == now.rivals
            && (before.target == now.target || now.target.as_ref().is_some_and(written))
    }

    /// Whether the store shows an older credential than before, which only an API server can do whose data was put back:
    /// what is remembered of it then is of a world that is gone.
    pub fn is_of_a_later_world(&self, credential: &ApiCredential) -> bool {
        is_older(credential.metadata.resource_version.as_deref(), self.version.as_deref())
    }

    /// Whether the store does not show our own last write of the status yet. Versions of one object can be compared
    /// as numbers; where they are none, only the version before our write is known to be too old.
    pub fn status_lags(&self, credential: &ApiCredential) -> bool {
        let Some((before, written)) = &self.resource_version else { return false };
        let stored = credential.metadata.resource_version.as_deref().unwrap_or_default();
        match (stored.parse::<u64>(), written.parse::<u64>()) {
            (Ok(stored), Ok(written)) => stored < written,
            _ => stored == before,
        }
    }

    /// Whether somebody else has changed or removed the status that we said last.
    pub fn status_is_lost(&self, credential: &ApiCredential) -> bool {
        let said = self.status.as_ref();
        !self.status_lags(credential) && said.is_some_and(|said| credential.status.as_ref() != Some(said))
    }
}

/// Whether one resourceVersion of an object was there before another. Those of one object can be compared as numbers; of
/// what is none, nothing is known.
pub fn is_older(version: Option<&str>, than: Option<&str>) -> bool {
    let number = |text: Option<&str>| text?.parse::<u64>().ok();
    number(version).zip(number(than)).is_some_and(|(version, than)| version < than)
}

/// The memory of one term as leader.
#[derive(Default)]
pub struct Memory {
    by_uid: Mutex<HashMap<String, Remembered>>,
}

impl Memory {
    /// What is remembered; none on the first look.
    pub fn recall(&self, uid: &str) -> Option<Remembered> {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// Remembers.
    pub fn keep(&self, uid: &str, remembered: Remembered) {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), remembered);
    }

    /// Forgets a credential that is gone.
    pub fn forget(&self, uid: &str) {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}
