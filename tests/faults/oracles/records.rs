//! A history with indexes that its oracles use: which write made a version, when it was stored, whose it is, and
//! which exchange its token came from.

use std::collections::HashMap;
use std::time::Duration;

use apicredential::api::ApiCredentialSpec;
use apicredential::plan::{AllowLists, Plan};
use apicredential::target::fingerprint::Fingerprint;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::history::{History, Version, What};
use crate::support::fault_proxy::Call;

/// The longest call of the operator: its knowledge may be as old as this when it acts.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A history with its indexes.
pub struct Records<'a> {
    pub history: &'a History,
    /// The write of a replica that made a version of a Secret, by that version.
    writes: HashMap<u64, &'a Call>,
    /// Each issued token, with the number of the first exchange that issued it.
    order: HashMap<&'a str, usize>,
}

impl<'a> Records<'a> {
    pub fn of(history: &'a History) -> Self {
        let effective = |call: &&Call| call.resource == "secrets" && call.took_effect();
        let made = |call: &'a Call| {
            let version = version_in(&call.answer)?;
            // A patch that changes nothing makes no version.
            (call.verb == "create" || version_in(&call.body) != Some(version)).then_some((version, call))
        };
        let writes = history.calls.iter().filter(effective).filter_map(made).collect();
        let mut order = HashMap::new();
        for (number, exchange) in history.exchanges.iter().enumerate() {
            if let Some(token) = &exchange.token {
                order.entry(token.as_str()).or_insert(number);
            }
        }
        Self { history, writes, order }
    }

    /// The write of a replica that made this version of a Secret; `None` if another client did.
    pub fn writer(&self, version: &Version) -> Option<&'a Call> {
        self.writes.get(&version.version).copied().filter(|_| !version.deleted)
    }

    /// When it was certainly stored.
    pub fn stored_at(&self, version: &Version) -> Timestamp {
        let committed = self.writer(version).and_then(|call| call.committed);
        committed.map_or(version.seen, |committed| committed.min(version.seen))
    }

    /// The order of the issued token in a Secret: the number of the exchange that issued it first.
    pub fn token_in(&self, secret: &Value) -> Option<usize> {
        let first = annotation(secret, "keys").split(',').next().unwrap_or_default();
        let values = secret["data"].as_object()?;
        let named = values.get(first).into_iter();
        named.chain(values.values()).find_map(|value| self.order.get(decoded(value)?.as_str()).copied())
    }

    /// The number of the exchange that this version's token came from: the last one that issued it before.
    pub fn made_by(&self, version: &Version) -> Option<usize> {
        let first = self.token_in(&version.object)?;
        let (token, stored) = (&self.history.exchanges[first].token, self.stored_at(version));
        let same = |number: &usize| {
            let exchange = &self.history.exchanges[*number];
            exchange.token == *token && exchange.at <= stored
        };
        Some((first..self.history.exchanges.len()).rev().find(same).unwrap_or(first))
    }

    /// The last version of a Secret before that one, unless it is a deletion.
    pub fn before(&self, name: &'a str, version: u64) -> Option<&'a Version> {
        let last = self.history.versions_of("secrets", name).filter(|it| it.version < version).last()?;
        (!last.deleted).then_some(last)
    }

    /// The object at that time, as far as it was recorded.
    pub fn object_at(&self, resource: &'a str, name: &'a str, at: Timestamp) -> Option<&'a Version> {
        let last = self.history.versions_of(resource, name).filter(|it| self.stored_at(it) <= at).last()?;
        (!last.deleted).then_some(last)
    }

    /// Every ApiCredential that existed, one for each uid.
    pub fn credentials(&self) -> Vec<Credential<'a>> {
        let mut all: Vec<Credential<'a>> = Vec::new();
        for version in self.history.versions.iter().filter(|version| version.resource == "apicredentials") {
            match all.iter_mut().find(|known| known.uid == version.uid) {
                Some(known) => known.versions.push(version),
                None => all.push(Credential { name: &version.name, uid: &version.uid, versions: vec![version] }),
            }
        }
        all
    }

    /// Whether that client belongs to this ApiCredential: by the Welkin client's name, or by the Qontak user's, which
    /// is in its source.
    pub fn requests_as(&self, credential: &Credential<'_>, client: &str) -> bool {
        credential.versions().any(|version| {
            let provider = &version.object["spec"]["provider"];
            if provider["type"] != "Qontak" {
                return provider["welkin"]["clientName"] == client;
            }
            let source = provider["qontak"]["secretRef"]["name"].as_str().unwrap_or_default();
            let key = provider["qontak"]["keys"]["username"].as_str().unwrap_or("username");
            let mut sources = self.history.versions_of("secrets", source);
            sources.any(|source| decoded(&source.object["data"][key]).as_deref() == Some(client))
        })
    }

    /// Whether a replica or one of its requests was disturbed in that time.
    pub fn is_disturbed(&self, from: Timestamp, to: Timestamp) -> bool {
        let mut interventions =
            self.history.interventions.iter().filter(|intervention| from <= intervention.at && intervention.at <= to);
        interventions.any(|intervention| intervention.what.disturbs())
    }
}

