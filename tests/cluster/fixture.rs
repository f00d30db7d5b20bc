//! A fixture for the tests of a token's lifetime: one namespace, one mock provider, and ApiCredentials with short
//! names.

use std::collections::BTreeMap;

use apicredential::api::ApiCredential;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::audit::Audit;
use crate::support::operator::Settings;
use crate::support::provider::{Client, MockProvider};
use crate::support::space::{self, Space, annotation, value};

/// A namespace and a provider of its own.
pub struct Scene {
    pub space: Space,
    pub mock_provider: MockProvider,
}

impl Scene {
    pub async fn new() -> Self {
        Self { space: Space::new().await, mock_provider: MockProvider::start() }
    }

    /// An operator for this fixture.
    pub fn operator(&self) -> Settings {
        Settings::new(&self.space, &self.mock_provider)
    }

    /// A Welkin client and the source `<name>-source` that it accepts. The ApiCredential is not created yet.
    pub async fn welkin_client(&self, name: &str) -> Client {
        let client = self.mock_provider.welkin(&self.space.unique(name));
        let secret = format!("sentinel-secret-of-{name}");
        client.accept(&secret);
        self.space.source_welkin(&format!("{name}-source"), &secret).await;
        client
    }

    /// A Qontak user and the source `<name>-source` that it accepts. The ApiCredential is not created yet.
    pub async fn qontak_user(&self, name: &str) -> Client {
        let user = self.mock_provider.qontak(&self.space.unique(name));
        let password = format!("sentinel-password-of-{name}");
        user.accept(&password);
        self.space.source_qontak(&format!("{name}-source"), user.name(), &password).await;
        user
    }

    /// Creates a Welkin ApiCredential.
    pub async fn apply_welkin(&self, name: &str, client: &Client) -> ApiCredential {
        self.space.apply(&space::welkin(name, client, &self.mock_provider)).await
    }

    /// Creates a Qontak ApiCredential.
    pub async fn apply_qontak(&self, name: &str) -> ApiCredential {
        self.space.apply(&space::qontak(name, &self.mock_provider)).await
    }

    /// An ApiCredential that is created only now becomes Ready: the operator had its chance to do what it must not do.
    pub async fn a_later_one_becomes_ready(&self, name: &str) {
        let client = self.welkin_client(name).await;
        self.apply_welkin(name, &client).await;
        self.space.wait_ready(name).await;
    }

    /// Makes the operator reconcile `name` this many times, by changing the target as another client would, and waits
    /// until it has. What a reconcile must not do can be counted afterwards.
    pub async fn trigger_reconciles(&self, name: &str, times: usize) {
        for time in 0..times {
            let before = self.reconciles(name).await;
            let touch = json!({"metadata": {"labels": {"touched": format!("{time}-{before}")}}});
            self.space.patch_secret(&format!("{name}-token"), &touch).await;
            let again = async || (self.reconciles(name).await > before).then_some(());
            self.space.wait_for(&format!("{name}: another reconcile"), again).await;
        }
    }

    async fn reconciles(&self, name: &str) -> usize {
        let target = format!("{name}-token");
        self.calls(name).await.only(|call| call.name == target && call.verb == "get").calls().len()
    }

    /// The operator's requests to the API server about an ApiCredential, its Secrets and its events, without lists.
    pub async fn calls(&self, name: &str) -> Audit {
        let (secrets, events) = (format!("{name}-"), format!("{name}."));
        let about = |call: &str| call == name || call.starts_with(&secrets) || call.starts_with(&events);
        self.space.audit().await.by("operator").without("leases").only(|call| about(&call.name))
    }

    /// The target Secret of `name`, which must exist.
    pub async fn target(&self, name: &str) -> Secret {
        self.space.secret(&format!("{name}-token")).await.expect("the target exists")
    }

    /// Requests a renewal by annotation.
    pub async fn request_renewal(&self, name: &str, text: &str) {
        let annotations = json!({"apicredential.io/renew-requested-at": text});
        self.space.patch(name, &json!({"metadata": {"annotations": annotations}})).await;
    }

    /// Changes the status, which only the operator should do; null removes.
    pub async fn patch_status(&self, name: &str, status: &Value) -> ApiCredential {
        let patch = Patch::Merge(json!({ "status": status }));
        let patched = self.space.credentials.patch_status(name, &PatchParams::default(), &patch).await;
        patched.expect("the status can be patched")
    }

    /// As if the status had been lost, for example in a restore from a backup.
    pub async fn wipe_status(&self, name: &str) {
        self.patch_status(name, &Value::Null).await;
    }

    /// Waits until the target of `name` has handled that request.
    pub async fn wait_answered(&self, name: &str, text: &str) {
        self.space
            .wait_for(&format!("{name}: {text} is answered"), async || {
                let secret = self.space.secret(&format!("{name}-token")).await?;
                (annotation(&secret, "renew-request").as_deref() == Some(text)).then_some(())
            })
            .await;
    }
}

/// The claims of a Welkin token.
pub fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("a JWT has three parts");
    let json = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&json).expect("the claims are JSON")
}

/// One of our annotations that holds a time, in Unix seconds.
pub fn seconds(secret: &Secret, name: &str) -> i64 {
    let text = annotation(secret, name).expect("the annotation is there");
    text.parse::<Timestamp>().expect("RFC 3339").as_second()
}

/// Fails unless token, annotations and rendered times of a Welkin target match. Its `times` key renders
/// `{issuedAt} {expiresAt}`.
pub fn assert_consistent(secret: &Secret) {
    let token = value(secret, "token").expect("the token is there");
    let claims = claims(&token);
    let (iat, exp) = (claims["iat"].as_i64().expect("iat"), claims["exp"].as_i64().expect("exp"));
    let (issued, expires) = (seconds(secret, "issued-at"), seconds(secret, "expires-at"));
    assert_eq!(expires, (issued + exp - iat).min(exp), "issued {issued}, claims {claims}");
    let annotated = ["issued-at", "expires-at"].map(|name| annotation(secret, name).expect("a time")).join(" ");
    assert_eq!(value(secret, "times").as_deref(), Some(annotated.as_str()));
}

/// Our part of a Secret, to be compared as a whole.
pub fn content(secret: &Secret) -> Value {
    json!([secret.data, secret.metadata.uid, secret.metadata.annotations])
}

/// The status as JSON, to be compared as a whole.
pub fn status(credential: &ApiCredential) -> Value {
    json!(credential.status)
}

/// Labels, annotations or data to compare with.
pub fn text_map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
}
