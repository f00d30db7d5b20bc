//! A suspended ApiCredential: nothing is requested or written, and the status stays correct.

use serde_json::json;

use crate::fixture::{Scene, content};
use crate::support::provider::Reply;
use crate::support::space::{self, annotation, condition, value};

#[tokio::test]
async fn an_apicredential_suspended_from_the_start_reports_it_and_exchanges_once_it_is_resumed() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let client = scene.welkin_client("a").await;
    let mut manifest = space::welkin("a", &client, &scene.mock_provider);
    manifest["spec"]["suspend"] = json!(true);
    scene.space.apply(&manifest).await;
    let credential = scene.space.wait_condition("a", "Ready", "False/Suspended").await;
    assert_eq!(condition(&credential, "Reconciling"), None);
    assert_eq!(condition(&credential, "Stalled"), None);
    assert!(scene.space.secret("a-token").await.is_none());
    assert_eq!(client.count(), 0);

    scene.space.patch("a", &json!({"spec": {"suspend": false}})).await;
    scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn a_suspended_token_is_reported_until_it_expires_and_renewed_once_after_that() {
    let scene = Scene::new().await;
    let _operator = scene.operator().quick().start().await;
    let client = scene.welkin_client("a").await;
    client.next(Reply::token().lifetime(20.0));
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    scene.space.patch("a", &json!({"spec": {"suspend": true}})).await;
    let credential = scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(condition(&credential, "Renewed").as_deref(), Some("True/Issued"));
    let secret = scene.target("a").await;
    // Neither its expiry, nor other values in the source, nor a change of spec.target.
    client.accept("another secret");
    scene.space.source_welkin("a-source", "another secret").await;
    scene.space.patch("a", &json!({"spec": {"target": {"data": {"by": "{provider}"}}}})).await;
    let credential = scene.space.wait_condition("a", "Ready", "False/TokenExpired").await;
    assert_eq!(condition(&credential, "Reconciling"), None);
    assert_eq!(condition(&credential, "Stalled"), None);
    scene.trigger_reconciles("a", 3).await;
    assert_eq!(client.count(), 1);
    assert_eq!(content(&scene.target("a").await), content(&secret));

    scene.space.patch("a", &json!({"spec": {"suspend": false}})).await;
    scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    scene.trigger_reconciles("a", 3).await;
    assert_eq!(client.count(), 2);
    assert_eq!(client.requests()[1].secret, "another secret");
    assert_eq!(value(&scene.target("a").await, "by").as_deref(), Some("Welkin"));
}

#[tokio::test]
async fn a_renew_request_waits_while_suspended_and_is_handled_on_resume() {
    let scene = Scene::new().await;
    let _operator = scene.operator().start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    scene.space.patch("a", &json!({"spec": {"suspend": true}})).await;
    scene.request_renewal("a", "now").await;
    // Long enough after the last attempt for a request to be handled.
    let first = client.requests()[0].at;
    let old = async || {
        let age = apicredential_operator::clock::now().duration_since(first).as_secs();
        (age > 31).then_some(())
    };
    scene.space.wait_for("half a minute to pass", old).await;
    scene.trigger_reconciles("a", 3).await;
    assert_eq!(client.count(), 1);
    assert_eq!(annotation(&scene.target("a").await, "renew-request"), None);

    scene.space.patch("a", &json!({"spec": {"suspend": false}})).await;
    scene.wait_answered("a", "now").await;
    scene.trigger_reconciles("a", 3).await;
    assert_eq!(client.count(), 2);
}
