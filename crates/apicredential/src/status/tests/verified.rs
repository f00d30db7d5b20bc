//! The condition `Verified` and the status after a check.

use super::*;

/// A check at `second` of a token that was issued at 0.
fn checked(second: i64, verdict: CheckVerdict) -> StatusInput {
    checked_of(0, second, verdict)
}

fn checked_of(issued: i64, second: i64, verdict: CheckVerdict) -> StatusInput {
    let token_state = if verdict == CheckVerdict::Revoked { TokenState::Revoked } else { TokenState::Valid };
    let check = CheckFinding::Made(Check { at: at(second), issued: at(issued), verdict });
    StatusInput { check, ..holding(issued, token_state) }
}

fn after(prior: &ApiCredentialStatus, input: &StatusInput, second: i64) -> ApiCredentialStatus {
    status(prior, input, at(second))
}

fn verified(status: &ApiCredentialStatus) -> Option<String> {
    status.condition(VERIFIED).map(|it| format!("{}/{}", it.status, it.reason))
}

fn revoked() -> ApiCredentialStatus {
    after(&issued(), &checked(600, CheckVerdict::Revoked), 601)
}

#[test]
fn an_accepted_token_is_verified_and_nothing_else_changes() {
    let next = after(&issued(), &checked(600, CheckVerdict::Accepted), 601);
    let mut expected = conditions_of(&issued());
    expected.push("Verified=True/TokenAccepted".to_owned());
    assert_eq!(conditions_of(&next), expected);
    let check = next.verification.as_deref().unwrap();
    assert_eq!((check.time.0, check.token_issued_time.0, check.refused_tokens), (at(600), at(0), None));
    assert_eq!(after(&next, &holding(0, TokenState::Valid), 700), next, "nothing changes until the next check");
}

#[test]
fn a_refused_token_is_not_ready_and_is_exchanged() {
    let conditions = conditions_of(&revoked());
    let expected = [
        "Ready=False/TokenRevoked",
        "Renewed=True/Issued",
        "SourceResolved=True/SourceResolved",
        "Verified=False/TokenRevoked",
        "Reconciling=True/TokenRevoked",
    ];
    assert_eq!(conditions, expected);
    assert!(revoked().is_revoked(at(0)) && !revoked().is_revoked(at(1)), "the refusal is of one token");
    for (reason, name) in [(Reason::ProviderTimeout, "Reconciling"), (Reason::CredentialsRejected, "Stalled")] {
        let failing = StatusInput { attempt: attempt(602, Err(reason), 1), ..holding(0, TokenState::Revoked) };
        let conditions = conditions_of(&after(&revoked(), &failing, 603));
        assert_eq!(
            (conditions[0].as_str(), &conditions[1]),
            ("Ready=False/TokenRevoked", &format!("Renewed=False/{reason}"))
        );
        assert_eq!(conditions[4], format!("{name}=True/{reason}"));
    }
    let suspended = StatusInput { suspended: true, ..holding(0, TokenState::Revoked) };
    assert_eq!(conditions_of(&after(&revoked(), &suspended, 700)), &expected[..4]);
}

#[test]
fn a_check_without_an_answer_changes_only_verified() {
    let unanswered = |second| checked(second, CheckVerdict::Unavailable);
    let first = after(&issued(), &unanswered(600), 600);
    assert_eq!(verified(&first).as_deref(), Some("Unknown/VerificationUnavailable"));
    assert_eq!(conditions_of(&first)[..3], conditions_of(&issued()));
    let mut now = first.clone();
    for number in 1..1000 {
        now = after(&now, &unanswered(600 + number), 600 + number);
        assert_eq!(now.conditions, first.conditions, "after {number} checks without an answer");
    }
    let still_revoked = StatusInput { token_state: TokenState::Revoked, ..unanswered(900) };
    let next = after(&revoked(), &still_revoked, 900);
    assert_eq!(next.conditions, revoked().conditions, "a check without an answer does not withdraw a refusal");
    assert_eq!(next.verification.unwrap().time.0, at(900));
}

