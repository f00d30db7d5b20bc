//! After a restart, or with a lost status, no token is requested that the Secret already holds.

use apicredential::api::ApiCredential;
use apicredential::revision::Revision;
use kube::ResourceExt as _;
use serde_json::json;

use crate::fixture::{Scene, status};
use crate::support::operator::Operator;
use crate::support::provider::Reply;
use crate::support::space::{DEADLINE, annotation, condition, value};

#[tokio::test]
async fn a_restart_with_nothing_due_requests_and_writes_nothing() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient();
    let operator = settings.start().await;
    let client = scene.welkin_client("a").await;
    let user = scene.qontak_user("b").await;
    user.always(Reply::token().without_expiry());
    scene.apply_welkin("a", &client).await;
    scene.apply_qontak("b").await;
    for name in ["a", "b"] {
        scene.space.wait_ready(name).await;
        let reported = async || (scene.calls(name).await.to("events").writes() > 0).then_some(());
        scene.space.wait_for("the event, the last of the first sync", reported).await;
    }
    end(&operator).await;
    let (before_a, before_b) = (scene.calls("a").await, scene.calls("b").await);

    let operator = settings.start().await;
    scene.a_later_one_becomes_ready("later").await;
    let (after_a, after_b) = (scene.calls("a").await.since(&before_a), scene.calls("b").await.since(&before_b));
    assert_eq!((client.count(), user.count()), (1, 1));
    assert!(after_a.calls().is_empty() && after_b.calls().is_empty(), "{after_a}{after_b}");
    // This is not because the operator does not know them.
    for name in ["a", "b"] {
        let ready =
            format!("apicredential_ready{{resource_namespace=\"{}\",resource_name=\"{name}\"}}", scene.space.name);
        assert_eq!(operator.metric(&ready).await, Some(1.0), "{name}");
    }
}

#[tokio::test]
async fn a_restart_does_not_shorten_the_backoff_of_a_failing_credential() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient();
    let operator = settings.start().await;
    // One that never had a token, one whose token is still valid.
    let (never, once) = (scene.welkin_client("never").await, scene.welkin_client("once").await);
    never.always(Reply::error(401));
    scene.apply_welkin("never", &never).await;
    scene.apply_welkin("once", &once).await;
    scene.space.wait_ready("once").await;
    once.always(Reply::error(503));
    scene.space.source_welkin("once-source", "another secret").await;
    let never_before = scene.space.wait_condition("never", "Ready", "False/CredentialsRejected").await;
    let once_before = scene.space.wait_condition("once", "Ready", "True/RenewalFailing").await;
    assert_eq!(once_before.status.as_ref().unwrap().failed_attempts, Some(1));
    assert!(never_before.status.as_ref().unwrap().next_attempt_time.is_some());
    end(&operator).await;

    for restart in 0..2 {
        let operator = settings.start().await;
        scene.a_later_one_becomes_ready(&format!("later{restart}")).await;
        assert_eq!((never.count(), once.count()), (1, 2));
        end(&operator).await;
    }
    for (name, before) in [("never", never_before), ("once", once_before)] {
        assert_eq!(status(&scene.space.credential(name).await), status(&before), "{name}");
    }
}

#[tokio::test]
async fn an_absurd_next_attempt_is_limited_to_the_longest_delay() {
    let scene = Scene::new().await;
    // The longest transient delay is 60 times the base.
    let settings = scene.operator().flag("--retry-base", "50ms");
    let client = scene.welkin_client("a").await;
    client.always(Reply::error(503));
    let operator = settings.start().await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_condition("a", "Ready", "False/ProviderUnavailable").await;
    end(&operator).await;
    scene.patch_status("a", &json!({"nextAttemptTime": "2100-01-01T00:00:00Z"})).await;
    client.always(Reply::token());
    let before = client.count();

    let _operator = settings.start().await;
    scene.space.wait_ready("a").await;
    assert_eq!(client.count(), before + 1);
}

#[tokio::test]
async fn a_target_changed_while_no_operator_ran_is_detected_and_costs_one_exchange() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient();
    let operator = settings.start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    end(&operator).await;
    scene.space.patch_secret("a-token", &json!({"stringData": {"token": "edited"}})).await;
    let _operator = settings.start().await;
    scene.space.wait_for("the second exchange", async || (client.count() == 2).then_some(())).await;
    let renewed = async || (value(&scene.target("a").await, "token") == client.last_token()).then_some(());
    scene.space.wait_for("its token", renewed).await;
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(client.count(), 2);
}

