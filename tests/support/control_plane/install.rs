//! Puts our own manifests into a control plane, and gives the user `operator` the operator's rights.

use std::fs;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const CRD: &str = "crds/apicredentials.yaml";
const INSTALL: &str = "deploy/install.yaml";
/// The name of the ClusterRole and the Role that the operator's service account is bound to.
const OPERATOR: &str = "apicredential-operator";
const ESTABLISHED_WITHIN: Duration = Duration::from_secs(120);

/// The CRD, then the rights; a file that does not exist (yet) is left out.
pub async fn everything(client: &Client) -> Result<(), String> {
    for manifest in manifests(CRD)? {
        custom_resource_definition(client, &manifest).await?;
    }
    let roles = roles(manifests(INSTALL)?);
    if roles.is_empty() {
        return bind(client, "cluster-admin").await;
    }
    for role in roles {
        let name = name_of(&role);
        apply::<ClusterRole>(client, &name, &role).await?;
        bind(client, &name).await?;
    }
    Ok(())
}

async fn custom_resource_definition(client: &Client, manifest: &Value) -> Result<(), String> {
    let name = name_of(manifest);
    apply::<CustomResourceDefinition>(client, &name, manifest).await?;
    let established = await_condition(Api::all(client.clone()), &name, conditions::is_crd_established());
    match tokio::time::timeout(ESTABLISHED_WITHIN, established).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("waiting for {name}: {error}")),
        Err(_) => Err(format!("{name} was not established within {ESTABLISHED_WITHIN:?}")),
    }
}

/// The operator's own, not those for people. A Role (the lease) becomes a ClusterRole, because each test has a
/// namespace of its own.
fn roles(manifests: Vec<Value>) -> Vec<Value> {
    manifests
        .into_iter()
        .filter(|manifest| name_of(manifest) == OPERATOR)
        .filter_map(|manifest| match manifest["kind"].as_str() {
            Some("ClusterRole") => Some(manifest),
            Some("Role") => Some(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": format!("{OPERATOR}-lease")},
                "rules": manifest["rules"],
            })),
            _ => None,
        })
        .collect()
}

async fn bind(client: &Client, role: &str) -> Result<(), String> {
    let name = format!("operator-user-{role}");
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
    });
    apply::<ClusterRoleBinding>(client, &name, &binding).await
}

async fn apply<K>(client: &Client, name: &str, manifest: &Value) -> Result<(), String>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let parameters = PatchParams::apply("tests").force();
    let applied = Api::<K>::all(client.clone()).patch(name, &parameters, &Patch::Apply(manifest)).await;
    applied.map(drop).map_err(|error| format!("applying {name}: {error}"))
}

fn name_of(manifest: &Value) -> String {
    manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn manifests(file: &str) -> Result<Vec<Value>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
    serde_saphyr::from_multiple(&text).map_err(|error| format!("{file}: {error}"))
}
