//! Every row of the table of conditions in docs/design/status.md, and which fields may change with them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::*;
use crate::api::condition_type::{READY, RENEWED, VERIFIED};
use crate::reason::Class;

mod rows;
mod verified;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// No token, and nothing happened.
pub(super) fn nothing() -> StatusInput {
    StatusInput { source: SourceFinding::Resolved, ..StatusInput::unobserved(3) }
}

/// A token that was issued at `issued` and is valid for an hour.
pub(super) fn holding(issued: i64, token_state: TokenState) -> StatusInput {
    let lifetime = TokenLifetime { issued: at(issued), expiry: crate::schedule::Expiry::At(at(issued + 3600)) };
    StatusInput {
        token_state,
        issued_at: Some(at(issued)),
        lifetime: Some(lifetime),
        renewal_time: Some(at(issued + 2400)),
        ..nothing()
    }
}

pub(super) fn attempt(second: i64, outcome: Result<(), Reason>, failed: u32) -> Option<Attempt> {
    Some(Attempt {
        at: at(second),
        source: Revision::new("uid", "1"),
        outcome: outcome.map_err(Refusal::from),
        failed,
        next: outcome.is_err().then(|| at(second + 60)),
        expiry_assumed: false,
    })
}

pub(super) fn untouched() -> ApiCredentialStatus {
    ApiCredentialStatus::initial()
}

/// A status after the first token, issued at 0.
pub(super) fn issued() -> ApiCredentialStatus {
    let input = StatusInput { attempt: attempt(0, Ok(()), 0), ..holding(0, TokenState::Valid) };
    status(&untouched(), &input, at(1))
}

/// All conditions as `Type=Status/Reason`, in order.
pub(super) fn conditions_of(status: &ApiCredentialStatus) -> Vec<String> {
    status.conditions.iter().map(|it| format!("{}={}/{}", it.type_, it.status, it.reason)).collect()
}

#[test]
fn before_the_first_attempt_has_ended_the_initial_status_stays_and_counts_as_none() {
    let initial = ApiCredentialStatus::initial();
    assert_eq!(status(&initial, &nothing(), at(5)), initial, "nothing to write");
    assert_eq!(initial.condition(READY), None);
    assert!(!initial.is_ready() && !initial.has_reason(READY, Reason::Pending) && !initial.has_foreign_conditions());
    // What follows from it is what follows from no status at all.
    let none = ApiCredentialStatus::default();
    let inputs = [
        StatusInput { attempt: attempt(0, Ok(()), 0), ..holding(0, TokenState::Valid) },
        StatusInput { attempt: attempt(0, Err(Reason::DnsFailed), 1), ..nothing() },
        StatusInput { refusal: Some(Reason::SourceKeyMissing.into()), ..nothing() },
        StatusInput { target_refusal: Some(Reason::TargetNotOwned.into()), ..nothing() },
        StatusInput { suspended: true, ..nothing() },
        holding(0, TokenState::Valid),
        holding(0, TokenState::Expired),
    ];
    for input in inputs {
        let next = status(&initial, &input, at(5));
        assert_eq!(next, status(&none, &input, at(5)));
        assert!(next.conditions.iter().all(|condition| condition.status != "Unknown"), "{next:?}");
        assert_eq!(event(&initial, &next, &input), event(&none, &next, &input));
    }
}

#[test]
fn conditions_of_others_are_noticed() {
    let with = |prior: &ApiCredentialStatus, type_: &str| {
        let mut changed = prior.clone();
        changed.conditions.push(Condition { type_: type_.to_owned(), ..prior.conditions[0].clone() });
        changed.has_foreign_conditions()
    };
    let failed = StatusInput { attempt: attempt(0, Err(Reason::DnsFailed), 1), ..nothing() };
    let failed = status(&untouched(), &failed, at(1));
    assert!(!issued().has_foreign_conditions() && !failed.has_foreign_conditions());
    assert!(with(&issued(), "Approved") && with(&issued(), "Stalled") && with(&issued(), "Reconciling"));
    assert!(with(&failed, "Approved") && !with(&failed, "Stalled"));
}

#[test]
fn transition_times_change_only_with_the_status() {
    let first = issued();
    let failing = |second, reason, failed| StatusInput {
        attempt: attempt(second, Err(reason), failed),
        ..holding(0, TokenState::Valid)
    };
    let second = status(&first, &failing(2400, Reason::ProviderTimeout, 1), at(2401));
    let third = status(&second, &failing(2460, Reason::CredentialsRejected, 1), at(2461));
    let since = |status: &ApiCredentialStatus, type_| status.condition(type_).unwrap().last_transition_time.0;
    assert_eq!(since(&second, READY), at(1), "True stayed True, though the reason changed");
    assert_eq!(since(&second, RENEWED), at(2401), "True became False");
    assert_eq!(since(&third, RENEWED), at(2401), "False stayed False, though the reason changed");
    assert_eq!(third.condition(RENEWED).unwrap().reason, "CredentialsRejected");
}

