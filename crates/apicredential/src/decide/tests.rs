//! Decisions and verdicts from given facts at a given time.

use proptest::prelude::*;

use super::*;
use crate::schedule::Margin;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn token() -> Token {
    Token { life: Life { issued: at(0), expiry: Expiry::At(at(3600)) }, fit: SpecMatch::Fits, renewal: Some(at(2400)) }
}

fn ours(token: Option<Token>) -> Target {
    Target::Ours { token, drift: false }
}

/// A valid token, nothing to do.
fn settled() -> Facts {
    Facts {
        suspended: false,
        spec: None,
        target: ours(Some(token())),
        blocked: None,
        source: Source::Unchanged,
        renew_requested: false,
        verification: Verification::default(),
        attempts: Attempts::default(),
    }
}

fn failed(reason: Reason, next: i64) -> Attempts {
    Attempts { open: Some(OpenFailure { reason, next: at(next) }), fresh: false, last_sent: Some(at(0)) }
}

fn policy() -> Policy {
    Policy { margin: Margin::Default, max_age: None, assumed_lifetime: 3600 }
}

#[test]
fn a_valid_token_rests_until_its_renewal_and_then_until_its_end() {
    assert_eq!(decide(&settled(), at(10)), Decision::Idle(Some(at(2400))));
    assert_eq!(decide(&settled(), at(2400)), Decision::Exchange(Cause::Due));
    let suspended = Facts { suspended: true, ..settled() };
    assert_eq!(decide(&suspended, at(2400)), Decision::Idle(Some(at(3600))));
    assert_eq!(decide(&suspended, at(3600)), Decision::Idle(None), "a time already past is never a wake time");
}

#[test]
fn a_token_that_never_expires_and_has_no_maximal_age_rests_for_ever() {
    let never = Token { life: Life { issued: at(0), expiry: Expiry::Never }, renewal: None, ..token() };
    let facts = Facts { target: ours(Some(never)), ..settled() };
    assert_eq!(decide(&facts, at(1_000_000_000)), Decision::Idle(None));
}

#[test]
fn the_first_cause_that_applies_is_named() {
    let edited = |fit| ours(Some(Token { fit, ..token() }));
    let mut facts =
        Facts { target: ours(None), source: Source::Resolved { changed: true }, renew_requested: true, ..settled() };
    let now = at(2400);
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Missing));
    facts.target = Target::Absent;
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Missing));
    facts.target = edited(SpecMatch::Edited);
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Edited));
    facts.target = edited(SpecMatch::OtherSpec);
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Spec));
    facts.target = edited(SpecMatch::Fits);
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Source));
    facts.source = Source::Unchanged;
    facts.verification.refused = Some(now);
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Requested));
    facts.renew_requested = false;
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Revoked));
    facts.verification.refused = None;
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Due));
}

#[test]
fn refusals_come_in_their_order_and_before_any_exchange() {
    let refusal = |reason: Reason| Refusal::from(reason);
    let mut facts = Facts {
        suspended: true,
        spec: Some(refusal(Reason::EndpointNotAllowed)),
        target: Target::Refused(refusal(Reason::TargetNotOwned)),
        source: Source::Refused(refusal(Reason::SourceKeyMissing)),
        ..settled()
    };
    assert_eq!(decide(&facts, at(0)), Decision::Reject(refusal(Reason::TargetNotOwned)));
    facts.target = Target::Absent;
    assert_eq!(decide(&facts, at(0)), Decision::Reject(refusal(Reason::EndpointNotAllowed)));
    facts.spec = None;
    assert_eq!(decide(&facts, at(0)), Decision::Idle(None), "suspended");
    facts.suspended = false;
    assert_eq!(decide(&facts, at(0)), Decision::Reject(refusal(Reason::SourceKeyMissing)));
}

#[test]
fn a_target_of_ours_that_cannot_be_written_is_refused_before_anything_is_spent() {
    let blocked = Facts { blocked: Some(Reason::TargetImmutable.into()), ..settled() };
    assert_eq!(decide(&blocked, at(10)), Decision::Reject(Reason::TargetImmutable.into()));
    let drifted = Facts { target: Target::Ours { token: Some(token()), drift: true }, ..blocked.clone() };
    assert_eq!(decide(&drifted, at(10)), Decision::Reject(Reason::TargetImmutable.into()));
    assert_eq!(token_state(&blocked, at(10)), TokenState::Valid, "the token in it is none the worse");
}

