//! Durations as people write them in manifests: `15s`, `10m`, `1h30m`, `250ms`.

use std::time::Duration;

/// The longest duration that makes sense for any flag: a year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not numbers with units.
    #[error("write whole numbers with the units h, m, s or ms, such as 15s, 1h30m or 250ms")]
    Syntax,
    /// More than a year.
    #[error("write at most one year, 8760h")]
    TooLong,
}

/// Reads one or more numbers with units, which add up.
///
/// # Errors
/// The text has another shape, or is longer than a year.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Syntax);
    }
    let (mut total, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let (part, after) = parse_part(rest)?;
        total = total.checked_add(part).filter(|total| *total <= LONGEST).ok_or(DurationError::TooLong)?;
        rest = after;
    }
    Ok(total)
}

fn parse_part(text: &str) -> Result<(Duration, &str), DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(DurationError::Syntax);
    }
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (unit, rest) = rest.split_at(letters);
    let milliseconds = match unit {
        "h" => 3_600_000,
        "m" => 60_000,
        "s" => 1_000,
        "ms" => 1,
        _ => return Err(DurationError::Syntax),
    };
    // Nothing but digits: it can only fail by being too large.
    let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
    let total = number.checked_mul(milliseconds).ok_or(DurationError::TooLong)?;
    Ok((Duration::from_millis(total), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_add_up() {
        for (text, milliseconds) in
            [("15s", 15_000), ("10m", 600_000), ("1h", 3_600_000), ("250ms", 250), ("1h30m", 5_400_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "15", "s", "1.5s", "-1s", "1 s", " 1s", "1d", "1S", "5sec", "1s,", "１s", "1h30"] {
            assert_eq!(parse_duration(text), Err(DurationError::Syntax), "{text}");
        }
    }

    #[test]
    fn more_than_a_year_is_refused_without_overflow() {
        assert!(parse_duration("8760h").is_ok());
        for text in ["8761h", "8760h1ms", "99999999999999999999h", "18446744073709551615h"] {
            assert_eq!(parse_duration(text), Err(DurationError::TooLong), "{text}");
        }
    }
}
