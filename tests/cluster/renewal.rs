//! When a token is renewed, and what a reader of the Secret sees meanwhile.

use std::collections::BTreeSet;

use apicredential::api::ApiCredential;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};

use crate::fixture::{Scene, assert_consistent, seconds};
use crate::support::provider::Reply;
use crate::support::space::{self, annotation, condition, message, value};

#[tokio::test]
async fn readers_never_see_a_token_beside_the_times_of_another() {
    const TOKENS: usize = 4;
    let scene = Scene::new().await;
    let client = scene.welkin_client("a").await;
    // Two lifetimes alternate, so that no token matches the times of its neighbour. Each renewal extends by at least 5
    // s.
    for turn in 0..=TOKENS {
        client.next(Reply::token().lifetime(if turn % 2 == 0 { 24.0 } else { 25.0 }));
    }
    let operator = scene.operator().quick().start().await;
    let mut manifest = space::welkin("a", &client, &scene.mock_provider);
    manifest["spec"]["target"]["data"] = json!({"times": "{issuedAt} {expiresAt}"});
    manifest["spec"]["renewal"] = json!({"renewBeforePercentage": 50});
    scene.space.apply(&manifest).await;
    scene.space.wait_ready("a").await;

    let config = watcher::Config::default().fields("metadata.name=a-token");
    let secrets = watcher(scene.space.secrets.clone(), config).applied_objects();
    let config = watcher::Config::default().fields("metadata.name=a");
    let credentials = watcher(scene.space.credentials.clone(), config).applied_objects();
    let seen = async {
        let mut tokens = BTreeSet::new();
        let (mut secrets, mut credentials) = (secrets.boxed(), credentials.boxed());
        while tokens.len() < TOKENS {
            tokio::select! {
                secret = secrets.try_next() => {
                    let secret = secret.unwrap().unwrap();
                    assert_consistent(&secret);
                    tokens.insert(value(&secret, "token").unwrap());
                }
                // A scheduled renewal shows no transient condition.
                credential = credentials.try_next() => {
                    let credential = credential.unwrap().unwrap();
                    let said = ["Ready", "Renewed", "Reconciling", "Stalled"].map(|it| condition(&credential, it));
                    let good = [Some("True/TokenValid".to_owned()), Some("True/Issued".to_owned()), None, None];
                    assert_eq!(said, good);
                }
            }
        }
    };
    tokio::time::timeout(space::DEADLINE, seen).await.expect("four tokens in time");
    // The status follows the Secret.
    let reported = |it: &ApiCredential| it.status.as_ref().unwrap().revision >= i64::try_from(TOKENS).ok();
    scene.space.wait_until("a", "all of them are reported", reported).await;
    let ended = operator.terminate(space::DEADLINE).await;
    assert!(ended.success(), "{ended}");

    // One exchange for each token, each before the previous one expires, each written once.
    let (tokens, requests) = (client.tokens(), client.requests());
    assert_eq!(tokens.len(), requests.len());
    for (before, request) in tokens.iter().zip(&requests[1..]) {
        assert!(request.at < before.expires.unwrap(), "renewed before it expired");
    }
    let writes = scene.calls("a").await.to("secrets");
    assert_eq!(writes.writes(), tokens.len(), "{writes}");
    let status = scene.space.credential("a").await.status.unwrap();
    assert_eq!(usize::try_from(status.revision.unwrap()), Ok(tokens.len()));
}

/// `spec.renewal`, the token's lifetime if one is stated, and the window of the planned renewal after the issue.
fn plans() -> Vec<(&'static str, Value, Option<f64>, std::ops::RangeInclusive<i64>)> {
    vec![
        ("default", json!({}), Some(3600.0), 2040..=2400),
        ("before", json!({"renewBefore": "10m"}), Some(3600.0), 2640..=3000),
        ("capped", json!({"renewBefore": "50m"}), Some(3600.0), 1440..=1800),
        ("percent", json!({"renewBeforePercentage": 10}), Some(3600.0), 2880..=3240),
        ("age", json!({"maxAge": "10m"}), Some(3600.0), 540..=600),
        ("long", json!({"maxAge": "5m"}), Some(29_823_918.0), 270..=300),
        ("older", json!({"maxAge": "24h", "renewBefore": "2m"}), Some(3600.0), 3120..=3480),
        // Sooner than the operator's minimum interval.
        ("short", json!({}), Some(300.0), 240..=240),
        ("unstated", json!({}), None, 2040..=2400),
        ("assumed", json!({"assumedLifetime": "30m"}), None, 1020..=1200),
    ]
}

