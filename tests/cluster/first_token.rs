//! The first token of each provider: what is written, what is reported, and what it costs.

use apicredential::api::ApiCredential;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::json;

use crate::fixture::{Scene, claims, seconds, status, text_map};
use crate::support::leaks::Sentinels;
use crate::support::provider::{Client, Reply};
use crate::support::space::{self, annotation, value};

/// The limit of API requests for a first sync: two Secrets and the ApiCredential are read; Secret, status and event are
/// written.
const GETS: usize = 3;
const WRITES: usize = 3;

#[tokio::test]
async fn the_first_welkin_token_costs_one_exchange() {
    let scene = Scene::new().await;
    let client = scene.welkin_client("a").await;
    let _operator = scene.operator().patient().start().await;
    scene.apply_welkin("a", &client).await;
    let credential = scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    let secret = scene.target("a").await;
    let token = client.last_token().unwrap();
    assert_eq!(keys(&secret), ["token"]);
    assert_eq!(value(&secret, "token").as_ref(), Some(&token));
    let claims = claims(&token);
    let exp = claims["exp"].as_i64().unwrap();
    assert_eq!(seconds(&secret, "expires-at"), exp.min(seconds(&secret, "issued-at") + 3600));
    assert_first_sync(&scene, &credential, &client).await;
    let secrets = [("secret", "sentinel-secret-of-a"), ("token", token.as_str())];
    scene.space.assert_no_leaks(&Sentinels::new(secrets)).await;
}

#[tokio::test]
async fn the_first_qontak_token_costs_one_exchange() {
    let scene = Scene::new().await;
    let user = scene.qontak_user("a").await;
    user.lifetime(29_823_918.0);
    let _operator = scene.operator().patient().start().await;
    scene.apply_qontak("a").await;
    let credential = scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    let secret = scene.target("a").await;
    let token = user.last_token().unwrap();
    assert_eq!(keys(&secret), ["token"]);
    assert_eq!(value(&secret, "token").as_ref(), Some(&token));
    assert_eq!(seconds(&secret, "expires-at"), seconds(&secret, "issued-at") + 29_823_918);
    assert_first_sync(&scene, &credential, &user).await;
    let secrets = [("password", "sentinel-password-of-a"), ("token", token.as_str())];
    scene.space.assert_no_leaks(&Sentinels::new(secrets)).await;
}

#[tokio::test]
async fn the_secret_is_rendered_as_the_spec_says_and_holds_nothing_else_of_ours() {
    let scene = Scene::new().await;
    let client = scene.welkin_client("a").await;
    let allowed = "app.kubernetes.io/name,team,example.com/note";
    let _operator = scene.operator().patient().flag("--allowed-target-metadata", allowed).start().await;
    let mut manifest = space::welkin("a", &client, &scene.mock_provider);
    manifest["metadata"]["labels"] = json!({"of": "the-credential"});
    manifest["spec"]["target"] = json!({
        "name": "a-token",
        "tokenKey": "bearer",
        "data": {
            "authorization": "{tokenType} {token}",
            "times": "{issuedAt} {expiresAt}",
            "by": "{{{provider}}",
            "url": "{endpoint}/{tenant}/{clientName}",
        },
        "metadata": {
            "labels": {"team": "care", "app.kubernetes.io/name": "clinic"},
            "annotations": {"example.com/note": "a note"},
        },
    });
    let credential = scene.space.apply(&manifest).await;
    scene.space.wait_ready("a").await;
    let secret = scene.target("a").await;

    let token = client.last_token().unwrap();
    let issued = annotation(&secret, "issued-at").unwrap();
    let expires = annotation(&secret, "expires-at").unwrap();
    assert_eq!(keys(&secret), ["authorization", "bearer", "by", "times", "url"]);
    assert_eq!(value(&secret, "bearer").as_ref(), Some(&token));
    assert_eq!(value(&secret, "authorization"), Some(format!("Bearer {token}")));
    assert_eq!(value(&secret, "times"), Some(format!("{issued} {expires}")));
    assert_eq!(value(&secret, "by").as_deref(), Some("{Welkin}"));
    let url = format!("{}/gh/{}", scene.mock_provider.origin(), client.name());
    assert_eq!(value(&secret, "url"), Some(url));

    let labels = [("apicredential.io/managed", "true"), ("app.kubernetes.io/name", "clinic"), ("team", "care")];
    assert_eq!(*secret.labels(), text_map(&labels));
    let (uid, source) = (credential.uid().unwrap(), version(&scene.space.secret("a-source").await.unwrap()));
    let fingerprint = annotation(&secret, "fingerprint").unwrap();
    let annotations = [
        ("apicredential.io/annotations", "example.com/note"),
        ("apicredential.io/expires-at", expires.as_str()),
        ("apicredential.io/fingerprint", fingerprint.as_str()),
        ("apicredential.io/issued-at", issued.as_str()),
        ("apicredential.io/keys", "bearer,authorization,by,times,url"),
        ("apicredential.io/labels", "app.kubernetes.io/name,team"),
        ("apicredential.io/owner", "a"),
        ("apicredential.io/owner-uid", uid.as_str()),
        ("apicredential.io/source-version", source.as_str()),
        ("example.com/note", "a note"),
    ];
    assert_eq!(*secret.annotations(), text_map(&annotations));
    assert!(fingerprint.starts_with("v1:") && fingerprint.len() == "v1:".len() + 64, "{fingerprint}");
}

