//! A source Secret that changes while its token is in use: one exchange for new values, none for anything else.

use std::time::Instant;

use serde_json::json;

use crate::fixture::Scene;
use crate::support::operator::Settings;
use crate::support::provider::{MockProvider, Reply};
use crate::support::space::{self, Space, annotation, condition, value};

#[tokio::test]
async fn new_values_in_the_source_cost_one_exchange_at_once_and_ready_does_not_flicker() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let client = space.first_token("a", &mock_provider).await;
    let before = space.credential("a").await;
    let first = client.last_token();

    client.accept("the-second-secret");
    let changed = Instant::now();
    let source = space.source_welkin("a-source", "the-second-secret").await;
    let secret = space
        .wait_for("the token of the new secret", async || {
            let secret = space.secret("a-token").await?;
            (value(&secret, "token") != first).then_some(secret)
        })
        .await;
    println!("a changed source was answered with a new token after {:?}", changed.elapsed());
    assert_eq!(value(&secret, "token"), client.last_token());
    assert_eq!(client.requests().last().unwrap().secret, "the-second-secret");
    let version = format!("{}/{}", source.metadata.uid.unwrap(), source.metadata.resource_version.unwrap());
    assert_eq!(annotation(&secret, "source-version"), Some(version));
    let after = space
        .wait_until("a", "the second token is reported", |credential| {
            credential.status.as_ref().is_some_and(|status| status.revision == Some(2))
        })
        .await;
    let since = |credential: &apicredential::api::ApiCredential| {
        let ready = credential.status.as_ref().unwrap().conditions.iter().find(|it| it.type_ == "Ready").unwrap();
        (ready.status.clone(), ready.last_transition_time.clone())
    };
    assert_eq!(since(&before), since(&after));
    assert_eq!(client.count(), 2);
}

#[tokio::test]
async fn a_source_that_is_touched_with_the_same_values_costs_no_exchange_and_is_named_by_one_write() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let client = space.first_token("a", &mock_provider).await;
    let token = space.secret("a-token").await.unwrap();
    let stored = async || space.audit().await.by("operator").without("leases").only(|call| !call.dry_run);
    space.wait_event_writes(1).await;
    let before = stored().await;
    let reads_of = async |name: &str| space.audit().await.by("operator").only(|call| call.name == name).gets();
    let reads = async || reads_of("a-source").await;

    // First other metadata: the target names the new version, and nothing else changes in it.
    let touched = space.patch_secret("a-source", &json!({"metadata": {"annotations": {"note": "seen"}}})).await;
    let version = format!("{}/{}", touched.metadata.uid.unwrap(), touched.metadata.resource_version.unwrap());
    let named = async || {
        let secret = space.secret("a-token").await?;
        (annotation(&secret, "source-version").as_ref() == Some(&version)).then_some(secret)
    };
    let named = space.wait_for("the touched source is named", named).await;
    assert_eq!((&named.data, annotation(&named, "fingerprint")), (&token.data, annotation(&token, "fingerprint")));
    let reported = async || {
        let target = space.credential("a").await.status?.target?;
        (Some(target.resource_version) == named.metadata.resource_version).then_some(())
    };
    space.wait_for("the status names the written Secret", reported).await;
    let first = stored().await.since(&before);
    assert_eq!((first.to("secrets").writes(), first.writes()), (1, 2), "{first}");

    // Then another key, then another Secret with the same value: only memory knows, and nothing is read twice.
    for step in 0..2 {
        let read = reads().await;
        if step == 0 {
            drop(space.patch_secret("a-source", &json!({"stringData": {"unused": "value"}})).await);
        } else {
            space.delete_secret("a-source").await;
            space.source_welkin("a-source", "the-first-secret").await;
        }
        space.wait_for("a read of the source", async || (reads().await > read).then_some(())).await;
    }
    space
        .wait_until("a", "all is well", |credential| {
            condition(credential, "SourceResolved").as_deref() == Some("True/SourceResolved")
                && condition(credential, "Ready").as_deref() == Some("True/TokenValid")
        })
        .await;
    let (read, target_read) = (reads().await, reads_of("a-token").await);
    space.patch_secret("a-token", &json!({"metadata": {"labels": {"touched": "by-somebody"}}})).await;
    space
        .wait_for("a read of the touched target", async || (reads_of("a-token").await > target_read).then_some(()))
        .await;
    assert_eq!(reads().await, read, "it was compared before");
    assert_eq!(client.count(), 1);
    let secret = space.secret("a-token").await.unwrap();
    assert_eq!((secret.data, secret.metadata.annotations), (named.data, named.metadata.annotations));
    // The Secret was absent for a moment, which the operator may have reported and withdrawn, with one event.
    let since = stored().await.since(&before);
    assert!(since.to("secrets").writes() == 1 && since.writes() <= 5, "{since}");
}

