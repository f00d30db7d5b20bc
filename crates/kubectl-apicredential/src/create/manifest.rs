//! The manifest, with what the user said and nothing else: defaults are left to the definition.

use apicredential::api::{ApiCredential, Provider};
use kube::Resource as _;
use serde_json::{Map, Value, json};

use super::{Common, Qontak, Welkin};
use crate::failure::{Exit, Failure};

/// The source Secret as the command line names it.
pub struct Source {
    pub name: String,
    /// The key that a file without one is for.
    pub key: Option<String>,
}

pub fn welkin(flags: &Welkin, namespace: Option<&str>) -> Result<(Value, Source), Failure> {
    let (name, key) = match flags.secret_ref.split_once(':') {
        Some((name, key)) => (name, Some(key)),
        None => (flags.secret_ref.as_str(), None),
    };
    let block = json!({
        "tenant": flags.tenant,
        "clientName": flags.client_name,
        "secretRef": without_nulls(&json!({"name": name, "key": key})),
        "endpoint": flags.common.endpoint,
    });
    let manifest = manifest(Provider::Welkin, &block, &flags.common, namespace)?;
    let key = credential(&manifest)?.spec.provider.welkin.map(|welkin| welkin.secret_ref.key);
    Ok((manifest, Source { name: name.to_owned(), key }))
}

pub fn qontak(flags: &Qontak, namespace: Option<&str>) -> Result<(Value, Source), Failure> {
    let block = json!({"secretRef": {"name": flags.secret_ref}, "endpoint": flags.common.endpoint});
    let manifest = manifest(Provider::Qontak, &block, &flags.common, namespace)?;
    Ok((manifest, Source { name: flags.secret_ref.clone(), key: None }))
}

/// The same, as the library's type: a field of another shape ends here.
pub fn credential(manifest: &Value) -> Result<ApiCredential, Failure> {
    serde_json::from_value(manifest.clone()).map_err(|_| Failure::local("the manifest is none; please report this"))
}

fn manifest(provider: Provider, block: &Value, common: &Common, namespace: Option<&str>) -> Result<Value, Failure> {
    let mut data = Map::new();
    for entry in &common.data {
        let (key, template) = entry.split_once('=').ok_or_else(|| {
            Failure::new(Exit::Usage, format!("--data {entry} has no equals sign; write it as KEY=TEMPLATE."))
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

fn without_nulls(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten();
    Value::Object(
        fields.filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), value.clone())).collect(),
    )
}
