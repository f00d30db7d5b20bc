//! The state of one reconcile, and how it ends.

use std::sync::Arc;

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use apicredential::next_reconcile::NextReconcile;
use apicredential::object_key::Key;
use apicredential::plan::Plan;
use apicredential::reason::{Class, Refusal};
use apicredential::schedule;

use super::cache::Snapshot;
use super::context::Context;
use super::history::AttemptHistory;
use crate::clock::{self, SuspendAwareInstant};

/// How a reconcile ended, and when the next one is due if nothing changes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It acted on all that it observed.
    Settled(NextReconcile),
    /// It left something undone: the next reconcile observes again, even if nothing changes.
    Unsettled(NextReconcile),
    /// It waits in the queue of its endpoint: its turn may come before anything changes.
    Queued(NextReconcile),
}

impl Outcome {
    pub(super) fn next(self) -> NextReconcile {
        match self {
            Self::Settled(next) | Self::Unsettled(next) | Self::Queued(next) => next,
        }
    }

    /// The same, with the next reconcile no later than that.
    pub(super) fn or_earlier(self, other: NextReconcile) -> Self {
        match self {
            Self::Settled(next) => Self::Settled(next.or_earlier(other)),
            Self::Unsettled(next) => Self::Unsettled(next.or_earlier(other)),
            Self::Queued(next) => Self::Queued(next.or_earlier(other)),
        }
    }
}

/// One reconcile, from its begin to its end.
pub(super) struct Reconciliation {
    pub(super) context: Arc<Context>,
    pub(super) key: Key,
    pub(super) credential: Arc<ApiCredential>,
    /// The spec, parsed. An invalid one is reported and nothing else is done.
    pub(super) plan: Result<Arc<Plan>, Refusal>,
    /// What the cache had when it began.
    pub(super) snapshot: Snapshot,
    /// The status that the operator reported last; `None` while that is what the API server had at the begin of the term.
    pub(super) reported: Option<Arc<ApiCredentialStatus>>,
    pub(super) history: AttemptHistory,
    pub(super) began: SuspendAwareInstant,
}

impl Reconciliation {
    pub(super) fn new(key: Key, credential: Arc<ApiCredential>, snapshot: Snapshot, context: Arc<Context>) -> Self {
        let plan = Plan::parse(&credential.spec, &context.settings.allowed).map(Arc::new);
        let reported = snapshot.reported_status.clone();
        let history = snapshot.history.clone().unwrap_or_default();
        Self { context, key, credential, plan, snapshot, reported, history, began: SuspendAwareInstant::now() }
    }

    /// The next reconcile after something that will be different soon, such as a conflict: after `--retry-base`.
    pub(super) fn retry_soon(&self) -> NextReconcile {
        NextReconcile::after(clock::now(), self.context.settings.timings.retry_base)
    }

    /// The next reconcile after a refusal that a change is expected to end: after the flat delay of its class.
    pub(super) fn retry_after_refusal(&self) -> NextReconcile {
        NextReconcile::after(clock::now(), schedule::longest(Class::Local, &self.context.settings.timings))
    }

    pub(super) fn uid(&self) -> &str {
        self.credential.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The status that counts: what was reported in this term, else what the API server has.
    pub(super) fn status(&self) -> &ApiCredentialStatus {
        self.reported.as_ref().unwrap_or(&self.snapshot.stored_status)
    }

    /// Whether the API server lacks the status that was reported last: it could not be written, or somebody else changed it.
    pub(super) fn has_pending_status(&self) -> bool {
        self.reported.as_ref().is_some_and(|reported| *reported != self.snapshot.stored_status)
    }
}