#[test]
fn a_drift_is_repaired_only_around_a_valid_token() {
    let drift = |token| Facts { target: Target::Ours { token, drift: true }, ..settled() };
    assert_eq!(decide(&drift(Some(token())), at(10)), Decision::Repair);
    let refused = Facts { source: Source::Refused(Reason::SourceKeyMissing.into()), ..drift(Some(token())) };
    assert_eq!(decide(&refused, at(10)), Decision::Repair, "a broken source is no reason to leave a Secret broken");
    assert_eq!(decide(&drift(Some(token())), at(3600)), Decision::Exchange(Cause::Due));
    let suspended = Facts { suspended: true, ..drift(Some(token())) };
    assert_eq!(decide(&suspended, at(10)), Decision::Idle(Some(at(3600))));
}

#[test]
fn a_failed_attempt_waits_for_its_time_unless_the_inputs_are_new() {
    let waiting = Facts { target: ours(None), attempts: failed(Reason::ProviderTimeout, 60), ..settled() };
    assert_eq!(decide(&waiting, at(59)), Decision::Wait(Cause::Missing, at(60)));
    assert_eq!(decide(&waiting, at(60)), Decision::Exchange(Cause::Missing));
    let fresh = Facts { attempts: Attempts { fresh: true, ..waiting.attempts.clone() }, ..waiting };
    assert_eq!(decide(&fresh, at(1)), Decision::Exchange(Cause::Missing));
}

#[test]
fn a_renew_request_waits_half_a_minute_since_the_last_request() {
    let attempts = Attempts { last_sent: Some(at(100)), ..Attempts::default() };
    let facts = Facts { renew_requested: true, attempts, ..settled() };
    assert_eq!(decide(&facts, at(110)), Decision::Wait(Cause::Requested, at(130)));
    assert_eq!(decide(&facts, at(130)), Decision::Exchange(Cause::Requested));
    assert_eq!(decide(&facts, at(70)), Decision::Wait(Cause::Requested, at(130)), "set back a little");
    assert_eq!(decide(&facts, at(69)), Decision::Exchange(Cause::Requested), "set back by who knows how much");
    let failing = Facts {
        attempts: Attempts { open: failed(Reason::CredentialsRejected, 9999).open, ..facts.attempts.clone() },
        ..facts
    };
    assert_eq!(decide(&failing, at(130)), Decision::Exchange(Cause::Requested), "a request is a fresh try");
    let without = Facts { target: ours(None), ..failing };
    assert_eq!(decide(&without, at(110)), Decision::Wait(Cause::Missing, at(130)), "also without a token");
    assert_eq!(decide(&without, at(130)), Decision::Exchange(Cause::Missing));
    let unasked = Facts { renew_requested: false, ..without };
    assert_eq!(decide(&unasked, at(130)), Decision::Wait(Cause::Missing, at(9999)));
}

#[test]
fn a_request_that_comes_too_soon_does_not_hold_up_the_plan() {
    let planned = Token { renewal: Some(at(120)), ..token() };
    let attempts = Attempts { last_sent: Some(at(100)), ..Attempts::default() };
    let facts = Facts { target: ours(Some(planned)), renew_requested: true, attempts, ..settled() };
    assert_eq!(decide(&facts, at(110)), Decision::Wait(Cause::Requested, at(120)));
    assert_eq!(decide(&facts, at(120)), Decision::Exchange(Cause::Due));
}

#[test]
fn every_cause_has_its_label() {
    let all = [Cause::Missing, Cause::Edited, Cause::Spec, Cause::Source, Cause::Requested, Cause::Revoked, Cause::Due];
    let labels = all.map(Cause::as_str);
    assert_eq!(labels, ["missing", "edited", "spec", "source", "requested", "revoked", "due"]);
}

fn verified(next_check: i64, refused: Option<i64>) -> Verification {
    Verification { next_check: Some(at(next_check)), refused: refused.map(at) }
}

