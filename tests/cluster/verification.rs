//! A token that is verified at its provider periodically: the meaning of each response, the interval, and what a
//! revoked token costs. Time is simulated by shifting the times stored with a token and in the status while no operator
//! runs.

mod refused;
mod stage;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;

use self::stage::{HOUR, Stage, revoked_exchanges};
use crate::fixture::content;
use crate::support::operator::Operator;
use crate::support::provider::{Disturbance, Point, Reply};
use crate::support::space::{self, condition};

#[tokio::test]
async fn an_accepted_token_is_verified_once_an_interval_whatever_happens_meanwhile() {
    let stage = Stage::with_token("a").await;
    let operator = stage.start().await;
    let credential = stage.wait_verified("a", "True/TokenAccepted").await;
    assert_eq!(condition(&credential, "Ready").as_deref(), Some("True/TokenValid"));
    let counter = r#"apicredential_verifications_total{provider="Qontak",outcome="TokenAccepted"}"#;
    assert_eq!(operator.metric(counter).await, Some(1.0));
    stage.scene.trigger_reconciles("a", 3).await;
    stage.scene.space.patch("a", &json!({"spec": {"verification": {"interval": "6m"}}})).await;
    stage.scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    let reported = stage.scene.space.credential("a").await.status;

    // Neither a restart nor a leader that follows a killed one verifies before the interval is over.
    operator.kill();
    let operator = stage.start().await;
    stage.scene.trigger_reconciles("a", 3).await;
    assert!(operator.terminate(space::DEADLINE).await.success());
    let operator = stage.start().await;
    stage.scene.trigger_reconciles("a", 3).await;
    assert_eq!((stage.user("a").checks().len(), stage.user("a").count()), (1, 1));
    assert_eq!(stage.scene.space.credential("a").await.status, reported, "and nothing is written");

    operator.kill();
    stage.pass("a", HOUR).await;
    let _operator = stage.start().await;
    stage.wait_checks("a", 2).await;
    stage.scene.trigger_reconciles("a", 2).await;
    assert_eq!((stage.user("a").checks().len(), stage.user("a").count()), (2, 1));
    let events = stage.scene.space.events_of("a").await;
    assert!(events.iter().all(|(_, reason, _)| ["Issued", "Adopted"].contains(&reason.as_str())), "{events:?}");
}

#[tokio::test]
async fn a_new_token_is_not_verified_before_its_interval() {
    let stage = Stage::new().await;
    let operator = stage.start().await;
    stage.apply("a").await;
    stage.scene.trigger_reconciles("a", 3).await;
    operator.kill();
    let _operator = stage.start().await;
    stage.scene.trigger_reconciles("a", 3).await;
    assert_eq!((stage.user("a").checks().len(), stage.user("a").count()), (0, 1));
    assert_eq!(condition(&stage.scene.space.credential("a").await, "Verified"), None);
}

#[tokio::test]
async fn a_revoked_token_is_detected_and_exchanged_once() {
    let stage = Stage::with_token("a").await;
    let user = stage.user("a");
    user.revoke_tokens();
    let operator = stage.start().await;
    stage.wait_revision("a", 2).await;
    let credential = stage.scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(condition(&credential, "Renewed").as_deref(), Some("True/Issued"));
    assert_eq!(condition(&credential, "Verified"), None, "the new token is not verified yet");
    stage.assert_holds("a", user.last_token()).await;
    assert_eq!(revoked_exchanges(&operator).await, Some(1.0));
    stage.scene.trigger_reconciles("a", 3).await;
    operator.kill();
    let _operator = stage.start().await;
    stage.scene.trigger_reconciles("a", 3).await;
    assert_eq!((user.checks().len(), user.count()), (1, 2));
    let events = stage.scene.space.events_of("a").await;
    let warnings: Vec<_> = events.iter().filter(|(type_, ..)| type_ == "Warning").map(|(_, it, _)| it).collect();
    assert_eq!(warnings, ["TokenRevoked"]);
}

