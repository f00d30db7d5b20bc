//! When to wake: a token's planned renewal, and the delay after a failure. Pure: no client, no clock.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ring::digest;

use crate::reason::Class;

#[cfg(test)]
mod tests;

/// When a token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At this whole second.
    At(Timestamp),
    /// The provider means "never".
    Never,
}

impl Expiry {
    /// Whether the token has ended at `now`.
    pub fn is_over(self, now: Timestamp) -> bool {
        matches!(self, Self::At(time) if time <= now)
    }

    /// The time, where there is one.
    pub fn time(self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Never => None,
        }
    }
}

/// From when to when a token lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Counted from here.
    pub issued: Timestamp,
    /// Ends here.
    pub expiry: Expiry,
}

impl Life {
    /// Whole lifetime in seconds; none for a token that never expires.
    pub fn seconds(&self) -> Option<i64> {
        self.expiry.time().map(|expiry| expiry.as_second() - self.issued.as_second())
    }
}

/// How early to renew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Margin {
    /// A third of the lifetime.
    Default,
    /// This many seconds, at most half the lifetime.
    Seconds(i64),
    /// This percentage of the lifetime.
    Percent(i64),
}

/// What `spec.renewal` says, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How early.
    pub margin: Margin,
    /// Renew at this age in any case.
    pub max_age: Option<i64>,
    /// The lifetime to assume where none is stated.
    pub assumed_lifetime: i64,
}

impl Policy {
    /// The margin for a lifetime of that many seconds, and whether it had to be capped at half of it.
    pub fn margin_of(&self, lifetime: i64) -> (i64, bool) {
        let wanted = match self.margin {
            Margin::Default => lifetime / 3,
            Margin::Seconds(seconds) => seconds,
            Margin::Percent(percent) => lifetime.saturating_mul(percent) / 100,
        };
        (wanted.min(lifetime / 2), wanted > lifetime / 2)
    }
}

/// The operator's own pace, from its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// `--retry-base`: every delay is a multiple of it.
    pub retry_base: Duration,
    /// `--min-renewal-interval`: no planned renewal comes sooner after the issue.
    pub min_renewal_interval: Duration,
    /// `--resync`: every credential is looked at this often at least.
    pub resync: Duration,
}

/// The planned renewal, jitter included; none for a token that never expires and has no maximal age.
///
/// `max(issued + min interval, min(expiry − margin, issued + maxAge) − jitter)`: always earlier, never random, so that a
/// restart plans the same time again. Never before A/4, either: the margin is at most half of the lifetime, and the
/// jitter a tenth of A.
pub fn renewal_time(life: &Life, policy: &Policy, uid: &str, pace: &Timings) -> Option<Timestamp> {
    let lifetime = life.seconds();
    let age = match (lifetime, policy.max_age) {
        (Some(lifetime), Some(max_age)) => lifetime.min(max_age),
        (Some(lifetime), None) => lifetime,
        (None, Some(max_age)) => max_age,
        (None, None) => return None,
    }
    .max(0);
    let by_expiry = lifetime.map(|lifetime| lifetime - policy.margin_of(lifetime).0);
    let latest = [by_expiry, policy.max_age].into_iter().flatten().min().unwrap_or(age);
    let jitter = seconds(share(&[uid, &life.issued.to_string()]) * seconds_f64(age) / 10.0);
    let min_interval = i64::try_from(pace.min_renewal_interval.as_secs()).unwrap_or(i64::MAX);
    let after = (latest - jitter).max(min_interval);
    Some(later(life.issued, after))
}

/// Where to anchor a token whose `issued-at` lies in the future: counted from when this was first seen. More than
/// the margin ahead: due, spread over a tenth of the lifetime.
pub fn ahead_of_clock(stored: &Life, first_seen: Timestamp, policy: &Policy, uid: &str) -> (Life, Option<Timestamp>) {
    let Some(lifetime) = stored.seconds() else {
        return (Life { issued: first_seen, expiry: Expiry::Never }, None);
    };
    let life = Life { issued: first_seen, expiry: Expiry::At(later(first_seen, lifetime)) };
    let ahead = stored.issued.as_second() - first_seen.as_second();
    let due = (ahead > policy.margin_of(lifetime).0)
        .then(|| later(first_seen, seconds(share(&[uid]) * seconds_f64(lifetime) / 10.0)));
    (life, due)
}

