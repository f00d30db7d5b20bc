//! Changes that need no new token: the Secret follows them, and the provider gets no request.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use serde_json::json;

use crate::fixture::{Scene, text_map};
use crate::support::space::{self, annotation, value};

#[tokio::test]
async fn labels_and_annotations_of_the_apicredential_change_nothing() {
    let scene = Scene::new().await;
    let client = scene.welkin_client("a").await;
    let _operator = scene.operator().patient().start().await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    let reported = async || (scene.calls("a").await.to("events").writes() > 0).then_some(());
    scene.space.wait_for("the event, the last of the first sync", reported).await;
    let (secret, calls) = (scene.target("a").await, scene.calls("a").await);

    for number in 0..10 {
        let metadata =
            json!({"labels": {"number": number.to_string()}, "annotations": {"example.com/n": "x".repeat(number)}});
        scene.space.patch("a", &json!({ "metadata": metadata })).await;
    }
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(client.count(), 1);
    let since = scene.calls("a").await.since(&calls);
    assert!(since.calls().is_empty(), "{since}");
    assert_eq!(scene.target("a").await, secret);
}

#[tokio::test]
async fn a_resync_costs_nothing() {
    let scene = Scene::new().await;
    let (client, other) = (scene.welkin_client("a").await, scene.welkin_client("other").await);
    let _operator = scene.operator().quick().flag("--resync", "1s").start().await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    let reported = async || (scene.calls("a").await.to("events").writes() > 0).then_some(());
    scene.space.wait_for("the event, the last of the first sync", reported).await;
    let calls = scene.calls("a").await;
    // Some seconds pass, and more resyncs than one.
    other.lifetime(9.0);
    scene.apply_welkin("other", &other).await;
    scene.space.wait_until("other", "renewed", |it| it.status.as_ref().unwrap().revision >= Some(2)).await;
    let since = scene.calls("a").await.since(&calls);
    assert!(since.calls().is_empty() && client.count() == 1, "{since}");
}

#[tokio::test]
async fn a_changed_renew_before_moves_the_planned_renewal_and_requests_nothing() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    let before = scene.space.wait_ready("a").await.status.unwrap().renewal_time.unwrap();
    let secret = scene.target("a").await;
    scene.space.patch("a", &json!({"spec": {"renewal": {"renewBefore": "2m"}}})).await;
    let later = |credential: &apicredential::api::ApiCredential| {
        space::observed(credential) && credential.status.as_ref().unwrap().renewal_time.as_ref() > Some(&before)
    };
    scene.space.wait_until("a", "a later renewal", later).await;
    assert_eq!(client.count(), 1);
    assert_eq!(scene.target("a").await, secret);
}

#[tokio::test]
async fn the_secret_follows_its_spec_without_an_exchange() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient().flag("--allowed-target-metadata", "one,two,three");
    let _operator = settings.start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    // A part of the Secret that is not ours.
    let theirs = json!({
        "metadata": {"labels": {"their": "label"}, "annotations": {"their": "annotation"}},
        "stringData": {"their": "value"},
    });
    scene.space.patch_secret("a-token", &theirs).await;

    let token = client.last_token().unwrap();
    let bearer = format!("Bearer {token}");
    let steps = [
        // What is patched in spec.target, the data and the metadata of ours after it.
        (
            json!({"data": {"authorization": "Bearer {token}", "by": "{provider}"}}),
            vec![("authorization", bearer.as_str()), ("by", "Welkin"), ("token", &token)],
            vec![],
        ),
        (
            json!({"data": {"authorization": null, "by": "a {provider}"}}),
            vec![("by", "a Welkin"), ("token", &token)],
            vec![],
        ),
        (json!({"tokenKey": "bearer"}), vec![("bearer", token.as_str()), ("by", "a Welkin")], vec![]),
        // The keys change places.
        (
            json!({"tokenKey": "by", "data": {"by": null, "bearer": "{provider}"}}),
            vec![("bearer", "Welkin"), ("by", &token)],
            vec![],
        ),
        (
            json!({"data": null, "tokenKey": "token", "metadata": {"labels": {"one": "1", "two": "2"}, "annotations": {"three": "3"}}}),
            vec![("token", token.as_str())],
            vec![("one", "1"), ("two", "2"), ("three", "3")],
        ),
        (
            json!({"metadata": {"labels": {"one": null, "two": "II"}, "annotations": null}}),
            vec![("token", token.as_str())],
            vec![("two", "II")],
        ),
        (json!({"metadata": null}), vec![("token", token.as_str())], vec![]),
    ];
    for (target, data, metadata) in steps {
        scene.space.patch("a", &json!({"spec": {"target": target}})).await;
        let follows = async || {
            let secret = scene.target("a").await;
            (ours(&secret) == (text_map(&data), text_map(&metadata))).then_some(secret)
        };
        let secret = scene.space.wait_for(&format!("the Secret follows {target}"), follows).await;
        assert_eq!(value(&secret, "their").as_deref(), Some("value"));
        assert_eq!(secret.labels().get("their").map(String::as_str), Some("label"));
        let keys = annotation(&secret, "keys").unwrap();
        assert_eq!(value(&secret, keys.split(',').next().unwrap()), Some(token.clone()), "the token's key comes first");
        scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    }
    assert_eq!(client.count(), 1);
    assert_eq!(scene.space.credential("a").await.status.unwrap().revision, Some(1));
}

/// Data, and labels and annotations together, without those of others and our own annotations.
fn ours(secret: &Secret) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let data = secret.data.as_ref().unwrap().keys().filter(|key| *key != "their");
    let data = data.map(|key| (key.clone(), value(secret, key).unwrap())).collect();
    let metadata = secret.labels().iter().chain(secret.annotations());
    let metadata = metadata.filter(|(name, _)| *name != "their" && !name.starts_with("apicredential.io/"));
    (data, metadata.map(|(name, text)| (name.clone(), text.clone())).collect())
}
