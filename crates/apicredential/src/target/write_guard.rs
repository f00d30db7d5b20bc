//! What stands before a write of a token and what follows an unclear one. Pure: the moment is given.
//!
//! Kept apart from the calls, so that the model in `tests/model` checks these very rules and not a copy of them.

use std::time::Duration;

use jiff::Timestamp;

use crate::schedule::Expiry;

/// Limit of one API call between a token request and the end of its Secret write. The API server receives the same limit.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// No call of a pair starts with less time than this left.
const LEAST_TIME: Duration = WRITE_TIMEOUT;

/// The moment right before a write: nothing is awaited between reading it and sending.
#[derive(Clone, Copy, Debug)]
pub struct WriteContext {
    /// The wall clock.
    pub now: Timestamp,
    /// Since the token was asked for.
    pub since_sent: Duration,
    /// Half a lease: no write starts later than this after the request was sent.
    pub deadline: Duration,
    /// What the lease says, see [`apicredential_operator::lease::Leadership::may_write`].
    pub may_write: bool,
}

/// Why a write must not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteBlocked {
    /// Half a lease has passed since the request was sent.
    TooLate,
    /// The lease may not be ours any more.
    NotLeader,
    /// The token has expired.
    Expired,
}

/// Whether a pair may make another call.
pub fn time_left(since_sent: Duration, deadline: Duration) -> bool {
    deadline.saturating_sub(since_sent) >= LEAST_TIME
}

/// Whether a token that ends then may be written now.
pub fn before_write(expiry: Expiry, moment: &WriteContext) -> Result<(), WriteBlocked> {
    if expiry.is_over(moment.now) {
        return Err(WriteBlocked::Expired);
    }
    if !time_left(moment.since_sent, moment.deadline) {
        return Err(WriteBlocked::TooLate);
    }
    if !moment.may_write {
        return Err(WriteBlocked::NotLeader);
    }
    Ok(())
}

/// What a whole token in a Secret of ours means for the one in hand, after a conflict or a lost answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConflictResolution {
    /// Write it over that version.
    Write,
    /// It is there already.
    Written,
    /// That one was issued later, and stays.
    Newer,
}

/// Compares the stored token with the one in hand. A time of issue in the future proves nothing.
pub fn resolve_conflict(same: bool, stored: Timestamp, in_hand: Timestamp, now: Timestamp) -> ConflictResolution {
    if same {
        ConflictResolution::Written
    } else if stored > in_hand && stored <= now {
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
    fn who_may_not_be_the_leader_writes_nothing() {
        assert_eq!(
            before_write(Expiry::Never, &WriteContext { may_write: false, ..after(0) }),
            Err(WriteBlocked::NotLeader)
        );
    }

    #[test]
    fn a_token_is_not_written_from_its_last_second_on() {
        let expiry = Expiry::At(later(SENT, 10));
        assert_eq!(before_write(expiry, &after(9)), Ok(()));
        assert_eq!(before_write(expiry, &after(10)), Err(WriteBlocked::Expired));
    }

    #[test]
    fn only_a_later_token_that_is_not_of_the_future_keeps_its_place() {
        let (earlier, later, now) = (later(SENT, -1), later(SENT, 1), later(SENT, 2));
        assert_eq!(resolve_conflict(true, later, SENT, now), ConflictResolution::Written);
        assert_eq!(resolve_conflict(false, later, SENT, now), ConflictResolution::Newer);
        assert_eq!(resolve_conflict(false, later, SENT, SENT), ConflictResolution::Write);
        assert_eq!(resolve_conflict(false, SENT, SENT, now), ConflictResolution::Write);
        assert_eq!(resolve_conflict(false, earlier, SENT, now), ConflictResolution::Write);
    }
}