#[test]
fn a_token_is_tried_when_its_check_is_due_and_nothing_else_is() {
    let facts = Facts { verification: verified(300, None), ..settled() };
    assert_eq!(decide(&facts, at(10)), Decision::Idle(Some(at(300))));
    assert_eq!(decide(&facts, at(300)), Decision::Check);
    assert_eq!(decide(&facts, at(2400)), Decision::Exchange(Cause::Due), "a new token needs no check");
    for (other, decision) in [
        (Facts { suspended: true, ..facts.clone() }, Decision::Idle(Some(at(3600)))),
        (Facts { target: ours(None), ..facts.clone() }, Decision::Exchange(Cause::Missing)),
        (
            Facts { target: ours(Some(Token { fit: SpecMatch::OtherSpec, ..token() })), ..facts.clone() },
            Decision::Exchange(Cause::Spec),
        ),
        (Facts { source: Source::Resolved { changed: true }, ..facts.clone() }, Decision::Exchange(Cause::Source)),
        (Facts { target: Target::Ours { token: Some(token()), drift: true }, ..facts.clone() }, Decision::Repair),
    ] {
        assert_eq!(decide(&other, at(300)), decision);
    }
    let suspended = Facts { suspended: true, ..facts };
    assert_eq!(decide(&suspended, at(3600)), Decision::Idle(None), "expired, and nothing to wait for");
}

#[test]
fn a_token_is_tried_while_an_exchange_waits_but_not_one_that_has_expired() {
    let attempts = failed(Reason::CredentialsRejected, 9000);
    let source = Source::Resolved { changed: true };
    let facts = Facts { verification: verified(300, None), attempts, source, ..settled() };
    assert_eq!(decide(&facts, at(10)), Decision::Wait(Cause::Source, at(300)));
    assert_eq!(decide(&facts, at(300)), Decision::Check);
    assert_eq!(decide(&facts, at(3600)), Decision::Wait(Cause::Source, at(9000)));
}

#[test]
fn a_refused_token_is_of_no_use_and_calls_for_an_exchange_from_its_time_on() {
    let facts = Facts { verification: verified(900, Some(600)), ..settled() };
    assert_eq!(token_state(&facts, at(500)), TokenState::Revoked);
    assert_eq!(decide(&facts, at(500)), Decision::Idle(Some(at(600))));
    assert_eq!(decide(&facts, at(600)), Decision::Exchange(Cause::Revoked));
    assert_eq!(token_state(&facts, at(3600)), TokenState::Expired);
    let failing = Facts { attempts: failed(Reason::ProviderTimeout, 1000), ..facts.clone() };
    assert_eq!(decide(&failing, at(700)), Decision::Wait(Cause::Revoked, at(900)), "a check may mend it");
    assert_eq!(decide(&failing, at(900)), Decision::Check);
    let later = Facts { verification: verified(5000, Some(5000)), ..settled() };
    assert_eq!(decide(&later, at(2400)), Decision::Exchange(Cause::Due), "the plan does not wait for it");
    let suspended = Facts { suspended: true, ..facts };
    assert_eq!(decide(&suspended, at(700)), Decision::Idle(Some(at(3600))));
}

#[test]
fn a_refused_token_is_never_written_again_and_any_other_is() {
    let stored = |same_bytes, refused| Some(Stored { expiry: Expiry::At(at(100)), same_bytes, refused });
    let evaluate_token =
        |cause, stored| evaluate_token(cause, at(0), &Lifetime::Until(at(90)), stored, &policy(), at(1));
    let written = TokenEvaluation::Write { expiry: Expiry::At(at(90)), assumed: false };
    for cause in [Cause::Source, Cause::Requested, Cause::Revoked, Cause::Due] {
        assert_eq!(evaluate_token(cause, stored(true, true)), TokenEvaluation::StillRevoked, "{cause:?}");
        assert_eq!(evaluate_token(cause, stored(false, true)), written, "{cause:?}: even one that lives shorter");
    }
    assert_eq!(evaluate_token(Cause::Revoked, stored(true, false)), written, "taken again meanwhile");
}

