//! Service accounts with chosen permissions: an operator with an identity of its own in the audit log, or one that
//! lacks a permission.

use std::path::{Path, PathBuf};

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::control_plane;
use super::mode::{self, Mode, PinnedNames};
use super::space::Space;

/// A service account, and its name in the audit log.
pub struct Account {
    pub kubeconfig: PathBuf,
    pub user: String,
}

/// The rules of the operator's own roles, from `deploy/install.yaml`.
pub fn operator_rules() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/install.yaml");
    let text = std::fs::read_to_string(path).expect("the file is readable");
    let manifests: Vec<Value> = serde_saphyr::from_multiple(&text).expect("the file is YAML");
    let roles = manifests.into_iter().filter(|manifest| {
        let kind = manifest["kind"].as_str().unwrap_or_default();
        manifest["metadata"]["name"] == "apicredential-operator" && ["Role", "ClusterRole"].contains(&kind)
    });
    roles.flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default()).collect()
}

/// The same without these verbs on a resource.
pub fn operator_rules_without(resource: &str, verbs: &[&str]) -> Vec<Value> {
    let mut rules = operator_rules();
    for rule in rules.iter_mut().filter(|rule| rule["resources"] == json!([resource])) {
        let kept = rule["verbs"].as_array().into_iter().flatten();
        let kept: Vec<Value> = kept.filter(|verb| !verbs.iter().any(|gone| *verb == gone)).cloned().collect();
        rule["verbs"] = kept.into();
    }
    rules.retain(|rule| rule["verbs"] != json!([]));
    rules
}

impl Space {
    /// A service account with these permissions in this namespace. Returns once they are in effect.
    pub async fn account(&self, name: &str, rules: &[Value]) -> Account {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        apply::<ServiceAccount>(&self.client, &self.name, &account).await;
        self.grant(name, &self.name, rules).await;
        let kubeconfig = self.plane.kubeconfig_for_service_account(&self.name, name).await;
        let leases: Api<Lease> = Api::namespaced(control_plane::client(&kubeconfig).await, &self.name);
        let lease = "apicredential-operator";
        self.wait_for("the permissions are in effect", async || leases.get_opt(lease).await.ok().map(drop)).await;
        Account { kubeconfig, user: format!("system:serviceaccount:{}:{name}", self.name) }
    }

    /// Gives the operator's own account the permissions of its mode in a namespace. Returns once they are in effect.
    pub(super) async fn admit_operator(&self, secrets: &PinnedNames) {
        let mode = Mode::of_run();
        for object in mode.within(&self.name, secrets) {
            match object["kind"].as_str() {
                Some("Role") => apply::<Role>(&self.client, &self.name, &object).await,
                _ => apply::<RoleBinding>(&self.client, &self.name, &object).await,
            }
        }
        let mut permissions = vec![("create", "coordination.k8s.io", "leases", "")];
        if mode != Mode::Cluster {
            permissions.push(("patch", "apicredential.io", "apicredentials/status", ""));
        }
        permissions.extend(secrets.sources.iter().map(|name| ("get", "", "secrets", name.as_str())));
        permissions.extend(secrets.targets.iter().map(|name| ("patch", "", "secrets", name.as_str())));
        for permission in permissions {
            self.wait_for(&format!("{permission:?} is in effect"), async || {
                self.operator_may(permission).await.then_some(())
            })
            .await;
        }
    }

    async fn operator_may(&self, (verb, group, resource, name): (&str, &str, &str, &str)) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({"spec": {
            "user": mode::USER,
            "resourceAttributes": {
                "namespace": self.name, "verb": verb, "group": group, "resource": resource,
                "subresource": subresource, "name": name,
            },
        }});
        let review: SubjectAccessReview = serde_json::from_value(review).expect("a review");
        let reviews = Api::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await.expect("admin may create reviews");
        answer.status.is_some_and(|status| status.allowed)
    }

    /// Gives this namespace's account exactly these permissions in a namespace.
    pub async fn grant(&self, account: &str, namespace: &str, rules: &[Value]) {
        let group = "rbac.authorization.k8s.io";
        let api_version = format!("{group}/v1");
        let role = json!({"apiVersion": api_version, "kind": "Role", "metadata": {"name": account}, "rules": rules});
        apply::<Role>(&self.client, namespace, &role).await;
        let binding = json!({
            "apiVersion": api_version, "kind": "RoleBinding", "metadata": {"name": account},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": self.name}],
        });
        apply::<RoleBinding>(&self.client, namespace, &binding).await;
    }
}

async fn apply<K>(client: &Client, namespace: &str, manifest: &Value)
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let name = manifest["metadata"]["name"].as_str().expect("a manifest has a name");
    let parameters = PatchParams::apply("tests").force();
    let api = Api::<K>::namespaced(client.clone(), namespace);
    api.patch(name, &parameters, &Patch::Apply(manifest)).await.expect("the manifest is accepted");
}
