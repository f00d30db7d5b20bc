//! The state of the model: one credential, its Secret, one lease, two replicas, and what is on the wire.
//!
//! A paused replica needs no state of its own: it is one that the schedule leaves out while the clock ticks.

use std::time::Duration;

use apicredential::decide::Cause;
use apicredential::schedule::{self, Expiry, Margin, Policy, Timings, TokenLifetime};
use jiff::Timestamp;

use crate::ledger::Ledger;

/// A count of ticks since the begin.
pub type Tick = u8;

/// Seconds of a tick: as long as the server works on a write before it gives up, and as a client waits for it.
pub const TICK: u8 = 5;
/// The default `--lease-duration`.
pub const LEASE: Duration = Duration::from_secs(60);
/// The uid of the one credential.
pub const UID: &str = "5f1c";
/// What its spec says of renewal.
pub const POLICY: Policy = Policy { margin: Margin::Default, max_age: None, assumed_lifetime: 3600 };
/// The operator's pace.
pub const PACE: Timings = Timings {
    retry_base: Duration::from_secs(5),
    min_renewal_interval: Duration::from_secs(1),
    resync: Duration::from_secs(600),
};

const BEGIN: Timestamp = Timestamp::constant(1_700_000_000, 0);

/// The wall clock at a tick.
pub fn at(tick: Tick) -> Timestamp {
    schedule::later(BEGIN, i64::from(tick) * i64::from(TICK))
}

/// From one tick to a later one.
pub fn between(earlier: Tick, later: Tick) -> Duration {
    Duration::from_secs(u64::from(later.saturating_sub(earlier)) * u64::from(TICK))
}

/// The first tick that is not before a time.
pub fn first_tick_from(time: Timestamp) -> Tick {
    let seconds = time.duration_since(BEGIN).as_secs_f64();
    (0..Tick::MAX).find(|tick| f64::from(*tick) * f64::from(TICK) >= seconds).unwrap_or(Tick::MAX)
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub now: Tick,
    pub lease: Lease,
    pub credential: Credential,
    /// The target Secret, if there is one.
    pub target: Option<Secret>,
    /// The last resourceVersion that was given to a Secret.
    pub version: u8,
    pub replicas: [Replica; 2],
    /// Writes that the API server has not handled yet.
    pub wire: Vec<Write>,
    pub budget: Budget,
    pub ledger: Ledger,
}

/// Its record changes with each renewal, so the time of the last one is its version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub holder: Holder,
    pub renewed: Tick,
}

/// Who the record names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    Nobody,
    Replica(usize),
    /// A process that is gone: its successor has another identity.
    Gone,
}

/// Spec and source are counted: a new number is another spec, other values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Credential {
    pub spec: u8,
    pub source: u8,
    /// Its resourceVersion.
    pub version: u8,
    pub status: Status,
}

/// The view of it all that users see. The operator may lose it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Status {
    pub ready: bool,
    pub token: Option<Token>,
    pub last: Option<Attempt>,
    /// How many attempts have failed in a row, and when the next one is made.
    pub failed: u8,
    pub next: Option<Tick>,
}

/// A request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attempt {
    pub sent: Tick,
    pub spec: u8,
    pub source: u8,
}

/// The target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Secret {
    pub version: u8,
    /// None: somebody else's Secret of that name.
    pub token: Option<Token>,
    /// A label of ours was changed.
    pub drift: bool,
}

/// A token with its annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// Which exchange it is from.
    pub number: u8,
    pub issued: Tick,
    pub expires: Tick,
    pub spec: u8,
    pub source: u8,
    /// Somebody changed it: the fingerprint does not fit.
    pub edited: bool,
}

impl Token {
    pub fn lifetime(&self) -> TokenLifetime {
        TokenLifetime { issued: at(self.issued), expiry: self.expiry() }
    }

    pub fn expiry(&self) -> Expiry {
        Expiry::At(at(self.expires))
    }

    pub fn renewal(&self) -> Option<Timestamp> {
        schedule::renewal_time(&self.lifetime(), &POLICY, UID, &PACE)
    }
}

/// One process of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    /// When the last acknowledged renewal of the lease was sent.
    pub renewed: Option<Tick>,
    pub task: Task,
}

/// Where a replica stands between two awaits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    Idle,
    /// It has decided on an exchange, and has not sent it.
    Deciding(Pair),
    /// The provider has not answered.
    Asked(Pair),
    /// A token is in hand; the credential has not been asked again.
    Holding(Pair),
    /// The credential still asks for it.
    Confirmed(Pair),
    /// The write is on the wire.
    Writing(Pair),
    /// A conflict, or nobody knows whether it was written.
    Unsure(Pair),
    /// There is something to say.
    Telling(Word),
}

impl Task {
    /// A pair that a lost term does not end.
    pub fn pair(&self) -> Option<&Pair> {
        match self {
            Self::Asked(pair)
            | Self::Holding(pair)
            | Self::Confirmed(pair)
            | Self::Writing(pair)
            | Self::Unsure(pair) => Some(pair),
            Self::Idle | Self::Deciding(_) | Self::Telling(_) => None,
        }
    }
}

/// An exchange and the write of its token; or the repair of a Secret from the token in it, which has no cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    pub cause: Option<Cause>,
    pub token: Token,
    /// The version to write over; none: create.
    pub target: Option<u8>,
    /// When the stored token ends that an answer is held against.
    pub stored: Option<Tick>,
}

/// What one look has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Word {
    /// The version of the credential that it was made for.
    pub version: u8,
    pub spec: u8,
    /// The Secret as it was last read.
    pub seen: Option<Secret>,
    /// The attempt that ended, and whether it succeeded.
    pub attempt: Option<(Attempt, bool)>,
    /// What Ready was when it was first said; a conflict is followed by a second try.
    pub said: Option<bool>,
}

/// A write on its way to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    pub by: usize,
    pub pair: Pair,
}

/// What may still go wrong, or be done by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Changes by users.
    pub hands: u8,
    /// Lost answers and lost replies.
    pub losses: u8,
    /// Crashes and orderly ends of a replica; each is followed by a restart.
    pub ends: u8,
}