#[test]
fn a_token_that_was_not_extended_is_due_when_it_was_put_off_to() {
    let facts = Facts { attempts: failed(Reason::TokenNotExtended, 3540), ..settled() };
    assert_eq!(decide(&facts, at(2500)), Decision::Idle(Some(at(3540))));
    assert_eq!(decide(&facts, at(3540)), Decision::Exchange(Cause::Due));
    let changed = Facts { source: Source::Resolved { changed: true }, ..facts };
    assert_eq!(decide(&changed, at(2500)), Decision::Exchange(Cause::Source));
}

#[test]
fn what_the_secret_is_worth_follows_fit_and_time() {
    let with = |token| Facts { target: ours(token), ..settled() };
    assert_eq!(token_state(&with(None), at(0)), TokenState::None);
    assert_eq!(token_state(&with(Some(Token { fit: SpecMatch::Edited, ..token() })), at(0)), TokenState::Unfit);
    assert_eq!(token_state(&with(Some(Token { fit: SpecMatch::OtherSpec, ..token() })), at(9999)), TokenState::Unfit);
    assert_eq!(token_state(&with(Some(token())), at(3599)), TokenState::Valid);
    assert_eq!(token_state(&with(Some(token())), at(3600)), TokenState::Expired);
    let refused = Facts { target: Target::Refused(Reason::TargetNotOwned.into()), ..settled() };
    assert_eq!(token_state(&refused, at(0)), TokenState::None);
}

#[test]
fn only_a_due_renewal_can_be_not_extended() {
    let stored = |expiry, same_bytes| Some(Stored { expiry: Expiry::At(at(expiry)), same_bytes, refused: false });
    let until = |second| Lifetime::Until(at(second));
    let evaluate_token = |cause, lifetime, stored| evaluate_token(cause, at(0), &lifetime, stored, &policy(), at(1));
    let write = |second| TokenEvaluation::Write { expiry: Expiry::At(at(second)), assumed: false };
    // The rounding of the same token's end is below 5 s.
    assert_eq!(evaluate_token(Cause::Due, until(104), stored(100, true)), TokenEvaluation::NotExtended);
    assert_eq!(evaluate_token(Cause::Due, until(105), stored(100, true)), write(105));
    assert_eq!(evaluate_token(Cause::Due, until(104), stored(100, false)), TokenEvaluation::NotExtended);
    assert_eq!(evaluate_token(Cause::Due, until(90), stored(100, false)), TokenEvaluation::NotExtended);
    assert_eq!(
        evaluate_token(Cause::Due, until(0), stored(-100, true)),
        TokenEvaluation::NotExtended,
        "the stored bytes, and dead"
    );
    assert_eq!(evaluate_token(Cause::Due, until(0), stored(-100, false)), TokenEvaluation::AlreadyExpired);
    assert_eq!(evaluate_token(Cause::Due, until(105), None), write(105));
    for cause in [Cause::Missing, Cause::Edited, Cause::Spec, Cause::Source, Cause::Requested] {
        assert_eq!(evaluate_token(cause, until(50), stored(100, true)), write(50), "{cause:?}");
        assert_eq!(evaluate_token(cause, until(1), stored(100, true)), TokenEvaluation::AlreadyExpired, "{cause:?}");
    }
}

#[test]
fn a_token_without_an_end_extends_one_with_an_end_but_not_itself() {
    let never = |same_bytes| Some(Stored { expiry: Expiry::Never, same_bytes, refused: false });
    let evaluate_token = |lifetime, stored| evaluate_token(Cause::Due, at(0), &lifetime, stored, &policy(), at(1));
    assert_eq!(evaluate_token(Lifetime::Never, never(true)), TokenEvaluation::NotExtended);
    let written = TokenEvaluation::Write { expiry: Expiry::Never, assumed: false };
    assert_eq!(evaluate_token(Lifetime::Never, never(false)), written);
    let ending = Stored { expiry: Expiry::At(at(9)), same_bytes: true, refused: false };
    assert_eq!(evaluate_token(Lifetime::Never, Some(ending)), written);
    let ends = TokenEvaluation::Write { expiry: Expiry::At(at(100)), assumed: false };
    assert_eq!(evaluate_token(Lifetime::Until(at(100)), never(true)), ends);
}

