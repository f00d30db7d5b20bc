//! A check: whether the provider still accepts the stored token, and what its response means later.
//!
//! The status keeps when the last check was sent and which token it was about, so that a restart neither repeats it nor
//! forgets a refusal. A refusal counts for the token of that time of issue alone: whatever becomes of the exchange that it
//! calls for, another token in the Secret answers it.

use apicredential::decide::TokenState;
use apicredential::providers::ExchangeFailure;
use apicredential::reason::Reason;
use apicredential::schedule;
use apicredential::status::{Check, CheckFinding, CheckVerdict};
use jiff::Timestamp;
use tracing::{debug, warn};

use super::backoff::pause_endpoint;
use super::observe::{Observation, Reads};
use super::reconciliation::Reconciliation;
use super::status_input::status_input;
use super::status_writer::write_status;
use crate::clock;
use crate::provider_client::TokenCheck;

/// Checks the token that was just read, and reports the result. Returns what to read next. Where the endpoint has no
/// permit for it now the check comes later: nobody who needs a token waits for this.
pub(super) async fn verify(run: &mut Reconciliation, observation: &Observation) -> Reads {
    let (Ok(plan), Some(record)) = (run.plan.clone(), &observation.record) else { return Reads::default() };
    let Some(interval) = plan.verification else { return Reads::default() };
    let (provider, endpoint) = (plan.request.provider(), plan.request.endpoint());
    let leads = run.context.issuer.leadership.may_start();
    let permit = leads.then(|| run.context.limiter.try_acquire_low_priority(endpoint, clock::steady())).flatten();
    let Some(permit) = permit else {
        let later = schedule::put_off_check(clock::now(), interval, run.uid());
        return no_check_before(later).with_target(observation.secret.clone());
    };
    let at = clock::now_seconds();
    let reads = no_check_before(schedule::check_time(at, interval, run.uid()));
    let answer = run.context.issuer.providers.check(provider, endpoint, &record.token).await;
    drop(permit);
    let (verdict, outcome) = match answer {
        TokenCheck::Accepted => (CheckVerdict::Accepted, Reason::TokenAccepted),
        TokenCheck::Revoked => (CheckVerdict::Revoked, Reason::TokenRevoked),
        TokenCheck::Unavailable(ExchangeFailure { reason, retry_after }) => {
            if reason == Reason::RateLimited {
                pause_endpoint(run, &plan, observation, retry_after);
            }
            (CheckVerdict::Unavailable, reason)
        }
    };
    run.context.metrics.token_checked(provider, outcome);
    report_check(run, observation, Check { at, issued: record.issued_at, verdict }, outcome).await;
    if verdict == CheckVerdict::Revoked {
        return reads;
    }
    // Nothing is to be done about it; a watch shows what changes meanwhile.
    reads.with_target(observation.secret.clone())
}

async fn report_check(run: &mut Reconciliation, observation: &Observation, check: Check, outcome: Reason) {
    let (namespace, name) = (run.key.namespace(), run.key.name());
    if check.verdict == CheckVerdict::Revoked {
        warn!(namespace, name, reason = %outcome, "the provider refuses the token in the Secret");
    } else {
        debug!(namespace, name, reason = %outcome, "the token was checked");
    }
    let mut input = status_input(run, observation);
    input.token_state = match (input.token_state, check.verdict) {
        (TokenState::Valid, CheckVerdict::Revoked) => TokenState::Revoked,
        (TokenState::Revoked, CheckVerdict::Accepted) => TokenState::Valid,
        (token_state, _) => token_state,
    };
    input.check = CheckFinding::Made(check);
    write_status(run, input).await;
}

fn no_check_before(time: Timestamp) -> Reads {
    Reads { no_check_before: Some(time), ..Reads::default() }
}
