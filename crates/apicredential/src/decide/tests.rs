//! Decisions from given facts at a given time.

use proptest::prelude::*;

use super::*;
use crate::providers::Lifetime;
use crate::schedule::{Expiry, Margin, Policy};

mod evaluate;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn token() -> Token {
    Token {
        lifetime: TokenLifetime { issued: at(0), expiry: Expiry::At(at(3600)) },
        spec_match: SpecMatch::Fits,
        renewal: Some(at(2400)),
    }
}

fn ours(token: Option<Token>) -> Target {
    Target::Ours { token, repair: NextReconcile::OnChange }
}

/// A target whose part of ours is written again from that second on.
fn repaired_at(second: i64, token: Option<Token>) -> Target {
    Target::Ours { token, repair: NextReconcile::At(at(second)) }
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
    Attempts {
        unresolved: Some(UnresolvedFailure { reason, next: NextReconcile::At(at(next)) }),
        inputs_changed: false,
        last_sent: Some(at(0)),
    }
}

fn policy() -> Policy {
    Policy { margin: Margin::Default, max_age: None, assumed_lifetime: 3600 }
}

#[test]
fn nothing_is_done_until_the_renewal_of_a_valid_token_and_while_suspended_until_it_expires() {
    assert_eq!(decide(&settled(), at(10)), Decision::Idle(NextReconcile::At(at(2400))));
    assert_eq!(decide(&settled(), at(2400)), Decision::Exchange(Cause::Due));
    let suspended = Facts { suspended: true, ..settled() };
    assert_eq!(decide(&suspended, at(2400)), Decision::Idle(NextReconcile::At(at(3600))));
    assert_eq!(
        decide(&suspended, at(3600)),
        Decision::Idle(NextReconcile::OnChange),
        "a time in the past is never the next time"
    );
}

#[test]
fn a_token_that_never_expires_is_not_renewed_without_a_max_age() {
    let never = Token { lifetime: TokenLifetime { issued: at(0), expiry: Expiry::Never }, renewal: None, ..token() };
    let facts = Facts { target: ours(Some(never)), ..settled() };
    assert_eq!(decide(&facts, at(1_000_000_000)), Decision::Idle(NextReconcile::OnChange));
}

#[test]
fn the_first_cause_that_applies_counts() {
    let with = |spec_match| ours(Some(Token { spec_match, ..token() }));
    let mut facts =
        Facts { target: ours(None), source: Source::Resolved { changed: true }, renew_requested: true, ..settled() };
    let now = at(2400);
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Missing));
    facts.target = Target::Absent;
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Missing));
    facts.target = with(SpecMatch::Edited);
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Edited));
    facts.target = with(SpecMatch::OtherSpec);
    assert_eq!(decide(&facts, now), Decision::Exchange(Cause::Spec));
    facts.target = with(SpecMatch::Fits);
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
fn refusals_are_reported_in_their_order_and_before_any_exchange() {
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
    assert_eq!(decide(&facts, at(0)), Decision::Idle(NextReconcile::OnChange), "suspended");
    facts.suspended = false;
    assert_eq!(decide(&facts, at(0)), Decision::Reject(refusal(Reason::SourceKeyMissing)));
}

#[test]
fn a_target_that_cannot_be_written_is_refused_before_a_token_is_requested() {
    let blocked = Facts { blocked: Some(Reason::TargetImmutable.into()), ..settled() };
    assert_eq!(decide(&blocked, at(10)), Decision::Reject(Reason::TargetImmutable.into()));
    let drifted = Facts { target: repaired_at(10, Some(token())), ..blocked.clone() };
    assert_eq!(decide(&drifted, at(10)), Decision::Reject(Reason::TargetImmutable.into()));
    assert_eq!(token_state(&blocked, at(10)), TokenState::Valid, "the stored token stays valid");
}

#[test]
fn drift_is_repaired_only_with_a_valid_token() {
    let drift = |token| Facts { target: repaired_at(10, token), ..settled() };
    assert_eq!(decide(&drift(Some(token())), at(10)), Decision::Repair);
    let refused = Facts { source: Source::Refused(Reason::SourceKeyMissing.into()), ..drift(Some(token())) };
    assert_eq!(decide(&refused, at(10)), Decision::Repair, "a repair does not need the source Secret");
    assert_eq!(decide(&drift(Some(token())), at(3600)), Decision::Exchange(Cause::Due));
    let suspended = Facts { suspended: true, ..drift(Some(token())) };
    assert_eq!(decide(&suspended, at(10)), Decision::Idle(NextReconcile::At(at(3600))));
}

#[test]
fn a_repair_that_has_time_is_made_when_its_time_has_come() {
    let later = Facts { target: repaired_at(600, Some(token())), ..settled() };
    assert_eq!(decide(&later, at(10)), Decision::Idle(NextReconcile::At(at(600))));
    assert_eq!(decide(&later, at(600)), Decision::Repair);
    let changed = Facts { source: Source::Resolved { changed: true }, ..later.clone() };
    assert_eq!(decide(&changed, at(10)), Decision::Exchange(Cause::Source), "which writes the same");
    let suspended = Facts { suspended: true, ..later };
    assert_eq!(decide(&suspended, at(10)), Decision::Idle(NextReconcile::At(at(3600))));
}

