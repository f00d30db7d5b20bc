//! What is said of a token that was tried at its provider.

use super::*;

/// A token issued at 0 that was tried then.
fn tried(second: i64, verdict: CheckVerdict) -> StatusInput {
    tried_of(0, second, verdict)
}

fn tried_of(issued: i64, second: i64, verdict: CheckVerdict) -> StatusInput {
    let token_state = if verdict == CheckVerdict::Revoked { TokenState::Revoked } else { TokenState::Valid };
    let check = CheckFinding::Made(Check { at: at(second), issued: at(issued), verdict });
    StatusInput { check, ..holding(issued, token_state) }
}

fn told(prior: &ApiCredentialStatus, findings: &StatusInput, second: i64) -> ApiCredentialStatus {
    status(prior, findings, at(second))
}

fn verified(status: &ApiCredentialStatus) -> Option<String> {
    condition(status, VERIFIED).map(|it| format!("{}/{}", it.status, it.reason))
}

fn revoked() -> ApiCredentialStatus {
    told(&issued(), &tried(600, CheckVerdict::Revoked), 601)
}

#[test]
fn a_token_that_is_taken_is_said_to_be_and_nothing_else_changes() {
    let said = told(&issued(), &tried(600, CheckVerdict::Accepted), 601);
    let mut expected = conditions_of(&issued());
    expected.push("Verified=True/TokenAccepted".to_owned());
    assert_eq!(conditions_of(&said), expected);
    let check = said.verification.as_deref().unwrap();
    assert_eq!((check.time.0, check.token_issued_time.0, check.refused_tokens), (at(600), at(0), None));
    assert_eq!(told(&said, &holding(0, TokenState::Valid), 700), said, "until the next check there is nothing to say");
}

#[test]
fn a_refused_token_is_not_ready_and_its_exchange_is_awaited() {
    let said = conditions_of(&revoked());
    let expected = [
        "Ready=False/TokenRevoked",
        "Renewed=True/Issued",
        "SourceResolved=True/SourceResolved",
        "Verified=False/TokenRevoked",
        "Reconciling=True/TokenRevoked",
    ];
    assert_eq!(said, expected);
    assert!(is_revoked(&revoked(), at(0)) && !is_revoked(&revoked(), at(1)), "it is of one token");
    for (reason, name) in [(Reason::ProviderTimeout, "Reconciling"), (Reason::CredentialsRejected, "Stalled")] {
        let failing = StatusInput { attempt: attempt(602, Err(reason), 1), ..holding(0, TokenState::Revoked) };
        let said = conditions_of(&told(&revoked(), &failing, 603));
        assert_eq!((said[0].as_str(), &said[1]), ("Ready=False/TokenRevoked", &format!("Renewed=False/{reason}")));
        assert_eq!(said[4], format!("{name}=True/{reason}"));
    }
    let suspended = StatusInput { suspended: true, ..holding(0, TokenState::Revoked) };
    assert_eq!(conditions_of(&told(&revoked(), &suspended, 700)), &expected[..4]);
}

#[test]
fn a_check_that_comes_to_nothing_says_nothing_of_the_token() {
    let unheard = |second| tried(second, CheckVerdict::Unavailable);
    let first = told(&issued(), &unheard(600), 600);
    assert_eq!(verified(&first).as_deref(), Some("Unknown/VerificationUnavailable"));
    assert_eq!(conditions_of(&first)[..3], conditions_of(&issued()));
    let mut now = first.clone();
    for number in 1..1000 {
        now = told(&now, &unheard(600 + number), 600 + number);
        assert_eq!(now.conditions, first.conditions, "after {number} checks in vain");
    }
    let still = StatusInput { token_state: TokenState::Revoked, ..unheard(900) };
    let kept = told(&revoked(), &still, 900);
    assert_eq!(kept.conditions, revoked().conditions, "a refusal is not taken back by silence");
    assert_eq!(kept.verification.unwrap().time.0, at(900));
}

#[test]
fn a_refusal_goes_with_its_token_and_the_word_of_one_that_was_taken_stays() {
    let replaced = StatusInput { attempt: attempt(601, Ok(()), 0), ..holding(601, TokenState::Valid) };
    let said = told(&revoked(), &replaced, 602);
    assert_eq!((verified(&said), is_revoked(&said, at(601))), (None, false));
    assert_eq!(said.verification.as_ref().unwrap().refused_tokens, Some(1), "it counts until one is taken");
    let taken = told(&issued(), &tried(600, CheckVerdict::Accepted), 601);
    let renewed = StatusInput { attempt: attempt(2400, Ok(()), 0), ..holding(2400, TokenState::Valid) };
    assert_eq!(verified(&told(&taken, &renewed, 2401)).as_deref(), Some("True/TokenAccepted"));
    let gone = StatusInput { token_state: TokenState::None, ..nothing() };
    assert_eq!(verified(&told(&revoked(), &gone, 610)).as_deref(), Some("False/TokenRevoked"));
}

#[test]
fn refused_tokens_are_counted_until_one_is_taken() {
    let count = |status: &ApiCredentialStatus| status.verification.as_ref().unwrap().refused_tokens;
    let again = told(&revoked(), &tried(900, CheckVerdict::Revoked), 900);
    assert_eq!(count(&again), Some(1), "the same token");
    let replaced = StatusInput { attempt: attempt(901, Ok(()), 0), ..holding(901, TokenState::Valid) };
    let second = told(&told(&again, &replaced, 902), &tried_of(901, 1300, CheckVerdict::Revoked), 1300);
    assert_eq!((count(&second), is_revoked(&second, at(901))), (Some(2), true));
    let silent = told(&told(&again, &replaced, 902), &tried_of(901, 1300, CheckVerdict::Unavailable), 1300);
    assert_eq!(count(&silent), Some(1));
    assert_eq!(count(&told(&second, &tried_of(901, 1700, CheckVerdict::Accepted), 1700)), None);
}

#[test]
fn a_token_that_is_taken_again_mends_the_attempts_to_replace_it() {
    let failing =
        StatusInput { attempt: attempt(602, Err(Reason::TokenRevoked), 1), ..holding(0, TokenState::Revoked) };
    let failed = told(&revoked(), &failing, 603);
    assert_eq!(conditions_of(&failed)[1], "Renewed=False/TokenRevoked");
    let mended = told(&failed, &tried(1000, CheckVerdict::Accepted), 1000);
    assert!(is_ready(&mended) && is_renewed(&mended));
    assert_eq!((open_failure(&mended), mended.next_attempt_time), (None, None));
}

#[test]
fn without_verification_nothing_is_said_of_it_any_more() {
    let unwanted = StatusInput { check: CheckFinding::NotWanted, ..holding(0, TokenState::Valid) };
    let said = told(&revoked(), &unwanted, 700);
    assert_eq!((conditions_of(&said), &said.verification), (conditions_of(&issued()), &None));
}

#[test]
fn only_a_refusal_has_an_event_and_one_per_token() {
    let reason = |prior: &ApiCredentialStatus, findings: &StatusInput| {
        event(prior, &status(prior, findings, at(900)), findings).map(|event| (event.type_, event.reason))
    };
    for verdict in [CheckVerdict::Accepted, CheckVerdict::Unavailable] {
        assert!(reason(&issued(), &tried(900, verdict)).is_none());
    }
    let (type_, told) = reason(&issued(), &tried(900, CheckVerdict::Revoked)).unwrap();
    assert_eq!((type_, told.as_str()), (EventType::Warning, "TokenRevoked"));
    assert!(reason(&revoked(), &tried(900, CheckVerdict::Revoked)).is_none());
}
