//! What is remembered of the attempts of an ApiCredential from one reconcile to the next.

use apicredential::revision::Revision;
use apicredential::target::fingerprint::{Fingerprint, Mac};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use crate::clock::SuspendAwareInstant;

/// What one term as leader remembers of the attempts of an ApiCredential. After a restart all of it is rebuilt from the
/// status, or done without.
#[derive(Clone, Debug, Default)]
pub struct AttemptHistory {
    /// The target's revision after our own last write.
    pub last_write: Option<Revision>,
    /// The inputs of the last attempt, if it has failed.
    pub inputs: Option<Box<AttemptInputs>>,
    /// The next attempt that the status names comes at most then: the status was written before a restart, or before the
    /// clock was set back.
    pub latest_attempt: Option<Timestamp>,
    /// What the stored token was made from. `None` while this process has not seen its values.
    pub token_source: Option<Box<TokenSource>>,
    /// When a touched source Secret was last to be named in the target Secret.
    pub source_named: Option<SuspendAwareInstant>,
    /// The target was ours once.
    pub target_known: bool,
    /// Since when it waits for the turn of its endpoint.
    pub waits_since: Option<SuspendAwareInstant>,
    /// The last write was rejected or too late: a dry run comes before the next exchange.
    pub dry_run_first: bool,
    /// Writes and dry runs that failed in a row, without an exchange.
    pub failed_writes: u32,
    /// The time of issue of a token that was issued in the future, and when it was first seen.
    pub ahead: Option<Box<(Timestamp, Timestamp)>>,
    /// The next check comes at most then, although the status reports the last one in the future.
    pub latest_check: Option<Timestamp>,
}

impl AttemptHistory {
    /// The target was written by us, and is this Secret now.
    pub(super) fn note_write(&mut self, secret: &Secret) {
        self.last_write = Some(Revision::of(secret));
        self.target_known = true;
        self.failed_writes = 0;
    }

    /// When the next attempt is made, which the status plans for `planned`. Only a clock that was set back can leave it
    /// further ahead than `latest`, the end of the longest delay of its class. That bound then stays, or else it would move
    /// along with the clock.
    pub(super) fn bounded_attempt(&mut self, planned: Timestamp, latest: Option<Timestamp>) -> Timestamp {
        let Some(latest) = latest else { return planned };
        let before = self.latest_attempt.filter(|bound| *bound <= latest);
        self.latest_attempt = before.or((planned > latest).then_some(latest));
        planned.min(self.latest_attempt.unwrap_or(planned))
    }

    /// When the next check is made, which follows from the last one for `planned`. Only a clock that was set back can leave it
    /// further ahead than `latest`, an interval and its spread from now. That bound then stays, as above.
    pub(super) fn bounded_check(&mut self, planned: Timestamp, latest: Timestamp) -> Timestamp {
        let before = self.latest_check.filter(|bound| *bound <= latest);
        self.latest_check = (planned > latest).then(|| before.unwrap_or(latest));
        self.latest_check.unwrap_or(planned)
    }
}

/// The inputs of an attempt; the values only as an HMAC under a key of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptInputs {
    /// The spec's part.
    pub(super) identity: Mac,
    /// The source's part.
    pub(super) values: Mac,
}

/// What the stored token was made from. The values are in it only as an HMAC under a key of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSource {
    /// Which token.
    pub(super) token: Fingerprint,
    /// The values of the source Secret.
    pub(super) values: Mac,
    /// The revision in which the source Secret was last read with these values, if it is not the one that the target Secret
    /// named then.
    pub(super) touched: Option<Revision>,
}
