//! Checks whether the CRD in the cluster is older than this operator.
//!
//! With an older CRD the API server silently prunes unknown fields, so that a user sets a field and nothing happens. The check
//! reads the OpenAPI document, which every authenticated client may read, and needs no permission for CRDs.

use std::time::Duration;

use apicredential::api::{self, ApiCredential};
use kube::{Client, Resource as _};
use serde_json::Value;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The greatest depth of a schema.
const MAX_DEPTH: usize = 16;

/// The fields of this operator's CRD that are missing in the cluster's CRD, such as `spec.target.data`. Empty if there are
/// none, or if the document cannot be read.
pub async fn missing_fields(client: &Client) -> Vec<String> {
    let path = format!("/openapi/v3/apis/{}/{}", ApiCredential::group(&()), ApiCredential::version(&()));
    let Ok(request) = http::Request::get(path).body(Vec::new()) else { return Vec::new() };
    let Ok(Ok(document)) = timeout(TIMEOUT, client.request::<Value>(request)).await else { return Vec::new() };
    let Some(served) = find_schema(&document) else { return Vec::new() };
    let own = serde_json::to_value(api::crd()).unwrap_or_default();
    let mut missing = Vec::new();
    compare(&own["spec"]["versions"][0]["schema"]["openAPIV3Schema"], served, "", &mut missing, 0);
    missing
}

/// The schema of the kind ApiCredential.
fn find_schema(document: &Value) -> Option<&Value> {
    let schemas = document.pointer("/components/schemas")?.as_object()?;
    let kind = ApiCredential::kind(&());
    schemas.values().find(|schema| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|it| it["kind"] == kind.as_ref()))
    })
}

fn compare(own: &Value, served: &Value, path: &str, missing: &mut Vec<String>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    for (name, schema) in own["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match served["properties"].get(name) {
            None => missing.push(path),
            // References point to types of Kubernetes, such as metadata.
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
    fn a_missing_field_is_named_with_its_path() {
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
        assert_eq!(find_schema(&document), document.pointer("/components/schemas/b"));
        assert_eq!(find_schema(&json!({})), None);
    }
}
