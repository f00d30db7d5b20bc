//! Every row of the contract's table of conditions, and what may and may not move.

use super::*;

mod rows;
mod verified;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// Nothing happened, no token.
pub(super) fn nothing() -> StatusInput {
    StatusInput {
        generation: 3,
        provider: Some(Provider::Welkin),
        token_state: TokenState::None,
        issued: None,
        life: None,
        renewal: None,
        margin_capped: false,
        suspended: false,
        source: SourceFinding::Resolved,
        target_refusal: None,
        refusal: None,
        attempt: None,
        check: CheckFinding::Unchanged,
        delivered_after_all: false,
        target: None,
    }
}

/// A token issued at `issued` that lives an hour.
pub(super) fn holding(issued: i64, token_state: TokenState) -> StatusInput {
    let life = Life { issued: at(issued), expiry: crate::schedule::Expiry::At(at(issued + 3600)) };
    StatusInput {
        token_state,
        issued: Some(at(issued)),
        life: Some(life),
        renewal: Some(at(issued + 2400)),
        ..nothing()
    }
}

pub(super) fn attempt(second: i64, outcome: Result<(), Reason>, failed: u32) -> Option<Attempt> {
    Some(Attempt {
        at: at(second),
        source_version: "uid/1".to_owned(),
        outcome: outcome.map_err(Refusal::from),
        failed,
        next: outcome.is_err().then(|| at(second + 60)),
        expiry_assumed: false,
        handled_request: None,
    })
}

pub(super) fn untouched() -> ApiCredentialStatus {
    ApiCredentialStatus { observed_generation: Some(-1), ..ApiCredentialStatus::default() }
}

/// A status after the first token, issued at 0.
pub(super) fn issued() -> ApiCredentialStatus {
    let findings = StatusInput { attempt: attempt(0, Ok(()), 0), ..holding(0, TokenState::Valid) };
    status(&untouched(), &findings, at(1))
}

/// All conditions as `Type=Status/Reason`, in order.
pub(super) fn conditions_of(status: &ApiCredentialStatus) -> Vec<String> {
    status.conditions.iter().map(|it| format!("{}={}/{}", it.type_, it.status, it.reason)).collect()
}

#[test]
fn transition_times_move_only_with_the_status() {
    let first = issued();
    let failing = |second, reason, failed| StatusInput {
        attempt: attempt(second, Err(reason), failed),
        ..holding(0, TokenState::Valid)
    };
    let second = status(&first, &failing(2400, Reason::ProviderTimeout, 1), at(2401));
    let third = status(&second, &failing(2460, Reason::CredentialsRejected, 1), at(2461));
    let since = |status: &ApiCredentialStatus, type_| condition(status, type_).unwrap().last_transition_time.0;
    assert_eq!(since(&second, READY), at(1), "True stayed True, though the reason changed");
    assert_eq!(since(&second, RENEWED), at(2401), "True became False");
    assert_eq!(since(&third, RENEWED), at(2401), "False stayed False, though the reason changed");
    assert_eq!(condition(&third, RENEWED).unwrap().reason, "CredentialsRejected");
}

#[test]
fn what_could_not_be_written_moves_no_transition_time() {
    let before = issued();
    let expired = status(&before, &holding(0, TokenState::Expired), at(3600));
    assert_eq!(conditions_of(&expired)[0], "Ready=False/TokenExpired");
    let renewed = StatusInput { attempt: attempt(3601, Ok(()), 0), ..holding(3601, TokenState::Valid) };
    let next = status(&expired, &renewed, at(3602));
    assert_ne!(next.conditions[0].last_transition_time, before.conditions[0].last_transition_time);
    let told = next.clone().transitions_since(&before);
    assert_eq!(told.conditions[0].last_transition_time, before.conditions[0].last_transition_time);
    assert_eq!(next.clone().transitions_since(&expired), next, "it was written");
}

