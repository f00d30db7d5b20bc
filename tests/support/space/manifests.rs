//! Manifests to start from.

use serde_json::{Value, json};

use super::super::provider::{Client, MockProvider};

/// The manifest of a Welkin ApiCredential: source `<name>-source`, target `<name>-token`. Tests change it as needed.
pub fn welkin(name: &str, client: &Client, mock_provider: &MockProvider) -> Value {
    manifest(
        name,
        &json!({
            "type": "Welkin",
            "welkin": {
                "tenant": "gh",
                "clientName": client.name(),
                "secretRef": {"name": format!("{name}-source")},
                "endpoint": mock_provider.origin(),
            },
        }),
    )
}

/// The manifest of a Qontak ApiCredential: source `<name>-source`, target `<name>-token`. Tests change it as needed.
pub fn qontak(name: &str, mock_provider: &MockProvider) -> Value {
    manifest(
        name,
        &json!({
            "type": "Qontak",
            "qontak": {"secretRef": {"name": format!("{name}-source")}, "endpoint": mock_provider.origin()},
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
