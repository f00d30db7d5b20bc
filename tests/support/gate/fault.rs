//! Faults as data: at which request, before or after it takes effect, what happens.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One planned fault. It happens once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fault {
    pub site: Site,
    pub when: When,
    pub act: Act,
}

/// The nth request of one kind, counted from 1 since the gate was armed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Site {
    pub verb: String,
    pub resource: String,
    pub name: String,
    pub nth: usize,
}

/// Before the API server has seen the request, or after it has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum When {
    Before,
    After,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Act {
    /// It takes 3 s longer: less than any limit of the client.
    Delay,
    /// It is held until the client hangs up, or until the gate is told, or for 15 s and then reset. Before: only if it
    /// is told it is passed on. After: the reply is what is held.
    Hold,
    /// The connection is reset.
    Reset,
    /// Another answer than the API server's, as `Status`; 429 says `Retry-After: 1`.
    Answer(u16),
    /// An answer that ends in the middle.
    Truncated,
    /// JSON of another shape, with status 200.
    WrongShape,
    /// All watches end.
    CutWatches,
    /// All watches say nothing for 8 s, and then end.
    Silence,
    /// SIGKILL to the operator.
    Kill,
    /// SIGTERM to the operator.
    Terminate,
    /// SIGSTOP to the operator, and later SIGCONT.
    Pause,
}

impl Fault {
    /// Every kind of fault there is.
    pub fn kinds() -> Vec<(When, Act)> {
        let mut acts = vec![Act::Delay, Act::Hold, Act::Reset];
        acts.extend([403, 409, 429, 500, 503, 504].map(Act::Answer));
        acts.extend([Act::Truncated, Act::WrongShape, Act::CutWatches, Act::Silence]);
        acts.extend([Act::Kill, Act::Terminate, Act::Pause]);
        acts.into_iter().flat_map(|act| [(When::Before, act), (When::After, act)]).collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Site { verb, resource, name, nth } = &self.site;
        write!(f, "{verb} {resource} {name} #{nth}: {:?} {:?}", self.when, self.act)
    }
}
