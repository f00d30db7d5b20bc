//! The clocks of the operator. No other module reads the time from the system.
//!
//! - [`now`] is the wall clock, for times that are stored or compared with times in tokens and objects. An administrator or
//!   NTP can set it forward or back.
//! - [`steady`] is the time since boot, for durations inside this process. Nothing can set it, and on Linux it also counts
//!   while the machine is suspended.
//! - [`SuspendAwareInstant`] combines both, for an age that must never be underestimated, such as that of the lease.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

#[cfg(feature = "simulated-clock")]
mod simulated;
#[cfg(all(feature = "simulated-clock", not(debug_assertions)))]
compile_error!("the feature simulated-clock is for tests only and must not be part of a release");

/// The wall clock, in UTC.
#[expect(clippy::disallowed_methods, reason = "only this function reads the wall clock")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    #[cfg(feature = "simulated-clock")]
    let now = simulated::wall(now);
    now
}

/// The wall clock in whole seconds, as every stored time.
pub fn now_seconds() -> Timestamp {
    whole_seconds(now())
}

/// Rounds a time down to whole seconds.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    let second = if time.subsec_nanosecond() < 0 { time.as_second() - 1 } else { time.as_second() };
    Timestamp::from_second(second).unwrap_or(time)
}

/// A wall clock that is set back by at most this much is ignored: a leap second should not cause a reconcile of every
/// ApiCredential.
const TOLERATED_STEP: SignedDuration = SignedDuration::from_secs(2);

/// A point in time whose age also includes the time during which the machine was suspended.
#[derive(Clone, Copy, Debug)]
pub struct SuspendAwareInstant {
    wall: Timestamp,
    boot: Duration,
}

impl SuspendAwareInstant {
    /// The current time.
    pub fn now() -> Self {
        Self { wall: now(), boot: steady() }
    }

    /// Whether the wall clock was set back since this point: times that were planned by it are now further away.
    pub fn is_set_back(&self) -> bool {
        let wall = now().duration_since(self.wall);
        let elapsed = SignedDuration::try_from(steady().saturating_sub(self.boot)).unwrap_or(SignedDuration::MAX);
        elapsed.saturating_sub(wall) > TOLERATED_STEP
    }

    /// The time since this point, by the wall clock or by [`steady`], whichever is longer. So neither a suspended machine
    /// nor a wall clock that is set back makes it too short.
    pub fn elapsed(&self) -> Duration {
        let wall = Duration::try_from(now().duration_since(self.wall)).unwrap_or_default();
        wall.max(steady().saturating_sub(self.boot))
    }
}

/// The clock that also counts while the machine is suspended. Systems other than Linux have no `CLOCK_BOOTTIME`. The
/// monotonic clock of macOS counts suspended time as well; on other systems it may not, and then
/// [`SuspendAwareInstant::elapsed`] relies on the wall clock.
#[cfg(target_os = "linux")]
const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// The time since boot, including suspended time. Only the difference between two readings has a meaning. Setting the wall
/// clock does not change it, so it is the clock to use before another replica's lease is considered expired.
pub fn steady() -> Duration {
    let time = rustix::time::clock_gettime(SINCE_BOOT);
    let time = Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
    #[cfg(feature = "simulated-clock")]
    let time = simulated::boot(time);
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_back_is_noticed_and_shortens_no_age() {
        let set_back =
            |seconds| SuspendAwareInstant { wall: now() + SignedDuration::from_secs(seconds), boot: steady() };
        assert!(!set_back(0).is_set_back());
        assert!(!set_back(1).is_set_back(), "a leap second");
        assert!(set_back(10).is_set_back());
        assert!(!set_back(-3600).is_set_back());
        assert!(
            set_back(-3600).elapsed() >= Duration::from_secs(3600),
            "the wall clock was set forward, or the machine was suspended"
        );
        let before = SuspendAwareInstant {
            wall: now() + SignedDuration::from_secs(3600),
            boot: steady() - Duration::from_secs(9),
        };
        assert!(before.elapsed() >= Duration::from_secs(9));
    }
}
