//! The state of the model: one ApiCredential, its Secret, one lease, two replicas, and the writes in transit.
//!
//! A stopped replica needs no state of its own: it is one that the schedule leaves out while the clock ticks.

use std::time::Duration;

use apicredential::decide::Cause;
use apicredential::schedule::{self, Expiry, Margin, Policy, Timings, TokenLifetime};
use jiff::Timestamp;

use crate::ledger::Ledger;

/// A count of ticks since the begin.
pub type Tick = u8;

/// Seconds of a tick: the least time of a write. The server works on a write, and its client waits for it, for whole ticks.
pub const TICK: u8 = 5;
/// The default `--lease-duration`.
pub const LEASE: Duration = Duration::from_secs(60);
/// The uid of the one ApiCredential.
pub const UID: &str = "5f1c";
/// Its `spec.renewal`.
pub const POLICY: Policy = Policy { margin: Margin::Default, max_age: None, assumed_lifetime: 3600 };
/// The operator's timings.
pub const TIMINGS: Timings = Timings {
    retry_base: Duration::from_secs(5),
    min_renewal_interval: Duration::from_secs(1),
    resync: Duration::from_secs(600),
};

const BEGIN: Timestamp = Timestamp::constant(1_700_000_000, 0);

/// The wall clock at a tick.
pub fn at(tick: Tick) -> Timestamp {
    schedule::later(BEGIN, i64::from(tick) * i64::from(TICK))
}

/// The whole ticks of a duration.
pub fn ticks(duration: Duration) -> Tick {
    Tick::try_from(duration.as_secs() / u64::from(TICK)).unwrap_or(Tick::MAX)
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

/// The whole state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub now: Tick,
    pub lease: Lease,
    pub credential: Credential,
    /// The target Secret, if there is one.
    pub target: Option<Secret>,
    /// The last resourceVersion of a Secret.
    pub version: u8,
    pub replicas: [Replica; 2],
    /// Writes that the API server has not handled yet.
    pub in_transit: Vec<Write>,
    pub budget: Budget,
    pub ledger: Ledger,
}

/// Its record changes with each renewal, so the time of the last one is its version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    pub holder: Holder,
    pub renewed: Tick,
}

/// The holder in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    Nobody,
    Replica(usize),
    /// A process that has ended: its successor has another identity.
    Gone,
}

/// Spec and source are numbers: a new number is another spec, other values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Credential {
    pub spec: u8,
    pub source: u8,
    /// Its resourceVersion.
    pub version: u8,
    pub status: Status,
}

/// What users see of it. The operator may lose it.
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
    /// `None`: a foreign Secret of that name.
    pub token: Option<Token>,
    /// A label of ours was changed.
    pub drift: bool,
}

/// A token with its annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The exchange that issued it.
    pub number: u8,
    pub issued: Tick,
    pub expires: Tick,
    pub spec: u8,
    pub source: u8,
    /// Another client changed it: the fingerprint does not match.
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
        schedule::renewal_time(&self.lifetime(), &POLICY, UID, &TIMINGS)
    }
}

/// One process of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    /// When the last acknowledged renewal of the lease was sent.
    pub renewed: Option<Tick>,
    pub task: Task,
}

/// The state of a replica between two awaits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    Idle,
    /// It has decided on an exchange, and has not sent it.
    Deciding(InFlight),
    /// The provider has not responded.
    Requested(InFlight),
    /// It has a token; the ApiCredential has not been read again.
    Holding(InFlight),
    /// The ApiCredential still requests it.
    Confirmed(InFlight),
    /// The write is in transit.
    Writing(InFlight),
    /// A conflict, or it is unknown whether the write took effect.
    Unsure(InFlight),
    /// The status is to be written.
    Reporting(Report),
}

impl Task {
    /// An exchange and write that the end of the term does not cancel.
    pub fn in_flight(&self) -> Option<&InFlight> {
        match self {
            Self::Requested(in_flight)
            | Self::Holding(in_flight)
            | Self::Confirmed(in_flight)
            | Self::Writing(in_flight)
            | Self::Unsure(in_flight) => Some(in_flight),
            Self::Idle | Self::Deciding(_) | Self::Reporting(_) => None,
        }
    }
}

/// An exchange and the write of its token; or the repair of a Secret from the token in it, which has no cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InFlight {
    pub cause: Option<Cause>,
    pub token: Token,
    /// The version to write over; `None`: create.
    pub target: Option<u8>,
    /// The expiry of the stored token with which a new one is compared.
    pub stored: Option<Tick>,
}

/// The status that one reconcile has to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Report {
    /// The version of the ApiCredential that it was made for.
    pub version: u8,
    pub spec: u8,
    /// The Secret as it was last read.
    pub seen: Option<Secret>,
    /// The attempt that ended, and whether it succeeded.
    pub attempt: Option<(Attempt, bool)>,
    /// The condition Ready when it was first written; a conflict is followed by a second attempt.
    pub reported: Option<bool>,
}

/// A write in transit to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    pub by: usize,
    pub in_flight: InFlight,
    /// The server and the client give up at this tick.
    pub until: Tick,
}

/// What may still fail, or be done by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Changes by users.
    pub changes: u8,
    /// Lost responses and lost replies.
    pub losses: u8,
    /// Crashes and orderly ends of a replica; each is followed by a restart.
    pub ends: u8,
}
