//! A valid ApiCredential, and changes to it as JSON merge patches.

#![expect(clippy::needless_pass_by_value, reason = "a table reads better without ampersands")]

use serde_json::{Value, json};

/// A valid ApiCredential. The changes below are JSON merge patches to it.
pub fn valid() -> Value {
    json!({
        "apiVersion": "apicredential.io/v1alpha1",
        "kind": "ApiCredential",
        "metadata": {"name": "a"},
        "spec": {
            "provider": {
                "type": "Welkin",
                "welkin": {"tenant": "gh", "clientName": "VBOPNRYRWJIP", "secretRef": {"name": "welkin-client"}},
            },
            "target": {"name": "token"},
        },
    })
}

/// A change to the block for Welkin.
pub fn welkin(change: Value) -> Value {
    provider(json!({"welkin": change}))
}

/// The change from Welkin to Qontak, and a change to that block.
pub fn qontak(change: Value) -> Value {
    let mut qontak = json!({"secretRef": {"name": "qontak-login"}});
    merge(&mut qontak, change);
    provider(json!({"type": "Qontak", "welkin": null, "qontak": qontak}))
}

/// The change from Welkin to Qontak, and another block of the spec.
pub fn qontak_with(block: &str, change: Value) -> Value {
    let mut qontak = qontak(json!({}));
    qontak["spec"][block] = change;
    qontak
}

/// The same with this value in `target.data`.
pub fn qontak_data(text: &str) -> Value {
    qontak_with("target", json!({"data": {"a": text}}))
}

pub fn target(change: Value) -> Value {
    json!({"spec": {"target": change}})
}

pub fn provider(change: Value) -> Value {
    json!({"spec": {"provider": change}})
}

pub fn renewal(change: Value) -> Value {
    json!({"spec": {"renewal": change}})
}

pub fn metadata(kind: &str, name: &str, value: &str) -> Value {
    target(json!({"metadata": {kind: {name: value}}}))
}

/// The valid ApiCredential with a change.
pub fn changed(change: &Value) -> Value {
    let mut manifest = valid();
    merge(&mut manifest, change.clone());
    manifest
}

/// A JSON merge patch (RFC 7396), except that a `null` is kept where nothing is to be removed, so that the server sees
/// it.
fn merge(value: &mut Value, change: Value) {
    match (value, change) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                if change.is_null() && fields.remove(&name).is_some() {
                    continue;
                }
                merge(fields.entry(name).or_insert(Value::Null), change);
            }
        }
        (value, change) => *value = change,
    }
}

/// Makes it a Qontak ApiCredential with this verification.
pub fn verification(change: Value) -> Value {
    qontak_with("verification", change)
}
