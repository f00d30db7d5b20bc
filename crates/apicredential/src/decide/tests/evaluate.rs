//! Whether an issued token is written.

use super::*;

#[test]
fn only_a_due_renewal_can_be_not_extended() {
    let stored = |expiry, same_bytes| Some(Stored { expiry: Expiry::At(at(expiry)), same_bytes, refused: false });
    let until = |second| Lifetime::Until(at(second));
    let evaluate_token = |cause, lifetime, stored| evaluate_token(cause, at(0), &lifetime, stored, &policy(), at(1));
    let write = |second| TokenEvaluation::Write { expiry: Expiry::At(at(second)), assumed: false };
    // The rounding of the same token's expiry is below 5 s.
    assert_eq!(evaluate_token(Cause::Due, until(104), stored(100, true)), TokenEvaluation::NotExtended);
    assert_eq!(evaluate_token(Cause::Due, until(105), stored(100, true)), write(105));
    assert_eq!(evaluate_token(Cause::Due, until(104), stored(100, false)), TokenEvaluation::NotExtended);
    assert_eq!(evaluate_token(Cause::Due, until(90), stored(100, false)), TokenEvaluation::NotExtended);
    assert_eq!(
        evaluate_token(Cause::Due, until(0), stored(-100, true)),
        TokenEvaluation::NotExtended,
        "the stored token, already expired"
    );
    assert_eq!(evaluate_token(Cause::Due, until(0), stored(-100, false)), TokenEvaluation::AlreadyExpired);
    assert_eq!(evaluate_token(Cause::Due, until(105), None), write(105));
    for cause in [Cause::Missing, Cause::Edited, Cause::Spec, Cause::Source, Cause::Requested] {
        assert_eq!(evaluate_token(cause, until(50), stored(100, true)), write(50), "{cause:?}");
        assert_eq!(evaluate_token(cause, until(1), stored(100, true)), TokenEvaluation::AlreadyExpired, "{cause:?}");
    }
}

#[test]
fn a_token_that_never_expires_extends_one_that_expires_but_not_itself() {
    let never = |same_bytes| Some(Stored { expiry: Expiry::Never, same_bytes, refused: false });
    let evaluate_token = |lifetime, stored| evaluate_token(Cause::Due, at(0), &lifetime, stored, &policy(), at(1));
    assert_eq!(evaluate_token(Lifetime::Never, never(true)), TokenEvaluation::NotExtended);
    let written = TokenEvaluation::Write { expiry: Expiry::Never, assumed: false };
    assert_eq!(evaluate_token(Lifetime::Never, never(false)), written);
    let expiring = Stored { expiry: Expiry::At(at(9)), same_bytes: true, refused: false };
    assert_eq!(evaluate_token(Lifetime::Never, Some(expiring)), written);
    let write = TokenEvaluation::Write { expiry: Expiry::At(at(100)), assumed: false };
    assert_eq!(evaluate_token(Lifetime::Until(at(100)), never(true)), write);
}

#[test]
fn without_a_stated_expiry_the_assumed_lifetime_is_used_and_reported() {
    let evaluation = evaluate_token(Cause::Missing, at(0), &Lifetime::Unstated, None, &policy(), at(1));
    assert_eq!(evaluation, TokenEvaluation::Write { expiry: Expiry::At(at(3600)), assumed: true });
}

#[test]
fn a_token_that_was_not_extended_is_requested_shortly_before_it_expires_and_when_it_expires() {
    let lifetime = |seconds| TokenLifetime { issued: at(0), expiry: Expiry::At(at(seconds)) };
    assert_eq!(after_not_extended(&lifetime(3600), &policy(), at(2400)), Some(at(3540)));
    assert_eq!(after_not_extended(&lifetime(3600), &policy(), at(3540)), Some(at(3600)));
    assert_eq!(
        after_not_extended(&lifetime(3600), &policy(), at(3600)),
        None,
        "from then on as after a transient failure"
    );
    assert_eq!(after_not_extended(&lifetime(100), &policy(), at(70)), Some(at(90)), "a tenth of a short lifetime");
    let never = TokenLifetime { issued: at(0), expiry: Expiry::Never };
    assert_eq!(after_not_extended(&never, &policy(), at(50)), None);
    let aged = Policy { max_age: Some(600), ..policy() };
    assert_eq!(after_not_extended(&never, &aged, at(50)), Some(at(650)));
}
