//! The manifest of an ApiCredential. It has only the fields that the flags set: the defaults are those of the CRD.

use apicredential::api::{ApiCredential, Provider};
use kube::Resource as _;
use serde_json::{Map, Value, json};

use super::Common;
use crate::error::{Exit, PluginError};

/// The manifest with this block for the provider.
pub fn manifest(
    provider: Provider,
    block: &Value,
    common: &Common,
    namespace: Option<&str>,
) -> Result<Value, PluginError> {
    let mut data = Map::new();
    for entry in &common.data {
        let (key, template) = entry.split_once('=').ok_or_else(|| {
            PluginError::new(Exit::Usage, format!("--data {entry} has no equals sign; write it as KEY=TEMPLATE."))
        })?;
        data.insert(key.to_owned(), template.into());
    }
    let renewal = without_nulls(&json!({
        "renewBefore": common.renew_before,
        "renewBeforePercentage": common.renew_before_percentage,
        "maxAge": common.max_age,
    }));
    let spec = json!({
        "provider": {"type": provider, provider.label(): without_nulls(block)},
        "target": without_nulls(&json!({
            "name": common.target,
            "creationPolicy": common.merge.then_some("Merge"),
            "tokenKey": common.token_key,
            "data": (!data.is_empty()).then_some(data),
        })),
        "renewal": (renewal != json!({})).then_some(renewal),
    });
    Ok(json!({
        "apiVersion": ApiCredential::api_version(&()),
        "kind": ApiCredential::kind(&()),
        "metadata": without_nulls(&json!({"name": common.name, "namespace": namespace})),
        "spec": without_nulls(&spec),
    }))
}

/// Parses the manifest. An error is a bug of the plugin.
pub fn parse(manifest: &Value) -> Result<ApiCredential, PluginError> {
    serde_json::from_value(manifest.clone()).map_err(|_| PluginError::local("the manifest is none; please report this"))
}

/// The object without the fields that are null.
pub fn without_nulls(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten();
    Value::Object(
        fields.filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), value.clone())).collect(),
    )
}
