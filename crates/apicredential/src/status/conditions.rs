//! Computes the conditions: first `Renewed`, then `Ready` and with it `Reconciling` or `Stalled`, each by the rows of
//! the table in docs/design/status.md.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{Check, CheckFinding, CheckVerdict, SourceFinding, StatusInput};
use crate::api::ApiCredentialStatus;
use crate::api::condition_type::{self, READY, RECONCILING, RENEWED, SOURCE_RESOLVED, STALLED, VERIFIED};
use crate::decide::TokenState;
use crate::reason::{Class, Reason, Refusal};

/// The conditions after a reconcile; `None` before the first attempt has ended. `next` is the new status without its
/// conditions.
pub(super) fn conditions(
    prior: &ApiCredentialStatus,
    next: &ApiCredentialStatus,
    input: &StatusInput,
    now: Timestamp,
) -> Option<Vec<Condition>> {
    let renewed = renewed(next, prior, input);
    let ready = ready(prior, next, input, renewed.as_ref())?;
    let mut values = Vec::from([(READY, ready.value)]);
    if let Some(renewed) = renewed {
        values.push((RENEWED, renewed));
    }
    match &input.source {
        SourceFinding::Unknown => {}
        SourceFinding::Resolved => values.push((SOURCE_RESOLVED, ConditionValue::true_with(Reason::SourceResolved))),
        SourceFinding::Refused(refusal) => values.push((SOURCE_RESOLVED, ConditionValue::false_with(refusal.clone()))),
    }
    if let Some(verified) = verified(prior, input) {
        values.push((VERIFIED, verified));
    }
    if let Some((type_, explanation)) = ready.not_ready_condition {
        values.push((type_, ConditionValue { status: TRUE, explanation }));
    }
    Some(list(prior, &values, input.generation, now))
}

const TRUE: &str = "True";
const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

/// The status, the reason and the message of a condition.
#[derive(Clone, Debug)]
struct ConditionValue {
    status: &'static str,
    explanation: Refusal,
}

impl ConditionValue {
    fn true_with(reason: Reason) -> Self {
        Self { status: TRUE, explanation: reason.into() }
    }

    fn false_with(explanation: Refusal) -> Self {
        Self { status: FALSE, explanation }
    }
}

/// `Renewed`: how the last attempt ended, refusals included. `None` leaves the condition as it is.
fn renewed(next: &ApiCredentialStatus, prior: &ApiCredentialStatus, input: &StatusInput) -> Option<ConditionValue> {
    let unchanged = || {
        prior.condition(RENEWED).and_then(|condition| {
            let reason = Reason::parse(&condition.reason)?;
            Some(ConditionValue {
                status: if condition.status == TRUE { TRUE } else { FALSE },
                explanation: Refusal::new(reason, condition.message.clone()),
            })
        })
    };
    if input.target_refusal.is_some() {
        return unchanged();
    }
    if let Some(attempt) = &input.attempt {
        return Some(match &attempt.outcome {
            Ok(()) => ConditionValue::true_with(Reason::Issued),
            Err(refusal) => ConditionValue::false_with(refusal.clone()),
        });
    }
    if let Some(refusal) = &input.refusal {
        return Some(ConditionValue::false_with(refusal.clone()));
    }
    if !matches!(input.token_state, TokenState::Valid | TokenState::Revoked | TokenState::Expired) {
        return unchanged();
    }
    if let Some(reason) = next.unresolved_failure() {
        // The condition may have a message with parameters, which the reason alone does not give.
        let with_parameters = unchanged().filter(|value| value.explanation.reason == reason);
        return Some(with_parameters.unwrap_or_else(|| ConditionValue::false_with(reason.into())));
    }
    let was_issued_by_last_attempt = next
        .last_attempt
        .as_ref()
        .is_some_and(|attempt| attempt.reason == Reason::Issued.as_str() && input.issued_at == Some(attempt.time.0));
    Some(ConditionValue::true_with(if was_issued_by_last_attempt { Reason::Issued } else { Reason::Adopted }))
}

/// `Ready`, and which of `Reconciling` and `Stalled` is present with it.
struct Ready {
    value: ConditionValue,
    not_ready_condition: Option<(&'static str, Refusal)>,
}

impl Ready {
    fn yes(explanation: Refusal) -> Self {
        Self { value: ConditionValue { status: TRUE, explanation }, not_ready_condition: None }
    }

    /// False. The class of the reason decides whether `Reconciling` or `Stalled` is present, with the same explanation.
    fn no(explanation: Refusal) -> Self {
        let type_ = reconciling_or_stalled(explanation.reason);
        Self::not_ready(explanation.clone(), type_, explanation)
    }

    fn pending() -> Self {
        Self::not_ready(Reason::Pending.into(), RECONCILING, Reason::Pending.into())
    }

    /// False, with the condition of that type beside it.
    fn not_ready(explanation: Refusal, type_: &'static str, other: Refusal) -> Self {
        Self { value: ConditionValue::false_with(explanation), not_ready_condition: Some((type_, other)) }
    }

    /// While suspended the operator neither retries nor waits for a person.
    fn while_suspended(self, suspended: bool) -> Self {
        Self { not_ready_condition: self.not_ready_condition.filter(|_| !suspended), ..self }
    }
}

fn reconciling_or_stalled(reason: Reason) -> &'static str {
    let passes_without_a_person = matches!(reason.class(), Class::Transient | Class::Throttled)
        // Its class is Local, because no request was sent, but the API server answers again without a person.
        || matches!(reason, Reason::ApiUnavailable | Reason::Unauthorized);
    if passes_without_a_person { RECONCILING } else { STALLED }
}

