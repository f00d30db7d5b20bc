//! What `kubectl apply -f crds/ -f deploy/` creates in a cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::strict_api::{JSON, apply, send, try_create};
use crate::support::control_plane::{self, Content, ControlPlane};
use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space, condition};

/// The namespace of the examples, with the strictest pod security, so that the example pod has to meet it.
pub const NAMESPACE: &str = "care";

#[tokio::test]
async fn every_manifest_applies_strictly_and_without_a_warning() {
    let client = installed().await;
    // Once more on top of itself, as in every upgrade.
    for (file, manifest) in all_manifests() {
        apply_quietly(&client, &file, &manifest).await;
    }
    let crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/apicredentials.apicredential.io";
    let crd = send(&client, Method::GET, crd, &[], None).await.accepted();
    for condition in crd["status"]["conditions"].as_array().expect("conditions") {
        let expected = if condition["type"] == "NonStructuralSchema" { "False" } else { "True" };
        assert_eq!(condition["status"], expected, "{condition}");
    }
}

#[test]
fn install_yaml_contains_no_crd_so_that_its_removal_keeps_every_token() {
    let kinds: Vec<_> = manifests("deploy/install.yaml").iter().map(|manifest| manifest["kind"].clone()).collect();
    assert!(!kinds.contains(&json!("CustomResourceDefinition")), "{kinds:?}");
    for kind in ["Namespace", "ServiceAccount", "Deployment"] {
        assert_eq!(named(kind)["metadata"]["name"], "apicredential-operator");
    }
}

#[test]
fn the_operator_has_the_permissions_it_needs_and_no_more() {
    let rule = |group: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [group], "resources": [resource], "verbs": verbs});
    let expected = json!([
        rule("", "secrets", &["get", "create", "patch", "list", "watch"]),
        rule("apicredential.io", "apicredentials", &["get", "list", "watch"]),
        rule("apicredential.io", "apicredentials/status", &["patch"]),
        rule("events.k8s.io", "events", &["create", "patch"]),
    ]);
    assert_eq!(named("ClusterRole")["rules"], expected);

    let lease = |verbs: &[&str]| rule("coordination.k8s.io", "leases", verbs);
    let mut own = lease(&["get", "update"]);
    own["resourceNames"] = json!(["apicredential-operator"]);
    assert_eq!(named("Role")["rules"], json!([lease(&["create"]), own]));

    for (file, manifest) in all_manifests() {
        let rules = manifest["rules"].to_string();
        assert!(!rules.contains('*'), "{file}: a wildcard in {rules}");
    }
}

#[tokio::test]
async fn the_service_account_may_do_what_its_roles_say() {
    let client = installed().await;
    let own = "apicredential-operator";
    for (allowed, namespace, verb, group, resource, name) in [
        (true, "care", "patch", "", "secrets", "any"),
        (true, "", "watch", "", "secrets", ""),
        (true, "care", "patch", "apicredential.io", "apicredentials/status", "any"),
        (true, own, "create", "coordination.k8s.io", "leases", ""),
        (true, own, "update", "coordination.k8s.io", "leases", "apicredential-operator"),
        (false, own, "update", "coordination.k8s.io", "leases", "another"),
        (false, "care", "create", "coordination.k8s.io", "leases", ""),
        (false, "care", "delete", "", "secrets", "any"),
        (false, "care", "deletecollection", "", "secrets", ""),
        (false, "care", "update", "", "secrets", "any"),
        (false, "care", "patch", "apicredential.io", "apicredentials", "any"),
        (false, "care", "delete", "apicredential.io", "apicredentials", "any"),
        (false, "care", "get", "", "configmaps", "any"),
    ] {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": "system:serviceaccount:apicredential-operator:apicredential-operator",
                "resourceAttributes": {
                    "namespace": namespace, "verb": verb, "group": group,
                    "resource": resource, "subresource": subresource, "name": name,
                },
            },
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let review = send(&client, Method::POST, path, &[JSON], Some(&review)).await.accepted();
        assert_eq!(review["status"]["allowed"], allowed, "{verb} {group}/{resource} {name} in '{namespace}'");
    }
}

