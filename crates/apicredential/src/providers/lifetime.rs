//! The lifetime of a token, computed from the times in a response. All times are in seconds and are bounded before any
//! arithmetic. The result is never longer than what the provider stated.

use jiff::Timestamp;

use super::json::Fields;
use crate::reason::Reason;

/// How long a token is valid, as stated by the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// The token expires at this time, rounded down to whole seconds. The time may be in the past.
    Until(Timestamp),
    /// The token does not expire.
    Never,
    /// The provider states no expiry, and that does not mean that the token never expires.
    Unstated,
}

/// The longest plausible lifetime: 10 years, in seconds.
const MAX_LIFETIME: f64 = 10.0 * 365.25 * 86_400.0;
/// A date above this is in milliseconds: in seconds it is the year 5138, in milliseconds 1973.
const MILLISECONDS: f64 = 1e11;

/// `expires_in` counts from the time of the request. A token without `expires_in` never expires.
pub(super) fn of_expires_in(fields: &Fields<'_>, issued_at: Timestamp) -> Result<Lifetime, Reason> {
    match fields.number("expires_in")? {
        Some(lifetime) => until(seconds(issued_at) + plausible(lifetime)?),
        None => Ok(Lifetime::Never),
    }
}

/// The lifetime `exp - iat` counts from the time of the request, so that a wrong clock of the provider does no harm. The
/// token expires at `exp` at the latest. Both are NumericDates (RFC 7519 section 2), which may have fractions.
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

/// Rounds down to whole seconds. A time before 1970 counts as 1970: the token has expired in either case.
#[expect(clippy::cast_possible_truncation, reason = "finite, at least 0, and at most now and 10 years")]
fn until(expiry: f64) -> Result<Lifetime, Reason> {
    let second = expiry.max(0.0).floor() as i64;
    Timestamp::from_second(second).map(Lifetime::Until).map_err(|_| Reason::ImplausibleExpiry)
}

#[expect(clippy::cast_precision_loss, reason = "every second in the range of a Timestamp is exact in an f64")]
fn seconds(time: Timestamp) -> f64 {
    time.as_second() as f64
}
