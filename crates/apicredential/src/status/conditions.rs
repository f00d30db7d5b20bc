//! The conditions after a round: two questions, asked in the order of the table, and the list that they make.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Check, CheckFinding, CheckVerdict, SourceFinding, StatusInput, is_ready, is_revoked, open_failure};
use crate::api::ApiCredentialStatus;
use crate::decide::TokenState;
use crate::reason::{Class, Reason, Refusal};

pub(super) const READY: &str = "Ready";
pub(super) const RENEWED: &str = "Renewed";
const SOURCE: &str = "SourceResolved";
pub(super) const VERIFIED: &str = "Verified";
const RECONCILING: &str = "Reconciling";
const STALLED: &str = "Stalled";

/// The conditions that follow; none if there is nothing to say before the first attempt has ended. `next` is the
/// status with everything but them.
pub(super) fn after(
    prior: &ApiCredentialStatus,
    next: &ApiCredentialStatus,
    findings: &StatusInput,
    now: Timestamp,
) -> Option<Vec<Condition>> {
    let renewed = renewed(next, prior, findings);
    let ready = ready(prior, next, findings, renewed.as_ref())?;
    let mut says = Vec::from([(READY, word(ready.status), ready.refusal)]);
    if let Some(renewed) = &renewed {
        says.push((RENEWED, word(renewed.status), renewed.refusal.clone()));
    }
    match &findings.source {
        SourceFinding::Unknown => {}
        SourceFinding::Resolved => says.push((SOURCE, TRUE, Reason::SourceResolved.into())),
        SourceFinding::Refused(refusal) => says.push((SOURCE, FALSE, refusal.clone())),
    }
    if let Some((status, reason)) = verified(prior, findings) {
        says.push((VERIFIED, status, reason.into()));
    }
    if let Some((name, refusal)) = ready.trouble {
        says.push((name, TRUE, refusal));
    }
    Some(list(prior, &says, findings.generation, now))
}

const TRUE: &str = "True";
const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

fn word(status: bool) -> &'static str {
    if status { TRUE } else { FALSE }
}

/// What the provider said when the token was last tried; none if there is nothing to say of it, or not any more. A
/// refusal is of one token, and goes with it.
fn verified(prior: &ApiCredentialStatus, findings: &StatusInput) -> Option<(&'static str, Reason)> {
    match findings.check {
        CheckFinding::NotWanted => None,
        CheckFinding::Made(Check { verdict: CheckVerdict::Accepted, .. }) => Some((TRUE, Reason::TokenAccepted)),
        CheckFinding::Made(Check { verdict: CheckVerdict::Revoked, .. }) => Some((FALSE, Reason::TokenRevoked)),
        // A token that stands refused is none the better for a check that came to nothing.
        CheckFinding::Made(Check { issued, .. }) if is_revoked(prior, issued) => Some((FALSE, Reason::TokenRevoked)),
        CheckFinding::Made(_) => Some((UNKNOWN, Reason::VerificationUnavailable)),
        CheckFinding::Unchanged => {
            let reason = Reason::parse(&condition(prior, VERIFIED)?.reason)?;
            match reason {
                Reason::TokenRevoked if findings.issued.is_some_and(|issued| !is_revoked(prior, issued)) => None,
                Reason::TokenRevoked => Some((FALSE, reason)),
                Reason::TokenAccepted => Some((TRUE, reason)),
                _ => Some((UNKNOWN, Reason::VerificationUnavailable)),
            }
        }
    }
}

#[derive(Clone, Debug)]
struct ConditionValue {
    status: bool,
    refusal: Refusal,
}

impl ConditionValue {
    fn yes(reason: Reason) -> Self {
        Self { status: true, refusal: reason.into() }
    }

    fn no(refusal: Refusal) -> Self {
        Self { status: false, refusal }
    }
}

/// How the last attempt ended; a local refusal counts. None leaves the condition as it is.
fn renewed(next: &ApiCredentialStatus, prior: &ApiCredentialStatus, findings: &StatusInput) -> Option<ConditionValue> {
    let keep = || {
        condition(prior, RENEWED).and_then(|condition| {
            let reason = Reason::parse(&condition.reason)?;
            Some(ConditionValue {
                status: condition.status == "True",
                refusal: Refusal::new(reason, condition.message.clone()),
            })
        })
    };
    if findings.target_refusal.is_some() {
        return keep();
    }
    if let Some(attempt) = &findings.attempt {
        return Some(match &attempt.outcome {
            Ok(()) => ConditionValue::yes(Reason::Issued),
            Err(refusal) => ConditionValue::no(refusal.clone()),
        });
    }
    if let Some(refusal) = &findings.refusal {
        return Some(ConditionValue::no(refusal.clone()));
    }
    if !matches!(findings.token_state, TokenState::Valid | TokenState::Revoked | TokenState::Expired) {
        return keep();
    }
    if let Some(reason) = open_failure(next) {
        let kept = keep().filter(|says| says.refusal.reason == reason);
        return Some(kept.unwrap_or_else(|| ConditionValue::no(reason.into())));
    }
    // Issued by our own last attempt, or found there.
    let issued = next
        .last_attempt
        .as_ref()
        .is_some_and(|attempt| attempt.reason == Reason::Issued.as_str() && findings.issued == Some(attempt.time.0));
    Some(ConditionValue::yes(if issued { Reason::Issued } else { Reason::Adopted }))
}

