//! A renewal that a user requests by annotation: once per new text, and not more often than every 30 s.

use apicredential_operator::clock;
use jiff::SignedDuration;

use crate::fixture::{Scene, content, status};
use crate::support::provider::Reply;
use crate::support::space::{annotation, condition};

#[tokio::test]
async fn a_renew_request_is_handled_once_and_a_text_that_is_too_long_never() {
    let scene = Scene::new().await;
    let operator = scene.operator().patient().start().await;
    // The longest text that counts, a longer one, and one that is replaced while it waits.
    let texts = [("fits", "f".repeat(128)), ("long", "l".repeat(129)), ("twice", "first".to_owned())];
    let mut clients = Vec::new();
    for (name, text) in &texts {
        let client = scene.welkin_client(name).await;
        scene.apply_welkin(name, &client).await;
        scene.space.wait_ready(name).await;
        scene.request_renewal(name, text).await;
        clients.push(client);
    }
    scene.request_renewal("twice", "second").await;
    scene.wait_answered("fits", &texts[0].1).await;
    scene.wait_answered("twice", "second").await;
    // The same text again, and other changes beside it, are no new request.
    scene.request_renewal("fits", &texts[0].1).await;
    scene.space.patch("fits", &serde_json::json!({"metadata": {"labels": {"a": "b"}}})).await;
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(clients.iter().map(|client| client.count()).collect::<Vec<_>>(), [2, 1, 2]);

    for client in [&clients[0], &clients[2]] {
        let requests = client.requests();
        // The limit applies to sending, in whole seconds. A connection that is slow to open delays an arrival.
        assert!(requests[1].at.duration_since(requests[0].at) >= SignedDuration::from_secs(25), "at most one in 30 s");
    }
    let answered = scene.space.wait_until("fits", "two revisions", |it| status(it)["revision"] == 2).await;
    assert_eq!(status(&answered)["lastHandledRenewRequest"], texts[0].1, "a success answers it in the status, too");
    assert_eq!(condition(&answered, "Ready").as_deref(), Some("True/TokenValid"));
    assert_eq!(annotation(&scene.target("long").await, "renew-request"), None);

    // A new text after one that was handled is a new request.
    scene.request_renewal("fits", "once more").await;
    scene.wait_answered("fits", "once more").await;
    scene.a_later_one_becomes_ready("last").await;
    assert_eq!(clients.iter().map(|client| client.count()).collect::<Vec<_>>(), [3, 1, 2]);
    let series = r#"apicredential_renewals_total{provider="Welkin",cause="requested"}"#;
    assert_eq!(operator.metric(series).await.map(f64::to_bits), Some(3.0_f64.to_bits()));
}

#[tokio::test]
async fn a_renew_request_waits_while_its_endpoint_is_throttled() {
    let scene = Scene::new().await;
    let _operator = scene.operator().quick().start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    let first = scene.space.wait_ready("a").await;
    // Another client of this endpoint is throttled.
    let other = scene.welkin_client("b").await;
    other.always(Reply::error(429).header("retry-after", "600"));
    scene.apply_welkin("b", &other).await;
    scene.space.wait_condition("b", "Ready", "False/RateLimited").await;
    scene.request_renewal("a", "now").await;
    // After the 30 s within which no request is handled anyway.
    let sent = first.status.unwrap().last_attempt.unwrap().time.0;
    let past = async || (clock::now().duration_since(sent) > SignedDuration::from_secs(32)).then_some(());
    scene.space.wait_for("the request may be answered", past).await;
    scene.trigger_reconciles("a", 3).await;
    assert_eq!((client.count(), other.count()), (1, 1));
}

