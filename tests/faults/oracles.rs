//! The promises, as oracles that check a history. Each uses only what was recorded.
//!
//! | | promise | checked in |
//! |---|---|---|
//! | I1 | no write to an object that is not ours at the version written | [`writes`] |
//! | I2 | no more exchanges than causes, allowed retries and lost outcomes; without a fault as many as causes |
//! [`exchanges`] |
//! | I3 | the stored token never goes back to an older exchange | [`tokens`] |
//! | I4 | an expired token is never written | [`tokens`] |
//! | I5 | Ready is reported only of a token that exists, is ours, is valid and matches the spec | [`ready`] |
//! | I6 | no secret and no token in any output | [`crate::runs`] |
//! | I7 | the endpoint's rate, and the budget of rejected attempts | [`budget`] |
//! | I8 | a token and its annotations change together | [`consistency`] |
//! | I9 | no hot loop; every reason is in the table | [`pace`], [`texts`] |

mod budget;
mod causes;
mod consistency;
mod exchanges;
mod excuses;
mod outcomes;
mod pace;
mod ready;
mod records;
#[cfg(test)]
mod tests;
mod texts;
mod tokens;
mod writes;

use std::collections::BTreeMap;

use crate::history::History;
use crate::support::fault_proxy::Call;

use records::Records;

/// The findings of the oracles.
#[derive(Debug, Default)]
pub struct Report {
    /// A sentence each, none with a secret in it.
    pub violations: Vec<String>,
    /// CREATEs that the fault proxy received in time, and that took effect after a newer token was stored or after
    /// their own token had expired: a delay of the network, which no client can prevent.
    pub late_creates: usize,
    /// How often each promise was checked.
    pub checks: BTreeMap<&'static str, usize>,
}

/// Checks a history against all promises but I6.
pub fn check(history: &History) -> Report {
    let records = Records::of(history);
    let mut report = Report::default();
    writes::check(&records, &mut report);
    exchanges::check(&records, &mut report);
    tokens::check(&records, &mut report);
    ready::check(&records, &mut report);
    budget::check(&records, &mut report);
    consistency::check(&records, &mut report);
    pace::check(&records, &mut report);
    texts::check(&records, &mut report);
    report
}

impl Report {
    /// Counts one more check of this promise.
    fn count(&mut self, promise: &'static str) {
        *self.checks.entry(promise).or_default() += 1;
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
