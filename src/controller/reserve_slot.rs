//! Whether an ApiCredential has to wait for its turn at the endpoint, asked before anything is read for it.

use apicredential::api::CreationPolicy;
use apicredential::next_reconcile::NextReconcile;
use apicredential::schedule;

use super::cache::SecretRecord;
use super::reconciliation::Reconciliation;
use crate::clock;
use crate::rate_limit::Wait;

/// Whether the reconcile may go on to read.
pub(super) enum Slot {
    /// It may.
    Proceed,
    /// Other keys come first.
    Wait(NextReconcile),
}

/// Where the cache shows that an exchange comes next, an ApiCredential waits for its turn before anything is read for it,
/// and not with reads before and reads after.
pub(super) fn reserve_slot(run: &mut Reconciliation) -> Slot {
    let Ok(plan) = run.plan.clone() else { return Slot::Proceed };
    if !is_bound_to_exchange(run) || !run.context.issuer.leadership.may_start() {
        return Slot::Proceed;
    }
    let (endpoint, now) = (plan.request.endpoint(), clock::steady());
    // What is to be reported while the endpoint is paused, a reconcile finds by reading.
    if !plan.endpoint_allowed || run.context.limiter.paused_until(endpoint, now).is_some() {
        return Slot::Proceed;
    }
    let Some(wait) = run.context.limiter.reserve_slot(endpoint, &run.key, now) else { return Slot::Proceed };
    run.history.waits_since.get_or_insert_with(clock::SuspendAwareInstant::now);
    Slot::Wait(match wait {
        Wait::Until(time) => NextReconcile::At(schedule::after(clock::now(), time.saturating_sub(now))),
        Wait::Woken => NextReconcile::OnChange,
    })
}

/// The cache shows that its first exchange comes next, or the status that a renewal is due.
fn is_bound_to_exchange(run: &Reconciliation) -> bool {
    let is_there = |record: &Option<SecretRecord>| record.as_ref().is_some_and(|record| record.is_present);
    let spec = &run.credential.spec;
    if run.has_pending_status() || spec.suspend || !is_there(&run.snapshot.source) {
        return false;
    }
    if !run.context.issuer.watch.is_healthy() {
        return false;
    }
    if is_there(&run.snapshot.target) {
        return is_renewal_due(run);
    }
    let is_first = run.status().observed_generation.is_none_or(|generation| generation < 0);
    // A target to merge into need not be known to the watch.
    is_first && spec.target.creation_policy != CreationPolicy::Merge
}

/// The status reports a valid token of this spec, in the target as it is, whose renewal is due.
fn is_renewal_due(run: &Reconciliation) -> bool {
    let (status, now) = (run.status(), clock::now());
    let is_over =
        status.token.as_ref().and_then(|token| token.expiration_time.as_ref()).is_some_and(|end| end.0 <= now);
    let is_due = status.renewal_time.as_ref().is_some_and(|planned| planned.0 <= now);
    let reported = status.target.as_ref().zip(run.snapshot.target.as_ref());
    let is_as_reported = status.observed_generation == run.credential.metadata.generation
        && reported.is_some_and(|(reported, target)| reported.revision() == target.revision);
    is_as_reported && is_due && !is_over && status.is_ready() && status.unresolved_failure().is_none()
}
