//! What is rendered from the Helm chart, and the chart itself, on a real API server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::helm::{self, chart, repository};
use crate::install;
use crate::strict_api::{Response, apply, collection, send};
use crate::support::control_plane::ControlPlane;

/// The CRDs of Prometheus Operator: the Go module that contains them, and its checksum.
const MONITORING: &str = "github.com/prometheus-operator/prometheus-operator@v0.85.0";
const MONITORING_SUM: &str = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=";

#[tokio::test]
async fn every_rendering_is_accepted_strictly_and_without_a_warning() {
    let client = ready_for_renderings().await.client().await;
    let everything = repository().join("tests/chart/everything.yaml").display().to_string();
    let everything = helm::template(&["--values", &everything]).unwrap();
    let mut renderings = vec![("everything".to_owned(), everything)];
    for entry in fs::read_dir(repository().join("deploy/rendered")).unwrap() {
        let file = entry.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        renderings.push((file.display().to_string(), serde_saphyr::from_multiple(&text).unwrap()));
    }
    assert_eq!(renderings.len(), 5);
    for (rendering, objects) in renderings {
        for object in objects {
            let answer = try_apply(&client, &object).await;
            assert_eq!(answer.warnings, Vec::<String>::new(), "{rendering}: {object}");
            assert!(answer.status.is_success(), "{rendering}: {} of {object}", answer.body);
        }
    }
}

#[tokio::test]
async fn a_field_that_no_crd_has_is_detected() {
    let client = ready_for_renderings().await.client().await;
    let text = fs::read_to_string(repository().join("deploy/rendered/cluster.yaml")).unwrap();
    for mut object in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
        let kind = object["kind"].as_str().unwrap().to_owned();
        if object["spec"].is_object() {
            object["spec"]["mistyped"] = json!(1);
            let answer = try_apply(&client, &object).await;
            assert!(answer.body.to_string().contains("mistyped"), "{kind}: {} {}", answer.status, answer.body);
        }
    }
}

#[tokio::test]
async fn helm_installs_narrows_and_uninstalls_and_leaves_every_apicredential() {
    let plane = ready_for_renderings().await;
    let client = plane.client().await;
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/tokens-apicredential-operator";
    let pinned = "/apis/rbac.authorization.k8s.io/v1/namespaces/care/roles/tokens-apicredential-operator-credentials";
    let deployment = "/apis/apps/v1/namespaces/tokens/deployments/tokens-apicredential-operator";
    let credential = "/apis/apicredential.io/v1alpha1/namespaces/care/apicredentials/welkin";
    let there = async |path: &str| send(&client, Method::GET, path, &[], None).await.status.is_success();

    // The ClusterRoles for users have fixed names and exist already, from deploy/install.yaml.
    let common = ["tokens", &chart(), "--set", "aggregatedRoles=false"];
    release(&plane, &[&["install", "--create-namespace"], &common[..]].concat());
    assert!(there(role).await && there(deployment).await);

    let named = r#"pinned=[{"namespace":"care","sources":["login"],"targets":["token"]}]"#;
    release(&plane, &[&["upgrade"], &common[..], &["--set", "mode=pinned", "--set-json", named]].concat());
    assert!(!there(role).await, "the cluster-wide permissions are still there");
    assert!(there(pinned).await && there(deployment).await);

    release(&plane, &["uninstall", "tokens", "--wait"]);
    assert!(!there(pinned).await && !there(deployment).await);
    assert!(there(credential).await, "helm uninstall deleted an ApiCredential");
}

/// Runs Helm on the control plane.
fn release(plane: &ControlPlane, arguments: &[&str]) {
    let kubeconfig = plane.admin_kubeconfig().display().to_string();
    let output = helm::helm(&[arguments, &["--namespace", "tokens", "--kubeconfig", &kubeconfig]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Applies an object with strict validation and admission, as a dry run.
async fn try_apply(client: &Client, object: &Value) -> Response {
    let name = object["metadata"]["name"].as_str().expect("a name");
    let query = "dryRun=All&fieldManager=kubectl&force=true&fieldValidation=Strict";
    let path = format!("{}/{name}?{query}", collection(object, None));
    send(client, Method::PATCH, &path, &[("content-type", "application/apply-patch+yaml")], Some(object)).await
}

/// A control plane with our own manifests applied, and with the prerequisites of the renderings: the namespaces that
/// they name, and Prometheus Operator's CRDs.
async fn ready_for_renderings() -> Arc<ControlPlane> {
    static READY: OnceCell<()> = OnceCell::const_new();
    let plane = install::installed_plane().await;
    READY.get_or_init(async || prepare(&plane.client().await).await).await;
    plane
}

async fn prepare(client: &Client) {
    for name in ["messaging", "leases"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        apply(client, &namespace, None).await.accepted();
    }
    let crds = monitoring_crds();
    for resource in ["podmonitors", "prometheusrules"] {
        let text = fs::read_to_string(crds.join(format!("monitoring.coreos.com_{resource}.yaml"))).unwrap();
        let crd: Value = serde_saphyr::from_str(&text).unwrap();
        apply(client, &crd, None).await.accepted();
        let path = format!("/apis/monitoring.coreos.com/v1/{resource}");
        let served = async || send(client, Method::GET, &path, &[], None).await.status.is_success().then_some(());
        let served = crate::support::space::poll(Duration::from_secs(120), served).await;
        assert!(served.is_some(), "{resource} is not served");
    }
}

/// The folder with the CRDs, from Go's module cache.
fn monitoring_crds() -> PathBuf {
    let output = Command::new("go").args(["mod", "download", "-json", MONITORING]).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let module: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(module["Sum"], MONITORING_SUM);
    Path::new(module["Dir"].as_str().unwrap()).join("example/prometheus-operator-crd")
}
