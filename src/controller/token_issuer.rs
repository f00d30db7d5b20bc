//! One exchange and the guarded write of its token: a pair that nothing splits.
//!
//! A write names the uid and the resourceVersion it was decided on; it starts only while the lease is surely ours,
//! only if the credential still asks for this token, and never later than half a lease after the request was sent,
//! so that a paused ex-leader cannot put a dead token over a newer one.

use std::sync::Arc;
use std::time::Duration;

use crate::provider_client::ProviderClient;
use apicredential::api::ApiCredential;
use apicredential::decide::{self, Cause, Stored, TokenEvaluation};
use apicredential::plan::Plan;
use apicredential::providers::{ExchangeFailure, Issued, Login};
use apicredential::reason::{Reason, Refusal};
use apicredential::schedule::Expiry;
use apicredential::source::SecretValues;
use apicredential::target::fingerprint::Fingerprint;
use apicredential::target::render::{self, TokenRecord};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use secrecy::ExposeSecret as _;

use crate::clock::{self, SuspendAwareInstant};
use crate::controller::watch::Watch;
use crate::kube_api::KubeApi;
use crate::lease::Leadership;

pub mod write;

/// What a pair works with.
#[derive(Clone)]
pub struct TokenIssuer {
    /// The API server.
    pub cluster: KubeApi,
    /// The providers.
    pub wire: Arc<ProviderClient>,
    /// Who lives.
    pub watch: Arc<Watch>,
    /// Whether we may write.
    pub leadership: Leadership,
    /// Half a lease: no write starts later than this after the request was sent.
    pub write_deadline: Duration,
}

/// One exchange to make, and where its token goes.
pub struct ExchangeRequest {
    /// For whom.
    pub credential: Arc<ApiCredential>,
    /// What the spec asks for.
    pub plan: Plan,
    /// Why.
    pub cause: Cause,
    /// What to send.
    pub inputs: Login,
    /// What the inputs were made from.
    pub values: SecretValues,
    /// The target as it was last read; none if it is to be created.
    pub target: Option<Secret>,
    /// The stored token, if it is whole and not of the future.
    pub stored: Option<TokenRecord>,
    /// The provider refuses the stored token.
    pub refused: bool,
    /// The renew request that this exchange answers.
    pub renew_request: Option<String>,
}

/// How a pair ended.
pub enum ExchangeOutcome {
    /// The token is in the Secret.
    Written {
        /// The Secret after the write.
        secret: Box<Secret>,
        /// The provider stated no expiry.
        assumed: bool,
    },
    /// The stored token stays: the new one lives no longer.
    NotExtended,
    /// The provider, or the API server after it, refused.
    Failed {
        /// Why.
        refusal: Refusal,
        /// The provider named a time.
        retry_after: Option<Duration>,
        /// The exchange succeeded, but its token could not be written.
        token_lost: bool,
    },
    /// The token was discarded, and there is nothing to report: the credential is gone or asks for something else,
    /// the lease is lost, or the namespace is being deleted.
    Discarded,
}

impl ExchangeOutcome {
    fn failed(refusal: impl Into<Refusal>) -> Self {
        Self::Failed { refusal: refusal.into(), retry_after: None, token_lost: false }
    }

    fn lost(refusal: impl Into<Refusal>) -> Self {
        Self::Failed { refusal: refusal.into(), retry_after: None, token_lost: true }
    }
}

/// A request that was sent, and what came of it.
pub struct ExchangeReport {
    /// What the log calls it.
    pub request: String,
    /// Wall clock just before the request.
    pub sent: Timestamp,
    /// How long the provider took.
    pub took: Duration,
    /// What its answer was worth, whatever became of the token.
    pub answer: Reason,
    /// How the pair ended.
    pub ending: ExchangeOutcome,
}

impl TokenIssuer {
    /// Sends the one request and delivers its token. Runs to its end once started.
    pub async fn run(&self, errand: &ExchangeRequest) -> ExchangeReport {
        let (mark, sent) = (SuspendAwareInstant::now(), clock::now_seconds());
        let answer = self.wire.exchange(&errand.inputs).await;
        let took = mark.elapsed();
        let (answer, ending) = match answer {
            Ok(issued) => self.receive(errand, &issued, &mark).await,
            Err(ExchangeFailure { reason, retry_after }) => {
                (reason, ExchangeOutcome::Failed { refusal: reason.into(), retry_after, token_lost: false })
            }
        };
        ExchangeReport { request: name(), sent, took, answer, ending }
    }

    async fn receive(
        &self,
        errand: &ExchangeRequest,
        issued: &Issued,
        mark: &SuspendAwareInstant,
    ) -> (Reason, ExchangeOutcome) {
        match evaluate(errand, issued) {
            TokenEvaluation::NotExtended => (Reason::TokenNotExtended, ExchangeOutcome::NotExtended),
            TokenEvaluation::StillRevoked => (Reason::TokenRevoked, ExchangeOutcome::failed(Reason::TokenRevoked)),
            TokenEvaluation::AlreadyExpired => {
                (Reason::TokenAlreadyExpired, ExchangeOutcome::failed(Reason::TokenAlreadyExpired))
            }
            TokenEvaluation::Write { expiry, assumed } => {
                let record = build_record(errand, issued, expiry);
                (Reason::Issued, self.deliver(errand, record, assumed, mark).await)
            }
        }
    }
}

/// A random name for one request, for the log alone: the provider is not told it.
fn name() -> String {
    let mut bytes = [0_u8; 8];
    // Without random numbers there is no TLS either.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

fn evaluate(errand: &ExchangeRequest, issued: &Issued) -> TokenEvaluation {
    let stored = errand.stored.as_ref().map(|stored| Stored {
        expiry: stored.expiry,
        same_bytes: stored.token.expose_secret() == issued.token.expose_secret(),
        refused: errand.refused,
    });
    let policy = &errand.plan.renewal;
    decide::evaluate_token(errand.cause, issued.issued_at, &issued.lifetime, stored, policy, clock::now())
}

fn build_record(errand: &ExchangeRequest, issued: &Issued, expiry: Expiry) -> TokenRecord {
    let fingerprint = Fingerprint::new(
        issued.token.expose_secret(),
        &errand.plan.request,
        &issued.issued_at.to_string(),
        &render::expiry_text(expiry),
        &errand.values.expose(),
    );
    TokenRecord {
        token: issued.token.clone(),
        issued_at: issued.issued_at,
        expiry,
        source_version: errand.values.version.clone(),
        fingerprint,
        renew_request: errand.renew_request.clone(),
    }
}