/// The delay before the next attempt after `failed` failures of that class in a row (1 or more).
pub fn delay(class: Class, failed: u32, pace: &Timings, token_valid: bool, uid: &str) -> Duration {
    let n = failed.saturating_sub(1);
    let doubled = 1_u32.checked_shl(n.min(20)).unwrap_or(u32::MAX);
    let multiple = match class {
        Class::Fine | Class::Local => return pace.retry_base * 12,
        Class::Transient | Class::Throttled => doubled.min(if token_valid { 24 } else { 60 }),
        Class::Rejected if failed >= 5 => 720,
        Class::Rejected | Class::Unusable => doubled.saturating_mul(12).min(360),
    };
    let full = pace.retry_base.saturating_mul(multiple);
    full.mul_f64(0.5 + 0.5 * share(&[uid, &n.to_string()]))
}

/// The longest delay that a class can ask for: what a time read back from the status is clamped to.
pub fn longest(class: Class, pace: &Timings) -> Duration {
    match class {
        Class::Fine | Class::Local => pace.retry_base * 12,
        Class::Transient => pace.retry_base * 60,
        Class::Throttled => Duration::from_secs(15 * 60).max(pace.retry_base * 60),
        Class::Unusable => pace.retry_base * 360,
        Class::Rejected => pace.retry_base * 720,
    }
}

/// When a token is tried next: an interval, in seconds, after it was issued or last tried, and up to a tenth more, so that
/// a fleet does not ask at once. Never sooner, and not random: a restart plans the same time again.
pub fn check_time(since: Timestamp, interval: i64, uid: &str) -> Timestamp {
    let spread = share(&[uid, "check", &since.to_string()]) * seconds_f64(interval) / 10.0;
    later(since, interval.saturating_add(seconds(spread)))
}

/// No check that is planned now comes later.
pub fn latest_check(now: Timestamp, interval: i64) -> Timestamp {
    later(now, interval.saturating_add(interval / 10))
}

/// When a check tries again for which its endpoint had no place: after a quarter to half of the interval.
pub fn put_off_check(now: Timestamp, interval: i64, uid: &str) -> Timestamp {
    let part = 0.5 + 0.5 * share(&[uid, "put off", &now.to_string()]);
    later(now, seconds(seconds_f64(interval) / 2.0 * part))
}

/// From when on the refusal of a token calls for an exchange, if it is the `refused`th in a row. The first one does at
/// once. A provider that refuses what it has just issued may be wrong about it: each further token is left in place for
/// twice as long, up to 24 intervals after its issue.
pub fn exchange_after_refusal(issued: Timestamp, interval: i64, refused: u32) -> Timestamp {
    let intervals = match refused {
        0 | 1 => 0,
        again => 1_i64.checked_shl(again - 1).unwrap_or(i64::MAX).clamp(1, 24),
    };
    later(issued, interval.saturating_mul(intervals))
}

/// When a credential with nothing to do is looked at again, spread by its uid so that a fleet does not wake at once:
/// always sooner than the period, which is the longest time that a step of the clock or a lost event goes unnoticed.
pub fn resync_time(now: Timestamp, uid: &str, pace: &Timings) -> Timestamp {
    after(now, pace.resync.mul_f64(1.0 - 0.2 * share(&[uid, "resync"])))
}

/// `time` + `duration`, saturating.
pub fn after(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| time.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

/// `time` + whole seconds, saturating.
pub fn later(time: Timestamp, seconds: i64) -> Timestamp {
    // It fails only for units of the calendar.
    time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(time)
}

/// How long from `now` until `time`; zero if it has passed.
pub fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// A share in `[0, 1)` that depends on nothing but the parts.
fn share(parts: &[&str]) -> f64 {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let hash = context.finish();
    let head = hash.as_ref().first_chunk().map_or(0, |head| u32::from_be_bytes(*head));
    f64::from(head) / 4_294_967_296.0
}

#[expect(clippy::cast_possible_truncation, reason = "whole seconds of at most ten years")]
fn seconds(value: f64) -> i64 {
    value as i64
}

fn seconds_f64(value: i64) -> f64 {
    f64::from(i32::try_from(value).unwrap_or(i32::MAX))
}
