//! Computes the status, the conditions and the event that follow from a reconcile.
//!
//! [`status`] takes the status before the reconcile and a [`StatusInput`]; [`event`] compares the two statuses. The
//! rules for the conditions are the table in docs/design/status.md: the lowest row that applies wins.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{ApiCredentialStatus, LastAttempt, SourceVersion, TargetStatus, TokenStatus, VerificationStatus};
use crate::decide::TokenState;
use crate::reason::{Reason, Refusal};
use crate::revision::Revision;
use crate::schedule::TokenLifetime;

mod conditions;
mod events;
#[cfg(test)]
mod tests;

pub use conditions::reports_left_out;
pub use events::{EventRecord, EventType, event, event_of_metadata};

/// What a reconcile observed and did.
#[derive(Clone, Debug)]
pub struct StatusInput {
    /// The generation of the spec that was reconciled.
    pub generation: i64,
    /// The state of the token in the target Secret.
    pub token_state: TokenState,
    /// When the stored token was issued, according to the annotation of the target Secret.
    pub issued_at: Option<Timestamp>,
    /// The lifetime that counts for the stored token. It differs from the annotations when `issued_at` is in the
    /// future.
    pub lifetime: Option<TokenLifetime>,
    /// The planned renewal of the stored token.
    pub renewal_time: Option<Timestamp>,
    /// `spec.renewal.renewBefore` is longer than half of the token's lifetime, so half is used.
    pub margin_capped: bool,
    /// Names in `spec.target.metadata` that are not allowed and were left out.
    pub metadata_not_allowed: Option<Refusal>,
    /// `spec.suspend`
    pub suspended: bool,
    /// The state of the source Secret.
    pub source: SourceFinding,
    /// Why this ApiCredential cannot use the target Secret.
    pub target_refusal: Option<Refusal>,
    /// Why no attempt was made: the spec, the source Secret, a failed write or the API server.
    pub refusal: Option<Refusal>,
    /// The attempt that ended in this reconcile.
    pub attempt: Option<Attempt>,
    /// The renew request that the stored token or the attempt answers.
    pub handled_request: Option<String>,
    /// The check of the token in this reconcile.
    pub check: CheckFinding,
    /// The target Secret holds the token of the last attempt, although the API server answered its write with an error.
    pub written_despite_error: bool,
    /// The target Secret after a write in this reconcile, or of an adopted token.
    pub target: Option<TargetStatus>,
}

impl StatusInput {
    /// The input for that generation of an ApiCredential of which nothing is known yet.
    pub fn unobserved(generation: i64) -> Self {
        Self {
            generation,
            token_state: TokenState::None,
            issued_at: None,
            lifetime: None,
            renewal_time: None,
            margin_capped: false,
            metadata_not_allowed: None,
            suspended: false,
            source: SourceFinding::Unknown,
            target_refusal: None,
            refusal: None,
            attempt: None,
            handled_request: None,
            check: CheckFinding::Unchanged,
            written_despite_error: false,
            target: None,
        }
    }

    /// The same input at a later time: the token may have expired meanwhile.
    pub fn as_of(&self, now: Timestamp) -> Self {
        let has_expired = self.lifetime.is_some_and(|lifetime| lifetime.expiry.is_over(now));
        let was_usable = matches!(self.token_state, TokenState::Valid | TokenState::Revoked);
        let token_state = if has_expired && was_usable { TokenState::Expired } else { self.token_state };
        Self { token_state, ..self.clone() }
    }

    /// Adds a refusal, unless the target Secret is refused already.
    #[must_use]
    pub fn refused(mut self, refusal: Refusal) -> Self {
        if self.target_refusal.is_none() {
            self.refusal = Some(refusal);
        }
        self
    }
}

/// The state of the source Secret in this reconcile.
#[derive(Clone, Debug)]
pub enum SourceFinding {
    /// It was not read.
    Unknown,
    /// It exists, consents and has the keys.
    Resolved,
    /// It cannot be used.
    Refused(Refusal),
}

/// The check of the token in this reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckFinding {
    /// No check was made: the result of the last one remains.
    Unchanged,
    /// The spec has no `verification`.
    NotWanted,
    /// A check was made.
    Made(Check),
}

/// A check: the token was tried at its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// When the request was sent.
    pub at: Timestamp,
    /// When the token was issued, according to the annotation of the target Secret.
    pub issued: Timestamp,
    /// The result.
    pub verdict: CheckVerdict,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckVerdict {
    /// The provider accepts the token.
    Accepted,
    /// The provider refuses the token.
    Revoked,
    /// The response gave no answer about the token, or there was none.
    Unavailable,
}

