//! `status`.

use serde_json::json;

use crate::fixture::{self, Scene};
use crate::support::provider::Reply;
use crate::support::space;
use crate::transcript::Transcript;

#[tokio::test]
async fn the_tree_of_a_healthy_apicredential_shows_both_secrets_and_the_next_step() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let client = scene.welkin_client("care").await;
    let mut manifest = space::welkin("care", &client, &scene.mock_provider);
    manifest["spec"]["target"]["data"] = json!({"authorization": "Bearer {token}"});
    scene.space.apply(&manifest).await;
    scene.space.wait_ready("care").await;
    scene.space.wait_events("care", 1).await;
    scene.qontak_user("chat").await;
    scene.apply_qontak("chat").await;
    scene.space.wait_ready("chat").await;
    scene.space.wait_events("chat", 1).await;

    let mut shell = Transcript::new("status", &scene);
    for arguments in [
        &["status", "care"][..],
        &["status", "chat"],
        &["status", "care", "-o", "json"],
        &["status", "chat", "-o", "yaml"],
    ] {
        assert_eq!(shell.run_in(&scene.space, arguments).await.code, 0);
    }
    shell.check();
}

#[tokio::test]
async fn the_tree_of_an_unhealthy_apicredential_contains_the_remedy() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    // No consent; a provider that rejects the login; a target that the operator does not own; a missing source.
    let unlabelled = scene.welkin_client("unlabelled").await;
    let remove = json!({"metadata": {"labels": {"apicredential.io/source": null}}});
    scene.space.patch_secret("unlabelled-source", &remove).await;
    scene.apply_welkin("unlabelled", &unlabelled).await;
    let rejected = scene.welkin_client("rejected").await;
    rejected.always(Reply::error(401));
    scene.apply_welkin("rejected", &rejected).await;
    let foreign = scene.welkin_client("foreign").await;
    scene
        .space
        .apply_secret(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "foreign-token"}}))
        .await;
    scene.apply_welkin("foreign", &foreign).await;
    let gone = scene.welkin_client("gone").await;
    scene.space.delete_secret("gone-source").await;
    scene.apply_welkin("gone", &gone).await;
    for (name, reason) in [
        ("unlabelled", "False/SourceNotPermitted"),
        ("rejected", "False/CredentialsRejected"),
        ("foreign", "False/TargetNotOwned"),
        ("gone", "False/SourceSecretNotFound"),
    ] {
        scene.space.wait_condition(name, "Ready", reason).await;
        scene.space.wait_events(name, 1).await;
    }

    let mut shell = Transcript::new("status-trouble", &scene);
    for name in ["unlabelled", "rejected", "foreign", "gone"] {
        assert_eq!(shell.run_in(&scene.space, &["status", name]).await.code, 0);
    }
    shell.check();
}

#[tokio::test]
async fn drift_of_the_target_and_an_unknown_condition_are_shown() {
    let scene = Scene::new().await;
    let operator = scene.operator().patient().start().await;
    let client = scene.welkin_client("care").await;
    scene.apply_welkin("care", &client).await;
    let ready = scene.space.wait_ready("care").await;
    scene.space.wait_events("care", 1).await;
    operator.kill();
    let drift =
        json!({"labels": {"apicredential.io/managed": null}, "annotations": {"apicredential.io/keys": "token,old"}});
    scene.space.patch_secret("care-token", &json!({"metadata": drift})).await;
    let mut status = fixture::status(&ready);
    let verified = json!({
        "type": "Verified", "status": "False", "reason": "UnknownReason", "message": "Follow the release notes.",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    status["conditions"].as_array_mut().unwrap().push(verified);
    scene.patch_status("care", &status).await;
    scene.request_renewal("care", "manually").await;

    let mut shell = Transcript::new("status-drift", &scene);
    assert_eq!(shell.run_in(&scene.space, &["status", "care"]).await.code, 0);
    // A change of the spec that no operator has reconciled.
    scene.space.patch("care", &json!({"spec": {"target": {"tokenKey": "access"}}})).await;
    assert_eq!(shell.run_in(&scene.space, &["status", "care"]).await.code, 0);
    shell.check();
}

#[tokio::test]
async fn missing_reconciles_and_missing_permissions_are_shown() {
    let scene = Scene::new().await;
    let client = scene.welkin_client("care").await;
    scene.apply_welkin("care", &client).await;
    let rules = [json!({"apiGroups": ["apicredential.io"], "resources": ["apicredentials"], "verbs": ["get"]})];
    let account = scene.space.account("developer", &with_lease(&rules)).await;

    let mut shell = Transcript::new("status-hidden", &scene);
    shell.run_in(&scene.space, &["status", "care"]).await;
    shell.kubeconfig(&account.kubeconfig);
    assert_eq!(shell.run_in(&scene.space, &["status", "care"]).await.code, 0);
    assert_eq!(shell.run_in(&scene.space, &["status", "cair"]).await.code, 3);
    shell.check();
}

/// Adds the permission to read leases: the support code waits for it to know that the account's RBAC is in effect.
pub fn with_lease(rules: &[serde_json::Value]) -> Vec<serde_json::Value> {
    let lease = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get"]});
    rules.iter().cloned().chain([lease]).collect()
}
