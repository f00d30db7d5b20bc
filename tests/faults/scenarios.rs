//! The scenarios: what happens in a run, and when it has converged.

use std::time::Duration;

use apicredential::api::{ApiCredential, Provider};
use apicredential_operator::clock;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::history::What;
use crate::stage::{LEASE, NAME, Stage};
use crate::support::provider::Reply;
use crate::support::space::{condition, observed, value};

/// What happens in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scenario {
    /// The operator starts and finds an ApiCredential without a token.
    FirstSync,
    /// A token of 10 s is renewed.
    Renewal,
    /// The source Secret gets other values.
    SourceChanged,
    /// The target Secret is deleted.
    TargetDeleted,
    /// The ApiCredential is deleted while an exchange is in flight.
    CredentialDeleted,
    /// The verification of a Qontak token finds that it is rejected.
    Revoked,
    /// The leader of two replicas is terminated just when a source changes.
    HandOver,
}

/// The lifetime of a token that nothing renews within a run, in seconds.
const LONG: f64 = 3600.0;
/// The lifetime of the token that is renewed, in seconds.
const SHORT: f64 = 10.0;

impl Scenario {
    pub const ALL: [Self; 7] = [
        Self::FirstSync,
        Self::Renewal,
        Self::SourceChanged,
        Self::TargetDeleted,
        Self::CredentialDeleted,
        Self::Revoked,
        Self::HandOver,
    ];

    /// The provider of the ApiCredential.
    pub fn provider(self) -> Provider {
        if self == Self::Revoked { Provider::Qontak } else { Provider::Welkin }
    }

    /// How many operators take part.
    pub fn replicas(self) -> usize {
        if self == Self::HandOver { 2 } else { 1 }
    }

    /// How long a stopped operator stays stopped: past the moment from which it may not write, 10 s before the end of
    /// its lease, or past its lease, so that the other one takes over.
    pub fn pause(self) -> Duration {
        if self == Self::HandOver { LEASE + Duration::from_secs(3) } else { LEASE - Duration::from_secs(9) }
    }

    /// Everything before the first request that may have a fault.
    pub async fn prepare(self, stage: &Stage) {
        let lifetime = match self {
            Self::Renewal => SHORT,
            Self::Revoked => 1000.0 * LONG,
            _ => LONG,
        };
        stage.client.lifetime(LONG);
        stage.client.next(Reply::token().lifetime(lifetime));
        stage.source(&stage.new_secret()).await;
        stage.credential().await;
        if self == Self::FirstSync {
            return;
        }
        stage.start(0);
        stage.wait_for_readyz(0, "leading").await;
        for replica in 1..self.replicas() {
            stage.start(replica);
            stage.wait_for_readyz(replica, "standing by").await;
        }
        stage.space.wait_ready(NAME).await;
        if self == Self::Revoked {
            stage.stop(0).await;
            // Its first check is due at the next reconcile.
            stage.age_token().await;
        }
    }

    /// The subject of the run. The faults are armed.
    pub async fn act(self, stage: &Stage) {
        match self {
            Self::FirstSync => stage.start(0),
            Self::Revoked => {
                stage.note(What::Revoked { credential: NAME.to_owned() });
                stage.client.revoke_tokens();
                stage.start(0);
            }
            Self::Renewal => {}
            Self::SourceChanged => stage.source(&stage.new_secret()).await,
            Self::TargetDeleted => {
                stage.note(What::Target { credential: NAME.to_owned() });
                stage.space.delete_secret(&target()).await;
            }
            Self::CredentialDeleted => {
                let before = stage.client.count();
                stage.source(&stage.new_secret()).await;
                let asked = async || (stage.client.count() > before).then_some(());
                stage.space.wait_for("an exchange is in flight", asked).await;
                stage.note(What::Deleted { credential: NAME.to_owned() });
                stage.space.delete(NAME).await;
            }
            Self::HandOver => {
                stage.source(&stage.new_secret()).await;
                stage.send_sigterm(0);
            }
        }
    }

    /// The response to the first exchange after the preparation.
    pub fn reply(self) -> Reply {
        // In flight for long enough to be overtaken by the deletion.
        let latency = if self == Self::CredentialDeleted { 500 } else { 0 };
        Reply::token().lifetime(LONG).latency(Duration::from_millis(latency))
    }

    /// Whether everything is as it should be; otherwise what is not.
    pub async fn unfinished(self, stage: &Stage) -> Option<String> {
        if !stage.all_run() {
            return Some("all replicas run".to_owned());
        }
        if stage.client.in_flight() > 0 {
            return Some("no exchange is in flight".to_owned());
        }
        let secret = stage.space.secret(&target()).await;
        let Ok(credential) = stage.space.credentials.get_opt(NAME).await else {
            return Some("the API server answers".to_owned());
        };
        let Some(credential) = credential else {
            return secret.map(|_| "the Secret of a deleted ApiCredential is collected".to_owned());
        };
        if self == Self::CredentialDeleted {
            return Some("the ApiCredential is deleted".to_owned());
        }
        if !is_settled(&credential) {
            return Some("the status is Ready".to_owned());
        }
        let Some(token) = secret.as_ref().and_then(|secret| value(secret, "token")) else {
            return Some("the Secret holds a token".to_owned());
        };
        let key = if self.provider() == Provider::Qontak { "password" } else { "secret" };
        let source = stage.space.secret(&format!("{NAME}-source")).await.and_then(|source| value(&source, key));
        let asked = stage.client.requests().into_iter().find(|request| request.token.as_ref() == Some(&token));
        if asked.is_none_or(|asked| Some(asked.secret) != source) {
            return Some("the token is of the source as it is".to_owned());
        }
        let issued = stage.client.tokens().into_iter().find(|issued| issued.text == token);
        // An inconclusive check is not repeated before its interval.
        let unknown = condition(&credential, "Verified").is_some_and(|verified| verified.starts_with("Unknown/"));
        if issued.as_ref().is_some_and(|issued| issued.revoked) && !unknown {
            return Some("the revoked token is replaced".to_owned());
        }
        let is_kept =
            issued.and_then(|issued| issued.remaining(clock::now())).is_some_and(|seconds| seconds > 2.0 * SHORT);
        (!is_kept).then(|| "the token is renewed".to_owned())
    }

    /// A check is made once, and once more for each start: what was not reported yet is forgotten.
    pub fn assert_checks(self, stage: &Stage) {
        let (checks, starts) = (stage.client.checks().len(), stage.starts());
        if self == Self::Revoked {
            assert!(checks < starts, "{checks} checks with {starts} starts, the first of which had nothing to try");
        } else {
            assert_eq!(checks, 0);
        }
    }

    /// The end of every run: the ApiCredential is deleted, and its Secret is collected.
    pub async fn clear_away(self, stage: &Stage) {
        if self == Self::CredentialDeleted {
            return;
        }
        stage.note(What::Deleted { credential: NAME.to_owned() });
        stage.space.delete(NAME).await;
        let gone = async || stage.space.secret(&target()).await.is_none().then_some(());
        stage.space.wait_for("the Secret is collected", gone).await;
    }
}

fn target() -> String {
    format!("{NAME}-token")
}

fn is_settled(credential: &ApiCredential) -> bool {
    let failed = credential.status.as_ref().and_then(|status| status.failed_attempts).unwrap_or(0);
    observed(credential)
        && failed == 0
        && condition(credential, "Ready").as_deref() == Some("True/TokenValid")
        && condition(credential, "Renewed").is_some_and(|renewed| renewed.starts_with("True/"))
}
