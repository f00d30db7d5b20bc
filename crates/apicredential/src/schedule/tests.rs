//! Renewal times, delays and checks against the formulas and the table of docs/design/timing.md.

use proptest::prelude::*;

use super::*;
use crate::reason::Reason;

const BASE: Duration = Duration::from_secs(5);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn timings(min_renewal_interval: u64) -> Timings {
    Timings {
        retry_base: BASE,
        min_renewal_interval: Duration::from_secs(min_renewal_interval),
        resync: Duration::from_secs(600),
    }
}

fn policy(margin: Margin, max_age: Option<i64>) -> Policy {
    Policy { margin, max_age, assumed_lifetime: 3600 }
}

fn valid_for(seconds: i64) -> TokenLifetime {
    TokenLifetime { issued: at(0), expiry: Expiry::At(at(seconds)) }
}

/// A class, its reasons, and the full delay after 1, 2, … failures as a multiple of the base.
struct Row {
    class: Class,
    reasons: &'static [Reason],
    with_token: &'static [u32],
    without_token: &'static [u32],
}

const TABLE: &[Row] = {
    use Reason::*;
    &[
        Row {
            class: Class::Transient,
            reasons: &[ProviderUnavailable, ProviderTimeout, ConnectionFailed, DnsFailed],
            with_token: &[1, 2, 4, 8, 16, 24, 24, 24],
            without_token: &[1, 2, 4, 8, 16, 32, 60, 60],
        },
        Row {
            class: Class::Throttled,
            reasons: &[RateLimited],
            with_token: &[1, 2, 4, 8, 16, 24, 24, 24],
            without_token: &[1, 2, 4, 8, 16, 32, 60, 60],
        },
        Row {
            class: Class::Unusable,
            reasons: &[
                InvalidToken,
                ResponseMismatch,
                TokenAlreadyExpired,
                ImplausibleExpiry,
                UnsupportedTokenType,
                UnexpectedContentType,
                UnexpectedEncoding,
                UnexpectedRedirect,
                ResponseTooLarge,
                InvalidResponse,
                TlsFailed,
                TokenRevoked,
            ],
            with_token: &[12, 24, 48, 96, 192, 360, 360, 360],
            without_token: &[12, 24, 48, 96, 192, 360, 360, 360],
        },
        Row {
            class: Class::Rejected,
            reasons: &[CredentialsRejected, NotFoundAtProvider, ClientDisabled, UnexpectedStatus],
            with_token: &[12, 24, 48, 96, 720, 720, 720, 720],
            without_token: &[12, 24, 48, 96, 720, 720, 720, 720],
        },
        // After a token request whose token could not be written, the delay of a transient failure applies.
        Row {
            class: Class::Transient,
            reasons: &[
                TargetWriteRejected,
                TokenNotExtended,
                TokenExpired,
                Forbidden,
                Unauthorized,
                ApiUnavailable,
                UnexpectedPanic,
                SourceSecretNotFound,
                SourceKeyMissing,
                SourceKeyEmpty,
                SourceNotPermitted,
                SourceNotUtf8,
                SourceHasWhitespace,
                SourceTooLarge,
                SourceTypeForbidden,
                TargetNotFound,
                TargetNotOwned,
                TargetNotPermitted,
                TargetOwnedByOther,
                TargetKeyTaken,
                TargetImmutable,
                TargetTypeConflict,
                TargetIsSource,
                TargetTerminating,
                InvalidSpec,
                EndpointNotAllowed,
            ],
            with_token: &[1, 2, 4, 8, 16, 24, 24, 24],
            without_token: &[1, 2, 4, 8, 16, 32, 60, 60],
        },
    ]
};