/// An attempt: a token request that was sent, and how it ended.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When the request was sent.
    pub at: Timestamp,
    /// The source Secret whose login was sent.
    pub source: Revision,
    /// The reason of the failure, if the attempt failed.
    pub outcome: Result<(), Refusal>,
    /// Consecutive failed attempts of the same class, this one included; 0 after a success.
    pub failed: u32,
    /// When the next attempt is made.
    pub next: Option<Timestamp>,
    /// The provider stated no expiry. Only the event reports it.
    pub expiry_assumed: bool,
}

/// The status after a reconcile. It equals `prior` if nothing has changed.
pub fn status(prior: &ApiCredentialStatus, input: &StatusInput, now: Timestamp) -> ApiCredentialStatus {
    let mut next = prior.clone();
    if let Some(request) = &input.handled_request {
        next.last_handled_renew_request = Some(request.clone());
    }
    set_attempt(&mut next, input);
    set_check(&mut next, input);
    set_token(&mut next, input, now);
    let Some(conditions) = conditions::conditions(prior, &next, input, now) else {
        // The first attempt has not ended: the default status stays.
        return prior.clone();
    };
    next.observed_generation = Some(input.generation);
    next.conditions = conditions;
    next
}

fn set_attempt(next: &mut ApiCredentialStatus, input: &StatusInput) {
    let Some(attempt) = &input.attempt else {
        return;
    };
    next.last_attempt = Some(LastAttempt {
        time: Time(attempt.at),
        reason: attempt.outcome.as_ref().err().map_or(Reason::Issued, |refusal| refusal.reason).as_str().to_owned(),
        generation: input.generation,
        source: SourceVersion::from(&attempt.source),
    });
    next.failed_attempts = Some(i32::try_from(attempt.failed).unwrap_or(i32::MAX));
    next.next_attempt_time = attempt.next.map(Time);
    if attempt.outcome.is_ok() {
        next.revision = Some(next.revision.unwrap_or(0) + 1);
    }
}

fn set_check(next: &mut ApiCredentialStatus, input: &StatusInput) {
    let check = match &input.check {
        CheckFinding::Unchanged => return,
        CheckFinding::NotWanted => {
            next.verification = None;
            return;
        }
        CheckFinding::Made(check) => check,
    };
    let refused_before = next.verification.as_ref().and_then(|before| before.refused_tokens).unwrap_or(0);
    let was_revoked = next.is_revoked(check.issued);
    let refused_tokens = match check.verdict {
        CheckVerdict::Accepted => 0,
        CheckVerdict::Revoked if !was_revoked => refused_before.saturating_add(1),
        CheckVerdict::Revoked | CheckVerdict::Unavailable => refused_before,
    };
    let is_due = next.renewal_time.as_ref().is_some_and(|planned| planned.0 <= check.at);
    if was_revoked && check.verdict == CheckVerdict::Accepted && !is_due {
        // The token need not be replaced any more, so the backoff of the failed attempts to replace it ends.
        clear_failures(next);
    }
    next.verification = Some(Box::new(VerificationStatus {
        time: Time(check.at),
        token_issued_time: Time(check.issued),
        refused_tokens: (refused_tokens > 0).then_some(refused_tokens),
    }));
}

fn set_token(next: &mut ApiCredentialStatus, input: &StatusInput, now: Timestamp) {
    if input.target_refusal.is_some() {
        return;
    }
    match (input.token_state, input.lifetime) {
        (TokenState::Valid | TokenState::Revoked | TokenState::Expired, Some(lifetime)) => {
            let last = next.last_attempt.as_ref().map(|attempt| attempt.time.0);
            // An issue time in the future does not prove that the token is newer than the last attempt.
            let is_newer =
                input.issued_at.is_some_and(|issued_at| issued_at <= now && last.is_none_or(|last| last < issued_at));
            if (is_newer || input.written_despite_error) && input.attempt.is_none() {
                // The token is from the last attempt or from a later one, so that failure is resolved.
                clear_failures(next);
            }
            // Without a token the version of the target Secret would prove nothing.
            next.target = input.target.clone().or_else(|| next.target.take());
            next.token = Some(TokenStatus {
                issued_time: Time(lifetime.issued),
                expiration_time: lifetime.expiry.time().map(Time),
                lifetime_seconds: lifetime.seconds(),
                type_: crate::providers::TOKEN_TYPE.to_owned(),
            });
            next.renewal_time = input.renewal_time.map(Time);
        }
        _ => {
            next.token = None;
            next.renewal_time = None;
        }
    }
}

fn clear_failures(next: &mut ApiCredentialStatus) {
    next.failed_attempts = next.failed_attempts.map(|_| 0);
    next.next_attempt_time = None;
}
