//! Computes when things are due: the planned renewal of a token, the delay after a failed attempt, the next check and
//! the next resync. Nothing is random: the jitter is a hash of the uid, so a restart computes the same times.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ring::digest;

use crate::reason::Class;

#[cfg(test)]
mod tests;

/// When a token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At this whole second.
    At(Timestamp),
    /// The token never expires, by the documentation of its provider.
    Never,
}

impl Expiry {
    /// Whether the token has expired at `now`.
    pub fn is_over(self, now: Timestamp) -> bool {
        matches!(self, Self::At(time) if time <= now)
    }

    /// The time of expiry; `None` for a token that never expires.
    pub fn time(self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Never => None,
        }
    }
}

/// When a token was issued and when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLifetime {
    /// When it was issued.
    pub issued: Timestamp,
    /// When it expires.
    pub expiry: Expiry,
}

impl TokenLifetime {
    /// Seconds from issue to expiry; `None` for a token that never expires.
    pub fn seconds(&self) -> Option<i64> {
        self.expiry.time().map(|expiry| expiry.as_second() - self.issued.as_second())
    }
}

/// How long before its expiry a token is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Margin {
    /// A third of the lifetime.
    Default,
    /// `renewBefore` in seconds, at most half of the lifetime.
    Seconds(i64),
    /// `renewBeforePercentage` of the lifetime.
    Percent(i64),
}

/// `spec.renewal`, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long before its expiry a token is renewed.
    pub margin: Margin,
    /// The age at which a token is renewed even if it is valid for longer.
    pub max_age: Option<i64>,
    /// The lifetime to assume when the provider states no expiry.
    pub assumed_lifetime: i64,
}

impl Policy {
    /// The margin for a lifetime, both in seconds, and whether it was capped at half of the lifetime.
    pub fn margin_of(&self, lifetime: i64) -> (i64, bool) {
        let wanted = match self.margin {
            Margin::Default => lifetime / 3,
            Margin::Seconds(seconds) => seconds,
            Margin::Percent(percent) => lifetime.saturating_mul(percent) / 100,
        };
        (wanted.min(lifetime / 2), wanted > lifetime / 2)
    }
}

/// The timing flags of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// `--retry-base`: every delay after a failure is a multiple of it.
    pub retry_base: Duration,
    /// `--min-renewal-interval`: the minimum time from the issue of a token to its planned renewal.
    pub min_renewal_interval: Duration,
    /// `--resync`: the maximum time between two reconciles of an ApiCredential.
    pub resync: Duration,
}

/// The planned renewal, jitter included; `None` for a token that never expires, if the spec has no `maxAge`.
///
/// It is `issued + max(min interval, min(lifetime − margin, maxAge) − jitter)`. The jitter is at most a tenth of the
/// smaller of lifetime and `maxAge`, and it only makes the renewal earlier. docs/design/timing.md explains the formula.
pub fn renewal_time(token: &TokenLifetime, policy: &Policy, uid: &str, timings: &Timings) -> Option<Timestamp> {
    let lifetime = token.seconds();
    let age = match (lifetime, policy.max_age) {
        (Some(lifetime), Some(max_age)) => lifetime.min(max_age),
        (Some(lifetime), None) => lifetime,
        (None, Some(max_age)) => max_age,
        (None, None) => return None,
    }
    .max(0);
    let by_expiry = lifetime.map(|lifetime| lifetime - policy.margin_of(lifetime).0);
    let latest = [by_expiry, policy.max_age].into_iter().flatten().min().unwrap_or(age);
    let jitter = seconds(share(&[uid, &token.issued.to_string()]) * seconds_f64(age) / 10.0);
    let min_interval = i64::try_from(timings.min_renewal_interval.as_secs()).unwrap_or(i64::MAX);
    let after = (latest - jitter).max(min_interval);
    Some(later(token.issued, after))
}

/// For a token whose `issued-at` is in the future, because the clock of another replica was ahead or this clock was set
/// back. The first value is the lifetime that counts: it starts when the operator first saw the token. The second one
/// is the time of its renewal, spread over a tenth of the lifetime, if the token is further ahead than its margin.
pub fn ahead_of_clock(
    stored: &TokenLifetime,
    first_seen: Timestamp,
    policy: &Policy,
    uid: &str,
) -> (TokenLifetime, Option<Timestamp>) {
    let Some(lifetime) = stored.seconds() else {
        return (TokenLifetime { issued: first_seen, expiry: Expiry::Never }, None);
    };
    let counted = TokenLifetime { issued: first_seen, expiry: Expiry::At(later(first_seen, lifetime)) };
    let ahead = stored.issued.as_second() - first_seen.as_second();
    let due = (ahead > policy.margin_of(lifetime).0)
        .then(|| later(first_seen, seconds(share(&[uid]) * seconds_f64(lifetime) / 10.0)));
    (counted, due)
}

