//! Forges histories: an ApiCredential `a` and its environment, step by step, each step 10 ms after the one before.
//! Every log has the form of the real ones. A violation is an edit afterwards, or a step that no correct operator
//! takes.

use std::time::Duration;

use apicredential::target::fingerprint::Fingerprint;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::records::plan;
use super::super::{Report, check};
use crate::history::{Exchange, History, Intervention, Timings, Version, What};
use crate::support::fault_proxy::{Call, ClientReply};

pub const TARGET: &str = "a-token";
const UID: &str = "the-uid-of-a";
const SECRET_UID: &str = "the-uid-of-its-secret";
const LIFETIME: Duration = Duration::from_secs(3600);

/// A history under construction.
pub struct Forge {
    pub history: History,
    /// The replica that sends the next requests.
    pub replica: usize,
    now: Timestamp,
    version: u64,
    source: String,
    pub credential: Value,
    /// The current target.
    pub target: Option<Value>,
}

/// First sync, source change, target deleted, restart, renewal.
pub fn honest() -> Forge {
    let mut it = Forge::new();
    it.syncs("first");
    it.at(100).source("two").syncs("second");
    it.at(200).deletes_target().dry_runs().syncs("third");
    it.at(300).did(What::Terminated { replica: 0 }).did(What::Ended { replica: 0 }).did(What::Started { replica: 0 });
    it.at(2700).syncs("fourth");
    it.at(2800).did(What::Calm).did(What::Converged);
    it
}

pub fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

impl Forge {
    /// A source with the value `one`, an ApiCredential, a replica.
    pub fn new() -> Self {
        let timings = Timings {
            retry_base: Duration::from_secs(2),
            min_renewal_interval: Duration::from_secs(1),
            lease_duration: Duration::from_secs(22),
            provider_rate: 1.0,
            provider_burst: 3,
        };
        let (calls, versions, exchanges, interventions) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let credential = json!({
            "metadata": {"name": "a", "uid": UID, "generation": 0},
            "spec": {
                "provider": {"type": "Welkin", "welkin": {
                    "tenant": "gh", "clientName": "client", "secretRef": {"name": "a-source"},
                }},
                "target": {"name": TARGET, "creationPolicy": "Owner", "tokenKey": "token"},
            },
        });
        let mut forge = Self {
            history: History { timings, calls, versions, exchanges, interventions, ended: second(100_000) },
            replica: 0,
            now: second(0),
            version: 10,
            source: String::new(),
            credential,
            target: None,
        };
        forge.source("one").spec("tenant", "gh").did(What::Started { replica: 0 });
        forge
    }

    pub fn checked(&self) -> Report {
        check(&self.history)
    }

    /// Continues at that second, unless it has passed.
    pub fn at(&mut self, at: i64) -> &mut Self {
        self.now = self.now.max(second(at));
        self
    }

    fn tick(&mut self) -> Timestamp {
        self.now += Duration::from_millis(10);
        self.now
    }

    pub fn did(&mut self, what: What) -> &mut Self {
        let at = self.tick();
        self.history.interventions.push(Intervention { at, what });
        self
    }

    /// A user writes this value to the source.
    pub fn source(&mut self, value: &str) -> &mut Self {
        value.clone_into(&mut self.source);
        self.did(What::Source { credential: "a".into() });
        self.store("secrets", "a-source", json!({"data": {"secret": BASE64_STANDARD.encode(value)}}), false)
    }

    /// A user changes the part of the spec that the exchange depends on.
    pub fn spec(&mut self, field: &str, value: &str) -> &mut Self {
        self.credential["spec"]["provider"]["welkin"][field] = value.into();
        let generation = self.credential["metadata"]["generation"].as_i64().unwrap() + 1;
        self.credential["metadata"]["generation"] = generation.into();
        self.did(What::Spec { credential: "a".into(), request: true });
        self.store("apicredentials", "a", self.credential.clone(), false)
    }

    /// A user requests a renewal.
    pub fn requests_renewal(&mut self, text: &str) -> &mut Self {
        self.did(What::Renew { credential: "a".into() });
        self.credential["metadata"]["annotations"]["apicredential.io/renew-requested-at"] = text.into();
        self.store("apicredentials", "a", self.credential.clone(), false)
    }

    pub fn deletes_target(&mut self) -> &mut Self {
        self.did(What::Target { credential: "a".into() });
        let target = self.target.take().unwrap_or_default();
        self.store("secrets", TARGET, target, true)
    }

    /// Another client changes the target.
    pub fn edits(&mut self, edit: impl FnOnce(&mut Value)) -> &mut Self {
        let mut target = self.target.clone().unwrap();
        edit(&mut target);
        self.target = Some(target.clone());
        self.store("secrets", TARGET, target, false)
    }

    fn store(&mut self, resource: &str, name: &str, mut object: Value, deleted: bool) -> &mut Self {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        if name == TARGET && self.target.is_some() {
            self.target = Some(object.clone());
        }
        let uid = object["metadata"]["uid"].as_str().unwrap_or("another-uid").to_owned();
        let (seen, resource, name) = (self.tick(), resource.to_owned(), name.to_owned());
        self.history.versions.push(Version { seen, resource, name, uid, version: self.version, deleted, object });
        self
    }

    /// The operator requests a token, and gets this one.
    pub fn requests(&mut self, token: &str) -> &mut Self {
        self.fails(201);
        let exchange = self.history.exchanges.last_mut().unwrap();
        (exchange.token, exchange.expires) = (Some(token.to_owned()), Some(exchange.at + LIFETIME));
        self
    }

