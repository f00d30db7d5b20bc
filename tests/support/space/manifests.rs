//! Manifests to start from.

use serde_json::{Value, json};

use super::super::provider::{Client, StandIn};

/// A Welkin credential's manifest: source `<name>-source`, target `<name>-token`; change it as the test needs.
pub fn welkin(name: &str, client: &Client, stand_in: &StandIn) -> Value {
    manifest(
        name,
        &json!({
            "type": "Welkin",
            "welkin": {
                "tenant": "gh",
                "clientName": client.name(),
                "secretRef": {"name": format!("{name}-source")},
                "endpoint": stand_in.origin(),
            },
        }),
    )
}

/// A Qontak credential's manifest: source `<name>-source`, target `<name>-token`; change it as the test needs.
pub fn qontak(name: &str, stand_in: &StandIn) -> Value {
    manifest(
        name,
        &json!({
            "type": "Qontak",
            "qontak": {"secretRef": {"name": format!("{name}-source")}, "endpoint": stand_in.origin()},
        }),
    )
}

fn manifest(name: &str, provider: &Value) -> Value {
    json!({
        "apiVersion": "apicredential.io/v1alpha1",
        "kind": "ApiCredential",
        "metadata": {"name": name},
        "spec": {"provider": provider, "target": {"name": format!("{name}-token")}},
    })
}
