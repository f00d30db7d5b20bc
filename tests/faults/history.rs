//! What happened in one run, as data: the oracles judge it afterwards, and their own tests forge it.
//!
//! Three logs, each complete in itself and each with times of this machine's one clock: the requests at the gate, the
//! versions of the objects as the API server stored them, and the exchanges at the mock provider. What people and faults
//! did stands beside them as [`Deed`]s.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::support::fault_proxy::Call;

/// One run, of one namespace with one or two replicas.
#[derive(Clone, Debug)]
pub struct History {
    /// What the operators were started with.
    pub terms: Terms,
    /// Every request that a replica sent to the API server, in the order in which the gate received them.
    pub calls: Vec<Call>,
    /// Every version of the Secrets and credentials of the namespace, in the order of their storing.
    pub versions: Vec<Version>,
    /// Every request for a token, in the order in which the mock provider received them.
    pub exchanges: Vec<Exchange>,
    /// What people and faults did, in order.
    pub deeds: Vec<Deed>,
    /// When the run ended; nothing after it was looked at.
    pub ended: Timestamp,
}

/// What the operators were started with, as far as an oracle needs it.
#[derive(Clone, Debug)]
pub struct Terms {
    /// `--retry-base`.
    pub retry_base: Duration,
    /// `--min-renewal-interval`.
    pub min_renewal_interval: Duration,
    /// `--lease-duration`.
    pub lease_duration: Duration,
    /// `--provider-rate`, per second and endpoint.
    pub provider_rate: f64,
    /// `--provider-burst`.
    pub provider_burst: u32,
}

/// One version of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// When the recorder's watch told of it: soon after it was stored, never before.
    pub seen: Timestamp,
    /// `secrets` or `apicredentials`.
    pub resource: String,
    pub name: String,
    pub uid: String,
    /// The resourceVersion; all objects of one API server count in one sequence.
    pub version: u64,
    /// This is the object's end, and `object` its last state.
    pub deleted: bool,
    /// The object as JSON, a Secret's `data` included.
    pub object: Value,
}

/// One request for a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// When the mock provider had read the request.
    pub at: Timestamp,
    /// The Welkin client's or the Qontak user's name: one credential of a run has one of its own.
    pub client: String,
    /// What was presented: the Welkin tenant (empty for Qontak), and the secret or the password.
    pub tenant: String,
    pub secret: String,
    /// The status that was answered; none if it hung or the connection ended before.
    pub status: Option<u16>,
    /// The token that was issued, even if its answer did not arrive.
    pub token: Option<String>,
    /// When that token dies; none means never, or no token.
    pub expires: Option<Timestamp>,
    /// Whether the whole answer was sent, and the connection still open then.
    pub answered: bool,
}

/// What somebody did from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    pub at: Timestamp,
    pub what: What,
}

/// What somebody did from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A credential was created or its spec changed; `request` says whether in the part that the exchange depends on.
    Spec { credential: String, request: bool },
    /// The values in a credential's source Secret changed.
    Source { credential: String },
    /// A credential's target was deleted, or the token or its annotations were edited.
    Target { credential: String },
    /// The times beside a token were moved, with a fingerprint that fits them.
    Aged { credential: String },
    /// The provider refuses the tokens of this credential's client from now on.
    Revoked { credential: String },
    /// A renew request was written.
    Renew { credential: String },
    /// A credential was deleted.
    Deleted { credential: String },
    /// A replica was started.
    Started { replica: usize },
    /// A replica was killed (SIGKILL), or its end after SIGTERM was seen.
    Ended { replica: usize },
    /// A replica was told to stop (SIGTERM).
    Terminated { replica: usize },
    /// A replica stands still (SIGSTOP) from here …
    Paused { replica: usize },
    /// … to here.
    Resumed { replica: usize },
    /// A planned fault began: its name.
    Fault { name: String },
    /// All faults are over, and nothing will be done any more: from here it has to converge.
    Calm,
    /// It has: what was waited for is there, and nothing is due for a while.
    Converged,
}

impl History {
    /// The versions of one object, whatever its uid.
    pub fn versions_of<'a>(&'a self, resource: &'a str, name: &'a str) -> impl Iterator<Item = &'a Version> {
        self.versions.iter().filter(move |version| version.resource == resource && version.name == name)
    }
}

impl Version {
    /// A value of a Secret, decoded.
    pub fn value(&self, key: &str) -> Option<String> {
        use base64::Engine as _;
        let text = self.object["data"][key].as_str()?;
        String::from_utf8(base64::prelude::BASE64_STANDARD.decode(text).ok()?).ok()
    }

    /// One of our annotations, by its name after `apicredential.io/`.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.object["metadata"]["annotations"][format!("apicredential.io/{name}")].as_str()
    }
}