#[test]
fn a_transition_that_could_not_be_written_does_not_count() {
    let before = issued();
    let expired = status(&before, &holding(0, TokenState::Expired), at(3600));
    assert_eq!(conditions_of(&expired)[0], "Ready=False/TokenExpired");
    let renewed = StatusInput { attempt: attempt(3601, Ok(()), 0), ..holding(3601, TokenState::Valid) };
    let next = status(&expired, &renewed, at(3602));
    assert_ne!(next.conditions[0].last_transition_time, before.conditions[0].last_transition_time);
    let written = next.clone().transitions_since(&before);
    assert_eq!(written.conditions[0].last_transition_time, before.conditions[0].last_transition_time);
    assert_eq!(next.clone().transitions_since(&expired), next, "it was written");
}

#[test]
fn a_token_issued_in_the_future_resolves_no_failure() {
    let failing = StatusInput { attempt: attempt(2400, Err(Reason::DnsFailed), 3), ..holding(0, TokenState::Valid) };
    let failed = status(&issued(), &failing, at(2400));
    // The clock was set back to before the issue of the token, so its lifetime counts from then. The attempt came later.
    let back = StatusInput { issued_at: Some(at(0)), ..holding(-600, TokenState::Valid) };
    let next = status(&issued(), &back, at(-600));
    assert_eq!(conditions_of(&next), conditions_of(&issued()), "it is the same token");
    assert!(event(&issued(), &next, &back).is_none());
    let last = |second| ApiCredentialStatus {
        last_attempt: failed.last_attempt.clone().map(|last| LastAttempt { time: Time(at(second)), ..last }),
        ..failed.clone()
    };
    for second in [-500, 2400] {
        let next = status(&last(second), &back, at(-400));
        assert_eq!(next.unresolved_failure(), Some(Reason::DnsFailed), "last at {second}");
        assert_eq!((next.failed_attempts, &next.next_attempt_time), (Some(3), &failed.next_attempt_time));
    }
}

#[test]
fn a_thousand_failed_attempts_change_only_the_fields_of_attempts() {
    let mut now = status(&issued(), &failing_attempt(0), at(2400));
    let first = without_attempt_fields(&now);
    for number in 1..1000 {
        now = status(&now, &failing_attempt(number), at(2400 + i64::from(number)));
        assert_eq!(without_attempt_fields(&now), first, "after {number} failing attempts");
    }
    assert_eq!(now.failed_attempts, Some(1000));
}

fn failing_attempt(number: u32) -> StatusInput {
    let attempt = attempt(2400 + i64::from(number), Err(Reason::ProviderUnavailable), number + 1);
    StatusInput { attempt, ..holding(0, TokenState::Valid) }
}

fn without_attempt_fields(status: &ApiCredentialStatus) -> ApiCredentialStatus {
    let mut other_fields = status.clone();
    other_fields.failed_attempts = None;
    other_fields.next_attempt_time = None;
    other_fields.last_attempt = None;
    other_fields
}

#[test]
fn a_reconcile_without_news_changes_nothing() {
    let unchanged = holding(0, TokenState::Valid);
    let first = issued();
    assert_eq!(status(&first, &unchanged, at(500)), first);
    let failed = status(&first, &failing_attempt(0), at(2400));
    assert_eq!(status(&failed, &unchanged, at(2500)), failed);
    let nothing_yet = StatusInput { attempt: attempt(0, Err(Reason::DnsFailed), 1), ..nothing() };
    let without_token = status(&untouched(), &nothing_yet, at(1));
    let waiting = nothing();
    assert_eq!(status(&without_token, &waiting, at(30)), without_token);
}

#[test]
fn a_message_depends_only_on_the_reason() {
    for reason in Reason::ALL.iter().filter(|reason| reason.class() != Class::Fine) {
        let messages = |second, failed| {
            let input = StatusInput { attempt: attempt(second, Err(*reason), failed), ..nothing() };
            let next = status(&untouched(), &input, at(second));
            next.conditions.into_iter().map(|condition| condition.message).collect::<Vec<_>>()
        };
        assert_eq!(messages(1, 1), messages(99_999, 77), "{reason}");
    }
}

#[test]
fn the_status_reports_an_answered_renew_request_and_a_success() {
    let mut input = failing_attempt(0);
    input.handled_request = Some("now please".to_owned());
    let failed = status(&issued(), &input, at(2400));
    assert_eq!(failed.last_handled_renew_request.as_deref(), Some("now please"));
    assert_eq!((failed.revision, failed.failed_attempts), (Some(1), Some(1)));
    assert_eq!(failed.next_attempt_time, Some(Time(at(2460))));
    assert_eq!(failed.unresolved_failure(), Some(Reason::ProviderUnavailable));
    let handled_request = Some("and again".to_owned());
    let again = StatusInput { attempt: attempt(2460, Ok(()), 0), handled_request, ..holding(2460, TokenState::Valid) };
    let resolved = status(&failed, &again, at(2461));
    assert_eq!((resolved.revision, resolved.failed_attempts, &resolved.next_attempt_time), (Some(2), Some(0), &None));
    assert_eq!(resolved.unresolved_failure(), None);
    assert_eq!(resolved.last_handled_renew_request.as_deref(), Some("and again"), "a success answers, too");
    assert_eq!(resolved.token.unwrap().issued_time, Time(at(2460)));
}

