//! `creationPolicy: Merge`: an existing Secret that consents, of which only our part is written.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::operator::Settings;
use crate::support::provider::{Client, MockProvider};
use crate::support::space::{self, Space, annotation, condition, message, value};

const ALLOW: &str = "apicredential.io/allow";

/// A source, and an ApiCredential that merges into `<name>-token`.
async fn merging(space: &Space, name: &str, mock_provider: &MockProvider) -> (Client, Value) {
    let client = mock_provider.welkin(&space.unique(name));
    space.source_welkin(&format!("{name}-source"), "any secret at all").await;
    let mut manifest = space::welkin(name, &client, mock_provider);
    manifest["spec"]["target"]["creationPolicy"] = json!("Merge");
    (client, manifest)
}

/// A Secret that another client created.
fn mounted(name: &str, allow: Option<&str>) -> Value {
    let mut manifest = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "labels": {"team": "care"}, "annotations": {"example.com/note": "keep"}},
        "stringData": {"config": "of the application"},
    });
    if let Some(allow) = allow {
        manifest["metadata"]["annotations"][ALLOW] = json!(allow);
    }
    manifest
}

/// The entries of a map that are not ours.
fn foreign(entries: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    entries.clone().into_iter().filter(|(name, _)| name == ALLOW || !name.starts_with("apicredential.io/")).collect()
}

#[tokio::test]
async fn a_merge_target_is_never_created_and_is_written_once_it_consents() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let (client, manifest) = merging(&space, "a", &mock_provider).await;
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.apply(&manifest).await;
    space.wait_condition("a", "Ready", "False/TargetNotFound").await;
    space.wait_reads("a-token", 3).await;
    assert_eq!(space.audit().await.by("operator").to("secrets").writes(), 0, "never created, not even in a dry run");

    let made = space.apply_secret(&mounted("a-token", None)).await;
    let reported = space.wait_condition("a", "Ready", "False/TargetNotPermitted").await;
    space.wait_reads("a-token", 3).await;
    assert_eq!(space.secret("a-token").await.unwrap(), made);
    assert_eq!(mock_provider.total(), 0);

    space.follow_kubectl(&message(&reported, "Ready").unwrap()).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    let secret = space.secret("a-token").await.unwrap();
    assert_eq!(value(&secret, "token"), client.last_token());
    assert_eq!(client.count(), 1);
    assert_eq!(value(&secret, "config").as_deref(), Some("of the application"));
    assert_eq!(secret.data.as_ref().unwrap().len(), 2);
    assert_eq!(secret.uid(), made.uid());
    assert!(secret.owner_references().is_empty(), "it must not be deleted with the ApiCredential");
    assert_eq!(foreign(secret.labels()), foreign(made.labels()));
    assert_eq!(secret.labels().get("apicredential.io/managed").map(String::as_str), Some("true"));
    let expected =
        BTreeMap::from([(ALLOW.to_owned(), "a".to_owned()), ("example.com/note".to_owned(), "keep".to_owned())]);
    assert_eq!(foreign(secret.annotations()), expected);
    assert_eq!(annotation(&secret, "owner").as_deref(), Some("a"));
    assert_eq!(annotation(&secret, "keys").as_deref(), Some("token"));
}

#[tokio::test]
async fn consent_for_another_can_be_replaced_with_the_command_in_the_message() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let (client, manifest) = merging(&space, "a", &mock_provider).await;
    space.apply_secret(&mounted("a-token", Some("somebody-else"))).await;
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.apply(&manifest).await;
    let reported = space.wait_condition("a", "Ready", "False/TargetNotPermitted").await;
    space.follow_kubectl(&message(&reported, "Ready").unwrap()).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn a_key_that_exists_is_overwritten_only_if_the_consent_names_it() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let (client, manifest) = merging(&space, "a", &mock_provider).await;
    let mut mounted = mounted("a-token", Some("a"));
    mounted["stringData"]["token"] = json!("of the application, too");
    let made = space.apply_secret(&mounted).await;
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.apply(&manifest).await;
    let reported = space.wait_condition("a", "Ready", "False/TargetKeyTaken").await;
    assert!(message(&reported, "Ready").unwrap().contains("\"token\""), "{reported:?}");
    space.wait_reads("a-token", 3).await;
    assert_eq!(mock_provider.total(), 0);
    assert_eq!(space.secret("a-token").await.unwrap().data, made.data);

    space.follow_kubectl(&message(&reported, "Ready").unwrap()).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    let secret = space.secret("a-token").await.unwrap();
    assert_eq!(value(&secret, "token"), client.last_token());
    assert_eq!(client.count(), 1);
}

