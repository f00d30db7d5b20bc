//! The table, row by row: standing and outcome → all conditions.

use super::*;

fn failing(reason: Reason) -> StatusInput {
    StatusInput { attempt: attempt(10, Err(reason), 1), ..nothing() }
}

fn no_token(reason: Reason) -> Vec<String> {
    conditions_of(&status(&untouched(), &failing(reason), at(11)))
}

fn by_class(reason: Reason, passing: bool) -> String {
    format!("{}=True/{reason}", if passing { "Reconciling" } else { "Stalled" })
}

#[test]
fn before_the_first_attempt_has_ended_nothing_is_written() {
    let waiting = nothing();
    assert_eq!(status(&untouched(), &waiting, at(1)), untouched());
}

#[test]
fn without_a_token_the_reason_is_everywhere_and_its_class_decides_between_reconciling_and_stalled() {
    for reason in Reason::ALL.iter().filter(|reason| reason.class() != Class::Fine) {
        if matches!(reason, Reason::TokenExpired | Reason::TokenNotExtended) {
            continue;
        }
        let passing =
            matches!(reason.class(), Class::Transient | Class::Throttled) || *reason == Reason::ApiUnavailable;
        let expected = [
            format!("Ready=False/{reason}"),
            format!("Renewed=False/{reason}"),
            "SourceResolved=True/SourceResolved".to_owned(),
            by_class(*reason, passing),
        ];
        assert_eq!(no_token(*reason), expected);
    }
}

#[test]
fn without_a_token_a_refused_source_is_said_in_three_places() {
    let refusal = || Refusal::from(Reason::SourceNotPermitted);
    let findings = StatusInput { source: SourceFinding::Refused(refusal()), refusal: Some(refusal()), ..nothing() };
    let said = conditions_of(&status(&untouched(), &findings, at(1)));
    let reason = "SourceNotPermitted";
    assert_eq!(
        said,
        ["Ready=False", "Renewed=False", "SourceResolved=False", "Stalled=True"].map(|it| format!("{it}/{reason}"))
    );
}

#[test]
fn a_valid_token_is_ready_and_says_where_it_came_from() {
    let source = "SourceResolved=True/SourceResolved";
    assert_eq!(conditions_of(&issued()), ["Ready=True/TokenValid", "Renewed=True/Issued", source]);
    let adopted = status(&untouched(), &holding(0, TokenState::Valid), at(1));
    assert_eq!(conditions_of(&adopted), ["Ready=True/TokenValid", "Renewed=True/Adopted", source]);
    assert_eq!(adopted.observed_generation, Some(3));
}

#[test]
fn a_valid_token_stays_ready_while_its_renewal_fails() {
    for reason in [Reason::ProviderTimeout, Reason::RateLimited, Reason::InvalidToken, Reason::CredentialsRejected] {
        let findings = StatusInput { attempt: attempt(2400, Err(reason), 1), ..holding(0, TokenState::Valid) };
        let said = conditions_of(&status(&issued(), &findings, at(2401)));
        let renewed = format!("Renewed=False/{reason}");
        assert_eq!(said, ["Ready=True/RenewalFailing", &renewed, "SourceResolved=True/SourceResolved"]);
    }
    let refusal = || Refusal::from(Reason::SourceKeyMissing);
    let findings = StatusInput {
        source: SourceFinding::Refused(refusal()),
        refusal: Some(refusal()),
        ..holding(0, TokenState::Valid)
    };
    let said = conditions_of(&status(&issued(), &findings, at(10)));
    let expected =
        ["Ready=True/RenewalFailing", "Renewed=False/SourceKeyMissing", "SourceResolved=False/SourceKeyMissing"];
    assert_eq!(said, expected);
}

#[test]
fn a_token_that_was_not_extended_is_valid_all_the_same() {
    let findings =
        StatusInput { attempt: attempt(2400, Err(Reason::TokenNotExtended), 0), ..holding(0, TokenState::Valid) };
    let said = status(&issued(), &findings, at(2401));
    assert_eq!(conditions_of(&said)[..2], ["Ready=True/TokenValid", "Renewed=False/TokenNotExtended"]);
    assert_eq!(said.failed_attempts, Some(0));
    assert_eq!(open_failure(&said), Some(Reason::TokenNotExtended), "the time of its next attempt counts");
}