#[test]
fn a_missing_expiry_is_assumed_and_said() {
    let verdict = evaluate_token(Cause::Missing, at(0), &Lifetime::Unstated, None, &policy(), at(1));
    assert_eq!(verdict, TokenEvaluation::Write { expiry: Expiry::At(at(3600)), assumed: true });
}

#[test]
fn after_a_token_was_not_extended_it_is_asked_for_shortly_before_its_end_and_at_it() {
    let life = |lifetime| Life { issued: at(0), expiry: Expiry::At(at(lifetime)) };
    assert_eq!(after_not_extended(&life(3600), &policy(), at(2400)), Some(at(3540)));
    assert_eq!(after_not_extended(&life(3600), &policy(), at(3540)), Some(at(3600)));
    assert_eq!(after_not_extended(&life(3600), &policy(), at(3600)), None, "from here as transient");
    assert_eq!(after_not_extended(&life(100), &policy(), at(70)), Some(at(90)), "a tenth of a short life");
    let never = Life { issued: at(0), expiry: Expiry::Never };
    assert_eq!(after_not_extended(&never, &policy(), at(50)), None);
    let aged = Policy { max_age: Some(600), ..policy() };
    assert_eq!(after_not_extended(&never, &aged, at(50)), Some(at(650)));
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let target = (0..5_u8, -100_i64..100, -100_i64..100, any::<bool>()).prop_map(|(kind, expiry, renewal, drift)| {
        let fit = [SpecMatch::Fits, SpecMatch::Edited, SpecMatch::OtherSpec][usize::from(kind.min(2))];
        let life = Life { issued: at(-200), expiry: Expiry::At(at(expiry)) };
        match kind {
            0..=2 => Target::Ours { token: Some(Token { life, fit, renewal: Some(at(renewal)) }), drift },
            3 => Target::Absent,
            _ => Target::Refused(Reason::TargetNotOwned.into()),
        }
    });
    let source = prop_oneof![
        Just(Source::Unknown),
        Just(Source::Unchanged),
        any::<bool>().prop_map(|changed| Source::Resolved { changed }),
        Just(Source::Refused(Reason::SourceKeyEmpty.into())),
    ];
    let reason = prop::sample::select(Reason::ALL);
    let open = proptest::option::of((reason, -100_i64..100))
        .prop_map(|open| open.map(|(reason, next)| OpenFailure { reason, next: at(next) }));
    let time = || proptest::option::of(-100_i64..100).prop_map(|time| time.map(at));
    let verification = (time(), time()).prop_map(|(next_check, refused)| Verification { next_check, refused });
    (any::<bool>(), target, source, any::<bool>(), open, any::<bool>(), proptest::option::of(-100_i64..1), verification)
        .prop_map(|(suspended, target, source, renew_requested, open, fresh, sent, verification)| Facts {
            blocked: None,
            suspended,
            spec: None,
            target,
            source,
            renew_requested,
            verification,
            attempts: Attempts { open, fresh, last_sent: sent.map(at) },
        })
}

proptest! {
    #[test]
    fn no_decision_looks_into_the_past_or_acts_against_a_refusal(facts in any_facts()) {
        let now = at(0);
        match decide(&facts, now) {
            Decision::Idle(time) => prop_assert!(time.is_none_or(|time| time > now), "{time:?}"),
            Decision::Wait(_, time) => prop_assert!(time > now && !facts.suspended, "{time}"),
            Decision::Exchange(_) => {
                prop_assert!(!facts.suspended);
                prop_assert!(!matches!(facts.target, Target::Refused(_)));
                prop_assert!(!matches!(facts.source, Source::Refused(_)));
            }
            Decision::Check => {
                prop_assert!(!facts.suspended && !matches!(facts.source, Source::Refused(_)));
                prop_assert!(matches!(token_state(&facts, now), TokenState::Valid | TokenState::Revoked));
            }
            Decision::Repair => prop_assert_eq!(token_state(&facts, now), TokenState::Valid),
            Decision::Reject(_) => prop_assert!(
                matches!(facts.target, Target::Refused(_)) || matches!(facts.source, Source::Refused(_))
            ),
        }
    }
}
