//! The record of one run: the oracles check it afterwards, and their own tests forge it.
//!
//! Three logs, each complete in itself and each with times of this machine's one clock: the requests at the fault
//! proxy, the versions of the objects as the API server stored them, and the exchanges at the mock provider. What users
//! and faults did is recorded as [`Intervention`]s.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::support::fault_proxy::Call;

/// One run, of one namespace with one or two replicas.
#[derive(Clone, Debug)]
pub struct History {
    /// What the operators were started with.
    pub timings: Timings,
    /// Every request of a replica to the API server, in the order in which the fault proxy received them.
    pub calls: Vec<Call>,
    /// Every version of the Secrets and ApiCredentials of the namespace, in the order in which they were stored.
    pub versions: Vec<Version>,
    /// Every token request, in the order in which the mock provider received them.
    pub exchanges: Vec<Exchange>,
    /// What users and faults did, in order.
    pub interventions: Vec<Intervention>,
    /// When the run ended; nothing is known of the time after it.
    pub ended: Timestamp,
}

/// The flags of the operators that an oracle needs.
#[derive(Clone, Debug)]
pub struct Timings {
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
    /// When the recorder's watch delivered it: soon after it was stored, never before.
    pub seen: Timestamp,
    /// `secrets` or `apicredentials`.
    pub resource: String,
    pub name: String,
    pub uid: String,
    /// The resourceVersion. All objects of one API server count in one sequence.
    pub version: u64,
    /// The object was deleted, and `object` is its last state.
    pub deleted: bool,
    /// The object as JSON, a Secret's `data` included.
    pub object: Value,
}

/// One token request.
#[derive(Clone, Debug, PartialEq)]
pub struct Exchange {
    /// When the mock provider had read the request.
    pub at: Timestamp,
    /// The name of the Welkin client or of the Qontak user. Each ApiCredential of a run has one of its own.
    pub client: String,
    /// The login: the Welkin tenant (empty for Qontak), and the secret or the password.
    pub tenant: String,
    pub secret: String,
    /// The status of the response; `None` if it hung or the connection ended before.
    pub status: Option<u16>,
    /// The token that was issued, even if the response did not arrive.
    pub token: Option<String>,
    /// When that token expires; `None` means never, or no token.
    pub expires: Option<Timestamp>,
    /// Whether the whole response was sent, and the connection still open then.
    pub answered: bool,
}

/// What a user or a fault did.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervention {
    pub at: Timestamp,
    pub what: What,
}

/// What a user or a fault did.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// An ApiCredential was created or its spec changed. `request` is whether the part changed that the exchange
    /// depends on.
    Spec { credential: String, request: bool },
    /// The values in an ApiCredential's source Secret changed.
    Source { credential: String },
    /// An ApiCredential's target was deleted, or the token or its annotations were edited.
    Target { credential: String },
    /// The times stored with a token were shifted, with a matching fingerprint.
    Aged { credential: String },
    /// The provider rejects the tokens of this ApiCredential's client from now on.
    Revoked { credential: String },
    /// A renew request was written.
    Renew { credential: String },
    /// An ApiCredential was deleted.
    Deleted { credential: String },
    /// A replica was started.
    Started { replica: usize },
    /// A replica was killed (SIGKILL), or its end after SIGTERM was noticed.
    Ended { replica: usize },
    /// A replica got SIGTERM.
    Terminated { replica: usize },
    /// A replica is stopped (SIGSTOP) from here …
    Paused { replica: usize },
    /// … to here.
    Resumed { replica: usize },
    /// A planned fault began: its name.
    Fault { name: String },
    /// All faults are over, and there are no more changes: from here the run has to converge.
    Calm,
    /// The run has converged: the expected state is reached, and nothing is due for a while.
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