fn ready(
    prior: &ApiCredentialStatus,
    next: &ApiCredentialStatus,
    input: &StatusInput,
    renewed: Option<&ConditionValue>,
) -> Option<Ready> {
    if let Some(refusal) = &input.target_refusal {
        return Some(Ready::not_ready(refusal.clone(), STALLED, refusal.clone()).while_suspended(input.suspended));
    }
    let failure = renewed.filter(|value| value.status != TRUE).map(|value| value.explanation.clone());
    match input.token_state {
        TokenState::Valid => Some(Ready::yes(match failure {
            Some(failure) if failure.reason != Reason::TokenNotExtended => Reason::RenewalFailing.into(),
            _ => token_valid(input),
        })),
        TokenState::Expired => Some(not_usable(Reason::TokenExpired, failure).while_suspended(input.suspended)),
        TokenState::Revoked => Some(not_usable(Reason::TokenRevoked, failure).while_suspended(input.suspended)),
        TokenState::None | TokenState::Unfit if input.suspended => {
            Some(Ready::no(Reason::Suspended.into()).while_suspended(true))
        }
        TokenState::None | TokenState::Unfit => {
            if input.attempt.is_some() || input.refusal.is_some() {
                return failure.map(Ready::no);
            }
            if prior.is_ready() {
                return Some(Ready::pending());
            }
            attempt_has_not_ended(prior, next, failure)
        }
    }
}

/// The token has expired or is refused: `Reconciling` or `Stalled` carries the failure to replace it, if there is one.
fn not_usable(reason: Reason, failure: Option<Refusal>) -> Ready {
    match failure {
        None => Ready::not_ready(reason.into(), RECONCILING, reason.into()),
        Some(failure) => {
            let is_failure = failure.reason.class() != Class::Fine;
            let type_ = if is_failure { reconciling_or_stalled(failure.reason) } else { RECONCILING };
            Ready::not_ready(reason.into(), type_, failure)
        }
    }
}

/// There is no token, and the attempt has not ended: the result of the one before stays, unless its refusal was fixed.
fn attempt_has_not_ended(
    prior: &ApiCredentialStatus,
    next: &ApiCredentialStatus,
    failure: Option<Refusal>,
) -> Option<Ready> {
    let before = Reason::parse(&prior.condition(READY)?.reason)?;
    let refusal_was_fixed = before.class() == Class::Local || before == Reason::Suspended;
    let unresolved = match next.unresolved_failure() {
        Some(reason) if refusal_was_fixed => Some(reason.into()),
        Some(_) => failure,
        None => None,
    };
    Some(unresolved.map_or_else(Ready::pending, Ready::no))
}

fn token_valid(input: &StatusInput) -> Refusal {
    let mut message = Reason::TokenValid.message().to_owned();
    if input.margin_capped {
        message.push_str(" spec.renewal.renewBefore is longer than half of its lifetime; half is used.");
    }
    if let Some(left_out) = &input.metadata_not_allowed {
        message.push(' ');
        message.push_str(&left_out.message);
    }
    Refusal::new(Reason::TokenValid, message)
}

/// Whether a status reports exactly these names of `spec.target.metadata` as left out.
pub fn reports_left_out(status: &ApiCredentialStatus, left_out: Option<&Refusal>) -> bool {
    let message = status.condition(READY).map_or("", |ready| ready.message.as_str());
    match left_out {
        Some(left_out) => message.ends_with(&left_out.message),
        None => !message.contains("--allowed-target-metadata"),
    }
}

/// `Verified`; `None` if there was no check, or if another token has replaced the refused one.
fn verified(prior: &ApiCredentialStatus, input: &StatusInput) -> Option<ConditionValue> {
    let accepted = ConditionValue::true_with(Reason::TokenAccepted);
    let revoked = ConditionValue::false_with(Reason::TokenRevoked.into());
    let unavailable = ConditionValue { status: UNKNOWN, explanation: Reason::VerificationUnavailable.into() };
    match input.check {
        CheckFinding::NotWanted => None,
        CheckFinding::Made(Check { verdict: CheckVerdict::Accepted, .. }) => Some(accepted),
        CheckFinding::Made(Check { verdict: CheckVerdict::Revoked, .. }) => Some(revoked),
        // A check without an answer does not withdraw the refusal of the same token.
        CheckFinding::Made(Check { issued, .. }) if prior.is_revoked(issued) => Some(revoked),
        CheckFinding::Made(_) => Some(unavailable),
        CheckFinding::Unchanged => match Reason::parse(&prior.condition(VERIFIED)?.reason)? {
            Reason::TokenRevoked if input.issued_at.is_some_and(|issued_at| !prior.is_revoked(issued_at)) => None,
            Reason::TokenRevoked => Some(revoked),
            Reason::TokenAccepted => Some(accepted),
            _ => Some(unavailable),
        },
    }
}

/// The conditions in a fixed order. `lastTransitionTime` changes only with the condition's status.
fn list(
    prior: &ApiCredentialStatus,
    values: &[(&'static str, ConditionValue)],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for type_ in condition_type::ALL {
        let before = prior.condition(type_);
        let Some((_, value)) = values.iter().find(|(name, _)| *name == type_) else {
            if ![VERIFIED, RECONCILING, STALLED].contains(&type_) {
                let unchanged = before.cloned();
                conditions
                    .extend(unchanged.map(|before| Condition { observed_generation: Some(generation), ..before }));
            }
            continue;
        };
        let since =
            before.filter(|before| before.status == value.status).map(|before| before.last_transition_time.clone());
        conditions.push(Condition {
            type_: type_.to_owned(),
            status: value.status.to_owned(),
            reason: value.explanation.reason.as_str().to_owned(),
            message: value.explanation.message.clone(),
            observed_generation: Some(generation),
            last_transition_time: since.unwrap_or(Time(now)),
        });
    }
    conditions
}
