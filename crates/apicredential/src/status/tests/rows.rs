//! The table of conditions, row by row.

use super::*;

fn failing(reason: Reason) -> StatusInput {
    StatusInput { attempt: attempt(10, Err(reason), 1), ..nothing() }
}

fn no_token(reason: Reason) -> Vec<String> {
    conditions_of(&status(&untouched(), &failing(reason), at(11)))
}

fn reconciling_or_stalled(reason: Reason, passes: bool) -> String {
    format!("{}=True/{reason}", if passes { "Reconciling" } else { "Stalled" })
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
        let passes = matches!(reason.class(), Class::Transient | Class::Throttled)
            || matches!(reason, Reason::ApiUnavailable | Reason::Unauthorized);
        let expected = [
            format!("Ready=False/{reason}"),
            format!("Renewed=False/{reason}"),
            "SourceResolved=True/SourceResolved".to_owned(),
            reconciling_or_stalled(*reason, passes),
        ];
        assert_eq!(no_token(*reason), expected);
    }
}

#[test]
fn without_a_token_a_refused_source_is_reported_in_four_conditions() {
    let refusal = || Refusal::from(Reason::SourceNotPermitted);
    let input = StatusInput { source: SourceFinding::Refused(refusal()), refusal: Some(refusal()), ..nothing() };
    let conditions = conditions_of(&status(&untouched(), &input, at(1)));
    let reason = "SourceNotPermitted";
    assert_eq!(
        conditions,
        ["Ready=False", "Renewed=False", "SourceResolved=False", "Stalled=True"].map(|it| format!("{it}/{reason}"))
    );
}

#[test]
fn a_valid_token_is_ready_and_renewed_reports_whether_it_was_issued_or_adopted() {
    let source = "SourceResolved=True/SourceResolved";
    assert_eq!(conditions_of(&issued()), ["Ready=True/TokenValid", "Renewed=True/Issued", source]);
    let adopted = status(&untouched(), &holding(0, TokenState::Valid), at(1));
    assert_eq!(conditions_of(&adopted), ["Ready=True/TokenValid", "Renewed=True/Adopted", source]);
    assert_eq!(adopted.observed_generation, Some(3));
}

#[test]
fn a_valid_token_stays_ready_while_its_renewal_fails() {
    for reason in [Reason::ProviderTimeout, Reason::RateLimited, Reason::InvalidToken, Reason::CredentialsRejected] {
        let input = StatusInput { attempt: attempt(2400, Err(reason), 1), ..holding(0, TokenState::Valid) };
        let conditions = conditions_of(&status(&issued(), &input, at(2401)));
        let renewed = format!("Renewed=False/{reason}");
        assert_eq!(conditions, ["Ready=True/RenewalFailing", &renewed, "SourceResolved=True/SourceResolved"]);
    }
    let refusal = || Refusal::from(Reason::SourceKeyMissing);
    let input = StatusInput {
        source: SourceFinding::Refused(refusal()),
        refusal: Some(refusal()),
        ..holding(0, TokenState::Valid)
    };
    let conditions = conditions_of(&status(&issued(), &input, at(10)));
    let expected =
        ["Ready=True/RenewalFailing", "Renewed=False/SourceKeyMissing", "SourceResolved=False/SourceKeyMissing"];
    assert_eq!(conditions, expected);
}

#[test]
fn a_token_that_was_not_extended_stays_valid() {
    let input =
        StatusInput { attempt: attempt(2400, Err(Reason::TokenNotExtended), 0), ..holding(0, TokenState::Valid) };
    let next = status(&issued(), &input, at(2401));
    assert_eq!(conditions_of(&next)[..2], ["Ready=True/TokenValid", "Renewed=False/TokenNotExtended"]);
    assert_eq!(next.failed_attempts, Some(0));
    assert_eq!(next.unresolved_failure(), Some(Reason::TokenNotExtended), "nextAttemptTime is set");
}

#[test]
fn a_token_that_vanished_is_pending_until_its_attempt_ends() {
    for token_state in [TokenState::None, TokenState::Unfit] {
        let gone = StatusInput { token_state, ..nothing() };
        let next = status(&issued(), &gone, at(10));
        let expected = [
            "Ready=False/Pending",
            "Renewed=True/Issued",
            "SourceResolved=True/SourceResolved",
            "Reconciling=True/Pending",
        ];
        assert_eq!(conditions_of(&next), expected, "{token_state:?}");
        assert_eq!((&next.token, &next.renewal_time), (&None, &None));
        let failed = status(&next, &StatusInput { token_state, ..failing(Reason::CredentialsRejected) }, at(11));
        assert_eq!(conditions_of(&failed), no_token(Reason::CredentialsRejected), "{token_state:?}");
        let waiting = status(&failed, &gone, at(20));
        assert_eq!(waiting, failed, "until the next attempt ends, the result of the last one stays");
    }
}

#[test]
fn an_expired_token_is_not_ready_and_the_class_of_its_failure_decides() {
    for (reason, passes) in [
        (Reason::ProviderTimeout, true),
        (Reason::RateLimited, true),
        (Reason::InvalidToken, false),
        (Reason::ClientDisabled, false),
    ] {
        let input = StatusInput { attempt: attempt(3590, Err(reason), 2), ..holding(0, TokenState::Expired) };
        let next = status(&issued(), &input, at(3601));
        let expected = [
            "Ready=False/TokenExpired".to_owned(),
            format!("Renewed=False/{reason}"),
            "SourceResolved=True/SourceResolved".to_owned(),
            reconciling_or_stalled(reason, passes),
        ];
        assert_eq!(conditions_of(&next), expected);
        assert!(next.token.is_some(), "its times stay in the status");
    }
}

#[test]
fn a_target_that_is_not_ours_is_stalled_and_leaves_renewed_unchanged() {
    let mut input = StatusInput { target_refusal: Some(Reason::TargetNotOwned.into()), ..nothing() };
    input.source = SourceFinding::Unknown;
    let conditions = conditions_of(&status(&untouched(), &input, at(1)));
    assert_eq!(conditions, ["Ready=False/TargetNotOwned", "Stalled=True/TargetNotOwned"]);
    let next = status(&issued(), &input, at(1));
    let expected = [
        "Ready=False/TargetNotOwned",
        "Renewed=True/Issued",
        "SourceResolved=True/SourceResolved",
        "Stalled=True/TargetNotOwned",
    ];
    assert_eq!(conditions_of(&next), expected);
    assert_eq!(next.token, issued().token, "the token block stays as it was");
}

#[test]
fn a_suspended_apicredential_has_the_same_conditions_without_reconciling_and_stalled() {
    let suspended = |input: StatusInput| StatusInput { suspended: true, ..input };
    let without_token = status(&untouched(), &suspended(nothing()), at(1));
    assert_eq!(conditions_of(&without_token), ["Ready=False/Suspended", "SourceResolved=True/SourceResolved"]);
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
fn reconciling_and_stalled_are_absent_once_they_are_over() {
    let stuck = status(&untouched(), &failing(Reason::InvalidToken), at(1));
    let flaky = status(&stuck, &failing(Reason::ProviderTimeout), at(2));
    assert_eq!(conditions_of(&flaky), no_token(Reason::ProviderTimeout), "never both");
    let resolved = StatusInput { attempt: attempt(20, Ok(()), 0), ..holding(20, TokenState::Valid) };
    assert_eq!(conditions_of(&status(&flaky, &resolved, at(21))), conditions_of(&issued()));
}
