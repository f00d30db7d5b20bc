//! The record of one ApiCredential.

use std::sync::Arc;

use apicredential::api::ApiCredentialStatus;
use apicredential::next_reconcile::NextReconcile;
use apicredential::object_key::Key;

use super::arrival::Arrival;
use super::object::CachedObject;
use crate::clock::SuspendAwareInstant;
use crate::controller::history::AttemptHistory;

/// What is planned for an ApiCredential.
pub(super) struct Plan {
    /// When the reconcile that planned it began, so that a clock that is set back in the middle of it is noticed after it.
    pub began: SuspendAwareInstant,
    pub next: NextReconcile,
}

pub(super) struct CredentialState {
    pub object: CachedObject,
    /// As the API server has it.
    pub stored_status: Arc<ApiCredentialStatus>,
    /// As the operator last reported it in this term; shared with `stored_status` while the API server has it.
    pub reported_status: Option<Arc<ApiCredentialStatus>>,
    pub source: Key,
    pub target: Key,
    pub changes: u64,
    pub handled: u64,
    /// How many lists had begun when our last reply arrived.
    pub written_in: u64,
    pub plan: Option<Plan>,
    pub history: Option<AttemptHistory>,
}

impl CredentialState {
    pub(super) fn new(key: &Key, object: CachedObject, status: Option<ApiCredentialStatus>) -> Self {
        Self {
            source: key.sibling(object.source_name()),
            target: key.sibling(object.target_name()),
            object,
            stored_status: Arc::new(status.unwrap_or_default()),
            reported_status: None,
            changes: 1,
            handled: 0,
            written_in: 0,
            plan: None,
            history: None,
        }
    }

    pub(super) fn arrival(&self, object: &CachedObject) -> Arrival {
        Arrival::compare(object.version(), self.object.version())
    }

    pub(super) fn arrival_in_list(&self, object: &CachedObject, list: u64) -> Arrival {
        Arrival::compare_listed(object.version(), self.object.version(), self.written_in >= list)
    }

    pub(super) fn set(&mut self, object: CachedObject, status: Option<ApiCredentialStatus>) {
        self.object = object;
        let status = status.unwrap_or_default();
        if status != *self.stored_status {
            self.stored_status = match &self.reported_status {
                Some(reported) if **reported == status => Arc::clone(reported),
                _ => Arc::new(status),
            };
        }
    }

    /// Keeps what was reported; one that the API server has is not kept twice.
    pub(super) fn report(&mut self, status: Option<Arc<ApiCredentialStatus>>) {
        let is_stored = status.as_ref().is_some_and(|status| **status == *self.stored_status);
        self.reported_status = if is_stored { Some(Arc::clone(&self.stored_status)) } else { status };
    }

    /// The next reconcile begins like the first one of a term.
    pub(super) fn forget(&mut self) {
        self.reported_status = None;
        self.plan = None;
        self.history = None;
        self.changes += 1;
    }
}
