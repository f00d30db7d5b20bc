//! The promises, as judges of a history. Each looks at what was written down, and at nothing else.
//!
//! | | promise | judged in |
//! |---|---|---|
//! | I1 | no write to an object that is not ours at the version written | [`writes`] |
//! | I2 | no more exchanges than causes, allowed tries and lost outcomes; without a fault as many as causes | [`exchanges`] |
//! | I3 | the stored token never goes back to an older exchange | [`tokens`] |
//! | I4 | an expired token is never written | [`tokens`] |
//! | I5 | Ready is said only of a token that is there, ours, alive and of the spec | [`ready`] |
//! | I6 | no secret and no token in any output | [`crate::runs`] |
//! | I7 | the endpoint's rate, and the budget of rejected attempts | [`budget`] |
//! | I8 | a token and its annotations change together | [`together`] |
//! | I9 | no hot loop; every reason is of the table | [`pace`], [`words`] |

mod budget;
mod causes;
mod exchanges;
mod excuses;
mod outcomes;
mod pace;
mod ready;
mod records;
#[cfg(test)]
mod tests;
mod together;
mod tokens;
mod words;
mod writes;

use std::collections::BTreeMap;

use crate::history::History;
use crate::support::fault_proxy::Call;

use records::Records;

/// What the judges say.
#[derive(Debug, Default)]
pub struct Report {
    /// A sentence each, none with a secret in it.
    pub violations: Vec<String>,
    /// CREATEs that the gate received in time, and that took effect after a newer token was stored or after their own
    /// token had ended: the wire's own delay, which no client can close.
    pub late_creates: usize,
    /// How many things each promise was held against.
    pub looked_at: BTreeMap<&'static str, usize>,
}

/// Holds a history against all promises but I6.
pub fn judge(history: &History) -> Report {
    let records = Records::of(history);
    let mut report = Report::default();
    writes::judge(&records, &mut report);
    exchanges::judge(&records, &mut report);
    tokens::judge(&records, &mut report);
    ready::judge(&records, &mut report);
    budget::judge(&records, &mut report);
    together::judge(&records, &mut report);
    pace::judge(&records, &mut report);
    words::judge(&records, &mut report);
    report
}

impl Report {
    /// One more thing was held against this promise.
    fn look(&mut self, promise: &'static str) {
        *self.looked_at.entry(promise).or_default() += 1;
    }

    fn violated(&mut self, promise: &str, what: impl AsRef<str>) {
        self.violations.push(format!("{promise}: {}", what.as_ref()));
    }
}

/// A call, as a violation names it.
fn named(number: usize, call: &Call) -> String {
    let (verb, resource, name) = call.kind();
    format!("call {number}, {verb} {resource} {name} by replica {} at {}", call.replica, call.received)
}