#[test]
fn a_token_that_vanished_is_pending_until_its_attempt_ends() {
    for token_state in [TokenState::None, TokenState::Unfit] {
        let gone = StatusInput { token_state, ..nothing() };
        let said = status(&issued(), &gone, at(10));
        let expected = [
            "Ready=False/Pending",
            "Renewed=True/Issued",
            "SourceResolved=True/SourceResolved",
            "Reconciling=True/Pending",
        ];
        assert_eq!(conditions_of(&said), expected, "{token_state:?}");
        assert_eq!((&said.token, &said.renewal_time), (&None, &None));
        let failed = status(&said, &StatusInput { token_state, ..failing(Reason::CredentialsRejected) }, at(11));
        assert_eq!(conditions_of(&failed), no_token(Reason::CredentialsRejected), "{token_state:?}");
        let waits = status(&failed, &gone, at(20));
        assert_eq!(waits, failed, "while it waits for the next attempt, the last one is what there is to say");
    }
}

#[test]
fn an_expired_token_is_not_ready_and_the_class_of_its_failure_decides() {
    for (reason, passing) in [
        (Reason::ProviderTimeout, true),
        (Reason::RateLimited, true),
        (Reason::InvalidToken, false),
        (Reason::ClientDisabled, false),
    ] {
        let findings = StatusInput { attempt: attempt(3590, Err(reason), 2), ..holding(0, TokenState::Expired) };
        let said = status(&issued(), &findings, at(3601));
        let expected = [
            "Ready=False/TokenExpired".to_owned(),
            format!("Renewed=False/{reason}"),
            "SourceResolved=True/SourceResolved".to_owned(),
            by_class(reason, passing),
        ];
        assert_eq!(conditions_of(&said), expected);
        assert!(said.token.is_some(), "its times are still true");
    }
}

#[test]
fn a_target_that_is_not_ours_stalls_and_leaves_renewed_alone() {
    let mut findings = StatusInput { target_refusal: Some(Reason::TargetNotOwned.into()), ..nothing() };
    findings.source = SourceFinding::Unknown;
    let said = conditions_of(&status(&untouched(), &findings, at(1)));
    assert_eq!(said, ["Ready=False/TargetNotOwned", "Stalled=True/TargetNotOwned"]);
    let said = status(&issued(), &findings, at(1));
    let expected = [
        "Ready=False/TargetNotOwned",
        "Renewed=True/Issued",
        "SourceResolved=True/SourceResolved",
        "Stalled=True/TargetNotOwned",
    ];
    assert_eq!(conditions_of(&said), expected);
    assert_eq!(said.token, issued().token, "what was known of the token is neither confirmed nor denied");
}

#[test]
fn a_suspended_credential_says_the_same_without_reconciling_or_stalled() {
    let suspended = |findings: StatusInput| StatusInput { suspended: true, ..findings };
    let bare = status(&untouched(), &suspended(nothing()), at(1));
    assert_eq!(conditions_of(&bare), ["Ready=False/Suspended", "SourceResolved=True/SourceResolved"]);
    let valid = status(&issued(), &suspended(holding(0, TokenState::Valid)), at(10));
    assert_eq!(conditions_of(&valid), conditions_of(&issued()));
    let expired = status(&issued(), &suspended(holding(0, TokenState::Expired)), at(3600));
    let expected = ["Ready=False/TokenExpired", "Renewed=True/Issued", "SourceResolved=True/SourceResolved"];
    assert_eq!(conditions_of(&expired), expected);
    let foreign = StatusInput { target_refusal: Some(Reason::TargetNotOwned.into()), ..nothing() };
    let foreign = status(&untouched(), &suspended(foreign), at(1));
    assert_eq!(conditions_of(&foreign)[0], "Ready=False/TargetNotOwned");
    assert!(!conditions_of(&foreign).iter().any(|it| it.starts_with("Stalled") || it.starts_with("Reconciling")));
}

#[test]
fn reconciling_and_stalled_go_once_they_are_over() {
    let stuck = status(&untouched(), &failing(Reason::InvalidToken), at(1));
    let flaky = status(&stuck, &failing(Reason::ProviderTimeout), at(2));
    assert_eq!(conditions_of(&flaky), no_token(Reason::ProviderTimeout), "never both");
    let mended = StatusInput { attempt: attempt(20, Ok(()), 0), ..holding(20, TokenState::Valid) };
    assert_eq!(conditions_of(&status(&flaky, &mended, at(21))), conditions_of(&issued()));
}
