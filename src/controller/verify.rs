//! A check: whether the provider still accepts the stored token, and what its response means later.
//!
//! The status keeps when the last check was sent and which token it was about, so that a restart neither repeats it nor
//! forgets a refusal. A refusal counts for the token of that time of issue alone: whatever becomes of the exchange that it
//! calls for, another token in the Secret answers it.

use apicredential::api::ApiCredentialStatus;
use apicredential::decide::{Target, TokenState, Verification};
use apicredential::plan::Plan;
use apicredential::providers::ExchangeFailure;
use apicredential::reason::Reason;
use apicredential::schedule;
use apicredential::status::{self, Check, CheckFinding, CheckVerdict};
use apicredential::target::render::TokenRecord;
use jiff::Timestamp;
use tracing::{debug, warn};

use super::observe::{Observation, Reads};
use super::reconcile::Reconciliation;
use crate::clock;
use crate::provider_client::TokenCheck;

impl Reconciliation {
    /// What the status reports of earlier checks, for the token that is in the Secret now.
    pub(super) fn verification(
        &mut self,
        plan: &Plan,
        target: &Target,
        record: Option<&TokenRecord>,
        no_check_before: Option<Timestamp>,
    ) -> Verification {
        let (Some(interval), Some(record), Target::Ours { token: Some(token), .. }) =
            (plan.verification, record, target)
        else {
            return Verification::default();
        };
        let status = self.status();
        let last = status.verification.as_deref();
        let refused = last.filter(|_| status::is_revoked(status, record.issued_at)).map(|last| {
            let tokens = u32::try_from(last.refused_tokens.unwrap_or(0)).unwrap_or(0);
            let earliest = schedule::exchange_after_refusal(token.life.issued, interval, tokens);
            earliest.max(after_same_token(status, interval).unwrap_or(earliest))
        });
        let since = last.map_or(token.life.issued, |last| last.time.0.max(token.life.issued));
        let planned = self.bounded_check(schedule::check_time(since, interval, self.uid()), interval);
        Verification { next_check: Some(no_check_before.map_or(planned, |time| time.max(planned))), refused }
    }

    /// Only a clock that was set back can leave a check further ahead than an interval and its spread. The bound then stays,
    /// or else it would move along with the clock.
    fn bounded_check(&mut self, planned: Timestamp, interval: i64) -> Timestamp {
        let latest = schedule::latest_check(clock::now(), interval);
        let before = self.history.latest_check.filter(|bound| *bound <= latest);
        self.history.latest_check = (planned > latest).then(|| before.unwrap_or(latest));
        self.history.latest_check.unwrap_or(planned)
    }

    /// Checks the token that was just read, and reports the result. Returns what to read next. Where the endpoint has no
    /// permit for it now the check comes later: nobody who needs a token waits for this.
    pub(super) async fn verify(&mut self, observation: &Observation) -> Reads {
        let (Ok(plan), Some(record)) = (self.plan.clone(), &observation.record) else { return Reads::default() };
        let Some(interval) = plan.verification else { return Reads::default() };
        let (provider, endpoint) = (plan.request.provider(), plan.request.endpoint());
        let leads = self.context.issuer.leadership.may_start();
        let permit = leads.then(|| self.context.limiter.try_acquire_low_priority(endpoint, clock::steady())).flatten();
        let Some(permit) = permit else {
            let later = schedule::put_off_check(clock::now(), interval, self.uid());
            return no_check_before(later).with_target(observation.secret.clone());
        };
        let at = clock::now_seconds();
        let reads = no_check_before(schedule::check_time(at, interval, self.uid()));
        let answer = self.context.issuer.wire.check(provider, endpoint, &record.token).await;
        drop(permit);
        let (verdict, outcome) = match answer {
            TokenCheck::Accepted => (CheckVerdict::Accepted, Reason::TokenAccepted),
            TokenCheck::Revoked => (CheckVerdict::Revoked, Reason::TokenRevoked),
            TokenCheck::Unavailable(ExchangeFailure { reason, retry_after }) => {
                if reason == Reason::RateLimited {
                    self.pause_endpoint(&plan, observation, retry_after);
                }
                (CheckVerdict::Unavailable, reason)
            }
        };
        self.context.metrics.checked(provider, outcome);
        self.report_check(observation, Check { at, issued: record.issued_at, verdict }, outcome).await;
        if verdict == CheckVerdict::Revoked {
            return reads;
        }
        // Nothing is to be done about it; a watch shows what changes meanwhile.
        reads.with_target(observation.secret.clone())
    }

    async fn report_check(&mut self, observation: &Observation, check: Check, outcome: Reason) {
        let (namespace, name) = (self.key.namespace(), self.key.name());
        if check.verdict == CheckVerdict::Revoked {
            warn!(namespace, name, reason = %outcome, "the provider refuses the token in the Secret");
        } else {
            debug!(namespace, name, reason = %outcome, "the token was checked");
        }
        let mut input = self.status_input(observation);
        input.token_state = match (input.token_state, check.verdict) {
            (TokenState::Valid, CheckVerdict::Revoked) => TokenState::Revoked,
            (TokenState::Revoked, CheckVerdict::Accepted) => TokenState::Valid,
            (token_state, _) => token_state,
        };
        input.check = CheckFinding::Made(check);
        self.write_status(input).await;
    }
}

fn no_check_before(time: Timestamp) -> Reads {
    Reads { no_check_before: Some(time), ..Reads::default() }
}

/// The provider refuses a token and issues it again for the next request. Until then a check comes first, which may show
/// that the provider accepts it again.
fn after_same_token(status: &ApiCredentialStatus, interval: i64) -> Option<Timestamp> {
    let last = status.last_attempt.as_ref().filter(|last| last.reason == Reason::TokenRevoked.as_str())?;
    // A time in the future was taken from a clock that has been set back since.
    (last.time.0 <= clock::now()).then(|| schedule::latest_check(last.time.0, interval))
}
