//! The rate, as the generic cell rate algorithm (ITU-T I.371) in whole nanoseconds: at most `burst + rate × W` requests in any
//! window `W`.

use std::time::Duration;

const NANOSECONDS: f64 = 1e9;
/// The greatest spacing: 10 years.
const MAX_SPACING: f64 = 10.0 * 366.0 * 86_400.0 * NANOSECONDS;

/// The spacing of permits, and how far the spent permits are ahead of it.
#[derive(Debug)]
pub(super) struct Rate {
    /// Nanoseconds between two permits, rounded up; 0 means no limit.
    spacing: i128,
    /// How far the schedule may be ahead of the clock: `(burst - 1) × spacing`.
    tolerance: i128,
    /// The theoretical arrival time: when the next permit would be due if all were evenly spaced.
    schedule: i128,
}

impl Rate {
    pub(super) fn new(per_second: f64, burst: u32) -> Self {
        let spacing = spacing(per_second);
        let tolerance = i128::from(burst.max(1) - 1).saturating_mul(spacing);
        Self { spacing, tolerance, schedule: i128::MIN }
    }

    /// When a permit can be spent, after `ahead` others have been spent. Never before `now`.
    pub(super) fn permit_time(&self, ahead: usize, now: Duration) -> Duration {
        if self.spacing == 0 {
            // The schedule is not used here, because another thread may have advanced it slightly beyond `now`.
            return now;
        }
        let now = nanoseconds(now);
        let ahead = self.spacing.saturating_mul(i128::try_from(ahead).unwrap_or(i128::MAX));
        let permit = self.schedule.max(now).saturating_sub(self.tolerance).saturating_add(ahead).max(now);
        u64::try_from(permit).map_or(Duration::MAX, Duration::from_nanos)
    }

    /// Spends a permit.
    pub(super) fn spend(&mut self, now: Duration) {
        self.schedule = self.schedule.max(nanoseconds(now)).saturating_add(self.spacing);
    }
}

fn nanoseconds(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "at most MAX_SPACING, and a float's cast saturates anyway")]
fn spacing(per_second: f64) -> i128 {
    if per_second > 0.0 && per_second.is_finite() {
        (NANOSECONDS / per_second).ceil().min(MAX_SPACING) as i128
    } else {
        0
    }
}
