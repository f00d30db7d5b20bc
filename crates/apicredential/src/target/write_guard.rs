//! Decides whether a token may be written now, and what a conflict means for it. The calls to the API server are made
//! elsewhere, so that the model in `tests/model` checks these rules and not a copy of them.

use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::{self, Expiry};

/// The longest time that a Secret write may take: Kubernetes lets an admission webhook take up to 30 s, and a write has to
/// end within half a lease. The API server receives the same timeout.
pub const LONGEST_WRITE: Duration = Duration::from_secs(25);
/// No API call of a token exchange starts with less time than this.
pub const LEAST_TIME: Duration = Duration::from_secs(5);

/// What is known right before a write. Nothing is awaited between reading these values and sending the write.
#[derive(Clone, Copy, Debug)]
pub struct WriteContext {
    /// The wall clock.
    pub now: Timestamp,
    /// The time since the token request was sent, by a monotonic clock.
    pub since_sent: Duration,
    /// Half of the lease duration: a write ends within this time after the token request was sent.
    pub deadline: Duration,
    /// The time in which a write has to end because of the lease. Zero if this replica does not lead.
    pub lease_time: Duration,
}

/// Why a write must not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteBlocked {
    /// Too little time is left before the deadline.
    TooLate,
    /// Another replica may hold the lease.
    NotLeader,
    /// The token has expired.
    Expired,
}

/// Whether there is time for another API call before the deadline.
pub fn time_left(since_sent: Duration, deadline: Duration) -> bool {
    deadline.saturating_sub(since_sent) >= LEAST_TIME
}

/// Whether a token with that expiry may be written now, and the timeout of the write.
///
/// # Errors
/// Why it must not be written.
pub fn before_write(expiry: Expiry, context: &WriteContext) -> Result<Duration, WriteBlocked> {
    if expiry.is_over(context.now) {
        return Err(WriteBlocked::Expired);
    }
    if !time_left(context.since_sent, context.deadline) {
        return Err(WriteBlocked::TooLate);
    }
    if context.lease_time < LEAST_TIME {
        return Err(WriteBlocked::NotLeader);
    }
    // A write whose reply is lost can still take effect. It must not when the token is given up as expired.
    let token_time = expiry.time().map_or(Duration::MAX, |time| schedule::until(time, context.now));
    let until_deadline = context.deadline.saturating_sub(context.since_sent);
    Ok(LONGEST_WRITE.min(until_deadline).min(context.lease_time).min(token_time))
}

/// What to do with the issued token after a conflict or a lost response, when the target Secret holds an intact token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictResolution {
    /// Write it over the version that was read.
    Write,
    /// The target Secret already holds it.
    Written,
    /// The stored token was issued later and stays.
    Newer,
}

/// Compares the times of issue of the stored and the issued token. A time in the future proves nothing, because it
/// comes from a clock that was set back since.
pub fn resolve_conflict(same: bool, stored: Timestamp, issued: Timestamp, now: Timestamp) -> ConflictResolution {
    if same {
        ConflictResolution::Written
    } else if stored > issued && stored <= now {
        ConflictResolution::Newer
    } else {
        ConflictResolution::Write
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::later;

    const SENT: Timestamp = Timestamp::constant(1_700_000_000, 0);

    fn after(seconds: u64) -> WriteContext {
        let now = later(SENT, i64::try_from(seconds).unwrap());
        let since_sent = Duration::from_secs(seconds);
        WriteContext { now, since_sent, deadline: seconds_of(30), lease_time: seconds_of(55) }
    }

    fn seconds_of(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_write_starts_while_at_least_five_seconds_are_left_before_the_deadline() {
        assert_eq!(before_write(Expiry::Never, &after(25)), Ok(seconds_of(5)));
        assert_eq!(before_write(Expiry::Never, &after(26)), Err(WriteBlocked::TooLate));
    }

    #[test]
    fn a_write_gets_25_seconds_and_never_more_than_the_deadline_or_the_lease_leaves() {
        assert_eq!(before_write(Expiry::Never, &after(0)), Ok(LONGEST_WRITE));
        assert_eq!(before_write(Expiry::Never, &after(5)), Ok(LONGEST_WRITE));
        assert_eq!(before_write(Expiry::Never, &after(6)), Ok(seconds_of(24)));
        let context = WriteContext { lease_time: seconds_of(7), ..after(6) };
        assert_eq!(before_write(Expiry::Never, &context), Ok(seconds_of(7)));
    }

    #[test]
    fn a_replica_that_may_have_lost_the_lease_writes_nothing() {
        for (left, expected) in
            [(0, Err(WriteBlocked::NotLeader)), (4, Err(WriteBlocked::NotLeader)), (5, Ok(seconds_of(5)))]
        {
            let context = WriteContext { lease_time: seconds_of(left), ..after(0) };
            assert_eq!(before_write(Expiry::Never, &context), expected, "{left}");
        }
    }

    #[test]
    fn an_expired_token_is_not_written() {
        let expiry = Expiry::At(later(SENT, 10));
        assert_eq!(before_write(expiry, &after(9)), Ok(seconds_of(1)), "the write ends with the token");
        assert_eq!(before_write(expiry, &after(10)), Err(WriteBlocked::Expired));
    }

    #[test]
    fn a_stored_token_stays_only_if_it_was_issued_later_and_not_in_the_future() {
        let (earlier, later, now) = (later(SENT, -1), later(SENT, 1), later(SENT, 2));
        assert_eq!(resolve_conflict(true, later, SENT, now), ConflictResolution::Written);
        assert_eq!(resolve_conflict(false, later, SENT, now), ConflictResolution::Newer);
        assert_eq!(resolve_conflict(false, later, SENT, SENT), ConflictResolution::Write);
        assert_eq!(resolve_conflict(false, SENT, SENT, now), ConflictResolution::Write);
        assert_eq!(resolve_conflict(false, earlier, SENT, now), ConflictResolution::Write);
    }
}
