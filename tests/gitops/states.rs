//! Every state of the table in docs/concepts.md as an object, made by `report::status`, and what a GitOps tool should see.

use std::collections::BTreeSet;

use apicredential::api::ApiCredentialStatus;
use apicredential::decide::TokenState;
use apicredential::reason::{Class, Reason, Refusal};
use apicredential::revision::Revision;
use apicredential::schedule::{Expiry, TokenLifetime};
use apicredential::status::{Attempt, Check, CheckFinding, CheckVerdict, SourceFinding, StatusInput, status};
use jiff::Timestamp;
use serde_json::{Value, json};

/// How a GitOps tool should see a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A valid token: continue with what needs it.
    Usable,
    /// Not yet, without any action by a user: wait.
    Waiting,
    /// A user has to fix something: fail.
    Broken,
    /// Not usable because a user suspended it.
    Suspended,
    /// It is being deleted.
    Leaving,
}

/// One state.
pub struct State {
    pub name: String,
    pub object: Value,
    pub expected: Expected,
}

/// The generation of the spec in all objects here.
const GENERATION: i64 = 3;

fn state(name: impl Into<String>, status: &ApiCredentialStatus, expected: Expected) -> State {
    let object = json!({
        "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential",
        "metadata": {"name": "welkin", "namespace": "care", "generation": GENERATION},
        "spec": {
            "provider": {"type": "Welkin", "welkin": {"tenant": "gh", "clientName": "A", "secretRef": {"name": "s"}}},
            "target": {"name": "welkin-token", "creationPolicy": "Owner", "tokenKey": "token"},
        },
        "status": status,
    });
    State { name: name.into(), object, expected }
}

impl State {
    fn with(mut self, pointer: &str, key: &str, value: Value) -> Self {
        self.object.pointer_mut(pointer).unwrap()[key] = value;
        self
    }
}

/// All states.
pub fn all() -> Vec<State> {
    let mut states = early();
    states.extend(Reason::ALL.iter().filter(|reason| is_failure(**reason)).flat_map(|reason| failed(*reason)));
    states.extend(refused());
    states.extend(valid());
    states.extend(verified());
    states.extend(suspended());
    for (name, status) in [("valid", issued()), ("rejected", after_attempt(Reason::CredentialsRejected))] {
        let leaving = state(format!("{name} and being deleted"), &status, Expected::Leaving);
        states.push(leaving.with("/metadata", "deletionTimestamp", json!("2026-01-01T00:00:00Z")));
    }
    states
}

/// Before the operator has finished with this spec.
fn early() -> Vec<State> {
    let pending = status(&issued(), &nothing(), at(10));
    let broken = after_attempt(Reason::CredentialsRejected);
    // The API server puts the default in their place.
    let without_conditions = ApiCredentialStatus { conditions: untouched().conditions, ..issued() };
    let newer =
        |name, status| state(name, status, Expected::Waiting).with("/metadata", "generation", json!(GENERATION + 1));
    vec![
        state("new", &untouched(), Expected::Waiting),
        newer("valid, and the spec has changed since", &issued()),
        newer("rejected, and the spec has changed since", &broken),
        state("a token that vanished", &pending, Expected::Waiting),
        state("conditions that somebody removed", &without_conditions, Expected::Waiting),
    ]
}

/// A failed attempt for this reason: without a token, with a valid one, with an expired one.
fn failed(reason: Reason) -> [State; 3] {
    let expected = if passes(reason) { Expected::Waiting } else { Expected::Broken };
    let attempt = |token_state| StatusInput { attempt: attempt(3590, Err(reason)), ..holding(token_state) };
    let valid = status(&issued(), &attempt(TokenState::Valid), at(3591));
    let expired = status(&issued(), &attempt(TokenState::Expired), at(3601));
    [
        state(format!("no token: {reason}"), &after_attempt(reason), expected),
        state(format!("valid, renewal failed: {reason}"), &valid, Expected::Usable),
        state(format!("expired: {reason}"), &expired, expected),
    ]
}

/// Rejected before any request: because of the source, because of the target.
fn refused() -> Vec<State> {
    let mut states = Vec::new();
    for reason in Reason::ALL.iter().filter(|reason| reason.class() == Class::Local) {
        let refusal = || Refusal::from(*reason);
        let source = if reason.as_str().starts_with("Source") {
            SourceFinding::Refused(refusal())
        } else {
            SourceFinding::Resolved
        };
        let refused = |findings| StatusInput { source: source.clone(), refusal: Some(refusal()), ..findings };
        let expected = if passes(*reason) { Expected::Waiting } else { Expected::Broken };
        states.push(state(format!("refused: {reason}"), &status(&untouched(), &refused(nothing()), at(1)), expected));
        let kept = status(&issued(), &refused(holding(TokenState::Valid)), at(10));
        states.push(state(format!("valid, refused: {reason}"), &kept, Expected::Usable));
        if reason.as_str().starts_with("Target") {
            let findings = StatusInput { target_refusal: Some(refusal()), source: SourceFinding::Unknown, ..nothing() };
            for (prior, when) in [(untouched(), "from the start"), (issued(), "after a token")] {
                let reported = status(&prior, &findings, at(10));
                states.push(state(format!("target refused {when}: {reason}"), &reported, Expected::Broken));
            }
        }
    }
    states
}

