//! The one place that asks what time it is; everything else is told.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

#[cfg(feature = "simulated-clock")]
mod simulated;
#[cfg(all(feature = "simulated-clock", not(debug_assertions)))]
compile_error!("a simulated clock is for tests and does not belong into a release");

/// The wall clock, in UTC.
#[expect(clippy::disallowed_methods, reason = "this is the one owner of the wall clock")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    #[cfg(feature = "simulated-clock")]
    let now = simulated::wall(now);
    now
}

/// The wall clock cut to whole seconds, the grain of every stored time.
pub fn now_seconds() -> Timestamp {
    whole_seconds(now())
}

/// Cuts a time to whole seconds, towards the past.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    let second = if time.subsec_nanosecond() < 0 { time.as_second() - 1 } else { time.as_second() };
    Timestamp::from_second(second).unwrap_or(time)
}

/// A clock that is set back by less is not noticed: a leap second is not worth a look at every credential.
const LEAST_STEP: SignedDuration = SignedDuration::from_secs(2);

/// A moment from which elapsed time is counted even while the machine or the process sleeps.
#[derive(Clone, Copy, Debug)]
pub struct SuspendAwareInstant {
    wall: Timestamp,
    boot: Duration,
}

impl SuspendAwareInstant {
    /// This moment.
    pub fn now() -> Self {
        Self { wall: now(), boot: steady() }
    }

    /// Whether the wall clock was set back since: whatever was planned by it then, lies further ahead now.
    pub fn is_set_back(&self) -> bool {
        let wall = now().duration_since(self.wall);
        let steady = SignedDuration::try_from(steady().saturating_sub(self.boot)).unwrap_or(SignedDuration::MAX);
        steady.saturating_sub(wall) > LEAST_STEP
    }

    /// Time since the mark: the larger of the wall clock's and [`steady`]'s answer, so that neither a
    /// suspended machine nor a clock set back makes it look shorter than it was.
    pub fn elapsed(&self) -> Duration {
        let wall = Duration::try_from(now().duration_since(self.wall)).unwrap_or_default();
        wall.max(steady().saturating_sub(self.boot))
    }
}

/// The clock that counts while the machine sleeps. Outside of Linux there is none of that name: macOS' monotonic clock
/// counts sleep too, another system's may stand still, and then [`SuspendAwareInstant::elapsed`] has the wall clock's answer only.
#[cfg(target_os = "linux")]
const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const SINCE_BOOT: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// Time since boot, sleep included; only the difference between two readings means something. It never jumps when the
/// wall clock is set, so it is the one to ask before somebody *else* is declared late.
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
    fn a_clock_that_is_set_back_is_noticed_and_makes_nothing_younger() {
        let set_back =
            |seconds| SuspendAwareInstant { wall: now() + SignedDuration::from_secs(seconds), boot: steady() };
        assert!(!set_back(0).is_set_back());
        assert!(!set_back(1).is_set_back(), "a leap second");
        assert!(set_back(10).is_set_back());
        assert!(!set_back(-3600).is_set_back());
        assert!(
            set_back(-3600).elapsed() >= Duration::from_secs(3600),
            "set forward, or slept where nothing counts it"
        );
        let before = SuspendAwareInstant {
            wall: now() + SignedDuration::from_secs(3600),
            boot: steady() - Duration::from_secs(9),
        };
        assert!(before.elapsed() >= Duration::from_secs(9));
    }
}