#[tokio::test]
async fn a_source_that_was_touched_while_nobody_ran_costs_one_exchange_and_later_touches_none() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient();
    let client = scene.welkin_client("a").await;
    let operator = settings.start().await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    end(&operator).await;
    touch_source(&scene, "while nobody ran").await;

    let operator = settings.start().await;
    scene.space.wait_until("a", "the second token", |it| it.status.as_ref().unwrap().revision == Some(2)).await;
    let by_source = r#"apicredential_renewals_total{provider="Welkin",cause="source"}"#;
    assert_eq!(operator.metric(by_source).await, Some(1.0));
    let version = touch_source(&scene, "again").await;
    wait_named(&scene, &version).await;
    end(&operator).await;

    // What was touched while it ran is known to the next one.
    let before = scene.calls("a").await;
    let operator = settings.start().await;
    scene.a_later_one_becomes_ready("later").await;
    let calls = scene.calls("a").await.since(&before);
    assert!(client.count() == 2 && calls.calls().is_empty(), "{calls}");

    // The first touch that it sees itself: the values of the stored token are in nobody's memory.
    touch_source(&scene, "in the third term").await;
    scene.space.wait_until("a", "the third token", |it| it.status.as_ref().unwrap().revision == Some(3)).await;
    assert_eq!((client.count(), operator.metric(by_source).await), (3, Some(1.0)));
    let version = touch_source(&scene, "once more").await;
    wait_named(&scene, &version).await;
    assert_eq!(client.count(), 3);
}

/// Changes the source of `a`, but not its values; its version then.
async fn touch_source(scene: &Scene, note: &str) -> String {
    let note = json!({"metadata": {"annotations": {"note": note}}});
    let source = scene.space.patch_secret("a-source", &note).await;
    format!("{}/{}", source.uid().unwrap(), source.resource_version().unwrap())
}

/// Waits until the target of `a` names that version of the source, and the status that version of the target.
async fn wait_named(scene: &Scene, version: &str) {
    let named = async || {
        let secret = scene.target("a").await;
        let reported = scene.space.credential("a").await.status?.target?.resource_version;
        let is_reported = Some(reported) == secret.metadata.resource_version;
        (is_reported && annotation(&secret, "source-version")? == version).then_some(())
    };
    scene.space.wait_for("the source's version is named", named).await;
}

#[tokio::test]
async fn another_key_name_or_source_while_nobody_ran_is_another_spec_and_costs_one_exchange() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient();
    let client = scene.welkin_client("a").await;
    let secret = "sentinel-secret-of-a";
    scene.space.source("a-source", Some("welkin"), &[("secret", secret), ("other", secret)]).await;
    scene.space.source("b-source", Some("welkin"), &[("other", secret)]).await;
    for source in ["a-source", "b-source"] {
        let keys = json!({"metadata": {"annotations": {"apicredential.io/source-keys": "secret,other"}}});
        scene.space.patch_secret(source, &keys).await;
    }
    let mut operator = settings.start().await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    for (before, change) in [(1, json!({"keys": {"secret": "other"}})), (2, json!({"secretRef": {"name": "b-source"}}))]
    {
        end(&operator).await;
        scene.space.patch("a", &json!({"spec": {"provider": {"welkin": change}}})).await;
        operator = settings.start().await;
        let renewed = |it: &ApiCredential| it.status.as_ref().unwrap().revision == Some(before + 1);
        scene.space.wait_until("a", "a token for the new spec", renewed).await;
        let by_spec = r#"apicredential_renewals_total{provider="Welkin",cause="spec"}"#;
        assert_eq!(operator.metric(by_spec).await, Some(1.0), "{change}");
        scene.a_later_one_becomes_ready(&format!("later{before}")).await;
        assert_eq!(i64::try_from(client.count()), Ok(before + 1), "{change}");
    }
}

