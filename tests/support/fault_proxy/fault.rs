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

/// The nth request of one kind, counted from 1 since the fault proxy was armed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Site {
    pub verb: String,
    pub resource: String,
    pub name: String,
    pub nth: usize,
}

/// Before the API server has received the request, or after it has responded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum When {
    Before,
    After,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Act {
    /// It takes 3 s longer, which is less than any timeout of the client.
    Delay,
    /// It is held until the client hangs up or the fault proxy is released, or for 15 s and then reset. Before: it is
    /// forwarded only if it is released. After: the reply is held.
    Hold,
    /// The connection is reset.
    Reset,
    /// Another response than the API server's, as `Status`; 429 has `Retry-After: 1`.
    Answer(u16),
    /// A response that ends in the middle.
    Truncated,
    /// JSON of another shape, with status 200.
    WrongShape,
    /// All watches end.
    CutWatches,
    /// All watches are silent for 8 s, and then end.
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
