//! A clock that a test can set while the process runs: a file contains offsets that are added to every reading.
//!
//! Only the feature `simulated-clock` compiles it in, and no release has that feature.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The environment variable with the path of the file. The file contains two numbers: the milliseconds to add to the wall
/// clock and to `CLOCK_BOOTTIME`. Without the variable or the file, nothing is added. To change the offsets, a test
/// replaces the file with a rename, so that no reader finds half of it.
const FILE: &str = "SIMULATED_CLOCK";

pub(super) fn wall(now: Timestamp) -> Timestamp {
    now.saturating_add(SignedDuration::from_millis(offsets().0)).unwrap_or(now)
}

pub(super) fn boot(time: Duration) -> Duration {
    time.saturating_add(Duration::from_millis(u64::try_from(offsets().1).unwrap_or(0)))
}

fn offsets() -> (i64, i64) {
    let text = std::env::var_os(FILE).and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let mut numbers = text.split_whitespace().map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}
