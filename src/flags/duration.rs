//! Durations in flags, such as `15s`, `10m`, `1h30m` or `250ms`, in jiff's friendly format. Durations in the CRD have another
//! parser, in [`apicredential::plan`], which accepts what CEL accepts.

use std::time::Duration;

use jiff::fmt::friendly::SpanParser;

/// One year.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Why a duration is rejected. clap puts the name of the flag before the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is not a list of numbers with units, the largest unit first.
    #[error("write numbers with the units h, m, s and ms, the largest unit first, such as 15s, 1h30m or 250ms")]
    Syntax,
    /// The duration is less than zero.
    #[error("a duration cannot be negative; write it without a sign, such as 15s")]
    Negative,
    /// The duration is more than a year.
    #[error("write at most one year, 8760h")]
    TooLong,
}

/// Parses a duration. Days and larger units are rejected, because their length depends on the calendar.
///
/// # Errors
/// The text is not a duration in jiff's friendly format, is negative, or is longer than a year.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let duration = SpanParser::new().parse_duration(text).map_err(|_| DurationError::Syntax)?;
    let duration = Duration::try_from(duration).map_err(|_| DurationError::Negative)?;
    if duration > LONGEST { Err(DurationError::TooLong) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_add_up() {
        for (text, milliseconds) in [
            ("15s", 15_000),
            ("60s", 60_000),
            ("10m", 600_000),
            ("90m", 5_400_000),
            ("1h", 3_600_000),
            ("100ms", 100),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("1h2m3s4ms", 3_723_004),
            ("0s", 0),
            ("007s", 7_000),
            ("1.5s", 1_500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn a_text_without_a_unit_or_with_an_unknown_or_a_calendar_unit_is_rejected() {
        for text in [
            "", " ", "15", "s", " 1s", "1d", "1day", "1w", "1mo", "1y", "1S", "1M", "1s,", "１s", "1h30", "PT1S",
            "tomorrow",
        ] {
            assert_eq!(parse_duration(text), Err(DurationError::Syntax), "{text:?}");
        }
    }

    #[test]
    fn the_largest_unit_comes_first_and_each_unit_once() {
        for text in ["30m1h", "1s1s", "1ms1s"] {
            assert_eq!(parse_duration(text), Err(DurationError::Syntax), "{text}");
        }
    }

    #[test]
    fn a_negative_duration_is_rejected() {
        for text in ["-1s", "-1h30m", "1s ago", "-1ms"] {
            assert_eq!(parse_duration(text), Err(DurationError::Negative), "{text}");
        }
    }

    #[test]
    fn more_than_a_year_is_rejected_without_overflow() {
        assert!(parse_duration("8760h").is_ok());
        for text in ["8761h", "8760h1ms", "8760h 1ns"] {
            assert_eq!(parse_duration(text), Err(DurationError::TooLong), "{text}");
        }
        for text in ["99999999999999999999h", "18446744073709551615h", "9223372036854775807h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