#[tokio::test]
async fn the_renewal_is_planned_by_the_spec_and_planned_the_same_after_a_restart() {
    let scene = Scene::new().await;
    let settings = scene.operator().patient().flag("--min-renewal-interval", "4m");
    let operator = settings.start().await;
    for (name, renewal, lifetime, _) in plans() {
        let client = scene.welkin_client(name).await;
        client.always(lifetime.map_or(Reply::token().without_expiry(), |seconds| Reply::token().lifetime(seconds)));
        let mut manifest = space::welkin(name, &client, &scene.mock_provider);
        manifest["spec"]["renewal"] = renewal;
        scene.space.apply(&manifest).await;
    }
    let mut planned = Vec::new();
    for (name, _, _, window) in plans() {
        let credential = scene.space.wait_ready(name).await;
        let issued = seconds(&scene.target(name).await, "issued-at");
        let renewal = credential.status.clone().unwrap().renewal_time.unwrap();
        let after = renewal.0.as_second() - issued;
        // The token's own expiry can be a second before ours, and jitter is truncated to whole seconds.
        let window = window.start() - 2..=*window.end();
        assert!(window.contains(&after), "{name}: {after} is not in {window:?}");
        let capped = message(&credential, "Ready").unwrap().contains("renewBefore");
        assert_eq!(capped, name == "capped", "{:?}", message(&credential, "Ready"));
        planned.push((name, renewal));
    }
    assert!(operator.terminate(space::DEADLINE).await.success());
    // Without a status, the renewal is planned from the Secret alone. It must be the same.
    for (name, _) in &planned {
        scene.wipe_status(name).await;
    }
    let _operator = settings.start().await;
    for (name, renewal) in planned {
        let credential = scene.space.wait_ready(name).await;
        assert_eq!(credential.status.unwrap().renewal_time, Some(renewal), "{name}");
    }
}

#[tokio::test]
async fn a_welkin_token_without_an_expiry_gets_one_and_the_event_says_so() {
    let scene = Scene::new().await;
    let client = scene.welkin_client("a").await;
    client.always(Reply::token().without_expiry());
    let _operator = scene.operator().patient().start().await;
    scene.apply_welkin("a", &client).await;
    let credential = scene.space.wait_condition("a", "Renewed", "True/Issued").await;
    let secret = scene.target("a").await;
    assert_eq!(seconds(&secret, "expires-at") - seconds(&secret, "issued-at"), 3600);
    assert_eq!(credential.status.unwrap().token.unwrap().lifetime_seconds, Some(3600));
    let event = async || scene.space.events_of("a").await.first().cloned();
    let (type_, reason, _) = scene.space.wait_for("the event", event).await;
    assert_eq!((type_.as_str(), reason.as_str()), ("Normal", "ExpiryUnknown"));
}

#[tokio::test]
async fn a_qontak_token_without_an_expiry_never_expires_and_is_renewed_only_by_age() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    for (name, renewal) in [("a", json!({})), ("b", json!({"maxAge": "10m"}))] {
        let user = scene.qontak_user(name).await;
        user.always(Reply::token().without_expiry());
        let mut manifest = space::qontak(name, &scene.mock_provider);
        manifest["spec"]["renewal"] = renewal;
        manifest["spec"]["target"]["data"] = json!({"until": "{expiresAt}"});
        scene.space.apply(&manifest).await;
    }
    let never = scene.space.wait_condition("a", "Ready", "True/TokenValid").await.status.unwrap();
    let aged = scene.space.wait_condition("b", "Ready", "True/TokenValid").await.status.unwrap();
    for status in [&never, &aged] {
        let token = status.token.as_ref().unwrap();
        assert_eq!((&token.expiration_time, token.lifetime_seconds), (&None, None));
    }
    for name in ["a", "b"] {
        let secret = scene.target(name).await;
        assert_eq!(annotation(&secret, "expires-at").as_deref(), Some("never"));
        assert_eq!(value(&secret, "until").as_deref(), Some("never"));
    }
    assert_eq!(never.renewal_time, None);
    let age = aged.renewal_time.unwrap().0.as_second() - seconds(&scene.target("b").await, "issued-at");
    assert!((539..=600).contains(&age), "{age}");
    let events = scene.space.events_of("a").await;
    assert!(events.iter().all(|(_, reason, _)| reason == "Issued"), "never is what Qontak means: {events:?}");
}
