//! Applies our own manifests to a control plane: the CRD, the operator's account, its permissions.

use std::fs;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::mode::{self, Mode};

const CRD: &str = "crds/apicredentials.yaml";
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(120);

/// The CRD, then the operator's account and the permissions that it has everywhere.
pub async fn everything(client: &Client) -> Result<(), String> {
    custom_resource_definition(client, &crd()?).await?;
    for object in Mode::of_run().everywhere() {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        match object["kind"].as_str().unwrap_or_default() {
            "Namespace" => apply(&Api::<Namespace>::all(client.clone()), name, &object).await?,
            "ServiceAccount" => {
                apply(&Api::<ServiceAccount>::namespaced(client.clone(), mode::NAME), name, &object).await?;
            }
            "ClusterRole" => apply(&Api::<ClusterRole>::all(client.clone()), name, &object).await?,
            "ClusterRoleBinding" => apply(&Api::<ClusterRoleBinding>::all(client.clone()), name, &object).await?,
            kind => return Err(format!("{kind} is not for all namespaces")),
        }
    }
    Ok(())
}

async fn custom_resource_definition(client: &Client, manifest: &Value) -> Result<(), String> {
    let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
    let crds = Api::<CustomResourceDefinition>::all(client.clone());
    apply(&crds, name, manifest).await?;
    let established = await_condition(crds, name, conditions::is_crd_established());
    match tokio::time::timeout(ESTABLISHED_WITHIN, established).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("waiting for {name}: {error}")),
        Err(_) => Err(format!("{name} was not established within {ESTABLISHED_WITHIN:?}")),
    }
}

async fn apply<K>(api: &Api<K>, name: &str, manifest: &Value) -> Result<(), String>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let parameters = PatchParams::apply("tests").force();
    let applied = api.patch(name, &parameters, &Patch::Apply(manifest)).await;
    applied.map(drop).map_err(|error| format!("applying {name}: {error}"))
}

fn crd() -> Result<Value, String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(CRD));
    let text = text.map_err(|error| format!("{CRD}: {error}"))?;
    serde_saphyr::from_str(&text).map_err(|error| format!("{CRD}: {error}"))
}