/// Pods take their environment from the Secret, so that each key becomes a variable.
#[tokio::test]
async fn a_key_that_the_consent_does_not_name_is_not_added_either() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let (client, mut manifest) = merging(&space, "a", &mock_provider).await;
    manifest["spec"]["target"]["data"] = json!({"LD_PRELOAD": "/tmp/of-the-author.so"});
    let made = space.apply_secret(&mounted("a-token", Some("a"))).await;
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.apply(&manifest).await;
    // The name alone, the key of the token alone, the other key alone, another spelling.
    for allow in ["a", "a:token", "a:LD_PRELOAD", "a:token,ld_preload"] {
        space.patch_secret("a-token", &json!({"metadata": {"annotations": {ALLOW: allow}}})).await;
        space.wait_reads("a-token", 3).await;
        let reported = space.wait_condition("a", "Ready", "False/TargetNotPermitted").await;
        assert_eq!(condition(&reported, "Stalled").as_deref(), Some("True/TargetNotPermitted"), "{allow}");
        assert_eq!(space.secret("a-token").await.unwrap().data, made.data, "{allow}");
    }
    assert_eq!(mock_provider.total(), 0);

    let reported = space.credential("a").await;
    let says = message(&reported, "Ready").unwrap();
    assert!(says.ends_with("apicredential.io/allow=a:token,LD_PRELOAD"), "{says}");
    space.follow_kubectl(&says).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(value(&space.secret("a-token").await.unwrap(), "LD_PRELOAD").as_deref(), Some("/tmp/of-the-author.so"));
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn a_consent_that_becomes_narrower_stops_the_writes_and_leaves_the_token_in_use() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let (client, mut manifest) = merging(&space, "a", &mock_provider).await;
    manifest["spec"]["target"]["data"] = json!({"authorization": "Bearer {token}"});
    space.apply_secret(&mounted("a-token", Some("a:token,authorization"))).await;
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.apply(&manifest).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    let written = space.patch_secret("a-token", &json!({"metadata": {"annotations": {ALLOW: "a:token"}}})).await;
    space.patch("a", &json!({"metadata": {"annotations": {"apicredential.io/renew-requested-at": "now"}}})).await;
    let reported = space.wait_condition("a", "Ready", "True/RenewalFailing").await;
    assert_eq!(condition(&reported, "Renewed").as_deref(), Some("False/TargetNotPermitted"));
    space.wait_reads("a-token", 3).await;
    assert_eq!(space.secret("a-token").await.unwrap(), written);
    assert_eq!(client.count(), 1);

    // The spec wants what is permitted: the key that the operator wrote before goes, and the renewal comes.
    space.patch("a", &json!({"spec": {"target": {"data": null}}})).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    space
        .wait_for("the renewal", async || {
            let secret = space.secret("a-token").await?;
            let is_the_last = value(&secret, "token") == client.last_token();
            (client.count() == 2 && is_the_last && value(&secret, "authorization").is_none()).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_deleted_apicredential_leaves_its_merge_secret_and_a_new_one_of_its_name_adopts_the_token() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let (client, manifest) = merging(&space, "a", &mock_provider).await;
    space.apply_secret(&mounted("a-token", Some("a"))).await;
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    space.apply(&manifest).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    let left = space.secret("a-token").await.unwrap();

    space.delete("a").await;
    space.wait_for("it is gone", async || space.credentials.get_opt("a").await.unwrap().is_none().then_some(())).await;
    // The operator had the chance to do something wrong: a later ApiCredential is reconciled.
    space.first_token("later", &mock_provider).await;
    assert_eq!(space.secret("a-token").await.unwrap(), left, "nothing is cleaned up");

    let again = space.apply(&manifest).await;
    let reported = space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(condition(&reported, "Renewed").as_deref(), Some("True/Adopted"));
    assert_eq!(client.count(), 1);
    let secret = space.secret("a-token").await.unwrap();
    assert_eq!(value(&secret, "token"), value(&left, "token"));
    assert_eq!(annotation(&secret, "owner-uid"), again.uid());
    let events: Vec<String> = space.wait_events("a", 2).await.into_iter().map(|(_, reason, _)| reason).collect();
    assert_eq!(events.iter().filter(|reason| *reason == "Adopted").count(), 1, "{events:?}");
}

#[tokio::test]
async fn a_secret_that_another_existing_apicredential_writes_is_not_merged_into() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.first_token("owner", &mock_provider).await;
    space.patch_secret("owner-token", &json!({"metadata": {"annotations": {ALLOW: "a:token"}}})).await;
    let written = space.secret("owner-token").await.unwrap();
    let (client, mut manifest) = merging(&space, "a", &mock_provider).await;
    manifest["spec"]["target"]["name"] = json!("owner-token");
    space.apply(&manifest).await;
    space.wait_condition("a", "Ready", "False/TargetOwnedByOther").await;
    space.wait_reads("owner-token", 3).await;
    assert_eq!(client.count(), 0);
    assert_eq!(space.secret("owner-token").await.unwrap(), written);
}

#[tokio::test]
async fn a_target_that_cannot_or_must_not_be_written_is_named_before_any_request() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    let mut immutable = mounted("immutable-token", Some("immutable"));
    immutable["immutable"] = json!(true);
    let mut typed = mounted("typed-token", Some("typed"));
    typed["type"] = json!("example.com/own");
    let mut source = mounted("source-token", Some("source"));
    source["metadata"]["labels"]["apicredential.io/source"] = json!("welkin");
    // That the Secret is foreign takes precedence over everything else.
    let mut several = mounted("several-token", None);
    several["immutable"] = json!(true);
    several["type"] = json!("example.com/own");
    let cases = [
        ("immutable", immutable, "TargetImmutable"),
        ("typed", typed, "TargetTypeConflict"),
        ("source", source, "TargetIsSource"),
        ("several", several, "TargetNotPermitted"),
    ];
    let mut made = Vec::<Secret>::new();
    for (name, secret, _) in &cases {
        made.push(space.apply_secret(secret).await);
        let (_, manifest) = merging(&space, name, &mock_provider).await;
        space.apply(&manifest).await;
    }
    for ((name, _, reason), made) in cases.iter().zip(&made) {
        space.wait_condition(name, "Ready", &format!("False/{reason}")).await;
        assert_eq!(space.secret(&format!("{name}-token")).await.as_ref(), Some(made));
    }
    assert_eq!(mock_provider.total(), 0);
    assert_eq!(space.audit().await.by("operator").to("secrets").writes(), 0);
}