#[tokio::test]
async fn both_status_codes_are_a_success() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    for status in [200, 201] {
        let (welkin, qontak) = (format!("w{status}"), format!("q{status}"));
        let client = scene.welkin_client(&welkin).await;
        client.always(Reply::token().status(status));
        let user = scene.qontak_user(&qontak).await;
        user.always(Reply::token().status(status));
        scene.apply_welkin(&welkin, &client).await;
        scene.apply_qontak(&qontak).await;
        scene.space.wait_ready(&welkin).await;
        scene.space.wait_ready(&qontak).await;
        assert_eq!((client.count(), user.count()), (1, 1), "{status}");
    }
}

/// What is the same for both providers.
async fn assert_first_sync(scene: &Scene, credential: &ApiCredential, client: &Client) {
    let secret = scene.target("a").await;
    assert_owned(&secret, credential);
    let source = scene.space.secret("a-source").await.unwrap();
    assert_eq!(annotation(&secret, "source-version"), Some(version(&source)));
    assert_status(credential, &secret, &source);
    let event = async || scene.space.events_of("a").await.first().cloned();
    scene.space.wait_for("the event", event).await;
    assert_event(scene, credential).await;
    assert_eq!(client.count(), 1);
    let calls = scene.calls("a").await;
    assert!(calls.writes() <= WRITES && calls.gets() <= GETS, "{calls}");
}

fn assert_owned(secret: &Secret, credential: &ApiCredential) {
    let owner = json!([{
        "apiVersion": "apicredential.io/v1alpha1",
        "kind": "ApiCredential",
        "name": "a",
        "uid": credential.metadata.uid,
        "controller": true,
    }]);
    assert_eq!(json!(secret.owner_references()), owner);
    assert_eq!((secret.type_.as_deref(), secret.immutable), (Some("Opaque"), None));
    assert!(secret.finalizers().is_empty());
}

fn assert_status(credential: &ApiCredential, secret: &Secret, source: &Secret) {
    let mut status = status(credential);
    let (issued, expires) = (seconds(secret, "issued-at"), seconds(secret, "expires-at"));
    let lifetime = expires - issued;
    let said = credential.status.clone().unwrap();
    // A third of the lifetime before the expiry, and up to a tenth earlier.
    let renewal = said.renewal_time.unwrap().0.as_second() - issued;
    assert!((lifetime - lifetime / 3 - lifetime / 10 - 1..=lifetime - lifetime / 3).contains(&renewal), "{renewal}");
    for condition in &said.conditions {
        assert_eq!(condition.observed_generation, Some(1));
        assert!(condition.message.ends_with('.'), "{}", condition.message);
    }
    let conditions = said.conditions.iter().map(|it| format!("{} {}/{}", it.type_, it.status, it.reason));
    assert_eq!(
        conditions.collect::<Vec<_>>(),
        ["Ready True/TokenValid", "Renewed True/Issued", "SourceResolved True/SourceResolved"]
    );
    let fields = status.as_object_mut().unwrap();
    fields.remove("conditions");
    fields.remove("renewalTime");
    let issued_time = annotation(secret, "issued-at");
    let expected = json!({
        "observedGeneration": 1,
        "token": {
            "issuedTime": issued_time,
            "expirationTime": annotation(secret, "expires-at"),
            "lifetimeSeconds": lifetime,
            "type": "Bearer",
        },
        "lastAttempt": {
            "time": issued_time,
            "reason": "Issued",
            "generation": 1,
            "source": {"uid": source.uid(), "resourceVersion": source.resource_version()},
        },
        "failedAttempts": 0,
        "revision": 1,
        "target": {"name": "a-token", "uid": secret.uid(), "resourceVersion": secret.resource_version()},
    });
    assert_eq!(status, expected);
}

async fn assert_event(scene: &Scene, credential: &ApiCredential) {
    let events = scene.space.events.list(&ListParams::default()).await.unwrap().items;
    let [event] = events.as_slice() else { panic!("one event: {events:?}") };
    assert_eq!((event.type_.as_deref(), event.reason.as_deref()), (Some("Normal"), Some("Issued")));
    assert_eq!(event.reporting_controller.as_deref(), Some("apicredential-operator"));
    assert!(event.reporting_instance.is_some() && event.action.is_some() && event.note.is_some());
    let about = event.regarding.as_ref().unwrap();
    assert_eq!((about.kind.as_deref(), &about.name), (Some("ApiCredential"), &credential.metadata.name));
    assert_eq!((&about.uid, &about.namespace), (&credential.metadata.uid, &credential.metadata.namespace));
}

fn keys(secret: &Secret) -> Vec<&str> {
    secret.data.as_ref().unwrap().keys().map(String::as_str).collect()
}

fn version(secret: &Secret) -> String {
    format!("{}/{}", secret.uid().unwrap(), secret.resource_version().unwrap())
}
