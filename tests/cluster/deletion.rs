//! Each way in which an ApiCredential is deleted: its Secret is deleted or kept as requested, nothing is created again,
//! nothing blocks the deletion. The garbage collector and the namespace controller are the real ones.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::json;

use crate::support::account::operator_rules;
use crate::support::control_plane;
use crate::support::mode::Mode;
use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space, condition};

async fn gone(space: &Space, name: &str) {
    let what = format!("{name} is gone");
    space.wait_for(&what, async || space.credentials.get_opt(name).await.unwrap().is_none().then_some(())).await;
}

#[tokio::test]
async fn the_secret_is_deleted_with_its_apicredential_and_not_created_again() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let operator = Settings::new(&space, &mock_provider).patient().start().await;
    let ways = [("back", DeleteParams::background()), ("fore", DeleteParams::foreground())];
    for (name, how) in &ways {
        let client = space.first_token(name, &mock_provider).await;
        let secret = space.secret(&format!("{name}-token")).await.unwrap();
        let reference = &secret.owner_references()[0];
        assert_eq!((reference.controller, reference.block_owner_deletion), (Some(true), None));
        assert!(space.credential(name).await.finalizers().is_empty());
        drop(space.credentials.delete(name, how).await.unwrap());
        gone(&space, name).await;
        let what = format!("the Secret of {name} is collected");
        let token = format!("{name}-token");
        space.wait_for(&what, async || space.secret(&token).await.is_none().then_some(())).await;
        // The operator had the chance to create it again: a later ApiCredential is reconciled.
        space.first_token(&format!("after-{name}"), &mock_provider).await;
        assert!(space.secret(&token).await.is_none());
        assert_eq!(client.count(), 1, "{name}");
        let creates =
            space.audit().await.by("operator").to("secrets").only(|call| call.verb == "create" && !call.dry_run);
        assert_eq!(creates.only(|call| call.name == token).calls().len(), 1, "{creates}");
        let series = format!(r#"apicredential_ready{{resource_namespace="{}",resource_name="{name}"}}"#, space.name);
        assert_eq!(operator.metric(&series).await, None, "its series go, too");
    }
}

#[tokio::test]
async fn an_orphaned_secret_stays_and_is_not_adopted_by_a_new_apicredential_of_that_name() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let client = space.first_token("a", &mock_provider).await;
    collector_has_caught_up(&space).await;
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    drop(space.credentials.delete("a", &orphan).await.unwrap());
    gone(&space, "a").await;
    let left = space.secret("a-token").await.unwrap();
    assert!(left.owner_references().is_empty());

    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    let reported = space.wait_condition("a", "Ready", "False/TargetNotOwned").await;
    assert_eq!(condition(&reported, "Stalled").as_deref(), Some("True/TargetNotOwned"));
    assert_eq!(space.secret("a-token").await.unwrap(), left);
    assert_eq!(client.count(), 1);
}

/// Waits until the garbage collector knows every Secret so far: it has collected a later one whose owner is gone.
async fn collector_has_caught_up(space: &Space) {
    let nobody = json!({
        "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential", "name": "nobody",
        "uid": "00000000-0000-4000-8000-000000000000",
    });
    let metadata = json!({"name": "of-nobody", "ownerReferences": [nobody]});
    space.apply_secret(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})).await;
    let collected = async || space.secret("of-nobody").await.is_none().then_some(());
    space.wait_for("a Secret without an owner is collected", collected).await;
}

/// Deletes the whole namespace and waits until it is gone.
async fn delete_namespace(space: &Space) {
    let namespaces: Api<Namespace> = Api::all(space.client.clone());
    drop(namespaces.delete(&space.name, &DeleteParams::background()).await.unwrap());
    space
        .wait_for("the namespace is gone", async || namespaces.get_opt(&space.name).await.ok()?.is_none().then_some(()))
        .await;
}

#[tokio::test]
async fn a_namespace_can_be_deleted_while_the_operator_is_down() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let operator = Settings::new(&space, &mock_provider).patient().start().await;
    space.first_token("a", &mock_provider).await;
    operator.kill();
    delete_namespace(&space).await;
}

#[tokio::test]
async fn a_namespace_deleted_while_the_operator_runs_costs_no_exchange_and_no_error() {
    let (home, mock_provider) = (Space::new().await, MockProvider::start());
    let space = Space::new().await;
    let both = format!("{},{}", home.name, space.name);
    let operator = Settings::new(&home, &mock_provider).eager().flag("--namespaces", &both).start().await;
    let mut clients = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        clients.push(space.first_token(name, &mock_provider).await);
    }
    let events = async || (space.event_writes().await >= 5).then_some(());
    space.wait_for("an event each, the last of the first sync", events).await;
    let before = space.audit().await.by("operator");
    delete_namespace(&space).await;
    home.first_token("later", &mock_provider).await;
    for client in clients {
        assert_eq!(client.count(), 1, "{}", client.name());
    }
    let since = space.audit().await.by("operator").since(&before);
    let stored = since.only(|call| call.is_write() && !call.dry_run && call.code < 300 && call.resource == "secrets");
    assert_eq!(stored.calls().len(), 0, "{since}");
    // Roles in the namespace itself may be deleted before the rest of it. A 403 that cannot be distinguished from a
    // missing permission is then reported, in vain.
    let permissions_stay = Mode::of_run() == Mode::Cluster;
    let reported = since.only(|call| call.resource == "events" && (permissions_stay || call.code < 300));
    assert_eq!(reported.calls().len(), 0, "{since}");
    assert!(operator.is_running());
}

/// `docs/security.md` warns of this use of the operator's permissions.
#[tokio::test]
async fn patch_on_a_secret_is_enough_to_have_it_deleted_by_the_garbage_collector() {
    let space = Space::new().await;
    let account = space.account("patcher", &operator_rules()).await;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "somebodys"}, "stringData": {"a": "b"}});
    space.apply_secret(&secret).await;
    let secrets: Api<Secret> = Api::namespaced(control_plane::client(&account.kubeconfig).await, &space.name);
    let refused = secrets.delete("somebodys", &DeleteParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403), "no role grants it");
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "5f1c0000-0000-4000-8000-000000000000"}]);
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owner}}));
    secrets.patch("somebodys", &PatchParams::default(), &patch).await.unwrap();
    space.wait_for("it is collected", async || space.secret("somebodys").await.is_none().then_some(())).await;
}