#[test]
fn a_failed_attempt_is_retried_after_its_delay_or_at_once_if_the_inputs_have_changed() {
    let waiting = Facts { target: ours(None), attempts: failed(Reason::ProviderTimeout, 60), ..settled() };
    assert_eq!(decide(&waiting, at(59)), Decision::Wait(Cause::Missing, at(60)));
    assert_eq!(decide(&waiting, at(60)), Decision::Exchange(Cause::Missing));
    let changed = Facts { attempts: Attempts { inputs_changed: true, ..waiting.attempts.clone() }, ..waiting };
    assert_eq!(decide(&changed, at(1)), Decision::Exchange(Cause::Missing));
}

#[test]
fn a_renew_request_is_served_30_seconds_after_the_last_token_request() {
    let attempts = Attempts { last_sent: Some(at(100)), ..Attempts::default() };
    let facts = Facts { renew_requested: true, attempts, ..settled() };
    assert_eq!(decide(&facts, at(110)), Decision::Wait(Cause::Requested, at(130)));
    assert_eq!(decide(&facts, at(130)), Decision::Exchange(Cause::Requested));
    assert_eq!(decide(&facts, at(70)), Decision::Wait(Cause::Requested, at(130)), "the clock was set back a little");
    assert_eq!(
        decide(&facts, at(69)),
        Decision::Exchange(Cause::Requested),
        "the clock was set back by an unknown time"
    );
    let failing = Facts {
        attempts: Attempts {
            unresolved: failed(Reason::CredentialsRejected, 9999).unresolved,
            ..facts.attempts.clone()
        },
        ..facts
    };
    assert_eq!(
        decide(&failing, at(130)),
        Decision::Exchange(Cause::Requested),
        "a renew request is not delayed by failures"
    );
    let without = Facts { target: ours(None), ..failing };
    assert_eq!(decide(&without, at(110)), Decision::Wait(Cause::Missing, at(130)), "also without a token");
    assert_eq!(decide(&without, at(130)), Decision::Exchange(Cause::Missing));
    let without_request = Facts { renew_requested: false, ..without };
    assert_eq!(decide(&without_request, at(130)), Decision::Wait(Cause::Missing, at(9999)));
}

