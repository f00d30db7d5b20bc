//! Qontak ApiCredentials that are verified every five minutes, with long-lived tokens, and a way to simulate elapsed
//! time.

use apicredential::api::ApiCredential;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use crate::fixture::Scene;
use crate::support::old_tokens::shift;
use crate::support::operator::{Operator, Settings};
use crate::support::provider::Client;
use crate::support::space::{self, DEADLINE, value};

pub const HOUR: i64 = 3600;

pub struct Stage {
    pub scene: Scene,
}

impl Stage {
    pub async fn new() -> Self {
        Self { scene: Scene::new().await }
    }

    /// An ApiCredential with a token of ten hours ago that was never verified. No operator runs.
    pub async fn with_token(name: &str) -> Self {
        Self::with_tokens(&[name]).await
    }

    /// Several of them.
    pub async fn with_tokens(names: &[&str]) -> Self {
        let stage = Self::new().await;
        let operator = stage.start().await;
        for name in names {
            stage.apply(name).await;
        }
        assert!(operator.terminate(DEADLINE).await.success());
        for name in names {
            stage.pass(name, 10 * HOUR).await;
        }
        stage
    }

    /// Without election: otherwise each start would wait for the lease of the killed operator. There are no retries.
    pub fn settings(&self) -> Settings {
        self.scene.operator().patient().flag("--leader-election", "false")
    }

    pub async fn start(&self) -> Operator {
        self.settings().start().await
    }

    pub fn user(&self, name: &str) -> Client {
        self.scene.mock_provider.qontak(&self.scene.space.unique(name))
    }

    /// Creates an ApiCredential and waits for its token.
    pub async fn apply(&self, name: &str) {
        self.apply_unready(name).await;
        self.scene.space.wait_ready(name).await;
    }

    /// Creates an ApiCredential.
    pub async fn apply_unready(&self, name: &str) -> Client {
        let user = self.scene.qontak_user(name).await;
        user.lifetime(29_823_918.0);
        let mut manifest = space::qontak(name, &self.scene.mock_provider);
        manifest["spec"]["verification"] = json!({"interval": "5m"});
        self.scene.space.apply(&manifest).await;
        user
    }

    /// As if this many seconds had passed since the token was issued and last verified. No operator may run.
    pub async fn pass(&self, name: &str, seconds: i64) {
        shift(&self.scene.space, name, -seconds).await;
        let status = self.scene.space.credential(name).await.status.unwrap();
        let earlier = |time: &Time| (time.0 - SignedDuration::from_secs(seconds)).to_string();
        let mut change = json!({});
        if let Some(check) = status.verification {
            change["verification"] =
                json!({"time": earlier(&check.time), "tokenIssuedTime": earlier(&check.token_issued_time)});
        }
        if let Some(attempt) = status.last_attempt {
            change["lastAttempt"] = json!({"time": earlier(&attempt.time)});
        }
        if let Some(next) = status.next_attempt_time {
            change["nextAttemptTime"] = json!(earlier(&next));
        }
        self.scene.patch_status(name, &change).await;
    }

    pub async fn wait_verified(&self, name: &str, state: &str) -> ApiCredential {
        self.scene.space.wait_condition(name, "Verified", state).await
    }

    pub async fn wait_checks(&self, name: &str, count: usize) {
        let user = self.user(name);
        let what = format!("{name}: check {count}");
        self.scene.space.wait_for(&what, async || (user.checks().len() >= count).then_some(())).await;
    }

    pub async fn wait_revision(&self, name: &str, revision: i64) -> ApiCredential {
        let fits = |it: &ApiCredential| it.status.as_ref().is_some_and(|status| status.revision == Some(revision));
        self.scene.space.wait_until(name, &format!("revision {revision}"), fits).await
    }

    pub async fn assert_holds(&self, name: &str, token: Option<String>) {
        assert_eq!(value(&self.scene.target(name).await, "token"), token, "{name}");
    }
}

/// The number of tokens that this operator wrote because the previous one was revoked.
pub async fn revoked_exchanges(operator: &Operator) -> Option<f64> {
    operator.metric(r#"apicredential_renewals_total{provider="Qontak",cause="revoked"}"#).await
}
