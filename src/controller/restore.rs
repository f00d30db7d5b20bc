//! The first reconcile of a term: what the status and the watches together prove without a read.

use apicredential::api::{ApiCredentialStatus, condition_type};
use apicredential::next_reconcile::NextReconcile;
use apicredential::object_key::Key;
use apicredential::plan::{AllowLists, Plan};
use apicredential::reason::Reason;
use apicredential::schedule::{self, Timings};
use apicredential::status::reports_left_out;
use jiff::Timestamp;

use super::attempt_history::latest_attempt;
use super::cache::{DecodeResult, renew_request};
use super::reconciliation::Reconciliation;
use crate::clock;
use crate::metrics::CredentialGauges;
use crate::rate_limit::RateLimiter;

/// Rebuilds what the last term remembered. `Some` if nothing changed since the status was written: when the next reconcile is
/// due.
pub(super) fn from_status(reconciliation: &mut Reconciliation) -> Option<NextReconcile> {
    let status = std::sync::Arc::clone(&reconciliation.snapshot.stored_status);
    reconciliation.history.target_known = status.revision.unwrap_or(0) > 0;
    let plan = reconciliation.plan.clone().ok()?;
    let (now, timings) = (clock::now(), reconciliation.context.settings.timings);
    let failure = status.unresolved_failure();
    reconciliation.history.latest_attempt = failure.and_then(|reason| latest_attempt(reason, None, now, &timings));
    if !is_proven(&status, reconciliation, &plan) || is_from_the_future(&status, now) {
        return None;
    }
    let attempt = status.next_attempt_time.as_ref().filter(|_| failure.is_some()).map(|time| time.0);
    let bound = reconciliation.history.latest_attempt;
    let attempt = attempt.map(|time| bound.map_or(time, |latest| time.min(latest)));
    let attempt = attempt.or(status.renewal_time.as_ref().map(|time| time.0));
    let expiry = status.token.as_ref().and_then(|token| token.expiration_time.as_ref()).map(|time| time.0);
    let check = plan.verification.map(|interval| next_check(&status, interval, reconciliation.uid(), now));
    let next = [attempt, expiry, check].into_iter().map(NextReconcile::from);
    let next = next.fold(NextReconcile::OnChange, NextReconcile::or_earlier);
    if !next.is_after(now) {
        return None;
    }
    reconciliation.reported = Some(std::sync::Arc::clone(&status));
    let gauges = CredentialGauges::of(&status, reconciliation.credential.spec.suspend);
    reconciliation.context.metrics.set_credential(&reconciliation.key, gauges);
    Some(next)
}

fn next_check(status: &ApiCredentialStatus, interval: i64, uid: &str, now: Timestamp) -> Timestamp {
    let checked = status.verification.as_ref().map(|check| check.time.0);
    let issued = status.token.as_ref().map(|token| token.issued_time.0);
    let since = checked.into_iter().chain(issued).max();
    since.map_or(now, |since| schedule::check_time(since, interval, uid)).min(schedule::latest_check(now, interval))
}

/// Rebuilds the pause of an endpoint from an ApiCredential that was throttled. Done for all of them before the first token
/// request is sent.
pub fn restore_pause(
    object: &DecodeResult,
    limiter: &RateLimiter<Key>,
    allowed: &AllowLists,
    timings: &Timings,
) -> Option<Timestamp> {
    let credential = object.0.as_ref().ok()?;
    let status = credential.status.as_ref()?;
    let reason = status.unresolved_failure().filter(|reason| *reason == Reason::RateLimited)?;
    let plan = Plan::parse(&credential.spec, allowed).ok()?;
    let now = clock::now();
    // The provider cannot have asked for longer than this; a renewal that is planned for later is no pause.
    let asked = schedule::after(status.last_attempt.as_ref()?.time.0, schedule::longest(reason.retry_class(), timings));
    let until = status.next_attempt_time.as_ref()?.0.min(asked).min(latest_attempt(reason, None, now, timings)?);
    let end = clock::steady().saturating_add(schedule::until(until, now));
    (until > now).then(|| limiter.pause(plan.request.endpoint(), end))?;
    Some(until)
}

/// The token was issued by a clock that was ahead of this one: its times have to be counted from now.
fn is_from_the_future(status: &ApiCredentialStatus, now: Timestamp) -> bool {
    status.token.as_ref().is_some_and(|token| token.issued_time.0 > now)
}

/// The target is as we left it, made from the source as it is, for the spec as it is, and all of that was reported.
fn is_proven(status: &ApiCredentialStatus, reconciliation: &Reconciliation, plan: &Plan) -> bool {
    let snapshot = &reconciliation.snapshot;
    let (Some(target), Some(source)) = (&snapshot.target, &snapshot.source) else { return false };
    let resolved = status
        .conditions
        .iter()
        .any(|condition| condition.type_ == condition_type::SOURCE_RESOLVED && condition.status == "True");
    let settled = status.is_renewed() || status.unresolved_failure().is_some();
    target.is_present
        && source.is_present
        && status
            .target
            .as_ref()
            .is_some_and(|known| known.revision() == target.revision && known.name == plan.target.name)
        && target.token_source.as_ref() == Some(&source.revision)
        && status.observed_generation == Some(reconciliation.credential.metadata.generation.unwrap_or(0))
        && status.is_ready()
        && settled
        && resolved
        && plan.endpoint_allowed
        && reports_left_out(status, plan.target.metadata_not_allowed().as_ref())
        && is_request_answered(status, reconciliation)
        && !status.has_foreign_conditions()
}

/// No renew request waits, and the status reports the last one as answered.
fn is_request_answered(status: &ApiCredentialStatus, reconciliation: &Reconciliation) -> bool {
    let request = renew_request(&*reconciliation.credential);
    request.is_none() || request == status.last_handled_renew_request
}
