//! Whether the API server's definition of an ApiCredential is as new as this program.
//!
//! A definition that is older drops fields without a word, and a user who set one waits for nothing. Read from the OpenAPI
//! document, which every authenticated client may read: no right on definitions is asked for.

use std::time::Duration;

use apicredential::api::{self, ApiCredential};
use kube::{Client, Resource as _};
use serde_json::Value;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(10);
/// A schema is not deeper than this.
const DEEPEST: usize = 16;

/// The fields of this program's definition that the API server does not know, such as `spec.target.data`; none if all is
/// well or the document cannot be read.
pub async fn missing_fields(client: &Client) -> Vec<String> {
    let path = format!("/openapi/v3/apis/{}/{}", ApiCredential::group(&()), ApiCredential::version(&()));
    let Ok(request) = http::Request::get(path).body(Vec::new()) else { return Vec::new() };
    let Ok(Ok(document)) = timeout(WITHIN, client.request::<Value>(request)).await else { return Vec::new() };
    let Some(served) = schema_of(&document) else { return Vec::new() };
    let own = serde_json::to_value(api::crd()).unwrap_or_default();
    let mut missing = Vec::new();
    compare(&own["spec"]["versions"][0]["schema"]["openAPIV3Schema"], served, "", &mut missing, 0);
    missing
}

/// The one schema of the document that says it is ours.
fn schema_of(document: &Value) -> Option<&Value> {
    let schemas = document.pointer("/components/schemas")?.as_object()?;
    let kind = ApiCredential::kind(&());
    schemas.values().find(|schema| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|it| it["kind"] == kind.as_ref()))
    })
}

fn compare(own: &Value, served: &Value, path: &str, missing: &mut Vec<String>, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    for (name, schema) in own["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match served["properties"].get(name) {
            None => missing.push(path),
            // References are to Kubernetes' own types, such as metadata.
            Some(served) => compare(schema, served, &path, missing, depth + 1),
        }
    }
    if own.get("items").is_some() {
        compare(&own["items"], &served["items"], path, missing, depth + 1);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(properties: &Value) -> Value {
        json!({ "type": "object", "properties": properties })
    }

    #[test]
    fn a_field_that_is_not_served_is_named_by_its_path() {
        let own = object(&json!({
            "spec": object(&json!({"old": {}, "new": {}, "list": {"items": object(&json!({"inner": {}}))}})),
        }));
        let served = object(&json!({
            "spec": object(&json!({"old": {}, "more": {}, "list": {"items": object(&json!({}))}})),
        }));
        let mut missing = Vec::new();
        compare(&own, &served, "", &mut missing, 0);
        missing.sort();
        assert_eq!(missing, ["spec.list.inner", "spec.new"]);
        missing.clear();
        compare(&own, &own, "", &mut missing, 0);
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn the_schema_is_found_by_its_kind() {
        let of = |kind: &str| json!({"x-kubernetes-group-version-kind": [{"group": "apicredential.io", "kind": kind}]});
        let document = json!({"components": {"schemas": {"a": of("ApiCredentialList"), "b": of("ApiCredential")}}});
        assert_eq!(schema_of(&document), document.pointer("/components/schemas/b"));
        assert_eq!(schema_of(&json!({})), None);
    }
}
