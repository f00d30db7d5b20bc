//! What earlier checks mean for this reconcile: when the next one is due, and whether the token was refused.

use apicredential::api::ApiCredentialStatus;
use apicredential::decide::{Target, Verification};
use apicredential::plan::Plan;
use apicredential::reason::Reason;
use apicredential::schedule;
use apicredential::target::render::TokenRecord;
use jiff::Timestamp;

use super::reconciliation::Reconciliation;
use crate::clock;

/// What the status reports of earlier checks, for the token that is in the Secret now.
pub(super) fn verification(
    run: &mut Reconciliation,
    plan: &Plan,
    target: &Target,
    record: Option<&TokenRecord>,
    no_check_before: Option<Timestamp>,
) -> Verification {
    let (Some(interval), Some(record), Target::Ours { token: Some(token), .. }) = (plan.verification, record, target)
    else {
        return Verification::default();
    };
    let status = run.status();
    let last = status.verification.as_deref();
    let refused = last.filter(|_| status.is_revoked(record.issued_at)).map(|last| {
        let tokens = u32::try_from(last.refused_tokens.unwrap_or(0)).unwrap_or(0);
        let earliest = schedule::exchange_after_refusal(token.lifetime.issued, interval, tokens);
        earliest.max(after_same_token(status, interval).unwrap_or(earliest))
    });
    let since = last.map_or(token.lifetime.issued, |last| last.time.0.max(token.lifetime.issued));
    let planned = schedule::check_time(since, interval, run.uid());
    let planned = run.history.bounded_check(planned, schedule::latest_check(clock::now(), interval));
    Verification { next_check: Some(no_check_before.map_or(planned, |time| time.max(planned))), refused }
}

/// The provider refuses a token and issues it again for the next request. Until then a check comes first, which may show
/// that the provider accepts it again.
fn after_same_token(status: &ApiCredentialStatus, interval: i64) -> Option<Timestamp> {
    let last = status.last_attempt.as_ref().filter(|last| last.reason == Reason::TokenRevoked.as_str())?;
    // A time in the future was taken from a clock that has been set back since.
    (last.time.0 <= clock::now()).then(|| schedule::latest_check(last.time.0, interval))
}