#[tokio::test]
async fn a_renew_request_is_not_repeated_after_a_kill_right_after_the_write() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient().flag("--leader-election", "false");
    let operator = settings.start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    let before = scene.space.wait_ready("a").await;
    scene.request_renewal("a", "now").await;
    scene.wait_answered("a", "now").await;
    operator.kill();
    // The kill may have come shortly after the status; the test simulates that it came before.
    scene.wipe_status("a").await;
    scene.patch_status("a", &status(&before)).await;

    let _operator = settings.start().await;
    let credential = scene.space.wait_condition("a", "Renewed", "True/Adopted").await;
    assert_eq!(condition(&credential, "Ready").as_deref(), Some("True/TokenValid"));
    assert_eq!(status(&credential)["lastHandledRenewRequest"], "now", "the token in the Secret answers it");
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(client.count(), 2);
    assert_eq!(annotation(&scene.target("a").await, "renew-request").as_deref(), Some("now"));
}

#[tokio::test]
async fn a_renew_request_that_fails_is_handled_too() {
    let scene = Scene::new().await;
    let settings = scene.operator().quick();
    let operator = settings.start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    let planned = scene.space.wait_ready("a").await.status.unwrap().renewal_time;
    let secret = scene.target("a").await;
    client.always(Reply::error(503));
    scene.request_renewal("a", "now").await;
    let failed = scene.space.wait_condition("a", "Ready", "True/RenewalFailing").await;
    assert_eq!(condition(&failed, "Renewed").as_deref(), Some("False/ProviderUnavailable"));
    let said = failed.status.clone().unwrap();
    assert_eq!(said.last_handled_renew_request.as_deref(), Some("now"));
    assert_eq!((said.failed_attempts, said.next_attempt_time), (Some(1), planned), "the plan is unchanged");

    // Neither another reconcile nor a restart requests again.
    scene.trigger_reconciles("a", 5).await;
    assert!(operator.terminate(crate::support::space::DEADLINE).await.success());
    let _operator = settings.start().await;
    scene.trigger_reconciles("a", 3).await;
    assert_eq!(client.count(), 2);
    assert_eq!(content(&scene.target("a").await), content(&secret));
}

#[tokio::test]
async fn after_a_failed_renew_request_a_deleted_secret_does_not_wait_for_the_planned_renewal() {
    let scene = Scene::new().await;
    let _operator = scene.operator().quick().start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    client.next(Reply::error(401));
    scene.request_renewal("a", "now").await;
    scene.space.wait_condition("a", "Renewed", "False/CredentialsRejected").await;
    // The delay of a first rejection is at most 12 s here; the planned renewal is more than half an hour away.
    scene.space.delete_secret("a-token").await;
    scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 3);
}

#[tokio::test]
async fn a_throttled_renew_request_throttles_no_other_after_a_restart() {
    let scene = Scene::new().await;
    let settings = scene.operator().quick().flag("--leader-election", "false");
    let operator = settings.start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    client.next(Reply::error(429).header("retry-after", "1"));
    scene.request_renewal("a", "now").await;
    scene.space.wait_condition("a", "Renewed", "False/RateLimited").await;
    operator.kill();
    // The request was handled. The renewal that is planned for later is no backoff.
    patch_last_attempt(&scene, "a", -1800).await;
    let _operator = settings.start().await;
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(client.count(), 2);
}

/// As if the last attempt had been made this many seconds from now.
async fn patch_last_attempt(scene: &Scene, name: &str, seconds: i64) {
    let mut status = status(&scene.space.credential(name).await);
    let time = clock::now_seconds() + SignedDuration::from_secs(seconds);
    status["lastAttempt"]["time"] = serde_json::json!(time);
    scene.patch_status(name, &status).await;
}

#[tokio::test]
async fn a_waiting_renew_request_does_not_delay_a_renewal_that_is_due() {
    let scene = Scene::new().await;
    let _operator = scene.operator().quick().start().await;
    let client = scene.welkin_client("a").await;
    // Due before a request's 30 s are over, with a third of its lifetime left.
    client.next(Reply::token().lifetime(42.0));
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    scene.request_renewal("a", "now").await;
    // The renewal that was planned anyway handles it.
    scene.wait_answered("a", "now").await;
    let (tokens, requests) = (client.tokens(), client.requests());
    assert!(requests[1].at < tokens[0].expires.unwrap(), "renewed before the first token expired");
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(client.count(), 2);
}