/// Responses that do not count against a token, and the label of each in the metric.
fn inconclusive_responses() -> Vec<(&'static str, Reply, &'static str)> {
    let reset = Disturbance::Reset;
    vec![
        ("failing", Reply::error(500), "ProviderUnavailable"),
        ("bad-gateway", Reply::error(502), "ProviderUnavailable"),
        ("forbidden", Reply::error(403), "UnexpectedStatus"),
        ("not-found", Reply::error(404), "UnexpectedStatus"),
        ("teapot", Reply::error(418), "UnexpectedStatus"),
        ("moved", Reply::redirect(302, "https://localhost:1/"), "UnexpectedRedirect"),
        ("reset", Reply::token().disturbed(Point::Arrived, reset), "ConnectionFailed"),
        ("silent", Reply::hang(), "ProviderTimeout"),
    ]
}

#[tokio::test]
async fn neither_an_error_nor_another_status_counts_against_a_token() {
    let names: Vec<_> = inconclusive_responses().iter().map(|(name, ..)| *name).collect();
    let stage = Stage::with_tokens(&names).await;
    for (name, reply, _) in inconclusive_responses() {
        // The token is revoked, too: only the response counts.
        stage.user(name).answer_checks(reply).revoke_tokens();
    }
    let settings = stage.settings().flag("--provider-timeout", "10s");
    let operator = settings.start().await;
    for (name, ..) in inconclusive_responses() {
        let credential = stage.wait_verified(name, "Unknown/VerificationUnavailable").await;
        assert_eq!(condition(&credential, "Ready").as_deref(), Some("True/TokenValid"), "{name}");
    }
    for (name, _, outcome) in inconclusive_responses() {
        let counter = format!("apicredential_verifications_total{{provider=\"Qontak\",outcome=\"{outcome}\"}}");
        assert!(operator.metric(&counter).await >= Some(1.0), "{name}: {counter}");
        assert_eq!((stage.user(name).checks().len(), stage.user(name).count()), (1, 1), "{name}");
    }
    operator.kill();
    // A thousand such responses would report no more than the first.
    let before = stage.scene.space.credential("failing").await.status.unwrap();
    stage.pass("failing", HOUR).await;
    let _operator = settings.start().await;
    stage.wait_checks("failing", 2).await;
    let time = before.verification.unwrap().time;
    let later =
        |it: &apicredential::api::ApiCredential| it.status.as_ref().unwrap().verification.as_ref().unwrap().time > time;
    let after = stage.scene.space.wait_until("failing", "the second check is reported", later).await;
    let verified = |conditions: &[_]| -> serde_json::Value { json!(conditions[3]) };
    assert_eq!(verified(&after.status.unwrap().conditions), verified(&before.conditions));
    assert_eq!(stage.user("failing").count(), 1);
}

#[tokio::test]
async fn a_throttled_verification_throttles_the_whole_endpoint() {
    let stage = Stage::with_token("a").await;
    stage.user("a").answer_checks(Reply::error(429).header("retry-after", "600"));
    let _operator = stage.settings().eager().start().await;
    stage.wait_verified("a", "Unknown/VerificationUnavailable").await;
    let late = stage.apply_unready("late").await;
    stage.scene.space.wait_reads("late-token", 3).await;
    assert_eq!((stage.user("a").checks().len(), late.count()), (1, 0));
}

#[tokio::test]
async fn a_suspended_apicredential_is_not_verified() {
    let stage = Stage::with_token("a").await;
    stage.scene.space.patch("a", &json!({"spec": {"suspend": true}})).await;
    stage.user("a").revoke_tokens();
    let _operator = stage.start().await;
    stage.scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    stage.scene.trigger_reconciles("a", 3).await;
    assert_eq!(stage.user("a").checks().len(), 0);
    stage.scene.space.patch("a", &json!({"spec": {"suspend": false}})).await;
    stage.wait_revision("a", 2).await;
    assert_eq!((stage.user("a").checks().len(), stage.user("a").count()), (1, 2));
}

