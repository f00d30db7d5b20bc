//! From stated times to a lifetime: all in seconds, all bounded before any arithmetic, never longer than was said.

use jiff::Timestamp;

use super::Lifetime;
use super::json::Fields;
use crate::reason::Reason;

/// Longer than this nobody lets a token live: 10 years, in seconds.
const MAX_LIFETIME: f64 = 10.0 * 365.25 * 86_400.0;
/// A date above this is in milliseconds: in seconds it is the year 5138, in milliseconds 1973.
const MILLISECONDS: f64 = 1e11;

/// `expires_in` counts from the moment of asking; without it a Qontak token never expires.
pub(super) fn of_expires_in(fields: &Fields<'_>, issued_at: Timestamp) -> Result<Lifetime, Reason> {
    match fields.number("expires_in")? {
        Some(lifetime) => until(seconds(issued_at) + plausible(lifetime)?),
        None => Ok(Lifetime::Never),
    }
}

/// `exp - iat` counts from the moment of asking, so that only the difference of the provider's clock counts; but never
/// beyond `exp` itself. Both are NumericDates (RFC 7519 section 2), which may have fractions.
pub(super) fn of_claims(claims: &Fields<'_>, issued_at: Timestamp) -> Result<Lifetime, Reason> {
    let Some(expiry) = claims.number("exp")? else { return Ok(Lifetime::Unstated) };
    let start = claims.number("iat")?.unwrap_or(seconds(issued_at));
    if !start.is_finite() || !expiry.is_finite() || expiry >= MILLISECONDS {
        return Err(Reason::ImplausibleExpiry);
    }
    until((seconds(issued_at) + plausible(expiry - start)?).min(expiry))
}

fn plausible(lifetime: f64) -> Result<f64, Reason> {
    if lifetime.is_finite() && lifetime <= MAX_LIFETIME { Ok(lifetime) } else { Err(Reason::ImplausibleExpiry) }
}

/// Cuts to whole seconds, towards the past; everything before 1970 is as expired as 1970.
#[expect(clippy::cast_possible_truncation, reason = "finite, at least 0, and at most now and 10 years")]
fn until(expiry: f64) -> Result<Lifetime, Reason> {
    let second = expiry.max(0.0).floor() as i64;
    Timestamp::from_second(second).map(Lifetime::Until).map_err(|_| Reason::ImplausibleExpiry)
}

#[expect(clippy::cast_precision_loss, reason = "every second of the years that a Timestamp knows is exact in an f64")]
fn seconds(time: Timestamp) -> f64 {
    time.as_second() as f64
}
