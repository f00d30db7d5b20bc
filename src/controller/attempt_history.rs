//! What earlier attempts mean for this reconcile: whether the inputs are new, which failure is open, and until when it binds.

use std::time::Duration;

use apicredential::api::ApiCredentialStatus;
use apicredential::decide::{Target, UnresolvedFailure};
use apicredential::next_reconcile::NextReconcile;
use apicredential::plan::Plan;
use apicredential::reason::{Class, Reason};
use apicredential::revision::Revision;
use apicredential::schedule::{self, Timings};
use apicredential::source::SecretValues;
use apicredential::target::fingerprint::{self, Mac};
use apicredential::target::render::TokenRecord;
use jiff::Timestamp;

use super::cache::renew_request;
use super::history::AttemptInputs;
use super::reconciliation::Reconciliation;
use crate::clock;

/// Whether the inputs, which are the spec's identity and the source's values, changed since the last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangedInputs {
    /// They did not, as far as is known.
    No,
    /// They probably did: after a restart the values of the last attempt are not known, only the version of its Secret. That
    /// gives one attempt at once, but the counter of failed attempts goes on.
    Probably,
    /// They did: the counter of failed attempts starts anew.
    Yes,
}

/// Compares the inputs with those of the last attempt.
pub(super) fn changed_inputs(run: &Reconciliation, plan: &Plan, values: Option<&SecretValues>) -> ChangedInputs {
    let now = attempt_inputs(run, plan, values);
    if let Some(before) = &run.history.inputs {
        let is_same = before.identity == now.identity && (values.is_none() || before.values == now.values);
        return if is_same { ChangedInputs::No } else { ChangedInputs::Yes };
    }
    let status = run.status();
    let differs = status.last_attempt.as_ref().is_some_and(|last| {
        let generation = run.credential.metadata.generation.unwrap_or(0);
        let other_spec = last.generation != generation && status.observed_generation != Some(generation);
        other_spec || values.is_some_and(|values| Revision::from(values.version.as_str()) != last.source.revision())
    });
    if differs { ChangedInputs::Probably } else { ChangedInputs::No }
}

/// What an attempt is made from, as it can be compared later.
pub(super) fn attempt_inputs(run: &Reconciliation, plan: &Plan, values: Option<&SecretValues>) -> AttemptInputs {
    let key = &run.context.settings.session_key[..];
    AttemptInputs {
        identity: fingerprint::mac(key, "identity", &plan.request.identity()),
        values: values_mac(run, values),
    }
}

/// The values as they can be compared later: an HMAC under a key that is in the memory of this process and nowhere else.
pub(super) fn values_mac(run: &Reconciliation, values: Option<&SecretValues>) -> Mac {
    let exposed = values.map(SecretValues::expose).unwrap_or_default();
    fingerprint::mac(&run.context.settings.session_key[..], "values", &exposed)
}

/// The failed attempt that the status reports, if nothing has answered it since, and until when it holds the next one back.
pub(super) fn unresolved_failure(
    run: &mut Reconciliation,
    target: &Target,
    record: Option<&TokenRecord>,
) -> Option<UnresolvedFailure> {
    let status = run.status();
    let reason = status.unresolved_failure()?;
    let (last, now) = (status.last_attempt.as_ref()?.time.0, clock::now());
    // A time of issue in the future proves nothing.
    let is_later = |record: &TokenRecord| record.issued_at > last && record.issued_at <= now;
    if record.is_some_and(|record| is_later(record) || is_of_last_attempt(record, status)) {
        return None;
    }
    let mut next = status.next_attempt_time.as_ref().map_or(last, |time| time.0);
    let request = &status.last_handled_renew_request;
    if request.is_some() && *request == renew_request(&*run.credential) {
        // A renew request failed, and the planned renewal was kept. That plan binds no other cause than its own.
        let failed = u32::try_from(status.failed_attempts.unwrap_or(0)).unwrap_or(0).max(1);
        next = next.min(schedule::after(last, longest_after(run, reason.retry_class(), failed)));
    }
    let expiry = match target {
        Target::Ours { token: Some(token), .. } => token.lifetime.expiry.time(),
        _ => None,
    };
    let latest = latest_attempt(reason, expiry, now, &run.context.settings.timings);
    let next = NextReconcile::At(run.history.bounded_attempt(next, latest));
    Some(UnresolvedFailure { reason, next })
}

/// The longest delay that so many failures of that class in a row can have led to.
fn longest_after(run: &Reconciliation, class: Class, failed: u32) -> Duration {
    let timings = &run.context.settings.timings;
    match class {
        Class::Throttled => schedule::longest(class, timings),
        _ => schedule::delay(class, failed, timings, false, run.uid()),
    }
}

/// Whether the stored token is that of the last attempt, although its write was answered as a failure. The exchange
/// itself cannot have failed then, so that no token of the same second is mistaken for it.
pub(super) fn is_of_last_attempt(record: &TokenRecord, status: &ApiCredentialStatus) -> bool {
    status.last_attempt.as_ref().is_some_and(|last| {
        let undelivered = Reason::parse(&last.reason)
            .is_some_and(|reason| reason == Reason::TargetWriteRejected || reason.class() == Class::Local);
        undelivered && record.issued_at == last.time.0 && last.source.revision().as_str() == record.source_version
    })
}

/// How the longest delay of a failure's class bounds the next attempt in a status, which was written before a restart or
/// before the clock was set back. A token that was not extended waits as long as the status states, which is to its end if
/// that is known and to come.
pub(super) fn latest_attempt(
    reason: Reason,
    expiry: Option<Timestamp>,
    now: Timestamp,
    pace: &Timings,
) -> Option<Timestamp> {
    let latest = schedule::after(now, schedule::longest(reason.retry_class(), pace));
    match reason {
        Reason::TokenNotExtended => expiry.map(|expiry| expiry.max(latest)),
        _ => Some(latest),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use apicredential::schedule::later;

    #[test]
    fn a_try_is_put_off_by_no_more_than_its_class_allows_and_a_kept_token_to_its_end() {
        let second = Duration::from_secs(1);
        let pace = Timings { retry_base: second, min_renewal_interval: second, resync: second };
        let now = Timestamp::UNIX_EPOCH;
        let latest = |reason, expiry| latest_attempt(reason, expiry, now, &pace);
        assert_eq!(latest(Reason::DnsFailed, Some(later(now, 9999))), Some(later(now, 60)));
        assert_eq!(latest(Reason::CredentialsRejected, None), Some(later(now, 720)));
        assert_eq!(latest(Reason::TokenNotExtended, Some(later(now, 9999))), Some(later(now, 9999)));
        assert_eq!(latest(Reason::TokenNotExtended, Some(later(now, -1))), Some(later(now, 60)));
        assert_eq!(latest(Reason::TokenNotExtended, None), None, "it never ends");
    }
}