#[tokio::test]
async fn a_lost_status_is_written_again_without_an_exchange() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient();
    let operator = settings.start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    let secret = scene.target("a").await;
    end(&operator).await;
    scene.wipe_status("a").await;
    assert_eq!(scene.space.credential("a").await.status.unwrap().observed_generation, Some(-1));

    let _operator = settings.start().await;
    let credential = scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(condition(&credential, "Renewed").as_deref(), Some("True/Adopted"));
    assert_eq!(condition(&credential, "SourceResolved").as_deref(), Some("True/SourceResolved"));
    let status = credential.status.unwrap();
    assert_eq!(status.target.unwrap().revision(), Revision::of(&secret));
    assert!(status.token.is_some() && status.renewal_time.is_some());
    let adopted = async || scene.space.events_of("a").await.into_iter().find(|(_, reason, _)| reason == "Adopted");
    let (type_, ..) = scene.space.wait_for("the event", adopted).await;
    assert_eq!(type_, "Normal");
    assert_eq!(client.count(), 1);
    assert_eq!(scene.target("a").await, secret);
}

#[tokio::test]
async fn an_edited_status_is_restored_and_never_trusted() {
    let scene = Scene::new().await;
    let _operator = scene.operator().flag("--resync", "1s").flag("--retry-base", "5m").start().await;
    let (good, bad) = (scene.welkin_client("good").await, scene.welkin_client("bad").await);
    bad.always(Reply::error(401));
    scene.apply_welkin("good", &good).await;
    scene.apply_welkin("bad", &bad).await;
    let before = [
        scene.space.wait_condition("good", "Ready", "True/TokenValid").await,
        scene.space.wait_condition("bad", "Ready", "False/CredentialsRejected").await,
    ];
    let with_foreign_conditions = |before: &ApiCredential| {
        let mut conditions = status(before)["conditions"].as_array().unwrap().clone();
        for type_ in ["Stalled", "Approved"] {
            if conditions.iter().any(|condition| condition["type"] == type_) {
                continue;
            }
            conditions.push(json!({
                "type": type_, "status": "True", "reason": "Foreign", "message": "Not the operator's.",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }));
        }
        json!({"conditions": conditions})
    };
    // A lost status; one with conditions of others; or one that requests an attempt at once, with texts that are not ours.
    for (good, bad) in [
        (with_foreign_conditions(&before[0]), with_foreign_conditions(&before[1])),
        (json!(null), json!(null)),
        (
            json!({"nextAttemptTime": "2020-01-01T00:00:00Z"}),
            json!({"nextAttemptTime": null, "lastHandledRenewRequest": "x"}),
        ),
    ] {
        scene.patch_status("good", &good).await;
        scene.patch_status("bad", &bad).await;
        for before in &before {
            let again = |it: &_| status(it) == status(before);
            scene.space.wait_until(&before.name_any(), "the status of before", again).await;
        }
    }
    assert_eq!((good.count(), bad.count()), (1, 1));
}

#[tokio::test]
async fn a_status_cleared_while_no_operator_runs_brings_a_rejected_attempt_forward_and_replaces_no_token() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient();
    let operator = settings.start().await;
    let (good, bad) = (scene.welkin_client("good").await, scene.welkin_client("bad").await);
    bad.always(Reply::error(401));
    scene.apply_welkin("good", &good).await;
    scene.apply_welkin("bad", &bad).await;
    scene.space.wait_ready("good").await;
    scene.space.wait_condition("bad", "Ready", "False/CredentialsRejected").await;
    operator.kill();
    for name in ["good", "bad"] {
        scene.wipe_status(name).await;
    }
    // A lease that nobody released must expire first; without an election there is none.
    let _operator = settings.flag("--leader-election", "false").start().await;
    scene.space.wait_condition("bad", "Ready", "False/CredentialsRejected").await;
    scene.space.wait_ready("good").await;
    assert_eq!((good.count(), bad.count()), (1, 2));
}

#[tokio::test]
async fn a_token_that_came_due_while_no_operator_ran_is_renewed_once() {
    let scene = Scene::new().await;
    let settings = scene.operator().quick();
    let operator = settings.start().await;
    let client = scene.welkin_client("a").await;
    client.next(Reply::token().lifetime(4.0));
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    operator.kill();
    let expired = async || (!client.tokens()[0].is_valid(apicredential_operator::clock::now())).then_some(());
    scene.space.wait_for("the token expires", expired).await;

    // A lease that was not released must expire first. Without an election there is none.
    let _operator = settings.flag("--leader-election", "false").start().await;
    scene.space.wait_until("a", "the second token", |it| it.status.as_ref().unwrap().revision >= Some(2)).await;
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!(client.tokens().len(), client.count());
    assert_eq!(client.count(), 2);
}

async fn end(operator: &Operator) {
    let ended = operator.terminate(DEADLINE).await;
    assert!(ended.success(), "{ended}");
}
