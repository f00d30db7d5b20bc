//! What happened → the status and the event. Pure: the time is given.
//!
//! The order of the rules is that of the table in docs/concepts.md: the lowest row that applies wins.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{ApiCredentialStatus, LastAttempt, Provider, TargetStatus, TokenStatus, VerificationStatus};
use crate::decide::{TokenState, attempt_class};
use crate::reason::{Class, Reason, Refusal};
use crate::schedule::Life;

mod conditions;
mod events;
#[cfg(test)]
mod tests;

use conditions::{READY, RENEWED, VERIFIED, condition};
pub use events::{EventRecord, EventType, event};

/// What is known at the end of a round.
#[derive(Clone, Debug)]
pub struct StatusInput {
    /// The generation of the spec that was looked at.
    pub generation: i64,
    /// The provider, where the spec says so.
    pub provider: Option<Provider>,
    /// What the Secret is worth.
    pub token_state: TokenState,
    /// When the stored token was issued, by what stands beside it.
    pub issued: Option<Timestamp>,
    /// From when to when it counts; not the same if it was issued in the future.
    pub life: Option<Life>,
    /// Its planned renewal.
    pub renewal: Option<Timestamp>,
    /// The margin that the spec asks for is longer than half of the lifetime.
    pub margin_capped: bool,
    /// `spec.suspend`.
    pub suspended: bool,
    /// What was learnt of the source.
    pub source: SourceFinding,
    /// Why the target cannot be written.
    pub target_refusal: Option<Refusal>,
    /// Why nothing was attempted: spec, source, a write, the cluster.
    pub refusal: Option<Refusal>,
    /// The attempt that ended in this round.
    pub attempt: Option<Attempt>,
    /// What was learnt of whether the provider takes the token.
    pub check: CheckFinding,
    /// The token of the last attempt is in the Secret, although its write was answered as a failure.
    pub delivered_after_all: bool,
    /// The Secret of our write in this round, or of the token that was taken over.
    pub target: Option<TargetStatus>,
}

impl StatusInput {
    /// The same findings, told later: a token may have ended meanwhile.
    pub fn as_of(&self, now: Timestamp) -> Self {
        let over = self.life.is_some_and(|life| life.expiry.is_over(now));
        let ends = matches!(self.token_state, TokenState::Valid | TokenState::Revoked);
        let token_state = if over && ends { TokenState::Expired } else { self.token_state };
        Self { token_state, ..self.clone() }
    }

    /// Adds a refusal, unless the target's own is there already.
    #[must_use]
    pub fn refused(mut self, refusal: Refusal) -> Self {
        if self.target_refusal.is_none() {
            self.refusal = Some(refusal);
        }
        self
    }
}

/// What was learnt of the source.
#[derive(Clone, Debug)]
pub enum SourceFinding {
    /// Nothing.
    Unknown,
    /// It serves.
    Resolved,
    /// It does not.
    Refused(Refusal),
}

/// What was learnt of whether the provider takes the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFinding {
    /// Nothing: what was said last stands.
    Unchanged,
    /// The spec does not want it to be asked.
    NotWanted,
    /// It was asked.
    Made(Check),
}

/// A token that was tried at its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// When the request was sent.
    pub at: Timestamp,
    /// When the token was issued, by what stands beside it.
    pub issued: Timestamp,
    /// What the provider says.
    pub verdict: CheckVerdict,
}

/// What a check says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckVerdict {
    /// The provider takes it.
    Accepted,
    /// The provider refuses it.
    Revoked,
    /// Nothing.
    Unavailable,
}

/// A request that was sent, and how it ended.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it was sent.
    pub at: Timestamp,
    /// With which source.
    pub source_version: String,
    /// Issued, or why not.
    pub outcome: Result<(), Refusal>,
    /// Failed attempts of the same class in a row, this one included; 0 after a success.
    pub failed: u32,
    /// When the next attempt is made.
    pub next: Option<Timestamp>,
    /// The provider stated no expiry: said in the event only.
    pub expiry_assumed: bool,
    /// The renew request that a failed attempt has answered.
    pub handled_request: Option<String>,
}

/// Whether the status says Ready.
pub fn is_ready(status: &ApiCredentialStatus) -> bool {
    condition(status, READY).is_some_and(|condition| condition.status == "True")
}

/// Whether the status says Renewed.
pub fn is_renewed(status: &ApiCredentialStatus) -> bool {
    condition(status, RENEWED).is_some_and(|condition| condition.status == "True")
}

/// Whether the status says already that the last attempt was refused for this reason.
pub fn is_refused(status: &ApiCredentialStatus, reason: Reason) -> bool {
    condition(status, RENEWED).is_some_and(|condition| condition.reason == reason.as_str())
}

/// Whether the provider refused the token of that time of issue when it was last asked.
pub fn is_revoked(status: &ApiCredentialStatus, issued: Timestamp) -> bool {
    status.verification.as_ref().is_some_and(|check| check.token_issued_time.0 == issued)
        && condition(status, VERIFIED).is_some_and(|verified| verified.reason == Reason::TokenRevoked.as_str())
}

