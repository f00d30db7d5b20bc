//! Outcome → event. One event for each attempt; a refusal, a token that the provider refuses, or an adoption once.

use super::conditions::{READY, RENEWED, condition};
use super::{Check, CheckFinding, CheckVerdict, StatusInput, is_revoked};
use crate::api::ApiCredentialStatus;
use crate::reason::{Reason, Refusal};

/// The severity of an event, as Kubernetes defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// For information.
    Normal,
    /// Somebody may have to act.
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

/// What an event about an `ApiCredential` reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// The severity.
    pub type_: EventType,
    /// The machine-readable reason.
    pub reason: Reason,
    /// The sentence for people, at most 1 KiB.
    pub note: String,
}

/// The event of this round: one for each attempt; a refusal, a token that the provider refuses, or an adoption once.
pub fn event(prior: &ApiCredentialStatus, next: &ApiCredentialStatus, findings: &StatusInput) -> Option<EventRecord> {
    if let Some(attempt) = &findings.attempt {
        return Some(match &attempt.outcome {
            Ok(()) if attempt.expiry_assumed => normal(Reason::ExpiryUnknown),
            Ok(()) => normal(Reason::Issued),
            Err(refusal) => warning(refusal),
        });
    }
    if let Some(refusal) = findings.target_refusal.as_ref().or(findings.refusal.as_ref()) {
        let type_ = if findings.target_refusal.is_some() { READY } else { RENEWED };
        let said = condition(prior, type_).is_some_and(|before| before.reason == refusal.reason.as_str());
        return (!said).then(|| warning(refusal));
    }
    if let CheckFinding::Made(Check { issued, verdict: CheckVerdict::Revoked, .. }) = findings.check {
        return (!is_revoked(prior, issued)).then(|| warning(&Reason::TokenRevoked.into()));
    }
    let adopted = |status| condition(status, RENEWED).is_some_and(|renewed| renewed.reason == Reason::Adopted.as_str());
    let same =
        prior.token.as_ref().map(|token| &token.issued_time) == next.token.as_ref().map(|token| &token.issued_time);
    (adopted(next) && !(adopted(prior) && same)).then(|| normal(Reason::Adopted))
}

fn normal(reason: Reason) -> EventRecord {
    make(EventType::Normal, &reason.into())
}

fn warning(refusal: &Refusal) -> EventRecord {
    make(EventType::Warning, refusal)
}

fn make(type_: EventType, refusal: &Refusal) -> EventRecord {
    EventRecord { type_, reason: refusal.reason, note: refusal.message.clone() }
}