    /// The operator requests a token, and gets this status.
    pub fn fails(&mut self, status: u16) -> &mut Self {
        let tenant = self.credential["spec"]["provider"]["welkin"]["tenant"].as_str().unwrap_or_default().to_owned();
        let (at, secret) = (self.tick(), self.source.clone());
        let (client, status) = ("client".to_owned(), Some(status));
        let (token, expires) = (None, None);
        self.history.exchanges.push(Exchange { at, client, tenant, secret, status, token, expires, answered: true });
        self
    }

    /// A complete sync: read, request, store, report.
    pub fn syncs(&mut self, token: &str) -> &mut Self {
        self.reads().requests(token).stores(token).reports_ready("True", "TokenValid").event("Issued")
    }

    pub fn call(&mut self, verb: &str, resource: &str, name: &str, body: Value, answer: Value) -> &mut Self {
        let (now, status) = (self.tick(), if verb == "create" { 201 } else { 200 });
        self.history.calls.push(Call {
            replica: self.replica,
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            dry_run: false,
            body,
            received: now,
            forwarded: Some(now),
            committed: Some(now),
            status: Some(status),
            answer,
            reply: ClientReply::FromServer,
            hung_up: false,
        });
        self
    }

    pub fn last_call(&mut self) -> &mut Call {
        self.history.calls.last_mut().unwrap()
    }

    pub fn reads(&mut self) -> &mut Self {
        let target = self.target.clone();
        self.call("get", "secrets", TARGET, Value::Null, target.clone().unwrap_or_default());
        self.last_call().status = Some(if target.is_some() { 200 } else { 404 });
        self
    }

    pub fn dry_runs(&mut self) -> &mut Self {
        self.call("create", "secrets", TARGET, Value::Null, json!({"metadata": {"name": TARGET}}));
        self.last_call().dry_run = true;
        self
    }

    /// The operator writes this token as issued, over the current target.
    pub fn stores(&mut self, token: &str) -> &mut Self {
        let issued = self.history.exchanges.iter().find(|it| it.token.as_deref() == Some(token)).unwrap();
        let (at, end) = (issued.at.as_second(), issued.expires.unwrap().as_second());
        let [at, end] = [at, end].map(|second| Timestamp::from_second(second).unwrap().to_string());
        let print = Fingerprint::new(token, &plan(&self.credential["spec"]).unwrap(), &at, &end).to_text();
        let mut body = json!({
            "metadata": {
                "labels": {"apicredential.io/managed": "true"},
                "annotations": {
                    "apicredential.io/owner": "a", "apicredential.io/owner-uid": UID, "apicredential.io/keys": "token",
                    "apicredential.io/issued-at": at, "apicredential.io/expires-at": end,
                    "apicredential.io/fingerprint": print,
                },
            },
            "data": {"token": BASE64_STANDARD.encode(token)},
        });
        if let Some(request) = self.credential["metadata"]["annotations"].get("apicredential.io/renew-requested-at") {
            body["metadata"]["annotations"]["apicredential.io/renew-request"] = request.clone();
        }
        let verb = if self.target.is_some() { "patch" } else { "create" };
        let mut after = self.target.clone().unwrap_or_else(|| {
            let owner = json!({"kind": "ApiCredential", "name": "a", "controller": true, "uid": UID});
            body["metadata"]["ownerReferences"] = json!([owner]);
            json!({"metadata": {"name": TARGET, "uid": SECRET_UID}})
        });
        if verb == "patch" {
            for name in ["uid", "resourceVersion"] {
                body["metadata"][name] = after["metadata"][name].clone();
            }
        }
        let version = self.version + 1;
        merge(&mut after, &body);
        after["metadata"]["resourceVersion"] = version.to_string().into();
        self.target = Some(after.clone());
        self.call(verb, "secrets", TARGET, body, after.clone());
        self.store("secrets", TARGET, after, false)
    }

    /// The operator writes this condition Ready.
    pub fn reports_ready(&mut self, status: &str, reason: &str) -> &mut Self {
        let since = self.now.to_string();
        let before = &self.credential["status"]["conditions"][0];
        let since = if before["status"] == status { before["lastTransitionTime"].clone() } else { since.into() };
        let condition = json!({"type": "Ready", "status": status, "reason": reason, "lastTransitionTime": since});
        let generation = &self.credential["metadata"]["generation"];
        self.writes_status(json!({"observedGeneration": generation, "conditions": [condition]}))
    }

    /// The operator writes this status.
    pub fn writes_status(&mut self, status: Value) -> &mut Self {
        let body = json!({"metadata": {"resourceVersion": self.version.to_string()}, "status": status});
        self.credential["status"] = status;
        self.call("patch", "apicredentials/status", "a", body, self.credential.clone());
        self.store("apicredentials", "a", self.credential.clone(), false)
    }

    pub fn event(&mut self, reason: &str) -> &mut Self {
        self.call("create", "events", "", json!({"reason": reason}), Value::Null)
    }
}

/// As a JSON merge patch does, without its nulls.
fn merge(into: &mut Value, patch: &Value) {
    match patch {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| merge(&mut into[name.as_str()], value)),
        value => *into = value.clone(),
    }
}

/// Asserts that this promise is broken, no other is, and the oracle's reason has this text.
pub fn assert_broken(it: &Forge, promise: &str, why: &str) {
    let report = it.checked();
    let start = format!("{promise}: ");
    assert!(report.violations.iter().any(|it| it.starts_with(&start) && it.contains(why)), "{why}: {report:#?}");
    assert!(report.violations.iter().all(|violation| violation.starts_with(&start)), "{:#?}", report.violations);
}

pub fn assert_kept(it: &Forge) {
    assert_eq!(it.checked().violations, Vec::<String>::new());
}
