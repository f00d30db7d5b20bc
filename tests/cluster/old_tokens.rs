//! Tokens that are older than a test can wait for, or younger than the clock allows: the times stored with a token
//! are shifted, with a matching fingerprint, while no operator runs.

use apicredential::api::ApiCredential;
use jiff::Timestamp;
use serde_json::json;

use crate::fixture::{Scene, content, seconds};
use crate::support::old_tokens;
use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Client, Reply};
use crate::support::space::{self, DEADLINE, annotation, condition, value};

const HOUR: i64 = 3600;

#[tokio::test]
async fn a_token_at_its_maximum_age_is_renewed_once_although_it_is_valid_longer() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient();
    let user = scene.qontak_user("a").await;
    user.lifetime(29_823_918.0);
    let operator = aged(&scene, &settings, "10m", -HOUR).await;
    scene.space.wait_until("a", "a second token", |it| it.status.as_ref().unwrap().revision == Some(2)).await;
    let due = r#"apicredential_renewals_total{provider="Qontak",cause="due"}"#;
    assert_eq!(operator.metric(due).await, Some(1.0));
    assert_eq!(value(&scene.target("a").await, "token"), user.last_token());
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!((user.count(), user.tokens().len()), (2, 2));
}

#[tokio::test]
async fn a_token_without_expiry_that_is_issued_again_is_requested_one_maximum_age_later() {
    let scene = Scene::new().await;
    // The longest transient delay is a minute, and does not shorten the ten minutes.
    let settings = scene.operator().quick();
    let user = scene.qontak_user("a").await;
    user.always(Reply::token().without_expiry()).reuse_tokens(true);
    let operator = aged(&scene, &settings, "10m", -HOUR).await;
    let kept = scene.space.wait_condition("a", "Renewed", "False/TokenNotExtended").await;
    assert_eq!(condition(&kept, "Ready").as_deref(), Some("True/TokenValid"));
    let status = kept.status.unwrap();
    let seen = apicredential_operator::clock::now().as_second();
    let (asked, next) = (status.last_attempt.unwrap().time.0, status.next_attempt_time.clone().unwrap().0);
    // Counted from the response, which came between the two, and rounded up.
    assert!((asked.as_second() + 600..=seen + 601).contains(&next.as_second()), "{asked} {next} {seen}");
    let secret = scene.target("a").await;
    scene.trigger_reconciles("a", 2).await;
    end(&operator).await;
    let _operator = settings.start().await;
    scene.trigger_reconciles("a", 2).await;
    assert_eq!(user.count(), 2);
    assert_eq!(value(&scene.target("a").await, "token"), value(&secret, "token"));
    assert_eq!(scene.space.credential("a").await.status.unwrap().next_attempt_time, status.next_attempt_time);
}

#[tokio::test]
async fn a_token_from_the_future_counts_from_now_and_costs_no_exchange() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient();
    let client = scene.welkin_client("a").await;
    // In the future by less than the margin, which is a third of the lifetime.
    let (_operator, _) = shifted(&scene, &settings, &client, 3600.0, HOUR / 6).await;
    let secret = scene.target("a").await;
    scene.trigger_reconciles("a", 1).await;
    let credential = scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    let token = credential.status.unwrap().token.unwrap();
    let left = token.expiration_time.unwrap().0.duration_since(apicredential_operator::clock::now()).as_secs();
    assert!((HOUR - 60..=HOUR).contains(&left), "{left}");
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(client.count(), 1);
    assert_eq!(content(&scene.target("a").await), content(&secret));
}

#[tokio::test]
async fn a_token_from_the_far_future_is_replaced_before_it_can_have_expired() {
    let scene = Scene::new().await;
    let settings = scene.operator().quick();
    let client = scene.welkin_client("a").await;
    let (_operator, before) = shifted(&scene, &settings, &client, 20.0, HOUR).await;
    let present = async || {
        let secret = scene.target("a").await;
        (seconds(&secret, "issued-at") <= apicredential_operator::clock::now().as_second()).then_some(secret)
    };
    let secret = scene.space.wait_for("a token of the present", present).await;
    assert_eq!(value(&secret, "token"), client.last_token());
    let ready = scene.space.wait_condition("a", "Renewed", "True/Issued").await;
    assert_eq!(ready_since(&ready), ready_since(&before), "Ready without a gap");
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(client.count(), 2);
}

/// A Qontak ApiCredential with this maximum age, whose stored token is shifted in time; then the operator that finds
/// it.
async fn aged(scene: &Scene, settings: &Settings, max_age: &str, by: i64) -> Operator {
    let mut manifest = space::qontak("a", &scene.mock_provider);
    manifest["spec"]["renewal"] = json!({ "maxAge": max_age });
    let operator = settings.start().await;
    scene.space.apply(&manifest).await;
    scene.space.wait_ready("a").await;
    end(&operator).await;
    old_tokens::shift(&scene.space, "a", by).await;
    settings.start().await
}

/// A Welkin ApiCredential whose stored token of that lifetime is shifted in time; then the operator that finds it, and
/// the
/// ApiCredential as it was before.
async fn shifted(
    scene: &Scene,
    settings: &Settings,
    client: &Client,
    lifetime: f64,
    by: i64,
) -> (Operator, ApiCredential) {
    client.next(Reply::token().lifetime(lifetime));
    let operator = settings.start().await;
    scene.apply_welkin("a", client).await;
    let credential = scene.space.wait_ready("a").await;
    end(&operator).await;
    old_tokens::shift(&scene.space, "a", by).await;
    (settings.start().await, credential)
}

fn ready_since(credential: &ApiCredential) -> Timestamp {
    let ready = &credential.status.as_ref().unwrap().conditions[0];
    assert_eq!((ready.type_.as_str(), ready.status.as_str()), ("Ready", "True"));
    ready.last_transition_time.0
}

async fn end(operator: &Operator) {
    let ended = operator.terminate(DEADLINE).await;
    assert!(ended.success(), "{ended}");
}