#[test]
fn a_refusal_ends_with_its_token_and_an_acceptance_stays() {
    let replaced = StatusInput { attempt: attempt(601, Ok(()), 0), ..holding(601, TokenState::Valid) };
    let next = after(&revoked(), &replaced, 602);
    assert_eq!((verified(&next), next.is_revoked(at(601))), (None, false));
    assert_eq!(next.verification.as_ref().unwrap().refused_tokens, Some(1), "it counts until a token is accepted");
    let accepted = after(&issued(), &checked(600, CheckVerdict::Accepted), 601);
    let renewed = StatusInput { attempt: attempt(2400, Ok(()), 0), ..holding(2400, TokenState::Valid) };
    assert_eq!(verified(&after(&accepted, &renewed, 2401)).as_deref(), Some("True/TokenAccepted"));
    let gone = StatusInput { token_state: TokenState::None, ..nothing() };
    assert_eq!(verified(&after(&revoked(), &gone, 610)).as_deref(), Some("False/TokenRevoked"));
}

#[test]
fn refused_tokens_are_counted_until_one_is_accepted() {
    let count = |status: &ApiCredentialStatus| status.verification.as_ref().unwrap().refused_tokens;
    let again = after(&revoked(), &checked(900, CheckVerdict::Revoked), 900);
    assert_eq!(count(&again), Some(1), "the same token");
    let replaced = StatusInput { attempt: attempt(901, Ok(()), 0), ..holding(901, TokenState::Valid) };
    let second = after(&after(&again, &replaced, 902), &checked_of(901, 1300, CheckVerdict::Revoked), 1300);
    assert_eq!((count(&second), second.is_revoked(at(901))), (Some(2), true));
    let unanswered = after(&after(&again, &replaced, 902), &checked_of(901, 1300, CheckVerdict::Unavailable), 1300);
    assert_eq!(count(&unanswered), Some(1));
    assert_eq!(count(&after(&second, &checked_of(901, 1700, CheckVerdict::Accepted), 1700)), None);
}

#[test]
fn a_token_that_is_accepted_again_resolves_the_failures_to_replace_it() {
    let failing =
        StatusInput { attempt: attempt(602, Err(Reason::TokenRevoked), 1), ..holding(0, TokenState::Revoked) };
    let failed = after(&revoked(), &failing, 603);
    assert_eq!(conditions_of(&failed)[1], "Renewed=False/TokenRevoked");
    let resolved = after(&failed, &checked(1000, CheckVerdict::Accepted), 1000);
    assert!(resolved.is_ready() && resolved.is_renewed());
    assert_eq!((resolved.unresolved_failure(), resolved.next_attempt_time), (None, None));
}

#[test]
fn without_verification_in_the_spec_the_condition_and_the_block_are_absent() {
    let unwanted = StatusInput { check: CheckFinding::NotWanted, ..holding(0, TokenState::Valid) };
    let next = after(&revoked(), &unwanted, 700);
    assert_eq!((conditions_of(&next), &next.verification), (conditions_of(&issued()), &None));
}

#[test]
fn only_a_refusal_has_an_event_and_one_per_token() {
    let event_of = |prior: &ApiCredentialStatus, input: &StatusInput| {
        event(prior, &status(prior, input, at(900)), input).map(|event| (event.type_, event.reason))
    };
    for verdict in [CheckVerdict::Accepted, CheckVerdict::Unavailable] {
        assert!(event_of(&issued(), &checked(900, verdict)).is_none());
    }
    let (type_, reason) = event_of(&issued(), &checked(900, CheckVerdict::Revoked)).unwrap();
    assert_eq!((type_, reason.as_str()), (EventType::Warning, "TokenRevoked"));
    assert!(event_of(&revoked(), &checked(900, CheckVerdict::Revoked)).is_none());
}
