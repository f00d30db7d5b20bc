//! The records of an observer who sees everything, and the promises that are checked against them.

use stateright::Property;

use crate::protocol::Protocol;
use crate::world::World;

/// The observer's records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ledger {
    /// The outcome of each exchange, in the order in which they were sent.
    fates: Vec<Fate>,
    /// The number of causes. Causes that come while one waits for its exchange count once.
    causes: u8,
    waiting: bool,
    /// The latest exchange whose token was ever stored.
    latest: u8,
    /// The token whose due renewal was counted.
    due: u8,
    /// A CREATE took effect so late that it restored an older token.
    late: bool,
    broken: Broken,
}

/// The outcome of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    Open,
    /// Its token was stored.
    Stored,
    /// Its outcome was lost: no response, a crash, discarded, or another replica got the lease meanwhile.
    Lost,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Broken {
    foreign: bool,
    older: bool,
    expired: bool,
    ready: bool,
}

impl Ledger {
    /// An ApiCredential without a token: one cause.
    pub fn new() -> Self {
        Self { fates: Vec::new(), causes: 1, waiting: true, latest: 0, due: 0, late: false, broken: Broken::default() }
    }

    pub fn cause(&mut self) {
        if !self.waiting {
            self.causes += 1;
            self.waiting = true;
        }
    }

    /// The renewal of this token is due.
    pub fn due(&mut self, number: u8) {
        if self.due < number {
            self.due = number;
            self.cause();
        }
    }

    /// A replica has reconciled, and will exchange: a later change is another cause.
    pub fn decided(&mut self) {
        self.waiting = false;
    }

    /// Returns the number of the exchange that is sent.
    pub fn sent(&mut self) -> u8 {
        self.fates.push(Fate::Open);
        u8::try_from(self.fates.len()).unwrap_or(u8::MAX)
    }

    pub fn lost(&mut self, number: u8) {
        if let Some(fate) = self.fate(number).filter(|fate| **fate == Fate::Open) {
            *fate = Fate::Lost;
        }
    }

    /// The API server has stored a token, in place of our Secret, a foreign one, or none. The same token once more is a
    /// repair.
    pub fn stored(&mut self, number: u8, created: bool, ours: bool) {
        self.broken.foreign |= !created && !ours;
        // A CREATE that the network delayed is checked when it was sent: no client can cancel it.
        self.broken.older |= !created && number < self.latest;
        self.late |= created && number < self.latest;
        self.latest = self.latest.max(number);
        if let Some(fate) = self.fate(number) {
            *fate = Fate::Stored;
        }
    }

    /// A write of a token leaves the operator. `create_fits` is whether a CREATE would be accepted at this moment.
    pub fn written(&mut self, number: u8, creates: bool, valid: bool) {
        self.broken.expired |= !valid;
        self.broken.older |= creates && number < self.latest;
    }

    /// Ready=True leaves the operator.
    pub fn reported_ready(&mut self, true_as_read: bool) {
        self.broken.ready |= !true_as_read;
    }

    fn fate(&mut self, number: u8) -> Option<&mut Fate> {
        self.fates.get_mut(usize::from(number).checked_sub(1)?)
    }

    fn has_cause_for_each(&self) -> bool {
        self.fates.iter().filter(|fate| **fate != Fate::Lost).count() <= usize::from(self.causes)
    }

    fn stored_some(&self) -> usize {
        self.fates.iter().filter(|fate| **fate == Fate::Stored).count()
    }
}

pub const FOREIGN: &str = "I1 nothing is written to a Secret that is not ours";
pub const CAUSES: &str = "I2 there is a cause for each exchange whose outcome was not lost";
pub const OLDER: &str = "I3 the stored token never goes back to an older exchange";
pub const EXPIRED: &str = "I4 an expired token is never written";
pub const READY: &str = "I5 Ready is reported only of a Secret that was read as ours, valid and matching";

/// The remaining case, which is not a promise, because no client can prevent it.
pub const LATE: &str = "a CREATE that the network holds back outlives its token's successor";

/// The promises, and signs that the model reaches the interesting states.
pub fn properties() -> Vec<Property<Protocol>> {
    vec![
        Property::always(FOREIGN, |_, world: &World| !world.ledger.broken.foreign),
        Property::always(CAUSES, |_, world: &World| world.ledger.has_cause_for_each()),
        Property::always(OLDER, |_, world: &World| !world.ledger.broken.older),
        Property::always(EXPIRED, |_, world: &World| !world.ledger.broken.expired),
        Property::always(READY, |_, world: &World| !world.ledger.broken.ready),
        Property::sometimes("a token is renewed", |_, world: &World| world.ledger.stored_some() > 1),
        Property::sometimes(LATE, |_, world: &World| world.ledger.late),
        Property::sometimes("the status is Ready", |_, world: &World| world.credential.status.ready),
    ]
}