#[test]
fn a_renew_request_that_comes_too_soon_does_not_delay_the_planned_renewal() {
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
fn a_check_is_made_when_it_is_due_and_nothing_else_is() {
    let facts = Facts { verification: verified(300, None), ..settled() };
    assert_eq!(decide(&facts, at(10)), Decision::Idle(NextReconcile::At(at(300))));
    assert_eq!(decide(&facts, at(300)), Decision::Check);
    assert_eq!(decide(&facts, at(2400)), Decision::Exchange(Cause::Due), "a new token needs no check");
    for (other, decision) in [
        (Facts { suspended: true, ..facts.clone() }, Decision::Idle(NextReconcile::At(at(3600)))),
        (Facts { target: ours(None), ..facts.clone() }, Decision::Exchange(Cause::Missing)),
        (
            Facts { target: ours(Some(Token { spec_match: SpecMatch::OtherSpec, ..token() })), ..facts.clone() },
            Decision::Exchange(Cause::Spec),
        ),
        (Facts { source: Source::Resolved { changed: true }, ..facts.clone() }, Decision::Exchange(Cause::Source)),
        (Facts { target: repaired_at(300, Some(token())), ..facts.clone() }, Decision::Repair),
    ] {
        assert_eq!(decide(&other, at(300)), decision);
    }
    let suspended = Facts { suspended: true, ..facts };
    assert_eq!(decide(&suspended, at(3600)), Decision::Idle(NextReconcile::OnChange), "expired, so no check is made");
}

#[test]
fn checks_go_on_while_an_exchange_is_delayed_but_not_for_an_expired_token() {
    let attempts = failed(Reason::CredentialsRejected, 9000);
    let source = Source::Resolved { changed: true };
    let facts = Facts { verification: verified(300, None), attempts, source, ..settled() };
    assert_eq!(decide(&facts, at(10)), Decision::Wait(Cause::Source, at(300)));
    assert_eq!(decide(&facts, at(300)), Decision::Check);
    assert_eq!(decide(&facts, at(3600)), Decision::Wait(Cause::Source, at(9000)));
}

#[test]
fn a_refused_token_needs_an_exchange_from_the_given_time_on() {
    let facts = Facts { verification: verified(900, Some(600)), ..settled() };
    assert_eq!(token_state(&facts, at(500)), TokenState::Revoked);
    assert_eq!(decide(&facts, at(500)), Decision::Idle(NextReconcile::At(at(600))));
    assert_eq!(decide(&facts, at(600)), Decision::Exchange(Cause::Revoked));
    assert_eq!(token_state(&facts, at(3600)), TokenState::Expired);
    let failing = Facts { attempts: failed(Reason::ProviderTimeout, 1000), ..facts.clone() };
    assert_eq!(decide(&failing, at(700)), Decision::Wait(Cause::Revoked, at(900)), "a check may accept it again");
    assert_eq!(decide(&failing, at(900)), Decision::Check);
    let later = Facts { verification: verified(5000, Some(5000)), ..settled() };
    assert_eq!(decide(&later, at(2400)), Decision::Exchange(Cause::Due), "the planned renewal does not wait for it");
    let suspended = Facts { suspended: true, ..facts };
    assert_eq!(decide(&suspended, at(700)), Decision::Idle(NextReconcile::At(at(3600))));
}

#[test]
fn a_refused_token_is_never_written_again_and_any_other_token_is() {
    let stored = |same_bytes, refused| Some(Stored { expiry: Expiry::At(at(100)), same_bytes, refused });
    let evaluate_token =
        |cause, stored| evaluate_token(cause, at(0), &Lifetime::Until(at(90)), stored, &policy(), at(1));
    let written = TokenEvaluation::Write { expiry: Expiry::At(at(90)), assumed: false };
    for cause in [Cause::Source, Cause::Requested, Cause::Revoked, Cause::Due] {
        assert_eq!(evaluate_token(cause, stored(true, true)), TokenEvaluation::StillRevoked, "{cause:?}");
        assert_eq!(evaluate_token(cause, stored(false, true)), written, "{cause:?}: even one that expires sooner");
    }
    assert_eq!(evaluate_token(Cause::Revoked, stored(true, false)), written, "accepted again meanwhile");
}

#[test]
fn a_token_that_was_not_extended_is_due_at_its_next_attempt() {
    let facts = Facts { attempts: failed(Reason::TokenNotExtended, 3540), ..settled() };
    assert_eq!(decide(&facts, at(2500)), Decision::Idle(NextReconcile::At(at(3540))));
    assert_eq!(decide(&facts, at(3540)), Decision::Exchange(Cause::Due));
    let changed = Facts { source: Source::Resolved { changed: true }, ..facts };
    assert_eq!(decide(&changed, at(2500)), Decision::Exchange(Cause::Source));
}

#[test]
fn the_token_state_follows_from_the_spec_match_and_the_time() {
    let with = |token| Facts { target: ours(token), ..settled() };
    assert_eq!(token_state(&with(None), at(0)), TokenState::None);
    assert_eq!(token_state(&with(Some(Token { spec_match: SpecMatch::Edited, ..token() })), at(0)), TokenState::Unfit);
    assert_eq!(
        token_state(&with(Some(Token { spec_match: SpecMatch::OtherSpec, ..token() })), at(9999)),
        TokenState::Unfit
    );
    assert_eq!(token_state(&with(Some(token())), at(3599)), TokenState::Valid);
    assert_eq!(token_state(&with(Some(token())), at(3600)), TokenState::Expired);
    let refused = Facts { target: Target::Refused(Reason::TargetNotOwned.into()), ..settled() };
    assert_eq!(token_state(&refused, at(0)), TokenState::None);
}

fn any_facts() -> impl Strategy<Value = Facts> {
    let repair = proptest::option::of(-100_i64..100).prop_map(|time| NextReconcile::from(time.map(at)));
    let target = (0..5_u8, -100_i64..100, -100_i64..100, repair).prop_map(|(kind, expiry, renewal, repair)| {
        let spec_match = [SpecMatch::Fits, SpecMatch::Edited, SpecMatch::OtherSpec][usize::from(kind.min(2))];
        let lifetime = TokenLifetime { issued: at(-200), expiry: Expiry::At(at(expiry)) };
        match kind {
            0..=2 => Target::Ours { token: Some(Token { lifetime, spec_match, renewal: Some(at(renewal)) }), repair },
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
    let unresolved = proptest::option::of((reason, -100_i64..100)).prop_map(|failure| {
        failure.map(|(reason, next)| UnresolvedFailure { reason, next: NextReconcile::At(at(next)) })
    });
    let time = || proptest::option::of(-100_i64..100).prop_map(|time| time.map(at));
    let verification = (time(), time()).prop_map(|(next_check, refused)| Verification { next_check, refused });
    (
        any::<bool>(),
        target,
        source,
        any::<bool>(),
        unresolved,
        any::<bool>(),
        proptest::option::of(-100_i64..1),
        verification,
    )
        .prop_map(
            |(suspended, target, source, renew_requested, unresolved, inputs_changed, sent, verification)| Facts {
                blocked: None,
                suspended,
                spec: None,
                target,
                source,
                renew_requested,
                verification,
                attempts: Attempts { unresolved, inputs_changed, last_sent: sent.map(at) },
            },
        )
}

proptest! {
    #[test]
    fn no_decision_waits_for_the_past_or_acts_against_a_refusal(facts in any_facts()) {
        let now = at(0);
        match decide(&facts, now) {
            Decision::Idle(next) => prop_assert!(next.is_after(now), "{next:?}"),
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
