//! `spec.target.metadata`: what would make another program act on the token's Secret is left out, and never written.

use std::time::Duration;

use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space, condition, message, observed, value};

const NOT_ALLOWED: &str = "--allowed-target-metadata";

#[tokio::test]
async fn names_that_are_not_allowed_are_left_out_with_one_warning_and_the_token_is_renewed_all_the_same() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("a"));
    space.source_welkin("a-source", "any secret at all").await;
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let mut manifest = space::welkin("a", &client, &mock_provider);
    // What Helm needs to take the Secret for a release, and two programs to copy it into other namespaces.
    manifest["spec"]["target"]["data"] = json!({"release": "H4sIAAAAAAAA crafted"});
    manifest["spec"]["target"]["metadata"] = json!({
        "labels": {
            "owner": "helm", "name": "planted", "status": "deployed", "version": "1",
            "app.kubernetes.io/name": "billing", "app.kubernetes.io/instance": "billing",
        },
        "annotations": {
            "replicator.v1.mittwald.de/replicate-to": "*",
            "reflector.v1.k8s.emberstack.com/reflection-allowed": "true",
            "reloader.stakater.com/match": "true",
        },
    });
    space.apply(&manifest).await;
    let reported = space.wait_condition("a", "Ready", "True/TokenValid").await;
    let says = message(&reported, "Ready").unwrap();
    for name in [
        "owner",
        "name",
        "status",
        "version",
        "app.kubernetes.io/instance",
        "replicator.v1.mittwald.de/replicate-to",
        "reflector.v1.k8s.emberstack.com/reflection-allowed",
        NOT_ALLOWED,
    ] {
        assert!(says.contains(name), "{name}: {says}");
    }
    let secret = space.secret("a-token").await.unwrap();
    assert_eq!(value(&secret, "token"), client.last_token());
    let labels: Vec<&str> = secret.labels().keys().map(String::as_str).collect();
    assert_eq!(labels, ["apicredential.io/managed", "app.kubernetes.io/name"]);
    let foreign: Vec<&String> =
        secret.annotations().keys().filter(|name| !name.starts_with("apicredential.io/")).collect();
    assert_eq!(foreign, ["reloader.stakater.com/match"]);
    let releases = space.secrets.list_metadata(&ListParams::default().labels("owner=helm")).await.unwrap();
    assert!(releases.items.is_empty(), "Helm finds no release");
    let warnings = async || {
        let events = space.events_of("a").await.into_iter();
        events.filter(|(type_, reason, _)| type_ == "Warning" && reason == "MetadataNotAllowed").count()
    };
    space.wait_events("a", 2).await;
    assert_eq!((client.count(), warnings().await), (1, 1));

    space.patch("a", &json!({"metadata": {"annotations": {"apicredential.io/renew-requested-at": "now"}}})).await;
    space
        .wait_for("the renewed token", async || {
            let secret = space.secret("a-token").await?;
            (client.count() == 2 && value(&secret, "token") == client.last_token()).then_some(())
        })
        .await;
    space.wait_until("a", "two tokens", |it| it.status.as_ref().and_then(|status| status.revision) == Some(2)).await;
    assert_eq!(warnings().await, 1, "reported once");

    // The spec is corrected: the message goes, and nothing else happens.
    space.patch("a", &json!({"spec": {"target": {"metadata": null}}})).await;
    space
        .wait_until("a", "nothing is left out", |it| {
            observed(it) && message(it, "Ready").is_some_and(|says| !says.contains(NOT_ALLOWED))
        })
        .await;
    assert_eq!(condition(&space.credential("a").await, "Ready").as_deref(), Some("True/TokenValid"));
    assert_eq!(client.count(), 2);
}

#[tokio::test]
async fn a_narrower_list_takes_names_away_after_a_restart_without_an_exchange() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("a"));
    space.source_welkin("a-source", "any secret at all").await;
    let mut manifest = space::welkin("a", &client, &mock_provider);
    manifest["spec"]["target"]["metadata"] =
        json!({"labels": {"team": "care"}, "annotations": {"example.com/contact": "care"}});
    let settings = || Settings::new(&space, &mock_provider).patient().flag("--leader-election", "false");
    let wide = settings().flag("--allowed-target-metadata", "team,example.com/contact").start().await;
    space.apply(&manifest).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    let label = |secret: &k8s_openapi::api::core::v1::Secret| secret.labels().get("team").cloned();
    assert_eq!(label(&space.secret("a-token").await.unwrap()).as_deref(), Some("care"));
    wide.terminate(Duration::from_secs(30)).await;

    let narrow = settings().flag("--allowed-target-metadata", "example.com/contact").start().await;
    space.wait_for("the label is gone", async || label(&space.secret("a-token").await?).is_none().then_some(())).await;
    let secret = space.secret("a-token").await.unwrap();
    assert_eq!(secret.annotations().get("example.com/contact").map(String::as_str), Some("care"));
    let says = |it: &apicredential::api::ApiCredential| message(it, "Ready").unwrap_or_default();
    space.wait_until("a", "it names the label", |it| says(it).contains("team") && says(it).contains(NOT_ALLOWED)).await;
    narrow.terminate(Duration::from_secs(30)).await;

    let _wide = settings().flag("--allowed-target-metadata", "team,example.com/contact").start().await;
    space.wait_for("the label is back", async || label(&space.secret("a-token").await?).map(drop)).await;
    space.wait_until("a", "nothing is left out", |it| !says(it).contains(NOT_ALLOWED)).await;
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn the_secret_of_a_helm_release_is_no_target() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("a"));
    let mut manifest = space::welkin("a", &client, &mock_provider);
    manifest["spec"]["target"] = json!({"name": "sh.helm.release.v1.planted.v1", "data": {"release": "crafted"}});
    for policy in ["Owner", "Merge"] {
        manifest["spec"]["target"]["creationPolicy"] = Value::from(policy);
        let error = space.try_apply(&manifest).await.expect_err("a release of Helm is refused").to_string();
        assert!(error.contains("must not begin with sh.helm.release.v1."), "{policy}: {error}");
    }
}
