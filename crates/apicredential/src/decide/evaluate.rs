//! Decides whether a token that the provider issued replaces the stored one.

use jiff::Timestamp;

use super::Cause;
use crate::providers::Lifetime;
use crate::schedule::{self, Expiry, Policy, TokenLifetime};

/// What to do with a token that the provider issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenEvaluation {
    /// Write it to the target Secret.
    Write {
        /// When it expires.
        expiry: Expiry,
        /// The provider stated no expiry, so the expiry follows from the assumed lifetime.
        assumed: bool,
    },
    /// Keep the stored token, because the issued one does not expire later.
    NotExtended,
    /// Discard it: it is the stored token, which the provider refuses.
    StillRevoked,
    /// Discard it: it has already expired.
    AlreadyExpired,
}

/// The stored token, compared with the one that the provider issued.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// When it expires.
    pub expiry: Expiry,
    /// Whether the issued token has the same bytes.
    pub same_bytes: bool,
    /// Whether the provider refused it in the last check.
    pub refused: bool,
}

/// Decides what to do with an issued token. With the cause `Due` it must extend the stored one. With any other cause
/// every valid token is written, except the stored token that the provider refuses: written again, it would count as a
/// new one.
pub fn evaluate_token(
    cause: Cause,
    issued: Timestamp,
    lifetime: &Lifetime,
    stored: Option<Stored>,
    policy: &Policy,
    now: Timestamp,
) -> TokenEvaluation {
    let (expiry, assumed) = match lifetime {
        Lifetime::Until(time) => (Expiry::At(*time), false),
        Lifetime::Never => (Expiry::Never, false),
        Lifetime::Unstated => (Expiry::At(schedule::later(issued, policy.assumed_lifetime)), true),
    };
    if stored.is_some_and(|stored| stored.refused && stored.same_bytes) {
        return TokenEvaluation::StillRevoked;
    }
    if let Some(stored) = stored.filter(|stored| cause == Cause::Due && !stored.refused)
        && !extends(stored, expiry, issued)
    {
        return TokenEvaluation::NotExtended;
    }
    if expiry.is_over(now) {
        return TokenEvaluation::AlreadyExpired;
    }
    TokenEvaluation::Write { expiry, assumed }
}

/// Seconds by which the new expiry must exceed the stored one. A smaller difference comes from rounding.
const MIN_EXTENSION: i64 = 5;

fn extends(stored: Stored, expiry: Expiry, issued: Timestamp) -> bool {
    match (stored.expiry, expiry) {
        (Expiry::Never, Expiry::Never) => !stored.same_bytes,
        (_, Expiry::At(new)) if stored.same_bytes && new <= issued => false,
        (Expiry::At(old), Expiry::At(new)) => new >= schedule::later(old, MIN_EXTENSION),
        (Expiry::At(_), Expiry::Never) | (Expiry::Never, Expiry::At(_)) => true,
    }
}

/// When to retry after a token that did not extend the stored one: shortly before the stored token expires, then when
/// it expires. `None` after that: the delay of a transient failure applies. For a token that never expires, one
/// `maxAge` from now.
pub fn after_not_extended(lifetime: &TokenLifetime, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let Some((expiry, seconds)) = lifetime.expiry.time().zip(lifetime.seconds()) else {
        return policy.max_age.map(|max_age| schedule::later(now, max_age));
    };
    let shortly_before = schedule::later(expiry, -(seconds / 10).min(60));
    [shortly_before, expiry].into_iter().find(|time| *time > now)
}
