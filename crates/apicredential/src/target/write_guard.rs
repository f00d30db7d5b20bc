//! Decides whether a token may be written now, and what a conflict means for it. The calls to the API server are made
//! elsewhere, so that the model in `tests/model` checks these rules and not a copy of them.

use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::Expiry;

/// Timeout of one API call between a token request and the end of its Secret write. The API server receives the same
/// timeout.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// No API call starts with less time than this before the deadline.
const MIN_TIME_LEFT: Duration = WRITE_TIMEOUT;

/// What is known right before a write. Nothing is awaited between reading these values and sending the write.
#[derive(Clone, Copy, Debug)]
pub struct WriteContext {
    /// The wall clock.
    pub now: Timestamp,
    /// The time since the token request was sent, by a monotonic clock.
    pub since_sent: Duration,
    /// Half of the lease duration: a write ends within this time after the token request was sent.
    pub deadline: Duration,
    /// Whether this replica holds the lease and may write.
    pub may_write: bool,
}

/// Why a write must not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteBlocked {
    /// The write could not end before the deadline.
    TooLate,
    /// Another replica may hold the lease.
    NotLeader,
    /// The token has expired.
    Expired,
}

/// Whether there is time for another API call before the deadline.
pub fn time_left(since_sent: Duration, deadline: Duration) -> bool {
    deadline.saturating_sub(since_sent) >= MIN_TIME_LEFT
}

/// Whether a token with that expiry may be written now.
///
/// # Errors
/// Why it must not be written.
pub fn before_write(expiry: Expiry, context: &WriteContext) -> Result<(), WriteBlocked> {
    if expiry.is_over(context.now) {
        return Err(WriteBlocked::Expired);
    }
    if !time_left(context.since_sent, context.deadline) {
        return Err(WriteBlocked::TooLate);
    }
    if !context.may_write {
        return Err(WriteBlocked::NotLeader);
    }
    Ok(())
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
        WriteContext { now, since_sent, deadline: Duration::from_secs(30), may_write: true }
    }

    #[test]
    fn a_write_starts_while_it_can_still_end_before_the_deadline() {
        assert_eq!(before_write(Expiry::Never, &after(25)), Ok(()));
        assert_eq!(before_write(Expiry::Never, &after(26)), Err(WriteBlocked::TooLate));
    }

    #[test]
    fn a_replica_that_may_have_lost_the_lease_writes_nothing() {
        assert_eq!(
            before_write(Expiry::Never, &WriteContext { may_write: false, ..after(0) }),
            Err(WriteBlocked::NotLeader)
        );
    }

    #[test]
    fn an_expired_token_is_not_written() {
        let expiry = Expiry::At(later(SENT, 10));
        assert_eq!(before_write(expiry, &after(9)), Ok(()));
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