#[test]
fn a_token_that_was_written_despite_an_error_resolves_the_failure() {
    let refused = StatusInput { attempt: attempt(2400, Err(Reason::Forbidden), 1), ..holding(0, TokenState::Valid) };
    let failed = status(&ApiCredentialStatus::default(), &refused, at(2401));
    let same_second = StatusInput { written_despite_error: false, ..holding(2400, TokenState::Valid) };
    assert_eq!(status(&failed, &same_second, at(2402)).unresolved_failure(), Some(Reason::Forbidden));
    let found = StatusInput { written_despite_error: true, ..holding(2400, TokenState::Valid) };
    let resolved = status(&failed, &found, at(2402));
    assert_eq!(
        (resolved.unresolved_failure(), resolved.failed_attempts, &resolved.next_attempt_time),
        (None, Some(0), &None)
    );
    assert!(resolved.is_ready() && resolved.is_renewed());
}

#[test]
fn a_token_that_never_expires_has_no_expiration_time_in_the_status() {
    let mut input = StatusInput { attempt: attempt(0, Ok(()), 0), ..holding(0, TokenState::Valid) };
    input.lifetime = Some(TokenLifetime { issued: at(0), expiry: crate::schedule::Expiry::Never });
    input.renewal_time = None;
    let next = status(&untouched(), &input, at(1));
    let token = next.token.unwrap();
    assert_eq!((token.expiration_time, token.lifetime_seconds, next.renewal_time), (None, None, None));
}

#[test]
fn each_attempt_has_an_event_and_a_refusal_one_per_change() {
    let reason = |event: Option<EventRecord>| event.map(|event| event.reason.as_str());
    let failing = failing_attempt(0);
    let failed = status(&issued(), &failing, at(2400));
    assert_eq!(reason(event(&issued(), &failed, &failing)), Some("ProviderUnavailable"));
    let failing = failing_attempt(1);
    let again = status(&failed, &failing, at(2401));
    assert_eq!(reason(event(&failed, &again, &failing)), Some("ProviderUnavailable"));

    let refused = StatusInput { refusal: Some(Reason::SourceKeyEmpty.into()), ..holding(0, TokenState::Valid) };
    let next = status(&issued(), &refused, at(10));
    assert_eq!(reason(event(&issued(), &next, &refused)), Some("SourceKeyEmpty"));
    assert_eq!(reason(event(&next, &status(&next, &refused, at(20)), &refused)), None);

    let mut assumed = StatusInput { attempt: attempt(0, Ok(()), 0), ..holding(0, TokenState::Valid) };
    assumed.attempt.as_mut().unwrap().expiry_assumed = true;
    let next = status(&untouched(), &assumed, at(1));
    assert_eq!(reason(event(&untouched(), &next, &assumed)), Some("ExpiryUnknown"));
    assert_eq!(conditions_of(&next)[1], "Renewed=True/Issued", "ExpiryUnknown replaces Issued in the event only");

    let found = holding(0, TokenState::Valid);
    let adopted = status(&untouched(), &found, at(1));
    assert_eq!(reason(event(&untouched(), &adopted, &found)), Some("Adopted"));
    assert_eq!(reason(event(&adopted, &status(&adopted, &found, at(2)), &found)), None);
}

#[test]
fn names_that_are_left_out_are_in_the_message_of_a_valid_token_and_have_one_event() {
    let left_out =
        Refusal::new(Reason::MetadataNotAllowed, "Names are left out: owner. See --allowed-target-metadata.");
    let input = StatusInput {
        metadata_not_allowed: Some(left_out.clone()),
        attempt: attempt(0, Ok(()), 0),
        ..holding(0, TokenState::Valid)
    };
    let next = status(&untouched(), &input, at(1));
    assert_eq!(conditions_of(&next)[0], "Ready=True/TokenValid");
    assert!(next.condition(READY).unwrap().message.ends_with(&left_out.message));
    let event = event_of_metadata(&untouched(), &next, &input).unwrap();
    assert_eq!((event.type_, event.reason), (EventType::Warning, Reason::MetadataNotAllowed));
    assert_eq!(event_of_metadata(&next, &status(&next, &input, at(2)), &input), None);
    // A restart takes the status for what was reported, and no other list for the same.
    assert!(reports_left_out(&next, Some(&left_out)));
    assert!(!reports_left_out(&next, None));
    assert!(!reports_left_out(&issued(), Some(&left_out)));
    assert!(reports_left_out(&issued(), None));
}

#[test]
fn a_token_that_expires_before_the_status_is_written_again_is_not_ready() {
    let input = holding(0, TokenState::Valid);
    assert!(status(&issued(), &input.as_of(at(3599)), at(3599)).is_ready());
    let late = status(&issued(), &input.as_of(at(3600)), at(3600));
    assert_eq!(conditions_of(&late)[0], "Ready=False/TokenExpired");
    assert_eq!(holding(0, TokenState::Unfit).as_of(at(3600)).token_state, TokenState::Unfit);
}