/// The status after this round. Equal to `prior` if nothing is to be said.
pub fn status(prior: &ApiCredentialStatus, findings: &StatusInput, now: Timestamp) -> ApiCredentialStatus {
    let mut next = prior.clone();
    note_attempt(&mut next, findings);
    note_check(&mut next, findings);
    note_token(&mut next, findings, now);
    let Some(conditions) = conditions::after(prior, &next, findings, now) else {
        // The first attempt has not ended: the default status stands.
        return prior.clone();
    };
    next.observed_generation = Some(findings.generation);
    next.provider = findings.provider.or(prior.provider);
    next.conditions = conditions;
    next
}

impl ApiCredentialStatus {
    /// With the times of transition that a reader of `stored` expects: what was believed in between and could not be
    /// written does not count.
    pub fn transitions_since(mut self, stored: &Self) -> Self {
        for now in &mut self.conditions {
            if let Some(before) = condition(stored, &now.type_).filter(|before| before.status == now.status) {
                now.last_transition_time.clone_from(&before.last_transition_time);
            }
        }
        self
    }
}

fn note_attempt(next: &mut ApiCredentialStatus, findings: &StatusInput) {
    let Some(attempt) = &findings.attempt else {
        return;
    };
    next.last_attempt = Some(LastAttempt {
        time: Time(attempt.at),
        reason: attempt.outcome.as_ref().err().map_or(Reason::Issued, |refusal| refusal.reason).as_str().to_owned(),
        generation: findings.generation,
        source_version: attempt.source_version.clone(),
    });
    next.failed_attempts = Some(i32::try_from(attempt.failed).unwrap_or(i32::MAX));
    next.next_attempt_time = attempt.next.map(Time);
    if attempt.outcome.is_ok() {
        next.revision = Some(next.revision.unwrap_or(0) + 1);
    }
    if let Some(request) = &attempt.handled_request {
        next.last_handled_renew_request = Some(request.clone());
    }
}

fn note_check(next: &mut ApiCredentialStatus, findings: &StatusInput) {
    let check = match &findings.check {
        CheckFinding::Unchanged => return,
        CheckFinding::NotWanted => {
            next.verification = None;
            return;
        }
        CheckFinding::Made(check) => check,
    };
    let refused = next.verification.as_ref().and_then(|before| before.refused_tokens).unwrap_or(0);
    let known = is_revoked(next, check.issued);
    let refused_tokens = match check.verdict {
        CheckVerdict::Accepted => 0,
        CheckVerdict::Revoked if !known => refused.saturating_add(1),
        CheckVerdict::Revoked | CheckVerdict::Unavailable => refused,
    };
    let is_due = next.renewal_time.as_ref().is_some_and(|planned| planned.0 <= check.at);
    if known && check.verdict == CheckVerdict::Accepted && !is_due {
        // The attempts to replace it have failed, and need not go on.
        next.failed_attempts = next.failed_attempts.map(|_| 0);
        next.next_attempt_time = None;
    }
    next.verification = Some(Box::new(VerificationStatus {
        time: Time(check.at),
        token_issued_time: Time(check.issued),
        refused_tokens: (refused_tokens > 0).then_some(refused_tokens),
    }));
}

fn note_token(next: &mut ApiCredentialStatus, findings: &StatusInput, now: Timestamp) {
    if findings.target_refusal.is_some() {
        return;
    }
    match (findings.token_state, findings.life) {
        (TokenState::Valid | TokenState::Revoked | TokenState::Expired, Some(life)) => {
            let last = next.last_attempt.as_ref().map(|attempt| attempt.time.0);
            // A time of issue in the future proves nothing.
            let newer = findings.issued.is_some_and(|issued| issued <= now && last.is_none_or(|last| last < issued));
            if (newer || findings.delivered_after_all) && findings.attempt.is_none() {
                // There is a token of our last attempt, or of a later one: what failed then is mended.
                next.failed_attempts = next.failed_attempts.map(|_| 0);
                next.next_attempt_time = None;
            }
            // Which version of the target that token was seen in; without a token it says nothing.
            next.target = findings.target.clone().or_else(|| next.target.take());
            next.token = Some(TokenStatus {
                issued_time: Time(life.issued),
                expiration_time: life.expiry.time().map(Time),
                lifetime_seconds: life.seconds(),
                type_: crate::providers::TOKEN_TYPE.to_owned(),
            });
            next.renewal_time = findings.renewal.map(Time);
        }
        _ => {
            next.token = None;
            next.renewal_time = None;
        }
    }
}

/// The failed attempt that nothing has mended since, as the status tells it.
pub fn open_failure(status: &ApiCredentialStatus) -> Option<Reason> {
    let reason = Reason::parse(&status.last_attempt.as_ref()?.reason)?;
    let open = status.failed_attempts.unwrap_or(0) > 0
        || (reason == Reason::TokenNotExtended && status.next_attempt_time.is_some());
    (open && reason != Reason::Issued).then_some(reason)
}

/// The class whose delay applies to a status read back after a restart.
pub fn open_class(status: &ApiCredentialStatus) -> Option<Class> {
    open_failure(status).map(attempt_class)
}
