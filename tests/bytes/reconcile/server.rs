//! As much of an API server as one reconcile needs, in memory: it holds one ApiCredential and a few Secrets, accepts
//! JSON merge patches bound to a version, and records its requests.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// The namespace of everything.
pub const NAMESPACE: &str = "care";

/// One request that may change something.
#[derive(Clone, Debug)]
pub struct Call {
    pub what: What,
    pub accepted: bool,
    pub body: Value,
    /// The object before it.
    pub before: Value,
}

/// The subject of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Create,
    Patch,
    DryRun,
    Status,
    Event,
}

/// The state of the server.
#[derive(Default)]
pub struct State {
    pub credential: Value,
    pub others: Vec<Value>,
    pub secrets: BTreeMap<String, Value>,
    pub calls: Vec<Call>,
    /// Requests outside the operator's scope.
    pub strays: Vec<String>,
    version: u64,
}

/// A server. A clone is another handle on the same one.
#[derive(Clone, Default)]
pub struct Server(Arc<Mutex<State>>);

impl Server {
    /// Reads the state, or changes it as another client.
    pub fn with<T>(&self, access: impl FnOnce(&mut State) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A client for it.
    pub fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap_or_default();
                let query = head.uri.query().unwrap_or_default();
                // It does not stream lists.
                if query.contains("watch=true") && !query.contains("sendInitialEvents") {
                    // Nothing happens that a watch could deliver.
                    std::future::pending::<()>().await;
                }
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (status, answer) = server.with(|state| state.answer(&head.method, head.uri.path(), query, &body));
                let answer = Body::from(serde_json::to_vec(&answer).expect("an answer is JSON"));
                Ok::<_, Infallible>(Response::builder().status(status).body(answer).expect("an answer"))
            }
        });
        Client::new(service, NAMESPACE)
    }
}

type Answer = (u16, Value);

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: &Value) -> Answer {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        if query.contains("sendInitialEvents") {
            return refusal(422);
        }
        let own = self.credential["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        match (method.as_str(), parts.as_slice()) {
            ("GET", ["apis", "apicredential.io", "v1alpha1", "apicredentials"]) => {
                list(std::iter::once(&self.credential).chain(&self.others).cloned())
            }
            ("GET", ["api", "v1", "secrets"]) => self.labelled(query),
            ("GET", ["apis", "apicredential.io", "v1alpha1", "namespaces", NAMESPACE, "apicredentials", name])
                if *name == own =>
            {
                (200, self.credential.clone())
            }
            ("PATCH", ["apis", _, _, "namespaces", NAMESPACE, "apicredentials", name, "status"]) if *name == own => {
                self.patch_status(body)
            }
            ("POST", ["api", "v1", "namespaces", NAMESPACE, "secrets"]) => self.create(query, body),
            ("GET", ["api", "v1", "namespaces", NAMESPACE, "secrets", name]) if is_name(name) => {
                self.secrets.get(*name).map_or_else(|| refusal(404), |secret| (200, secret.clone()))
            }
            ("PATCH", ["api", "v1", "namespaces", NAMESPACE, "secrets", name]) if is_name(name) => {
                self.patch(name, query, body)
            }
            ("POST" | "PATCH", ["apis", "events.k8s.io", "v1", "namespaces", NAMESPACE, "events", ..]) => {
                self.note(What::Event, true, body, &Value::Null);
                (201, body.clone())
            }
            _ => {
                self.strays.push(format!("{method} {path}"));
                refusal(404)
            }
        }
    }

    /// The metadata of Secrets with a label.
    fn labelled(&self, query: &str) -> Answer {
        let label = if query.contains("source") { "apicredential.io/source" } else { "apicredential.io/managed" };
        let found = self.secrets.values().filter(|secret| secret["metadata"]["labels"].get(label).is_some());
        list(found.map(|secret| json!({"metadata": secret["metadata"]})))
    }

    fn patch_status(&mut self, body: &Value) -> Answer {
        let before = self.credential.clone();
        let replaced = [&body[0], &body[1]].map(|operation| (operation["op"].as_str(), operation["path"].as_str()));
        let expected = [(Some("replace"), Some("/metadata/resourceVersion")), (Some("add"), Some("/status"))];
        assert!(replaced == expected && body[2].is_null(), "not a status as a whole: {body}");
        let is_current = body[0]["value"] == before["metadata"]["resourceVersion"];
        self.note(What::Status, is_current, &json!({"status": body[1]["value"]}), &before);
        if !is_current {
            return refusal(409);
        }
        self.credential["status"] = body[1]["value"].clone();
        self.credential["metadata"]["resourceVersion"] = json!(self.next_version());
        (200, self.credential.clone())
    }

    fn create(&mut self, query: &str, body: &Value) -> Answer {
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let taken = self.secrets.contains_key(&name);
        let status = if taken { 409 } else { status_of(body) };
        let dry = query.contains("dryRun");
        self.note(if dry { What::DryRun } else { What::Create }, status == 201, body, &Value::Null);
        if status != 201 {
            return refusal(status);
        }
        let mut secret = body.clone();
        secret["metadata"]["uid"] = json!("made");
        secret["metadata"]["resourceVersion"] = json!(self.next_version());
        if !dry {
            self.secrets.insert(name, secret.clone());
        }
        (201, secret)
    }

    fn patch(&mut self, name: &str, query: &str, body: &Value) -> Answer {
        let Some(before) = self.secrets.get(name).cloned() else { return refusal(404) };
        let mut after = before.clone();
        merge(&mut after, body);
        let mut status = bound_to(&before, body);
        if status == 200 && (status_of(&after) != 201 || before["immutable"] == true) {
            status = 422;
        }
        let dry = query.contains("dryRun");
        self.note(if dry { What::DryRun } else { What::Patch }, status == 200, body, &before);
        if status != 200 {
            return refusal(status);
        }
        after["metadata"]["resourceVersion"] = json!(self.next_version());
        if !dry {
            self.secrets.insert(name.to_owned(), after.clone());
        }
        (200, after)
    }

    fn note(&mut self, what: What, accepted: bool, body: &Value, before: &Value) {
        self.calls.push(Call { what, accepted, body: body.clone(), before: before.clone() });
    }

    fn next_version(&mut self) -> String {
        self.version += 1;
        (1000 + self.version).to_string()
    }
}

