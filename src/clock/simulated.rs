//! A clock that a test sets while the process runs: every reading is shifted by what a file says.
//!
//! Compiled in by the feature `simulated-clock` alone, which no build for users has.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Names the file. It holds two numbers, by how many milliseconds the wall clock and `CLOCK_BOOTTIME` are ahead; without
/// the variable or the file, neither is. Whoever changes it replaces it, so that no reader finds half of it.
const FILE: &str = "SIMULATED_CLOCK";

pub(super) fn wall(now: Timestamp) -> Timestamp {
    now.saturating_add(SignedDuration::from_millis(shift().0)).unwrap_or(now)
}

pub(super) fn boot(time: Duration) -> Duration {
    time.saturating_add(Duration::from_millis(u64::try_from(shift().1).unwrap_or(0)))
}

fn shift() -> (i64, i64) {
    let text = std::env::var_os(FILE).and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
