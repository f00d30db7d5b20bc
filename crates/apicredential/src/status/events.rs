//! The event that follows from a reconcile: one for each attempt. A refusal, a token that the provider refuses and an
//! adoption have one event each time they begin, not one for each reconcile.

use super::{Check, CheckFinding, CheckVerdict, StatusInput, reports_left_out};
use crate::api::ApiCredentialStatus;
use crate::api::condition_type::{READY, RENEWED};
use crate::reason::{Reason, Refusal};

/// What an event about an `ApiCredential` reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The severity.
    pub type_: EventType,
    /// The machine-readable reason.
    pub reason: Reason,
    /// The message, at most 1 KiB.
    pub note: String,
}

/// The severity of an event, as Kubernetes defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// Something happened as it should.
    Normal,
    /// A person may have to act.
    Warning,
}

impl EventType {
    /// The value of the event's `type` field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// The event of a reconcile that turned the status `prior` into `next`.
pub fn event(prior: &ApiCredentialStatus, next: &ApiCredentialStatus, input: &StatusInput) -> Option<EventRecord> {
    if let Some(attempt) = &input.attempt {
        return Some(match &attempt.outcome {
            Ok(()) if attempt.expiry_assumed => normal(Reason::ExpiryUnknown),
            Ok(()) => normal(Reason::Issued),
            Err(refusal) => warning(refusal),
        });
    }
    if let Some(refusal) = input.target_refusal.as_ref().or(input.refusal.as_ref()) {
        let type_ = if input.target_refusal.is_some() { READY } else { RENEWED };
        return (!prior.has_reason(type_, refusal.reason)).then(|| warning(refusal));
    }
    if let CheckFinding::Made(Check { issued, verdict: CheckVerdict::Revoked, .. }) = input.check {
        return (!prior.is_revoked(issued)).then(|| warning(&Reason::TokenRevoked.into()));
    }
    let is_adopted = |status: &ApiCredentialStatus| status.has_reason(RENEWED, Reason::Adopted);
    let is_same_token =
        prior.token.as_ref().map(|token| &token.issued_time) == next.token.as_ref().map(|token| &token.issued_time);
    (is_adopted(next) && !(is_adopted(prior) && is_same_token)).then(|| normal(Reason::Adopted))
}

/// The event about names in `spec.target.metadata` that are left out: one when the status begins to report them.
pub fn event_of_metadata(
    prior: &ApiCredentialStatus,
    next: &ApiCredentialStatus,
    input: &StatusInput,
) -> Option<EventRecord> {
    let left_out = input.metadata_not_allowed.as_ref()?;
    let begins = reports_left_out(next, Some(left_out)) && !reports_left_out(prior, Some(left_out));
    begins.then(|| warning(left_out))
}

fn normal(reason: Reason) -> EventRecord {
    record(EventType::Normal, &reason.into())
}

fn warning(refusal: &Refusal) -> EventRecord {
    record(EventType::Warning, refusal)
}

fn record(type_: EventType, refusal: &Refusal) -> EventRecord {
    EventRecord { type_, reason: refusal.reason, note: refusal.message.clone() }
}