#[test]
fn a_token_of_the_future_is_no_news_and_mends_nothing() {
    let failing = StatusInput { attempt: attempt(2400, Err(Reason::DnsFailed), 3), ..holding(0, TokenState::Valid) };
    let failed = status(&issued(), &failing, at(2400));
    // The clock is set back to before the token was issued, whose times count from then; the attempt was after it.
    let back = StatusInput { issued: Some(at(0)), ..holding(-600, TokenState::Valid) };
    let told = status(&issued(), &back, at(-600));
    assert_eq!(conditions_of(&told), conditions_of(&issued()), "it is the token that was issued");
    assert!(event(&issued(), &told, &back).is_none());
    let last = |second| ApiCredentialStatus {
        last_attempt: failed.last_attempt.clone().map(|last| LastAttempt { time: Time(at(second)), ..last }),
        ..failed.clone()
    };
    for second in [-500, 2400] {
        let told = status(&last(second), &back, at(-400));
        assert_eq!(open_failure(&told), Some(Reason::DnsFailed), "last at {second}");
        assert_eq!((told.failed_attempts, &told.next_attempt_time), (Some(3), &failed.next_attempt_time));
    }
}

#[test]
fn a_thousand_failing_attempts_cost_no_more_than_their_bookkeeping() {
    let mut now = status(&issued(), &failing_attempt(0), at(2400));
    let first = without_bookkeeping(&now);
    for number in 1..1000 {
        now = status(&now, &failing_attempt(number), at(2400 + i64::from(number)));
        assert_eq!(without_bookkeeping(&now), first, "after {number} failing attempts");
    }
    assert_eq!(now.failed_attempts, Some(1000));
}

fn failing_attempt(number: u32) -> StatusInput {
    let attempt = attempt(2400 + i64::from(number), Err(Reason::ProviderUnavailable), number + 1);
    StatusInput { attempt, ..holding(0, TokenState::Valid) }
}

fn without_bookkeeping(status: &ApiCredentialStatus) -> ApiCredentialStatus {
    let mut bare = status.clone();
    bare.failed_attempts = None;
    bare.next_attempt_time = None;
    bare.last_attempt = None;
    bare
}

#[test]
fn a_look_that_learns_nothing_changes_nothing() {
    let resting = holding(0, TokenState::Valid);
    let first = issued();
    assert_eq!(status(&first, &resting, at(500)), first);
    let failed = status(&first, &failing_attempt(0), at(2400));
    assert_eq!(status(&failed, &resting, at(2500)), failed);
    let nothing_yet = StatusInput { attempt: attempt(0, Err(Reason::DnsFailed), 1), ..nothing() };
    let without_token = status(&untouched(), &nothing_yet, at(1));
    let waiting = nothing();
    assert_eq!(status(&without_token, &waiting, at(30)), without_token);
}

#[test]
fn a_message_depends_on_nothing_but_the_reason() {
    for reason in Reason::ALL.iter().filter(|reason| reason.class() != Class::Fine) {
        let say = |second, failed| {
            let findings = StatusInput { attempt: attempt(second, Err(*reason), failed), ..nothing() };
            let said = status(&untouched(), &findings, at(second));
            said.conditions.into_iter().map(|condition| condition.message).collect::<Vec<_>>()
        };
        assert_eq!(say(1, 1), say(99_999, 77), "{reason}");
        assert!(!reason.message().is_empty() && reason.message().ends_with('.'), "{reason}: not a sentence");
    }
}

#[test]
fn an_answered_request_and_a_success_are_written_down() {
    let mut findings = failing_attempt(0);
    findings.attempt.as_mut().unwrap().handled_request = Some("now please".to_owned());
    let failed = status(&issued(), &findings, at(2400));
    assert_eq!(failed.last_handled_renew_request.as_deref(), Some("now please"));
    assert_eq!((failed.revision, failed.failed_attempts), (Some(1), Some(1)));
    assert_eq!(failed.next_attempt_time, Some(Time(at(2460))));
    assert_eq!(open_failure(&failed), Some(Reason::ProviderUnavailable));
    let again = StatusInput { attempt: attempt(2460, Ok(()), 0), ..holding(2460, TokenState::Valid) };
    let mended = status(&failed, &again, at(2461));
    assert_eq!((mended.revision, mended.failed_attempts, &mended.next_attempt_time), (Some(2), Some(0), &None));
    assert_eq!(open_failure(&mended), None);
    assert_eq!(mended.token.unwrap().issued_time, Time(at(2460)));
}

