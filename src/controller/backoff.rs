//! When the next attempt is made after one that failed.

use std::time::Duration;

use apicredential::decide::{self, Cause, TokenState};
use apicredential::next_reconcile::NextReconcile;
use apicredential::plan::Plan;
use apicredential::reason::{Class, Reason};
use apicredential::schedule;
use jiff::Timestamp;

use super::observe::Observation;
use super::reconciliation::Reconciliation;
use crate::clock;

/// No token request is sent to the endpoint until the provider's time, or the delay of the class, has passed.
pub(super) fn pause_endpoint(
    run: &Reconciliation,
    plan: &Plan,
    observation: &Observation,
    retry_after: Option<Duration>,
) {
    let (_, next) = backoff(run, observation, Reason::RateLimited);
    let delay = retry_after.unwrap_or_else(|| schedule::until(next, clock::now()));
    run.context.limiter.pause(plan.request.endpoint(), clock::steady().saturating_add(delay));
}

/// The number of failed attempts of the same class in a row, and when the next one is made. `None`: not before something
/// changes.
pub(super) fn next_attempt(
    run: &Reconciliation,
    plan: &Plan,
    observation: &Observation,
    cause: Cause,
    reason: Reason,
) -> (u32, Option<Timestamp>) {
    let now = clock::now();
    let token = decide::token(&observation.facts);
    let is_valid = decide::token_state(&observation.facts, now) == TokenState::Valid;
    if let (Reason::TokenNotExtended, true, Some(token)) = (reason, is_valid, token)
        && let Some(next) = decide::after_not_extended(&token.lifetime, &plan.renewal, now)
    {
        return (0, Some(whole_second_after(next)));
    }
    let (failed, mut next) = backoff(run, observation, reason);
    if reason == Reason::RateLimited {
        let steady = clock::steady();
        let paused = run.context.limiter.paused_until(plan.request.endpoint(), steady);
        next = paused.map_or(next, |until| schedule::after(now, until.saturating_sub(steady)));
    }
    if let (Reason::TokenRevoked, Some(interval)) = (reason, plan.verification) {
        // The provider contradicts itself: a check may show that it accepts the token again.
        next = next.max(schedule::latest_check(now, interval));
    }
    if cause == Cause::Requested && is_valid {
        // The request is answered; what comes next is the planned renewal.
        let planned = token.and_then(|token| token.renewal);
        return (failed, planned.map(|planned| planned.max(whole_second_after(next))));
    }
    (failed, Some(whole_second_after(next)))
}

/// The number of failed attempts of the same class in a row, and the end of the delay that follows from it.
fn backoff(run: &Reconciliation, observation: &Observation, reason: Reason) -> (u32, Timestamp) {
    let now = clock::now();
    let status = run.status();
    let class = reason.retry_class();
    let is_in_a_row = !observation.counts_anew && status.unresolved_failure_class() == Some(class);
    let before = u32::try_from(status.failed_attempts.unwrap_or(0)).unwrap_or(0);
    let failed = if is_in_a_row { before.saturating_add(1) } else { 1 };
    let is_valid = decide::token_state(&observation.facts, now) == TokenState::Valid;
    let delay = schedule::delay(class, failed, &run.context.settings.timings, is_valid, run.uid());
    (failed, schedule::after(now, delay))
}

/// The delay after a write, or a dry run of one, that failed without an exchange.
pub(super) fn after_failed_write(run: &mut Reconciliation) -> NextReconcile {
    run.history.failed_writes = run.history.failed_writes.saturating_add(1);
    let timings = &run.context.settings.timings;
    let delay = schedule::delay(Class::Transient, run.history.failed_writes, timings, false, run.uid());
    NextReconcile::after(clock::now(), delay)
}

/// Stored times have whole seconds; rounding up never makes an attempt too early.
fn whole_second_after(time: Timestamp) -> Timestamp {
    let whole = clock::whole_seconds(time);
    if whole == time { whole } else { schedule::later(whole, 1) }
}