#[tokio::test]
async fn a_changed_source_while_the_provider_is_down_leaves_the_old_token_ready_until_it_expires() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).quick().start().await;
    let client = mock_provider.welkin(&space.unique("a"));
    client.lifetime(15.0);
    space.source_welkin("a-source", "the-first-secret").await;
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    let first = client.last_token();

    client.always(Reply::error(503));
    space.source_welkin("a-source", "the-second-secret").await;
    let reported = space.wait_condition("a", "Ready", "True/RenewalFailing").await;
    assert_eq!(condition(&reported, "Renewed").as_deref(), Some("False/ProviderUnavailable"));
    assert_eq!(condition(&reported, "SourceResolved").as_deref(), Some("True/SourceResolved"));
    assert_eq!(condition(&reported, "Reconciling"), None);
    assert_eq!(value(&space.secret("a-token").await.unwrap(), "token"), first);

    let reported = space.wait_condition("a", "Ready", "False/TokenExpired").await;
    let status = reported.status.clone().unwrap();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    let expiry = status.token.unwrap().expiration_time.unwrap();
    assert!(ready.last_transition_time >= expiry, "it was ready until its token expired");
    assert_eq!(condition(&reported, "Reconciling").as_deref(), Some("True/ProviderUnavailable"));
    assert_eq!(value(&space.secret("a-token").await.unwrap(), "token"), first, "an expired token is not removed");

    client.lifetime(3600.0);
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(client.requests().last().unwrap().secret, "the-second-secret");
    assert_eq!(value(&space.secret("a-token").await.unwrap(), "token"), client.last_token());
}

#[tokio::test]
async fn a_source_deleted_under_a_valid_token_is_reported_and_its_return_costs_nothing() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let client = space.first_token("a", &mock_provider).await;
    let events = space.wait_event_writes(1).await;

    space.delete_secret("a-source").await;
    let reported = space.wait_condition("a", "Ready", "True/RenewalFailing").await;
    assert_eq!(condition(&reported, "SourceResolved").as_deref(), Some("False/SourceSecretNotFound"));
    assert_eq!(condition(&reported, "Renewed").as_deref(), Some("False/SourceSecretNotFound"));
    assert_eq!(condition(&reported, "Stalled"), None, "it is usable");

    space.source_welkin("a-source", "the-first-secret").await;
    let reported = space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(condition(&reported, "SourceResolved").as_deref(), Some("True/SourceResolved"));
    assert_eq!(condition(&reported, "Renewed").as_deref(), Some("True/Issued"));
    assert_eq!(client.count(), 1);
    assert_eq!(space.event_writes().await, events + 1, "one event for the rejection, none for its end");
}

#[tokio::test]
async fn consent_that_is_withdrawn_ends_the_use_of_the_source_and_not_of_the_token() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    let client = space.first_token("a", &mock_provider).await;
    space.patch_secret("a-source", &json!({"metadata": {"labels": {"apicredential.io/source": null}}})).await;
    let reported = space.wait_condition("a", "Ready", "True/RenewalFailing").await;
    assert_eq!(condition(&reported, "SourceResolved").as_deref(), Some("False/SourceNotPermitted"));
    // A requested renewal has to be rejected, too.
    space.patch("a", &json!({"metadata": {"annotations": {"apicredential.io/renew-requested-at": "now"}}})).await;
    space.delete_secret("a-token").await;
    space.wait_condition("a", "Ready", "False/SourceNotPermitted").await;
    assert_eq!(client.count(), 1);
    space.source_welkin("a-source", "the-first-secret").await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 2);
}

#[tokio::test]
async fn another_key_of_the_same_source_is_read_at_once() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let client = scene.welkin_client("a").await;
    let consent = json!({"metadata": {"annotations": {"apicredential.io/source-keys": "secret,none,second"}}});
    scene.space.patch_secret("a-source", &consent).await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    let key = async |name: &str| {
        let keys = json!({"secret": name});
        scene.space.patch("a", &json!({"spec": {"provider": {"welkin": {"keys": keys}}}})).await;
    };
    key("none").await;
    let reported = scene.space.wait_condition("a", "SourceResolved", "False/SourceKeyMissing").await;
    assert_eq!(
        condition(&reported, "Ready").as_deref(),
        Some("False/SourceKeyMissing"),
        "the token is of another spec"
    );
    let values = json!({"stringData": {"second": "another secret of a source"}});
    scene.space.patch_secret("a-source", &values).await;
    client.accept("another secret of a source");
    key("second").await;
    scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    let secrets: Vec<String> = client.requests().into_iter().map(|request| request.secret).collect();
    assert_eq!(secrets, ["sentinel-secret-of-a", "another secret of a source"]);
}
