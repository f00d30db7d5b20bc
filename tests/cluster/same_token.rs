//! A provider that issues the same token again, as with Doorkeeper's reuse of tokens: no hot loop, and a defined
//! outcome.

use serde_json::json;

use crate::fixture::{Scene, content};
use crate::support::provider::Reply;
use crate::support::space::{self, annotation, condition, value};

/// The ApiCredential `a`, whose tokens have half of their lifetime left when they are due, so that a test can read
/// them.
async fn apply_renewed_at_half(scene: &Scene) {
    let mut manifest = space::qontak("a", &scene.mock_provider);
    manifest["spec"]["renewal"] = json!({"renewBeforePercentage": 50});
    scene.space.apply(&manifest).await;
}

#[tokio::test]
async fn a_due_renewal_that_extends_nothing_keeps_the_secret_and_requests_again_at_its_expiry() {
    let scene = Scene::new().await;
    let user = scene.qontak_user("a").await;
    user.lifetime(30.0).reuse_tokens(true);
    let _operator = scene.operator().quick().start().await;
    apply_renewed_at_half(&scene).await;
    scene.space.wait_ready("a").await;
    let secret = scene.target("a").await;

    let kept = scene.space.wait_condition("a", "Renewed", "False/TokenNotExtended").await;
    assert_eq!(condition(&kept, "Ready").as_deref(), Some("True/TokenValid"));
    assert_eq!((condition(&kept, "Reconciling"), condition(&kept, "Stalled")), (None, None));
    let status = kept.status.unwrap();
    assert_eq!(status.failed_attempts, Some(0));
    // A tenth of the lifetime before the expiry.
    let expiry = status.token.unwrap().expiration_time.unwrap().0.as_second();
    assert_eq!(status.next_attempt_time.unwrap().0.as_second(), expiry - 3);
    assert_eq!(user.count(), 2);
    assert_eq!(content(&scene.target("a").await), content(&secret), "byte for byte");

    // The provider issues a new one once the old one has expired.
    let renewed = async || (value(&scene.target("a").await, "token") != value(&secret, "token")).then_some(());
    scene.space.wait_for("another token", renewed).await;
    scene.space.wait_condition("a", "Renewed", "True/Issued").await;
    // Issue, due, shortly before the expiry, at the expiry, and perhaps once more within the rounding of the expiry.
    assert!((4..=6).contains(&user.count()), "{}", user.count());
    assert_eq!(user.tokens().len(), 2);
}

#[tokio::test]
async fn a_token_that_is_not_extended_is_not_requested_again_after_a_restart() {
    let scene = Scene::new().await;
    let user = scene.qontak_user("a").await;
    user.lifetime(60.0).reuse_tokens(true);
    let settings = scene.operator().quick();
    let operator = settings.start().await;
    apply_renewed_at_half(&scene).await;
    let kept = scene.space.wait_condition("a", "Renewed", "False/TokenNotExtended").await;
    assert!(operator.terminate(space::DEADLINE).await.success());
    let _operator = settings.start().await;
    scene.trigger_reconciles("a", 2).await;
    let now = scene.space.credential("a").await;
    assert_eq!((user.count(), now.status), (2, kept.status));
}

#[tokio::test]
async fn the_same_token_for_a_changed_source_is_written_with_the_new_source() {
    let scene = Scene::new().await;
    let user = scene.qontak_user("a").await;
    user.reuse_tokens(true);
    let _operator = scene.operator().patient().start().await;
    scene.apply_qontak("a").await;
    scene.space.wait_ready("a").await;
    let before = scene.target("a").await;
    user.accept("another password");
    let source = scene.space.source_qontak("a-source", user.name(), "another password").await;

    let version = format!("{}/{}", source.metadata.uid.unwrap(), source.metadata.resource_version.unwrap());
    let written = async || {
        let secret = scene.target("a").await;
        (annotation(&secret, "source-version").as_ref() == Some(&version)).then_some(secret)
    };
    let after = scene.space.wait_for("the new source version", written).await;
    assert_eq!(value(&after, "token"), value(&before, "token"));
    assert_eq!(user.requests().last().unwrap().secret, "another password");
    let credential =
        scene.space.wait_until("a", "revision 2", |it| it.status.as_ref().unwrap().revision == Some(2)).await;
    assert_eq!(condition(&credential, "Ready").as_deref(), Some("True/TokenValid"));
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(user.count(), 2);
}

#[tokio::test]
async fn a_token_that_expires_is_reported_as_expired_and_recovers() {
    let scene = Scene::new().await;
    let user = scene.qontak_user("a").await;
    user.lifetime(30.0).reuse_tokens(true);
    let _operator = scene.operator().quick().start().await;
    apply_renewed_at_half(&scene).await;
    scene.space.wait_condition("a", "Renewed", "False/TokenNotExtended").await;
    user.always(Reply::error(503));
    let expired = scene.space.wait_condition("a", "Ready", "False/TokenExpired").await;
    assert_eq!(condition(&expired, "Stalled"), None);
    let failing = scene.space.wait_condition("a", "Renewed", "False/ProviderUnavailable").await;
    assert_eq!(condition(&failing, "Ready").as_deref(), Some("False/TokenExpired"));
    assert_eq!(condition(&failing, "Reconciling").as_deref(), Some("True/ProviderUnavailable"));
    user.always(Reply::token());
    let back = scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(condition(&back, "Renewed").as_deref(), Some("True/Issued"));
    assert_eq!((condition(&back, "Reconciling"), condition(&back, "Stalled")), (None, None));
    let status = back.status.unwrap();
    assert_eq!((status.failed_attempts, status.next_attempt_time), (Some(0), None));
    assert_eq!(user.tokens().len(), 2);
}