fn list(items: impl Iterator<Item = Value>) -> Answer {
    let items: Vec<Value> = items.collect();
    (200, json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "1"}, "items": items}))
}

fn refusal(code: u16) -> Answer {
    let reason = if code == 404 { "NotFound" } else { "Refused" };
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "message": "refused", "reason": reason, "code": code,
    });
    (code, status)
}

/// 200, or why a patch is not for this object: 422 for another uid, 409 for another version.
fn bound_to(object: &Value, patch: &Value) -> u16 {
    let (has, wants) = (&object["metadata"], &patch["metadata"]);
    match (wants["uid"] == has["uid"], wants["resourceVersion"] == has["resourceVersion"]) {
        (true, true) => 200,
        (true, false) => 409,
        (false, _) => 422,
    }
}

/// 201, or 422 for a Secret that no API server would store.
pub fn status_of(secret: &Value) -> u16 {
    let key = |key: &String| is_key(key);
    let keys = secret["data"].as_object().is_none_or(|data| data.keys().all(key));
    let base64 = |value: &Value| value.as_str().is_some_and(|text| BASE64_STANDARD.decode(text).is_ok());
    let values = secret["data"].as_object().is_none_or(|data| data.values().all(base64));
    if is_name(secret["metadata"]["name"].as_str().unwrap_or_default()) && keys && values { 201 } else { 422 }
}

/// A DNS subdomain.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        part.bytes().all(|byte| plain(byte) || byte == b'-')
            && part.bytes().next().is_some_and(plain)
            && part.bytes().last().is_some_and(plain)
    };
    name.len() <= 253 && name.split('.').all(part)
}

/// A key of a Secret.
pub fn is_key(key: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=253).contains(&key.len()) && key.bytes().all(plain) && key != "." && !key.starts_with("..")
}

/// RFC 7386.
pub fn merge(into: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else { return patch.clone_into(into) };
    if !into.is_object() {
        *into = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            into.as_object_mut().expect("made one").remove(name);
        } else {
            merge(&mut into[name.as_str()], value);
        }
    }
}