#[test]
fn every_reason_has_its_class_and_its_delays() {
    let uids = ["a", "b", "0b8c4f5e-1a37-4a3e-8bfe-2f9b5b1d1c11"];
    for row in TABLE {
        for reason in row.reasons {
            assert_eq!(reason.retry_class(), row.class, "{reason}");
            for (token_valid, multiples) in [(true, row.with_token), (false, row.without_token)] {
                for (failed, multiple) in (1..).zip(multiples) {
                    for uid in uids {
                        let delay = delay(row.class, failed, &timings(30), token_valid, uid);
                        let full = BASE * *multiple;
                        assert!(
                            full / 2 <= delay && delay <= full,
                            "{reason} after {failed} failures: {delay:?}, not within half of {full:?}"
                        );
                        assert!(delay <= longest(row.class, &timings(30)), "{reason}: a restart would cut {delay:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_refusal_without_a_request_is_local_and_has_a_flat_delay() {
    use Reason::*;
    let after_an_exchange = &TABLE[TABLE.len() - 1].reasons;
    for reason in *after_an_exchange {
        // Only a token request can end with these three.
        let needs_a_request = matches!(reason, TargetWriteRejected | TokenNotExtended | TokenExpired);
        assert_eq!(reason.class(), if needs_a_request { Class::Transient } else { Class::Local }, "{reason}");
    }
    for (failed, token_valid) in [(1, true), (2, false), (9, true)] {
        assert_eq!(delay(Class::Local, failed, &timings(30), token_valid, "a"), BASE * 12);
    }
    for row in &TABLE[..TABLE.len() - 1] {
        for reason in row.reasons {
            assert_eq!(reason.class(), row.class, "{reason}");
        }
    }
}

#[test]
fn the_table_holds_every_reason_that_an_attempt_can_end_with() {
    let listed: Vec<Reason> = TABLE.iter().flat_map(|row| row.reasons).copied().collect();
    for reason in Reason::ALL {
        let times = listed.iter().filter(|listed| *listed == reason).count();
        let expected = usize::from(reason.class() != Class::Fine);
        assert_eq!(times, expected, "{reason} is {times} times in the table");
    }
}

#[test]
fn a_local_refusal_is_retried_after_the_same_delay_each_time() {
    for failed in [1, 2, 10, u32::MAX] {
        for token_valid in [true, false] {
            assert_eq!(delay(Class::Local, failed, &timings(30), token_valid, "a"), BASE * 12);
        }
    }
}

#[test]
fn a_token_of_an_hour_is_renewed_when_a_third_of_it_is_left() {
    let renewal = renewal_time(&valid_for(3600), &policy(Margin::Default, None), "a", &timings(30)).unwrap();
    assert!(at(2400 - 360) <= renewal && renewal <= at(2400), "{renewal}");
}

/// The jitter is computed with SHA-256 only, so that another release does not move a renewal.
#[test]
fn the_jitter_of_a_renewal_is_the_same_in_every_release() {
    // Computed manually: 0.675853… of a tenth of 3600 s, and 0.831815… of the same.
    let renewal = renewal_time(&valid_for(3600), &policy(Margin::Default, None), "uid-1", &timings(30));
    assert_eq!(renewal, Some(at(2400 - 243)));
    let aged = renewal_time(&valid_for(3600), &policy(Margin::Default, Some(1000)), "uid-1", &timings(30));
    assert_eq!(aged, Some(at(1000 - 67)), "of maxAge, if that is less than the lifetime");
    let stored = TokenLifetime { issued: at(1201), expiry: Expiry::At(at(4801)) };
    let (_, due) = ahead_of_clock(&stored, at(0), &policy(Margin::Default, None), "uid-1");
    assert_eq!(due, Some(at(299)));
    assert_eq!(resync_time(at(0), "uid-1", &timings(30)).as_second(), at(0).as_second() + 499);
}

#[test]
fn times_are_limited_to_the_range_of_timestamps() {
    assert_eq!(later(Timestamp::MIN, -1), Timestamp::MIN);
    assert_eq!(later(Timestamp::MAX, 1), Timestamp::MAX);
    assert_eq!(after(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
    assert_eq!(until(at(0), at(1)), Duration::ZERO);
}

#[test]
fn the_longest_delay_of_each_class_is_that_of_the_table() {
    let longest =
        |class, base| longest(class, &Timings { retry_base: Duration::from_secs(base), ..timings(30) }).as_secs();
    let all = |base| {
        let classes = [Class::Local, Class::Transient, Class::Throttled, Class::Unusable, Class::Rejected];
        classes.map(|class| longest(class, base))
    };
    assert_eq!(all(5), [60, 300, 900, 1800, 3600]);
    assert_eq!(all(60), [720, 3600, 3600, 21_600, 43_200]);
}

#[test]
fn no_token_is_renewed_before_the_minimum_interval() {
    for uid in ["a", "b", "c"] {
        // Two thirds of 40 s, less the jitter, would be 22 to 26 s.
        let renewal = renewal_time(&valid_for(40), &policy(Margin::Default, None), uid, &timings(30));
        assert_eq!(renewal, Some(at(30)));
    }
}

#[test]
fn a_token_that_never_expires_is_renewed_only_at_its_max_age() {
    let never = TokenLifetime { issued: at(0), expiry: Expiry::Never };
    assert_eq!(renewal_time(&never, &policy(Margin::Default, None), "a", &timings(30)), None);
    let renewal = renewal_time(&never, &policy(Margin::Default, Some(86_400)), "a", &timings(30)).unwrap();
    assert!(at(86_400 - 8640) <= renewal && renewal <= at(86_400), "{renewal}");
}

#[test]
fn a_margin_is_capped_at_half_of_the_lifetime_and_reported_as_capped() {
    assert_eq!(policy(Margin::Seconds(1200), None).margin_of(3600), (1200, false));
    assert_eq!(policy(Margin::Seconds(1800), None).margin_of(3600), (1800, false));
    assert_eq!(policy(Margin::Seconds(1801), None).margin_of(3600), (1800, true));
    assert_eq!(policy(Margin::Percent(50), None).margin_of(3600), (1800, false));
    assert_eq!(policy(Margin::Default, None).margin_of(3600), (1200, false));
}

#[test]
fn a_token_issued_in_the_future_counts_from_when_it_was_first_seen() {
    let stored = TokenLifetime { issued: at(100), expiry: Expiry::At(at(3700)) };
    let (counted, due) = ahead_of_clock(&stored, at(0), &policy(Margin::Default, None), "a");
    assert_eq!(counted, valid_for(3600));
    assert_eq!(due, None, "less than the margin in the future needs no exchange");
    let stored = TokenLifetime { issued: at(1200), expiry: Expiry::At(at(4800)) };
    assert_eq!(
        ahead_of_clock(&stored, at(0), &policy(Margin::Default, None), "a").1,
        None,
        "nor does the margin itself"
    );

    let stored = TokenLifetime { issued: at(1201), expiry: Expiry::At(at(4801)) };
    let (counted, due) = ahead_of_clock(&stored, at(0), &policy(Margin::Default, None), "a");
    assert_eq!(counted, valid_for(3600));
    let due = due.unwrap();
    assert!(at(0) <= due && due < at(360), "{due} is not spread over a tenth of the lifetime");
}

fn any_margin() -> impl Strategy<Value = Margin> {
    prop_oneof![
        Just(Margin::Default),
        (120_i64..100_000_000).prop_map(Margin::Seconds),
        (10_i64..=50).prop_map(Margin::Percent),
    ]
}

fn any_class() -> impl Strategy<Value = Class> {
    prop_oneof![Just(Class::Transient), Just(Class::Throttled), Just(Class::Unusable), Just(Class::Rejected)]
}

#[test]
fn the_checks_of_many_credentials_are_spread_over_a_tenth_of_the_interval() {
    let spread = |uid: i64| check_time(at(0), 1000, &uid.to_string()).as_second() - later(at(0), 1000).as_second();
    let mut spreads: Vec<i64> = (0..200).map(spread).collect();
    spreads.sort_unstable();
    assert!(spreads[0] < 10 && spreads[199] > 90, "{spreads:?}");
    assert!((40..=60).contains(&spreads[100]), "{spreads:?}");
}

proptest! {
    /// `max(issued + max(min interval, A/4), min(expiry − margin, issued + maxAge) − jitter)`, jitter in 0..A/10.
    #[test]
    fn a_renewal_lies_between_its_earliest_time_and_the_end_of_the_margin(
        lifetime in 1_i64..320_000_000,
        margin in any_margin(),
        max_age in proptest::option::of(300_i64..400_000_000),
        min_interval in 1_u64..86_400,
        uid in "[a-f0-9]{8}",
    ) {
        let policy = policy(margin, max_age);
        let age = max_age.map_or(lifetime, |max_age| max_age.min(lifetime));
        let earliest = i64::try_from(min_interval).unwrap().max(age / 4);
        let wanted = (lifetime - policy.margin_of(lifetime).0).min(max_age.unwrap_or(i64::MAX));
        let renewal = renewal_time(&valid_for(lifetime), &policy, &uid, &timings(min_interval)).unwrap();
        let after = renewal.as_second() - at(0).as_second();
        prop_assert!(earliest <= after, "{after} is before {earliest}");
        prop_assert!(after <= wanted.max(earliest), "jitter makes it earlier, never later: {after} of {wanted}");
        prop_assert!(after >= wanted - age / 10 - 1, "jitter is at most a tenth: {after} of {wanted}");
        prop_assert!(after <= lifetime.max(earliest), "{after} is after the expiry {lifetime}");
        let again = renewal_time(&valid_for(lifetime), &policy, &uid, &timings(min_interval));
        prop_assert_eq!(again, Some(renewal), "a restart plans the same time");
    }

    /// With its default sync period, a kubelet shows a new Secret to a running container up to 90 s later
    /// (`make e2e-node`), and the token exchange takes time, too. Percentages are left out, because 10 % of ten minutes is
    /// what the user requested.
    #[test]
    fn ten_minutes_or_more_leave_two_minutes_for_the_new_token_to_reach_a_volume(
        lifetime in 600_i64..320_000_000,
        margin in prop_oneof![Just(Margin::Default), (120_i64..100_000_000).prop_map(Margin::Seconds)],
        max_age in proptest::option::of(300_i64..400_000_000),
        uid in "[a-f0-9]{8}",
    ) {
        let renewal = renewal_time(&valid_for(lifetime), &policy(margin, max_age), &uid, &timings(30)).unwrap();
        let left = until(at(lifetime), renewal).as_secs();
        prop_assert!(left >= if margin == Margin::Default { 200 } else { 120 }, "{left} s are left");
    }

    #[test]
    fn a_token_issued_in_the_future_is_renewed_before_it_expires_whatever_the_step(
        lifetime in 1_i64..100_000_000,
        ahead in 1_i64..200_000_000,
        margin in any_margin(),
        max_age in prop::option::of(300_i64..1_000_000),
        uid in "[a-f0-9]{8}",
    ) {
        let policy = policy(margin, max_age);
        let stored = TokenLifetime { issued: at(ahead), expiry: Expiry::At(at(ahead + lifetime)) };
        let (counted, due) = ahead_of_clock(&stored, at(0), &policy, &uid);
        prop_assert_eq!(counted, valid_for(lifetime));
        prop_assert!(counted.expiry.time() <= stored.expiry.time());
        prop_assert_eq!(due.is_some(), ahead > policy.margin_of(lifetime).0);
        if let Some(due) = due {
            prop_assert!(at(0) <= due && due <= at(lifetime / 10));
        }
        let planned = renewal_time(&counted, &policy, &uid, &timings(0)).unwrap();
        prop_assert!(due.unwrap_or(planned) <= at(lifetime));
    }

    #[test]
    fn delays_grow_up_to_their_cap_and_stay_there(class in any_class(), valid: bool, uid in "[a-f0-9]{8}") {
        let delays: Vec<Duration> = (1..40).map(|failed| delay(class, failed, &timings(30), valid, &uid)).collect();
        // The first five double in every class. The step to the cap is less than that, so jitter can outweigh it.
        for pair in delays[..5].windows(2) {
            prop_assert!(pair[0] <= pair[1], "{:?} is followed by {:?}", pair[0], pair[1]);
        }
        let cap = match (class, valid) {
            (Class::Transient | Class::Throttled, true) => 24,
            (Class::Transient | Class::Throttled, false) => 60,
            (Class::Rejected, _) => 720,
            _ => 360,
        };
        for delay in &delays[7..] {
            prop_assert!(BASE * cap / 2 <= *delay && *delay <= BASE * cap, "{delay:?} is not at the cap of {cap}");
        }
    }

    #[test]
    fn no_delay_is_zero_or_overflows(class in any_class(), failed: u32, valid: bool, base_ms in 1_u64..600_000) {
        let timings = Timings { retry_base: Duration::from_millis(base_ms), ..timings(30) };
        let delay = delay(class, failed, &timings, valid, "a");
        prop_assert!(delay >= timings.retry_base / 2);
        prop_assert!(delay <= longest(class, &timings));
    }

    #[test]
    fn a_check_is_made_at_least_one_interval_and_at_most_a_tenth_more_later(
        interval in 300_i64..1_000_000_000,
        since in 0_i64..100_000_000,
        uid in "[a-f0-9]{8}",
    ) {
        let planned = check_time(at(since), interval, &uid);
        let after = planned.as_second() - at(since).as_second();
        prop_assert!(interval <= after && after <= interval + interval / 10, "{after} of {interval}");
        prop_assert_eq!(check_time(at(since), interval, &uid), planned, "a restart plans the same time");
        let latest = latest_check(at(since), interval).as_second() - at(since).as_second();
        prop_assert_eq!(latest, interval + interval / 10);
        let put_off = put_off_check(at(since), interval, &uid).as_second() - at(since).as_second();
        prop_assert!(interval / 4 <= put_off && put_off <= interval / 2, "{put_off} of {interval}");
    }

    #[test]
    fn consecutive_refused_tokens_are_exchanged_after_ever_longer_times(interval in 300_i64..1_000_000, refused: u32) {
        let wait = |refused| exchange_after_refusal(at(0), interval, refused).as_second() - at(0).as_second();
        prop_assert_eq!([0, 1, 2, 3, 4].map(wait), [0, 0, 2, 4, 8].map(|times| times * interval));
        prop_assert!(wait(refused) <= 24 * interval && wait(refused) <= wait(refused.saturating_add(1)));
        prop_assert_eq!(wait(u32::MAX), 24 * interval);
    }

    #[test]
    fn a_resync_is_spread_and_never_later_than_its_period(uid in "[a-f0-9]{8}") {
        let wait = until(resync_time(at(0), &uid, &timings(30)), at(0));
        prop_assert!(Duration::from_secs(480) <= wait && wait <= Duration::from_secs(600), "{wait:?}");
    }
}