impl What {
    /// A fault, or a disturbance of a replica.
    pub fn disturbs(&self) -> bool {
        use What::{Ended, Fault, Paused, Resumed, Started, Terminated};
        matches!(
            self,
            Fault { .. } | Started { .. } | Ended { .. } | Terminated { .. } | Paused { .. } | Resumed { .. }
        )
    }
}

/// An ApiCredential of the history.
pub struct Credential<'a> {
    pub name: &'a str,
    pub uid: &'a str,
    versions: Vec<&'a Version>,
}

impl<'a> Credential<'a> {
    /// Its versions, in order.
    pub fn versions(&self) -> impl DoubleEndedIterator<Item = &'a Version> {
        self.versions.iter().copied()
    }

    /// The target's name, which never changes.
    pub fn target(&self) -> &'a str {
        self.versions[0].object["spec"]["target"]["name"].as_str().unwrap_or_default()
    }

    pub fn is_merge(&self) -> bool {
        self.versions[0].object["spec"]["target"]["creationPolicy"] == "Merge"
    }

    /// Whether it existed at that time, as far as a replica could know that read it shortly before.
    pub fn existed(&self, at: Timestamp) -> bool {
        !self.versions().any(|version| version.deleted && version.seen + CALL_TIMEOUT < at)
    }

    /// Owner: by the uid in the controller reference. Merge: by consent, and no other existing ApiCredential writes it.
    pub fn owns(&self, secret: &Value, others: &[Credential<'_>], at: Timestamp) -> bool {
        if !self.is_merge() {
            return owner(secret) == Some(self.uid);
        }
        let allowed = annotation(secret, "allow").split(':').next().map(str::trim) == Some(self.name);
        let writer = annotation(secret, "owner");
        let incarnations =
            |it: &Credential<'_>| it.name == writer && it.versions().all(|it| !it.deleted || it.seen > at);
        allowed && (writer.is_empty() || writer == self.name || !others.iter().any(incarnations))
    }
}

/// The parsed spec.
pub fn plan(spec: &Value) -> Option<Plan> {
    let spec: ApiCredentialSpec = serde_json::from_value(spec.clone()).ok()?;
    Plan::parse(&spec, &AllowLists::default()).ok()
}

/// The uid in the controller reference.
pub fn owner(secret: &Value) -> Option<&str> {
    let references = secret["metadata"]["ownerReferences"].as_array()?;
    let controller = references.iter().find(|it| it["controller"] == true && it["kind"] == "ApiCredential");
    controller?["uid"].as_str()
}

/// The resourceVersion in an object or a patch.
pub fn version_in(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

/// One of our annotations, by its name after `apicredential.io/`; empty if it is absent.
pub fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"]["annotations"][format!("apicredential.io/{name}")].as_str().unwrap_or_default()
}

/// A value of a Secret's data.
pub fn decoded(value: &Value) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(value.as_str()?).ok()?).ok()
}

/// Whether a Secret's fingerprint matches this token, its times and the spec.
pub fn fits(secret: &Value, token: &str, spec: &Value) -> bool {
    plan(spec).is_some_and(|plan| {
        let times = ["issued-at", "expires-at"].map(|name| annotation(secret, name));
        Fingerprint::new(token, &plan, times[0], times[1]).to_text() == annotation(secret, "fingerprint")
    })
}
