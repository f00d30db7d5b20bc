//! A check: whether the provider still takes the stored token, and what its word is worth later.
//!
//! The status keeps when the last check was sent and which token it was about, so that a restart neither repeats it nor
//! forgets a refusal. A refusal counts for the token of that time of issue alone: whatever becomes of the exchange that it
//! calls for, another token in the Secret answers it.

use crate::provider_client::TokenCheck;
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

use super::look::Round;
use super::sight::Sight;
use crate::clock;

impl Round {
    /// What the status tells of earlier checks, for the token that is in the Secret now.
    pub(super) fn verification(
        &mut self,
        plan: &Plan,
        target: &Target,
        record: Option<&TokenRecord>,
        status: &ApiCredentialStatus,
    ) -> Verification {
        let (Some(interval), Some(record), Target::Ours { token: Some(token), .. }) =
            (plan.verification, record, target)
        else {
            return Verification::default();
        };
        let told = status.verification.as_deref();
        let refused = told.filter(|_| status::is_revoked(status, record.issued_at)).map(|told| {
            let tokens = u32::try_from(told.refused_tokens.unwrap_or(0)).unwrap_or(0);
            let earliest = schedule::exchange_after_refusal(token.life.issued, interval, tokens);
            earliest.max(after_same_token(status, interval).unwrap_or(earliest))
        });
        let since = told.map_or(token.life.issued, |told| told.time.0.max(token.life.issued));
        let planned = self.bounded_check(schedule::check_time(since, interval, &self.uid), interval);
        Verification { next_check: Some(self.no_check_before.map_or(planned, |time| time.max(planned))), refused }
    }

    /// Only a clock that was set back can leave a check further ahead than an interval and its spread. What it is bounded
    /// to then stays, or else it would move along with the clock.
    fn bounded_check(&mut self, planned: Timestamp, interval: i64) -> Timestamp {
        let latest = schedule::latest_check(clock::now(), interval);
        let before = self.memory.latest_check.filter(|bound| *bound <= latest);
        self.memory.latest_check = (planned > latest).then(|| before.unwrap_or(latest));
        self.memory.latest_check.unwrap_or(planned)
    }

    /// Tries the token that was just read, and tells what came of it. An endpoint that has no place for it now is asked
    /// later: nobody who needs a token waits for this.
    pub(super) async fn check(&mut self, sight: &Sight) {
        let (Some(plan), Some(record)) = (&sight.plan, &sight.record) else { return };
        let Some(interval) = plan.verification else { return };
        let (provider, endpoint) = (plan.request.provider(), plan.request.endpoint());
        let leads = self.context.courier.leadership.may_start();
        let pass = leads.then(|| self.context.gates.try_acquire_low_priority(endpoint, clock::steady())).flatten();
        let Some(pass) = pass else {
            self.no_check_before = Some(schedule::put_off_check(clock::now(), interval, &self.uid));
            self.fresh_target.clone_from(&sight.secret);
            return;
        };
        let at = clock::now_seconds();
        self.no_check_before = Some(schedule::check_time(at, interval, &self.uid));
        let answer = self.context.courier.wire.check(provider, endpoint, &record.token).await;
        drop(pass);
        let (verdict, outcome) = match answer {
            TokenCheck::Accepted => (CheckVerdict::Accepted, Reason::TokenAccepted),
            TokenCheck::Revoked => (CheckVerdict::Revoked, Reason::TokenRevoked),
            TokenCheck::Unavailable(ExchangeFailure { reason, retry_after }) => {
                if reason == Reason::RateLimited {
                    self.pause(sight, retry_after);
                }
                (CheckVerdict::Unavailable, reason)
            }
        };
        self.context.operator.metrics.checked(provider, outcome);
        self.tell_check(sight, Check { at, issued: record.issued_at, verdict }, outcome).await;
        if verdict != CheckVerdict::Revoked {
            // Nothing is to be done about it; what changes meanwhile, a watch tells.
            self.fresh_target.clone_from(&sight.secret);
        }
    }

    async fn tell_check(&mut self, sight: &Sight, check: Check, outcome: Reason) {
        let (namespace, name) = (self.key.namespace(), self.key.name());
        if check.verdict == CheckVerdict::Revoked {
            warn!(namespace, name, reason = %outcome, "the provider refuses the token in the Secret");
        } else {
            debug!(namespace, name, reason = %outcome, "the token was tried");
        }
        let mut findings = sight.findings(self);
        findings.token_state = match (findings.token_state, check.verdict) {
            (TokenState::Valid, CheckVerdict::Revoked) => TokenState::Revoked,
            (TokenState::Revoked, CheckVerdict::Accepted) => TokenState::Valid,
            (token_state, _) => token_state,
        };
        findings.check = CheckFinding::Made(check);
        self.tell(findings).await;
    }
}

/// The provider refuses a token and issues it again when asked for another: until then a check comes first, which may
/// say that it has come to its senses.
pub(super) fn after_same_token(status: &ApiCredentialStatus, interval: i64) -> Option<Timestamp> {
    let last = status.last_attempt.as_ref().filter(|last| last.reason == Reason::TokenRevoked.as_str())?;
    // A time of the future was taken from a clock that has been set back since.
    (last.time.0 <= clock::now()).then(|| schedule::latest_check(last.time.0, interval))
}
