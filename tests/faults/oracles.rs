//! The promises, as judges of a history. Each looks at what was written down, and at nothing else.
//!
//! | | promise | judged in |
//! |---|---|---|
//! | I1 | no write to an object that is not ours at the version written | [`writes`] |
//! | I2 | no more exchanges than causes, allowed tries and lost outcomes; without a fault as many as causes | [`exchanges`] |
//! | I3 | the stored token never goes back to an older exchange | [`tokens`] |
//! | I4 | an expired token is never written | [`tokens`] |
//! | I5 | Ready is said only of a token that is there, ours, alive and of the spec | [`status`] |
//! | I6 | no secret and no token in any output | [`crate::runs`] |
//! | I7 | the endpoint's rate, and the budget of rejected attempts | [`pace`] |
//! | I8 | a token and its annotations change together | [`tokens`] |
//! | I9 | no hot loop; every reason is of the table | [`pace`], [`status`] |

mod exchanges;
mod pace;
mod status;
#[cfg(test)]
mod tests;
mod tokens;
mod writes;

use std::collections::BTreeMap;

use apicredential_operator::credential::ApiCredentialSpec;
use apicredential_operator::endpoint::AllowedEndpoints;
use apicredential_operator::plan::Plan;
use serde_json::Value;

use crate::history::{History, Version};
use crate::support::gate::Call;

/// What the judges say.
#[derive(Debug, Default)]
pub struct Report {
    /// A sentence each, none with a secret in it.
    pub violations: Vec<String>,
    /// CREATEs that the gate received in time and that took effect after a newer token was stored: the wire's own delay.
    pub late_creates: usize,
    /// How many things each promise was held against.
    pub looked_at: BTreeMap<&'static str, usize>,
}

/// Holds a history against all promises but I6.
pub fn judge(history: &History) -> Report {
    let mut report = Report::default();
    writes::judge(history, &mut report);
    exchanges::judge(history, &mut report);
    tokens::judge(history, &mut report);
    status::judge(history, &mut report);
    pace::judge(history, &mut report);
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

/// A credential of the history: every uid is one of its own.
struct Credential<'a> {
    name: &'a str,
    uid: &'a str,
    /// As it was created.
    spec: &'a Value,
}

impl Credential<'_> {
    fn target(&self) -> &str {
        self.spec["target"]["name"].as_str().unwrap_or_default()
    }

    fn is_merge(&self) -> bool {
        self.spec["target"]["creationPolicy"] == "Merge"
    }

    /// The Welkin client that it asks as.
    fn client(&self) -> Option<&str> {
        self.spec["provider"]["welkin"]["clientName"].as_str()
    }
}

/// Every credential there ever was.
fn credentials(history: &History) -> Vec<Credential<'_>> {
    let mut all: Vec<Credential<'_>> = Vec::new();
    for version in history.versions.iter().filter(|version| version.resource == "apicredentials") {
        if all.iter().all(|known| known.uid != version.uid) {
            all.push(Credential { name: &version.name, uid: &version.uid, spec: &version.object["spec"] });
        }
    }
    all
}

/// What a spec asks for.
fn plan(spec: &Value) -> Option<Plan> {
    let spec: ApiCredentialSpec = serde_json::from_value(spec.clone()).ok()?;
    Plan::parse(&spec, &AllowedEndpoints::default()).ok()
}

/// The resourceVersion in an object or a patch.
fn number_in(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

/// The last version of a Secret before that number, if it is not the Secret's end.
fn before<'a>(history: &'a History, name: &'a str, number: u64) -> Option<&'a Version> {
    let last = history.versions_of("secrets", name).filter(|version| version.version < number).last()?;
    (!last.deleted).then_some(last)
}

/// The token of a Secret as JSON, which lies under the first of `keys`.
fn token(secret: &Value) -> Option<String> {
    use base64::Engine as _;
    let keys = secret["metadata"]["annotations"]["apicredential.io/keys"].as_str()?;
    let text = secret["data"][keys.split(',').next()?].as_str()?;
    String::from_utf8(base64::prelude::BASE64_STANDARD.decode(text).ok()?).ok()
}

fn annotation<'a>(secret: &'a Value, name: &str) -> &'a str {
    secret["metadata"]["annotations"][format!("apicredential.io/{name}")].as_str().unwrap_or_default()
}

/// A call, as a violation names it.
fn named(call: &Call) -> String {
    let (verb, resource, name) = call.kind();
    format!("{verb} {resource} {name} by replica {} at {}", call.replica, call.received)
}