#[tokio::test]
async fn a_token_that_expired_or_is_of_another_spec_is_exchanged_and_not_verified() {
    let stage = Stage::new().await;
    let operator = stage.start().await;
    for name in ["edited", "missing"] {
        stage.apply(name).await;
    }
    operator.kill();
    for name in ["edited", "missing"] {
        stage.pass(name, 10 * HOUR).await;
    }
    let edited = json!({"metadata": {"annotations": {"apicredential.io/expires-at": "2099-01-01T00:00:00Z"}}});
    stage.scene.space.patch_secret("edited-token", &edited).await;
    stage.scene.space.delete_secret("missing-token").await;
    let _operator = stage.start().await;
    for name in ["edited", "missing"] {
        stage.wait_revision(name, 2).await;
        assert_eq!((stage.user(name).checks().len(), stage.user(name).count()), (0, 2), "{name}");
    }
}

#[tokio::test]
async fn without_verification_in_the_spec_nothing_is_verified_and_nothing_reported() {
    let stage = Stage::with_token("a").await;
    let operator = stage.start().await;
    stage.wait_verified("a", "True/TokenAccepted").await;
    let secret = stage.scene.target("a").await;
    stage.scene.space.patch("a", &json!({"spec": {"verification": null}})).await;
    let silent = |it: &apicredential::api::ApiCredential| {
        space::observed(it) && it.status.as_ref().unwrap().verification.is_none() && condition(it, "Verified").is_none()
    };
    stage.scene.space.wait_until("a", "not verified any more", silent).await;
    operator.kill();
    let _operator = stage.start().await;
    stage.scene.trigger_reconciles("a", 2).await;
    assert_eq!((stage.user("a").checks().len(), stage.user("a").count()), (1, 1));
    assert_eq!(content(&stage.scene.target("a").await), content(&secret));
}

#[tokio::test]
async fn a_kill_around_the_verification_costs_at_most_one_more_of_it_and_one_exchange() {
    for point in [Point::Arrived, Point::Issued] {
        let stage = Stage::with_token("a").await;
        let user = stage.user("a");
        user.revoke_tokens();
        // The response is set before the operator starts, because the check may come at once.
        let victim = Arc::new(OnceLock::new());
        let killed = Arc::clone(&victim);
        let kill = Disturbance::Action(Arc::new(move || {
            let operator: &Operator = killed.wait();
            operator.kill();
        }));
        user.answer_checks(Reply::token().disturbed(point, kill));
        let operator = victim.get_or_init(|| stage.settings().spawn());
        stage.wait_checks("a", 1).await;
        operator.ended(Duration::from_secs(60)).await;
        user.answer_checks_truly();
        let _operator = stage.start().await;
        stage.wait_revision("a", 2).await;
        stage.scene.trigger_reconciles("a", 3).await;
        assert_eq!((user.checks().len(), user.count()), (2, 2), "{point:?}");
    }
}

#[tokio::test]
async fn a_kill_between_the_rejection_and_the_token_costs_no_further_verification() {
    let stage = Stage::with_token("a").await;
    let user = stage.user("a");
    user.revoke_tokens().next(Reply::hang());
    let operator = stage.start().await;
    stage.wait_verified("a", "False/TokenRevoked").await;
    let asked = async || (user.count() == 2).then_some(());
    stage.scene.space.wait_for("the exchange is in flight", asked).await;
    let said = stage.scene.space.credential("a").await;
    assert_eq!(condition(&said, "Ready").as_deref(), Some("False/TokenRevoked"));
    assert_eq!(condition(&said, "Reconciling").as_deref(), Some("True/TokenRevoked"));
    operator.kill();
    let operator = stage.start().await;
    stage.wait_revision("a", 2).await;
    stage.scene.trigger_reconciles("a", 3).await;
    assert_eq!((user.checks().len(), user.count(), user.tokens().len()), (1, 3, 2), "the lost one, and one more");
    assert_eq!(revoked_exchanges(&operator).await, Some(1.0));
}
