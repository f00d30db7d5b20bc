//! Parses `spec.renewal` into a policy in seconds, and `spec.verification` into an interval in seconds.

use crate::api::{Provider, RenewalSpec, VerificationSpec};
use crate::reason::Refusal;
use crate::schedule::{Margin, Policy};

const MINUTE: i64 = 60;

/// Checks and parses `spec.renewal`.
pub(super) fn parse(spec: Option<&RenewalSpec>, provider: Provider) -> Result<Policy, Refusal> {
    let spec = spec.cloned().unwrap_or_default();
    let before = parse_duration(spec.renew_before.as_deref(), "renewal.renewBefore", 2 * MINUTE)?;
    let margin = match (before, spec.renew_before_percentage) {
        (None, None) => Margin::Default,
        (Some(seconds), None) => Margin::Seconds(seconds),
        (None, Some(percent @ 10..=50)) => Margin::Percent(i64::from(percent)),
        (None, Some(_)) => return Err(Refusal::invalid_spec("spec.renewal.renewBeforePercentage must be 10 to 50.")),
        (Some(_), Some(_)) => {
            return Err(Refusal::invalid_spec(
                "spec.renewal has both renewBefore and renewBeforePercentage; remove one.",
            ));
        }
    };
    let max_age = parse_duration(spec.max_age.as_deref(), "renewal.maxAge", 5 * MINUTE)?;
    if spec.assumed_lifetime.is_some() && !provider.has_unstated_lifetimes() {
        return Err(Refusal::invalid_spec(format!(
            "spec.renewal.assumedLifetime has no effect for {provider}, whose tokens never expire unless it states an expiry; remove it."
        )));
    }
    let assumed = parse_duration(spec.assumed_lifetime.as_deref(), "renewal.assumedLifetime", 5 * MINUTE)?;
    Ok(Policy { margin, max_age, assumed_lifetime: assumed.unwrap_or(60 * MINUTE) })
}

/// Checks and parses `spec.verification`.
pub(super) fn parse_verification(spec: Option<&VerificationSpec>, provider: Provider) -> Result<Option<i64>, Refusal> {
    let Some(spec) = spec else { return Ok(None) };
    if !provider.has_check() {
        return Err(Refusal::invalid_spec(format!(
            "spec.verification is not possible for {provider}; remove it. Its vendor documents no request that only uses a token."
        )));
    }
    parse_duration(Some(&spec.interval), "verification.interval", 5 * MINUTE)
}

fn parse_duration(text: Option<&str>, field: &str, minimum: i64) -> Result<Option<i64>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    let seconds = duration_seconds(text)
        .ok_or_else(|| Refusal::invalid_spec(format!("spec.{field} must be a duration such as 90s, 20m or 1h30m.")))?;
    if seconds < minimum {
        return Err(Refusal::invalid_spec(format!("spec.{field} must be at least {}m.", minimum / MINUTE)));
    }
    Ok(Some(seconds))
}

/// A duration in seconds; `None` if the text does not match `^([0-9]{1,5}(h|m|s)){1,3}$`, the rule of the CRD.
fn duration_seconds(text: &str) -> Option<i64> {
    let mut total = 0_i64;
    let mut rest = text;
    for _ in 0..3 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=5).contains(&digits) {
            return None;
        }
        let (number, tail) = rest.split_at(digits);
        let unit = match tail.as_bytes().first()? {
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        total += number.parse::<i64>().ok()? * unit;
        rest = &tail[1..];
        if rest.is_empty() {
            return Some(total);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_hours_minutes_and_seconds() {
        assert_eq!(duration_seconds("1h30m"), Some(5400));
        assert_eq!(duration_seconds("99999s"), Some(99_999));
        assert_eq!(duration_seconds("1h1m1s"), Some(3661));
        for wrong in ["", "h", "1", "1d", "100000s", "1h1m1s1s", "-1s", " 1s", "1.5h", "١s"] {
            assert_eq!(duration_seconds(wrong), None, "{wrong:?}");
        }
    }
}