/// The delay before the next attempt, after `failed` (1 or more) consecutive failures of that class. The multiples of
/// `--retry-base` are those of the table in docs/design/timing.md.
pub fn delay(class: Class, failed: u32, timings: &Timings, token_valid: bool, uid: &str) -> Duration {
    let n = failed.saturating_sub(1);
    let doubled = 1_u32.checked_shl(n.min(20)).unwrap_or(u32::MAX);
    let multiple = match class {
        Class::Fine | Class::Local => return timings.retry_base * 12,
        Class::Transient | Class::Throttled => doubled.min(if token_valid { 24 } else { 60 }),
        Class::Rejected if failed >= 5 => 720,
        Class::Rejected | Class::Unusable => doubled.saturating_mul(12).min(360),
    };
    let full = timings.retry_base.saturating_mul(multiple);
    full.mul_f64(0.5 + 0.5 * share(&[uid, &n.to_string()]))
}

/// The longest delay of a class. A time that was read from the status is limited to it, because the clock may have been
/// set back since.
pub fn longest(class: Class, timings: &Timings) -> Duration {
    match class {
        Class::Fine | Class::Local => timings.retry_base * 12,
        Class::Transient => timings.retry_base * 60,
        Class::Throttled => Duration::from_secs(15 * 60).max(timings.retry_base * 60),
        Class::Unusable => timings.retry_base * 360,
        Class::Rejected => timings.retry_base * 720,
    }
}

/// When the next check is made: one interval, in seconds, after the issue of the token or its last check, and up to a
/// tenth more, so that the checks of many ApiCredentials are spread.
pub fn check_time(since: Timestamp, interval: i64, uid: &str) -> Timestamp {
    let spread = share(&[uid, "check", &since.to_string()]) * seconds_f64(interval) / 10.0;
    later(since, interval.saturating_add(seconds(spread)))
}

/// The latest time of a check that is planned now.
pub fn latest_check(now: Timestamp, interval: i64) -> Timestamp {
    later(now, interval.saturating_add(interval / 10))
}

/// When a check is tried again that found no free permit of the rate limit: after a quarter to half of the interval.
pub fn put_off_check(now: Timestamp, interval: i64, uid: &str) -> Timestamp {
    let part = 0.5 + 0.5 * share(&[uid, "put off", &now.to_string()]);
    later(now, seconds(seconds_f64(interval) / 2.0 * part))
}

/// From when on a token that the provider refuses needs a token exchange. `refused` counts the consecutive refused
/// tokens. The first one needs it at once. A provider that refuses what it has just issued may be wrong, so each
/// further token stays for twice as long as the one before, until at most 24 intervals after its issue.
pub fn exchange_after_refusal(issued: Timestamp, interval: i64, refused: u32) -> Timestamp {
    let intervals = match refused {
        0 | 1 => 0,
        again => 1_i64.checked_shl(again - 1).unwrap_or(i64::MAX).clamp(1, 24),
    };
    later(issued, interval.saturating_mul(intervals))
}

/// When an ApiCredential with nothing to do is reconciled again: within the resync period, spread by the uid. The
/// period is the longest time for which a step of the clock or a lost watch event goes unnoticed.
pub fn resync_time(now: Timestamp, uid: &str, timings: &Timings) -> Timestamp {
    after(now, timings.resync.mul_f64(1.0 - 0.2 * share(&[uid, "resync"])))
}

/// `time` + `duration`, limited to the latest timestamp.
pub fn after(time: Timestamp, duration: Duration) -> Timestamp {
    SignedDuration::try_from(duration)
        .ok()
        .and_then(|duration| time.checked_add(duration).ok())
        .unwrap_or(Timestamp::MAX)
}

/// `time` + whole seconds, limited to the range of timestamps.
pub fn later(time: Timestamp, seconds: i64) -> Timestamp {
    // Adding fails only for calendar units.
    time.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(time)
}

/// The duration from `now` until `time`; zero if `time` has passed.
pub fn until(time: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// A number in `[0, 1)` that is a hash of the parts.
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
