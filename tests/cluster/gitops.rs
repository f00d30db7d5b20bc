//! Together with a GitOps tool: the target Secret never looks like one of its objects, and re-applying costs nothing.

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::install::manifests;
use crate::strict_api::{apply, create};
use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space, annotation, value};

/// What Argo CD and Flux write on the objects that they own.
const TRACKING: [&str; 7] = [
    "app.kubernetes.io/instance",
    "argocd.argoproj.io/instance",
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/sync-wave",
    "argocd.argoproj.io/sync-options",
    "kustomize.toolkit.fluxcd.io/name",
    "kustomize.toolkit.fluxcd.io/namespace",
];

#[tokio::test]
async fn the_target_never_carries_the_tracking_marks_of_its_credential() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).quick().start().await;
    let client = mock_provider.welkin(&space.unique("a"));
    client.lifetime(4.0);
    space.source_welkin("a-source", "any secret at all").await;
    let mut manifest = space::welkin("a", &client, &mock_provider);
    let marks: Value = TRACKING.iter().map(|name| ((*name).to_owned(), json!("care"))).collect();
    manifest["metadata"]["labels"] = marks.clone();
    manifest["metadata"]["annotations"] = marks;
    space.apply(&manifest).await;
    space.wait_ready("a").await;

    let first = space.secret("a-token").await.unwrap();
    // Once created, once patched.
    let renewed = space
        .wait_for("a renewed Secret", async || {
            space.secret("a-token").await.filter(|secret| value(secret, "token") != value(&first, "token"))
        })
        .await;
    for secret in [first, renewed] {
        let names = secret.labels().keys().chain(secret.annotations().keys());
        let foreign: Vec<&String> = names.filter(|name| !name.starts_with("apicredential.io/")).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
        // Argo CD prunes nothing that has an owner; Kubernetes collects it with the ApiCredential.
        let owners = secret.owner_references();
        assert_eq!(owners.iter().map(|owner| owner.kind.as_str()).collect::<Vec<_>>(), ["ApiCredential"]);
    }
}

#[tokio::test]
async fn a_merge_target_from_git_is_applied_again_and_keeps_its_token() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let client = mock_provider.welkin(&space.unique("a"));
    space.source_welkin("a-source", "any secret at all").await;
    let mut manifest = space::welkin("a", &client, &mock_provider);
    manifest["spec"]["target"]["creationPolicy"] = json!("Merge");
    // As in docs/gitops.md: the Secret in Git names the consent and not the keys that are ours.
    let in_git = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "a-token",
            "labels": {"kustomize.toolkit.fluxcd.io/name": "care"},
            "annotations": {"apicredential.io/allow": "a"},
        },
        "stringData": {"config": "of the application"},
    });
    space.apply_secret(&in_git).await;
    space.apply(&manifest).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    let written = space.secret("a-token").await.unwrap();

    // A sync applies both again, server-side. A change in Git takes effect.
    let mut changed = in_git.clone();
    changed["stringData"]["config"] = json!("of the next release");
    for applied in [&in_git, &changed] {
        let secret = space.apply_secret(applied).await;
        space.apply(&manifest).await;
        assert_eq!(value(&secret, "token"), client.last_token());
        for name in ["owner", "keys", "expires-at", "fingerprint"] {
            assert_eq!(annotation(&secret, name), annotation(&written, name), "{name}");
        }
    }
    // The next change that costs an exchange is the only one that does.
    space.patch_secret("a-token", &json!({"data": {"token": null}})).await;
    space.wait_for("a second token", async || (client.count() >= 2).then_some(())).await;
    let repaired = space
        .wait_for("the second token in the Secret", async || {
            space.secret("a-token").await.filter(|secret| value(secret, "token") == client.last_token())
        })
        .await;
    assert_eq!(client.count(), 2);
    assert_eq!(value(&repaired, "config").as_deref(), Some("of the next release"));
    assert_eq!(repaired.owner_references(), []);
}

#[tokio::test]
async fn the_patch_for_argo_cd_leaves_its_other_settings_alone() {
    let space = Space::new().await;
    let own = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "labels": {"app.kubernetes.io/part-of": "argocd"}},
        "data": {"url": "https://argocd.example.com", "resource.customizations.health.example.com_Other": "return {}"},
    });
    create(&space.client, &own, &space.name).await.accepted();
    let mut patch = manifests("deploy/gitops/argocd/argocd-cm.yaml").remove(0);
    patch["metadata"]["namespace"] = json!(space.name);
    let answer = apply(&space.client, &patch, None).await;
    assert_eq!(answer.warnings, Vec::<String>::new());
    let patched = answer.accepted();
    assert_eq!(patched["metadata"]["labels"], own["metadata"]["labels"]);
    let mut expected = own["data"].as_object().unwrap().clone();
    expected.extend(patch["data"].as_object().unwrap().clone());
    assert_eq!(patched["data"], Value::Object(expected));
}