#[test]
fn a_token_that_was_written_although_its_write_was_answered_as_a_failure_mends_it() {
    let refused = StatusInput { attempt: attempt(2400, Err(Reason::Forbidden), 1), ..holding(0, TokenState::Valid) };
    let failed = status(&ApiCredentialStatus::default(), &refused, at(2401));
    let same_second = StatusInput { delivered_after_all: false, ..holding(2400, TokenState::Valid) };
    assert_eq!(open_failure(&status(&failed, &same_second, at(2402))), Some(Reason::Forbidden));
    let found = StatusInput { delivered_after_all: true, ..holding(2400, TokenState::Valid) };
    let mended = status(&failed, &found, at(2402));
    assert_eq!((open_failure(&mended), mended.failed_attempts, &mended.next_attempt_time), (None, Some(0), &None));
    assert!(is_ready(&mended) && is_renewed(&mended));
}

#[test]
fn a_token_without_an_end_has_no_expiration_in_the_status() {
    let mut findings = StatusInput { attempt: attempt(0, Ok(()), 0), ..holding(0, TokenState::Valid) };
    findings.life = Some(Life { issued: at(0), expiry: crate::schedule::Expiry::Never });
    findings.renewal = None;
    let said = status(&untouched(), &findings, at(1));
    let token = said.token.unwrap();
    assert_eq!((token.expiration_time, token.lifetime_seconds, said.renewal_time), (None, None, None));
}

#[test]
fn each_attempt_has_its_event_and_a_refusal_one_per_change() {
    let reason = |event: Option<EventRecord>| event.map(|event| event.reason.as_str());
    let failing = failing_attempt(0);
    let failed = status(&issued(), &failing, at(2400));
    assert_eq!(reason(event(&issued(), &failed, &failing)), Some("ProviderUnavailable"));
    let failing = failing_attempt(1);
    let again = status(&failed, &failing, at(2401));
    assert_eq!(reason(event(&failed, &again, &failing)), Some("ProviderUnavailable"));

    let refused = StatusInput { refusal: Some(Reason::SourceKeyEmpty.into()), ..holding(0, TokenState::Valid) };
    let said = status(&issued(), &refused, at(10));
    assert_eq!(reason(event(&issued(), &said, &refused)), Some("SourceKeyEmpty"));
    assert_eq!(reason(event(&said, &status(&said, &refused, at(20)), &refused)), None);

    let mut assumed = StatusInput { attempt: attempt(0, Ok(()), 0), ..holding(0, TokenState::Valid) };
    assumed.attempt.as_mut().unwrap().expiry_assumed = true;
    let said = status(&untouched(), &assumed, at(1));
    assert_eq!(reason(event(&untouched(), &said, &assumed)), Some("ExpiryUnknown"));
    assert_eq!(conditions_of(&said)[1], "Renewed=True/Issued", "ExpiryUnknown replaces Issued in the event only");

    let found = holding(0, TokenState::Valid);
    let adopted = status(&untouched(), &found, at(1));
    assert_eq!(reason(event(&untouched(), &adopted, &found)), Some("Adopted"));
    assert_eq!(reason(event(&adopted, &status(&adopted, &found, at(2)), &found)), None);
}

#[test]
fn a_token_that_ends_before_the_second_try_to_say_so_is_not_called_ready() {
    let findings = holding(0, TokenState::Valid);
    assert!(is_ready(&status(&issued(), &findings.as_of(at(3599)), at(3599))));
    let late = status(&issued(), &findings.as_of(at(3600)), at(3600));
    assert_eq!(conditions_of(&late)[0], "Ready=False/TokenExpired");
    assert_eq!(holding(0, TokenState::Unfit).as_of(at(3600)).token_state, TokenState::Unfit);
}
