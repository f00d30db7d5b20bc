//! Where a version of an object comes from, and whether it replaces the cached one.

use apicredential::api::ApiCredential;
use kube::core::DeserializeGuard;

/// An ApiCredential as the API server sent it. One that cannot be decoded must not stop the others.
pub type DecodeResult = DeserializeGuard<ApiCredential>;

/// Where a version of an object comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionSource {
    /// An entry of the list of that number, see `Cache::begin_list`.
    List(u64),
    /// An event of a watch.
    Watch,
    /// The reply to a call of ours.
    Reply(CallStart),
}

/// When a call of ours was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallStart {
    /// How many lists had begun by then.
    pub(super) lists: u64,
    /// How many events of Secrets had arrived by then.
    pub(super) events: u64,
}

/// How a version that arrives compares with the cached one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is as new, or newer.
    Current,
    /// It is older, because another way was faster.
    Outdated,
    /// It is older, and yet it is what the API server has: its data were restored from a backup.
    Restored,
}

impl Arrival {
    /// Versions that are no numbers have no order: whatever arrives is taken.
    pub(super) fn compare(arriving: Option<u64>, cached: Option<u64>) -> Self {
        match arriving.zip(cached) {
            Some((arriving, cached)) if arriving < cached => Self::Outdated,
            _ => Self::Current,
        }
    }

    /// The same for an entry of a list; `written_since` tells whether a reply of ours arrived after the list began.
    pub(super) fn compare_listed(arriving: Option<u64>, cached: Option<u64>, written_since: bool) -> Self {
        match Self::compare(arriving, cached) {
            Self::Outdated if !written_since => Self::Restored,
            other => other,
        }
    }
}