fn valid() -> Vec<State> {
    let adopted = status(&untouched(), &holding(TokenState::Valid), at(1));
    let not_extended =
        StatusInput { attempt: attempt(2400, Err(Reason::TokenNotExtended)), ..holding(TokenState::Valid) };
    let expired = status(&issued(), &holding(TokenState::Expired), at(3601));
    vec![
        state("valid", &issued(), Expected::Usable),
        state("valid, adopted", &adopted, Expected::Usable),
        state("valid, not extended", &status(&issued(), &not_extended, at(2401)), Expected::Usable),
        state("expired before any attempt", &expired, Expected::Waiting),
    ]
}

/// A token that was verified at its provider.
fn verified() -> Vec<State> {
    let revoked = status(&issued(), &verified_as(CheckVerdict::Revoked), at(600));
    let unheard = StatusInput { token_state: TokenState::Revoked, ..verified_as(CheckVerdict::Unavailable) };
    let unsettled = status(&revoked, &unheard, at(900));
    let stuck = StatusInput { attempt: attempt(601, Err(Reason::CredentialsRejected)), ..holding(TokenState::Revoked) };
    vec![
        state("valid, accepted", &status(&issued(), &verified_as(CheckVerdict::Accepted), at(600)), Expected::Usable),
        state(
            "valid, no conclusive response",
            &status(&issued(), &verified_as(CheckVerdict::Unavailable), at(600)),
            Expected::Usable,
        ),
        state("revoked", &revoked, Expected::Waiting),
        state("revoked, and no conclusive response since", &unsettled, Expected::Waiting),
        state("revoked, and rejected", &status(&revoked, &stuck, at(602)), Expected::Broken),
    ]
}

fn verified_as(verdict: CheckVerdict) -> StatusInput {
    let token_state = if verdict == CheckVerdict::Revoked { TokenState::Revoked } else { TokenState::Valid };
    StatusInput { check: CheckFinding::Made(Check { at: at(600), issued: at(0), verdict }), ..holding(token_state) }
}

fn suspended() -> Vec<State> {
    let state = |name: &str, prior: &ApiCredentialStatus, findings: StatusInput, expected| {
        let reported = status(prior, &StatusInput { suspended: true, ..findings }, at(3601));
        state(format!("suspended, {name}"), &reported, expected).with("/spec", "suspend", json!(true))
    };
    let refused = StatusInput { target_refusal: Some(Reason::TargetNotOwned.into()), ..nothing() };
    vec![
        state("no token", &untouched(), nothing(), Expected::Suspended),
        state("valid", &issued(), holding(TokenState::Valid), Expected::Usable),
        state("expired", &issued(), holding(TokenState::Expired), Expected::Suspended),
        state("target refused", &untouched(), refused, Expected::Suspended),
        state("after it was stalled", &after_attempt(Reason::CredentialsRejected), nothing(), Expected::Suspended),
    ]
}

/// A reason that an attempt may have, or that may be found instead of one.
fn is_failure(reason: Reason) -> bool {
    reason.class() != Class::Fine && !matches!(reason, Reason::TokenExpired | Reason::TokenNotExtended)
}

/// Whether it is likely to resolve itself.
fn passes(reason: Reason) -> bool {
    matches!(reason.class(), Class::Transient | Class::Throttled)
        || matches!(reason, Reason::ApiUnavailable | Reason::Unauthorized)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn untouched() -> ApiCredentialStatus {
    ApiCredentialStatus::initial()
}

fn issued() -> ApiCredentialStatus {
    let findings = StatusInput { attempt: attempt(0, Ok(())), ..holding(TokenState::Valid) };
    status(&untouched(), &findings, at(1))
}

fn after_attempt(reason: Reason) -> ApiCredentialStatus {
    let findings = StatusInput { attempt: attempt(10, Err(reason)), ..nothing() };
    status(&untouched(), &findings, at(11))
}

fn attempt(second: i64, outcome: Result<(), Reason>) -> Option<Attempt> {
    Some(Attempt {
        at: at(second),
        source: Revision::new("uid", "1"),
        failed: u32::from(outcome.is_err()),
        next: outcome.is_err().then(|| at(second + 60)),
        outcome: outcome.map_err(Refusal::from),
        expiry_assumed: false,
    })
}

/// A token of one hour, issued at 0.
fn holding(token_state: TokenState) -> StatusInput {
    let lifetime = TokenLifetime { issued: at(0), expiry: Expiry::At(at(3600)) };
    StatusInput {
        token_state,
        issued_at: Some(at(0)),
        lifetime: Some(lifetime),
        renewal_time: Some(at(2400)),
        ..nothing()
    }
}

fn nothing() -> StatusInput {
    StatusInput { source: SourceFinding::Resolved, ..StatusInput::unobserved(GENERATION) }
}

#[test]
fn the_states_hold_every_reason_that_a_condition_can_have() {
    let states = all();
    let reported: BTreeSet<&str> = states
        .iter()
        .flat_map(|state| state.object["status"]["conditions"].as_array().into_iter().flatten())
        .filter_map(|condition| condition["reason"].as_str())
        .collect();
    let expected: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    let missing: Vec<_> = expected.difference(&reported).collect();
    assert_eq!(missing, [&"ExpiryUnknown", &"MetadataNotAllowed"], "which are reasons of events only");
}
