//! The target Secret when others change it: what is repaired, what costs an exchange, and what is not changed.

use std::time::Instant;

use apicredential::api::ApiCredential;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};

use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space, condition, value};

/// Everything in a Secret except the API server's own metadata.
fn content(secret: &Secret) -> Value {
    json!([secret.data, secret.labels(), secret.annotations(), secret.owner_references(), secret.type_])
}

/// Changes the target of `a`. Returns the version of the ApiCredential that then reports a token in flight. A watch
/// delivers each version, however soon the next one follows.
async fn pending_after<T>(space: &Space, action: impl Future<Output = T>) -> ApiCredential {
    let config = watcher::Config::default().fields("metadata.name=a");
    let mut versions = watcher(space.credentials.clone(), config).applied_objects().boxed();
    versions.try_next().await.unwrap().expect("the present version");
    action.await;
    let pending = async {
        loop {
            let version = versions.try_next().await.unwrap().expect("the watch goes on");
            if condition(&version, "Ready").as_deref() == Some("False/Pending") {
                return version;
            }
        }
    };
    tokio::time::timeout(space::DEADLINE, pending).await.expect("a version that is Pending")
}

#[tokio::test]
async fn a_deleted_target_comes_back_with_one_exchange() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let client = space.first_token("a", &mock_provider).await;
    let before = space.audit().await.by("operator").to("secrets");

    let deleted = Instant::now();
    let reported = pending_after(&space, space.delete_secret("a-token")).await;
    assert_eq!(condition(&reported, "Reconciling").as_deref(), Some("True/Pending"));
    assert_eq!(condition(&reported, "Renewed").as_deref(), Some("True/Issued"), "unchanged");
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    println!("a deleted target was back after {:?}", deleted.elapsed());
    assert_eq!(value(&space.secret("a-token").await.unwrap(), "token"), client.last_token());
    assert_eq!(client.count(), 2);
    let since = space.audit().await.by("operator").to("secrets").since(&before);
    let creates: Vec<bool> =
        since.calls().iter().filter(|call| call.verb == "create").map(|call| call.dry_run).collect();
    assert_eq!(creates, [true, false], "first a dry run whether it could be created: {since}");
}

#[tokio::test]
async fn an_edited_token_or_expiry_or_a_lost_fingerprint_costs_one_exchange_each() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let client = space.first_token("a", &mock_provider).await;
    for (number, edit) in [
        json!({"stringData": {"token": "put-there-manually"}}),
        json!({"data": {"token": null}}),
        json!({"metadata": {"annotations": {"apicredential.io/expires-at": "2999-01-01T00:00:00Z"}}}),
        json!({"metadata": {"annotations": {"apicredential.io/expires-at": "tomorrow"}}}),
        json!({"metadata": {"annotations": {"apicredential.io/issued-at": "2001-01-01T00:00:00Z"}}}),
        json!({"metadata": {"annotations": {"apicredential.io/fingerprint": null}}}),
    ]
    .into_iter()
    .enumerate()
    {
        pending_after(&space, space.patch_secret("a-token", &edit)).await;
        space.wait_condition("a", "Ready", "True/TokenValid").await;
        assert_eq!(client.count(), number + 2, "{edit}");
        let secret = space.secret("a-token").await.unwrap();
        assert_eq!(value(&secret, "token"), client.last_token(), "{edit}");
        let status = space.credential("a").await.status.unwrap();
        let expiry = status.token.unwrap().expiration_time.unwrap().0.to_string();
        assert_eq!(space::annotation(&secret, "expires-at"), Some(expiry), "{edit}");
    }
}

#[tokio::test]
async fn what_others_add_to_the_target_is_kept_over_renewals() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).quick().start().await;
    let client = mock_provider.welkin(&space.unique("a"));
    client.lifetime(4.0);
    space.source_welkin("a-source", "the-first-secret").await;
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    space.wait_ready("a").await;
    let foreign = json!({
        "metadata": {"labels": {"team": "care"}, "annotations": {"example.com/note": "keep", "apicredential.io/allow": "b"}},
        "stringData": {"extra": "of somebody else"},
    });
    space.patch_secret("a-token", &foreign).await;
    let before = client.count();
    space.wait_for("two renewals", async || (client.count() >= before + 2).then_some(())).await;
    let token = client.tokens()[before].text.clone();
    let secret = space
        .wait_for("a renewed Secret", async || {
            let secret = space.secret("a-token").await?;
            (value(&secret, "token") != Some(token.clone())).then_some(secret)
        })
        .await;
    assert_eq!(value(&secret, "extra").as_deref(), Some("of somebody else"));
    assert_eq!(secret.labels().get("team").map(String::as_str), Some("care"));
    assert_eq!(secret.annotations().get("example.com/note").map(String::as_str), Some("keep"));
    assert_eq!(secret.annotations().get("apicredential.io/allow").map(String::as_str), Some("b"));
}

#[tokio::test]
async fn our_part_of_the_target_is_repaired_without_an_exchange() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let settings = Settings::new(&space, &mock_provider).patient();
    let _operator = settings.flag("--allowed-target-metadata", "team,example.com/a").start().await;
    let client = mock_provider.welkin(&space.unique("a"));
    space.source_welkin("a-source", "the-first-secret").await;
    let mut manifest = space::welkin("a", &client, &mock_provider);
    manifest["spec"]["target"]["data"] = json!({"authorization": "Bearer {token}"});
    manifest["spec"]["target"]["metadata"] = json!({"labels": {"team": "care"}, "annotations": {"example.com/a": "b"}});
    space.apply(&manifest).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    let written = space.secret("a-token").await.unwrap();
    for edit in [
        json!({"stringData": {"authorization": "Basic abc"}}),
        json!({"data": {"authorization": null}}),
        json!({"metadata": {"labels": {"team": "other"}}}),
        json!({"metadata": {"labels": {"apicredential.io/managed": null}}}),
        json!({"metadata": {"annotations": {"example.com/a": null}}}),
        json!({"metadata": {"annotations": {"apicredential.io/owner": "somebody"}}}),
        json!({"metadata": {"annotations": {"apicredential.io/owner-uid": null, "apicredential.io/keys": null}}}),
    ] {
        space.patch_secret("a-token", &edit).await;
        space
            .wait_for(&format!("the Secret is repaired after {edit}"), async || {
                let secret = space.secret("a-token").await?;
                (content(&secret) == content(&written)).then_some(())
            })
            .await;
    }
    assert_eq!(client.count(), 1);
    let reported = space.credential("a").await;
    assert_eq!(condition(&reported, "Ready").as_deref(), Some("True/TokenValid"));
    assert_eq!(condition(&reported, "Renewed").as_deref(), Some("True/Issued"));
}

#[tokio::test]
async fn an_immutable_target_is_reported_and_neither_deleted_nor_exchanged_for() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    let client = space.first_token("a", &mock_provider).await;
    space.patch_secret("a-token", &json!({"immutable": true})).await;
    let frozen = space.secret("a-token").await.unwrap();
    client.accept("the-second-secret");
    space.source_welkin("a-source", "the-second-secret").await;
    space
        .wait_until("a", "TargetImmutable is reported, and the token still counts", |credential| {
            condition(credential, "Ready").as_deref() == Some("True/RenewalFailing")
                && condition(credential, "Renewed").as_deref() == Some("False/TargetImmutable")
        })
        .await;
    space.wait_reads("a-token", 3).await;
    assert_eq!(client.count(), 1);
    assert_eq!(space.secret("a-token").await.unwrap(), frozen);
    space.delete_secret("a-token").await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 2);
}
