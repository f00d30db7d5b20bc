//! What a reconcile begins with, and what it leaves for the next one.

use std::sync::Arc;

use apicredential::api::ApiCredentialStatus;
use apicredential::next_reconcile::NextReconcile;

use super::object::CachedObject;
use super::secrets::SecretRecord;
use crate::clock::SuspendAwareInstant;
use crate::controller::history::AttemptHistory;

/// What is known about one ApiCredential when its reconcile begins.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The object, without its status.
    pub object: CachedObject,
    /// The status that the API server has.
    pub stored_status: Arc<ApiCredentialStatus>,
    /// The status that the operator reported last in this term; the API server may not have it, or not any more.
    pub reported_status: Option<Arc<ApiCredentialStatus>>,
    /// The source Secret, if a watch has shown it.
    pub source: Option<SecretRecord>,
    /// The target Secret, if a watch or a reply has shown it.
    pub target: Option<SecretRecord>,
    /// Whether something changed since the last reconcile that left nothing undone.
    pub is_dirty: bool,
    /// When the last reconcile began, and when the next one is due. `None` before the first one of this term.
    pub planned: Option<(SuspendAwareInstant, NextReconcile)>,
    /// What is remembered of earlier attempts. `None` before the first reconcile of this term.
    pub history: Option<AttemptHistory>,
    /// The counter of changes now.
    pub(super) changes: u64,
}

impl Snapshot {
    /// Whether the API server lacks the status that was reported last.
    pub fn has_pending_status(&self) -> bool {
        self.reported_status.as_ref().is_some_and(|reported| *reported != self.stored_status)
    }
}

/// What a reconcile leaves for the next one.
#[derive(Clone, Debug)]
pub struct Remember {
    /// When it began.
    pub began: SuspendAwareInstant,
    /// When the next one is due if nothing changes.
    pub next: NextReconcile,
    /// Whether it acted on all that it observed.
    pub is_settled: bool,
    /// The status that it reported.
    pub reported_status: Option<Arc<ApiCredentialStatus>>,
    /// What the next one must know of earlier attempts.
    pub history: AttemptHistory,
}