struct Ready {
    status: bool,
    refusal: Refusal,
    trouble: Option<(&'static str, Refusal)>,
}

impl Ready {
    /// Not ready, and whether it will pass by itself.
    fn no(refusal: Refusal, suspended: bool) -> Self {
        let passing = matches!(trouble_class(refusal.reason), Class::Transient | Class::Throttled);
        let trouble = (!suspended).then(|| (if passing { RECONCILING } else { STALLED }, refusal.clone()));
        Self { status: false, refusal, trouble }
    }
}

fn trouble_class(reason: Reason) -> Class {
    match reason {
        // The API server's silence passes; everything else of the local class waits for somebody.
        Reason::ApiUnavailable => Class::Transient,
        _ => reason.class(),
    }
}

fn ready(
    prior: &ApiCredentialStatus,
    next: &ApiCredentialStatus,
    findings: &StatusInput,
    renewed: Option<&ConditionValue>,
) -> Option<Ready> {
    let suspended = findings.suspended;
    if let Some(refusal) = &findings.target_refusal {
        let trouble = (!suspended).then(|| (STALLED, refusal.clone()));
        return Some(Ready { status: false, refusal: refusal.clone(), trouble });
    }
    let failed = renewed.filter(|says| !says.status).map(|says| says.refusal.clone());
    match findings.token_state {
        TokenState::Valid => {
            let refusal = match failed {
                Some(failed) if failed.reason != Reason::TokenNotExtended => Reason::RenewalFailing.into(),
                _ => token_valid(findings),
            };
            Some(Ready { status: true, refusal, trouble: None })
        }
        TokenState::Expired | TokenState::Revoked => {
            let expired = findings.token_state == TokenState::Expired;
            let refusal = Refusal::from(if expired { Reason::TokenExpired } else { Reason::TokenRevoked });
            let by = failed.as_ref().map_or(Class::Transient, |failed| trouble_class(failed.reason));
            let passing = matches!(by, Class::Transient | Class::Throttled | Class::Fine);
            let name = if passing { RECONCILING } else { STALLED };
            let trouble = (!suspended).then(|| (name, failed.unwrap_or_else(|| refusal.clone())));
            Some(Ready { status: false, refusal, trouble })
        }
        TokenState::None | TokenState::Unfit if suspended => Some(Ready::no(Reason::Suspended.into(), true)),
        TokenState::None | TokenState::Unfit => {
            let ended = findings.attempt.is_some() || findings.refusal.is_some();
            if ended {
                return failed.map(|failed| Ready::no(failed, false));
            }
            if is_ready(prior) {
                return Some(as_reconciling(Ready::no(Reason::Pending.into(), false)));
            }
            waiting(prior, next, failed)
        }
    }
}

/// No token, and an attempt that has not ended: what was said of the last one stands.
fn waiting(prior: &ApiCredentialStatus, next: &ApiCredentialStatus, failed: Option<Refusal>) -> Option<Ready> {
    let before = Reason::parse(&condition(prior, READY)?.reason)?;
    let mended = before.class() == Class::Local || before == Reason::Suspended;
    let open = match open_failure(next) {
        Some(reason) if mended => Some(reason.into()),
        Some(_) => failed,
        None => None,
    };
    Some(match open {
        Some(failed) => Ready::no(failed, false),
        None => as_reconciling(Ready::no(Reason::Pending.into(), false)),
    })
}

fn as_reconciling(ready: Ready) -> Ready {
    let trouble = Some((RECONCILING, ready.refusal.clone()));
    Ready { trouble, ..ready }
}

fn token_valid(findings: &StatusInput) -> Refusal {
    if findings.margin_capped {
        Refusal::new(
            Reason::TokenValid,
            "The target Secret holds a token that is valid now. spec.renewal.renewBefore is longer than half of its lifetime; half is used.",
        )
    } else {
        Reason::TokenValid.into()
    }
}

pub(super) fn condition<'a>(status: &'a ApiCredentialStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// The conditions in a fixed order. `lastTransitionTime` moves only when the status moves.
fn list(
    prior: &ApiCredentialStatus,
    says: &[(&'static str, &'static str, Refusal)],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for type_ in [READY, RENEWED, SOURCE, VERIFIED, RECONCILING, STALLED] {
        let before = condition(prior, type_);
        let Some((_, status, refusal)) = says.iter().find(|(name, ..)| *name == type_) else {
            if ![VERIFIED, RECONCILING, STALLED].contains(&type_) {
                conditions
                    .extend(before.cloned().map(|kept| Condition { observed_generation: Some(generation), ..kept }));
            }
            continue;
        };
        let since = before.filter(|before| before.status == *status).map(|before| before.last_transition_time.clone());
        conditions.push(Condition {
            type_: type_.to_owned(),
            status: (*status).to_owned(),
            reason: refusal.reason.as_str().to_owned(),
            message: refusal.message.clone(),
            observed_generation: Some(generation),
            last_transition_time: since.unwrap_or(Time(now)),
        });
    }
    conditions
}