#[tokio::test]
async fn a_pod_of_the_deployment_is_admitted_where_only_restricted_pods_are() {
    let client = installed().await;
    let mut pod = named("Deployment")["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["name"] = json!("operator");
    let answer = try_create(&client, &pod, "apicredential-operator").await;
    assert_eq!(answer.warnings, Vec::<String>::new());
    answer.accepted();

    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
    let answer = try_create(&client, &pod, "apicredential-operator").await;
    assert!(answer.body.to_string().contains("violates PodSecurity"), "the namespace checks nothing: {}", answer.body);
}

#[tokio::test]
async fn the_operator_works_with_its_service_accounts_own_token_and_gets_no_403() {
    const OWN: &str = "apicredential-operator";
    let plane = installed_plane().await;
    let (space, mock_provider) = (Space::on(Arc::clone(&plane)).await, MockProvider::start());
    let kubeconfig = plane.kubeconfig_for_service_account(OWN, OWN).await;
    let permissions: Api<Lease> = Api::namespaced(control_plane::client(&kubeconfig).await, OWN);
    space.wait_for("the permissions are in effect", async || permissions.get_opt(OWN).await.ok().map(drop)).await;
    let settings = Settings::new(&space, &mock_provider).without_flag("--namespaces").flag("--lease-namespace", OWN);
    let operator = settings.kubeconfig(&kubeconfig).quick().start().await;
    let client = mock_provider.welkin(&space.unique("a"));
    client.lifetime(6.0);
    space.source_welkin("a-source", "any secret at all").await;
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    space.wait_for("a renewal", async || (client.count() >= 2).then_some(())).await;
    space
        .wait_until("a", "the renewal is reported", |credential| {
            credential.status.as_ref().is_some_and(|status| status.revision >= Some(2))
        })
        .await;
    // Once end to end: a rejection, an event, a repair, and a Secret that is created again.
    space.delete_secret("a-token").await;
    space.wait_for("it is back", async || space.secret("a-token").await).await;
    space.source("a-source", None, &[("secret", "any")]).await;
    space.patch_secret("a-source", &json!({"metadata": {"labels": {"apicredential.io/source": null}}})).await;
    space
        .wait_until("a", "a refusal", |reported| {
            condition(reported, "SourceResolved").as_deref() == Some("False/SourceNotPermitted")
        })
        .await;

    let leases: Api<Lease> = Api::namespaced(plane.client().await, OWN);
    let lease = leases.get(OWN).await.unwrap().spec.unwrap();
    assert!(lease.holder_identity.is_some_and(|holder| !holder.is_empty()));
    operator.terminate(Duration::from_secs(30)).await;
    let user = format!("system:serviceaccount:{OWN}:{OWN}");
    let requests = || {
        let log = fs::read_to_string(plane.audit_log()).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["user"]["username"] == user.as_str()).collect::<Vec<_>>()
    };
    for (verb, resource) in [
        ("create", "secrets"),
        ("patch", "secrets"),
        ("watch", "secrets"),
        ("watch", "apicredentials"),
        ("patch", "apicredentials"),
        ("create", "events"),
        ("create", "leases"),
    ] {
        let is = |line: &Value| line["verb"] == verb && line["objectRef"]["resource"] == resource;
        // A watch is logged when the server has noticed its end.
        let seen = async || requests().iter().any(is).then_some(());
        space.wait_for(&format!("{verb} {resource} in the audit log"), seen).await;
    }
    let forbidden: Vec<Value> = requests().into_iter().filter(|it| it["responseStatus"]["code"] == 403).collect();
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}

/// A client to a control plane with everything applied.
pub async fn installed() -> Client {
    installed_plane().await.client().await
}

/// A control plane with everything applied. It is not the shared one, because the policy holds for all of it.
pub async fn installed_plane() -> Arc<ControlPlane> {
    static CONTROL_PLANE: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
    let start = || async {
        let control_plane = ControlPlane::start(Content::Empty).await.expect("a control plane");
        let client = control_plane.client().await;
        let namespace = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {
                "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted",
            }},
        });
        apply(&client, &namespace, None).await.accepted();
        for (file, manifest) in all_manifests() {
            apply_quietly(&client, &file, &manifest).await;
        }
        Arc::new(control_plane)
    };
    Arc::clone(CONTROL_PLANE.get_or_init(start).await)
}

/// Applies a manifest. Until a CRD is established the server knows no path for its objects, and until the controller
/// has created the account "default" a namespace accepts no pods: both take a second or two.
pub async fn apply_quietly(client: &Client, file: &str, manifest: &Value) {
    let namespace = match manifest["kind"].as_str() {
        // A namespace without objects that it would count.
        Some("ResourceQuota") => Some("default"),
        _ => file.starts_with("deploy/examples/").then_some(NAMESPACE),
    };
    let mut answer = apply(client, manifest, namespace).await;
    for _ in 0..600 {
        let early =
            answer.status == 404 || answer.body["message"].as_str().unwrap_or_default().contains("serviceaccount");
        if !early {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer = apply(client, manifest, namespace).await;
    }
    assert!(answer.warnings.is_empty(), "{file}: {:?}", answer.warnings);
    assert!(answer.status.is_success(), "{file}: {}", answer.body);
}

/// The object of that kind in `deploy/install.yaml` with the operator's name.
fn named(kind: &str) -> Value {
    let objects = manifests("deploy/install.yaml").into_iter();
    let mut objects =
        objects.filter(|object| object["kind"] == kind && object["metadata"]["name"] == "apicredential-operator");
    objects.next().unwrap_or_else(|| panic!("install.yaml has no {kind} apicredential-operator"))
}

/// Everything in `crds/` and `deploy/`, in the order in which a user applies it.
fn all_manifests() -> Vec<(String, Value)> {
    let mut files = vec!["crds/apicredentials.yaml".to_owned()];
    for directory in ["deploy", "deploy/guard-rails", "deploy/examples"] {
        let entries = fs::read_dir(repository().join(directory)).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"));
        let mut names: Vec<_> = names.filter(|name| name.ends_with(".yaml")).collect();
        names.sort_by_key(|name| (name != "install.yaml", name.clone()));
        files.extend(names.into_iter().map(|name| format!("{directory}/{name}")));
    }
    let pairs = files.into_iter().flat_map(|file| {
        let manifests = manifests(&file);
        manifests.into_iter().map(move |manifest| (file.clone(), manifest))
    });
    pairs.collect()
}

pub fn manifests(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(repository().join(file)).expect("a manifest");
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
