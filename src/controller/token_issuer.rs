//! One token request and the guarded write of its token. Nothing splits the two.
//!
//! A write names the uid and the resourceVersion that it was decided on. It starts only while the lease is certainly ours and
//! the ApiCredential still requests this token, and never later than half a lease after the token request was sent, so that a
//! former leader that was paused cannot write an expired token over a newer one.

use std::sync::Arc;
use std::time::Duration;

use crate::provider_client::ProviderClient;
use apicredential::api::ApiCredential;
use apicredential::decide::{self, Cause, Stored, TokenEvaluation};
use apicredential::plan::{AllowLists, Plan};
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

/// Sends token requests and writes their tokens.
#[derive(Clone)]
pub struct TokenIssuer {
    /// The API server.
    pub kube: KubeApi,
    /// The providers.
    pub providers: Arc<ProviderClient>,
    /// The watches and their cache.
    pub watch: Arc<Watch>,
    /// Whether this replica may write.
    pub leadership: Leadership,
    /// What a spec may name.
    pub allowed: Arc<AllowLists>,
    /// Half a lease: no write starts later than this after the token request was sent.
    pub write_deadline: Duration,
}

/// One token exchange to make, and where its token goes.
pub struct ExchangeRequest {
    /// The ApiCredential that requests the token.
    pub credential: Arc<ApiCredential>,
    /// Its parsed spec.
    pub plan: Plan,
    /// Why the exchange is made.
    pub cause: Cause,
    /// What is sent.
    pub inputs: Login,
    /// The source values that the login was made from.
    pub values: SecretValues,
    /// The target as it was last read. `None` if it is to be created.
    pub target: Option<Secret>,
    /// The stored token, if it is intact and was not issued in the future.
    pub stored: Option<TokenRecord>,
    /// The provider refuses the stored token.
    pub refused: bool,
    /// The renew request that this exchange answers.
    pub renew_request: Option<String>,
}

/// How an exchange ended.
pub enum ExchangeOutcome {
    /// The token is in the Secret.
    Written {
        /// The Secret after the write.
        secret: Box<Secret>,
        /// The provider stated no expiry.
        assumed: bool,
    },
    /// The stored token stays, because the new one expires no later.
    NotExtended,
    /// The provider refused, or the API server after it.
    Failed {
        /// Why.
        refusal: Refusal,
        /// How long the provider requests to wait.
        retry_after: Option<Duration>,
        /// The provider issued a token, but it could not be written.
        token_lost: bool,
    },
    /// The token was discarded and there is nothing to report: the ApiCredential is gone or requests something else, the
    /// lease is lost, or the namespace is being deleted.
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

/// A token request that was sent, and its outcome.
pub struct ExchangeReport {
    /// The id of the request in the log.
    pub request_id: String,
    /// The wall clock just before the request was sent.
    pub sent: Timestamp,
    /// How long the provider took.
    pub took: Duration,
    /// What the provider's response meant, whatever became of the token.
    pub response: Reason,
    /// How the exchange ended.
    pub outcome: ExchangeOutcome,
}

impl TokenIssuer {
    /// Sends the token request and writes the token. Runs to its end once started.
    pub async fn run(&self, request: &ExchangeRequest) -> ExchangeReport {
        let (mark, sent) = (SuspendAwareInstant::now(), clock::now_seconds());
        let response = self.providers.exchange(&request.inputs).await;
        let took = mark.elapsed();
        let (response, outcome) = match response {
            Ok(issued) => self.receive(request, &issued, &mark).await,
            Err(ExchangeFailure { reason, retry_after }) => {
                (reason, ExchangeOutcome::Failed { refusal: reason.into(), retry_after, token_lost: false })
            }
        };
        ExchangeReport { request_id: request_id(), sent, took, response, outcome }
    }

    async fn receive(
        &self,
        request: &ExchangeRequest,
        issued: &Issued,
        mark: &SuspendAwareInstant,
    ) -> (Reason, ExchangeOutcome) {
        match evaluate(request, issued) {
            TokenEvaluation::NotExtended => (Reason::TokenNotExtended, ExchangeOutcome::NotExtended),
            TokenEvaluation::StillRevoked => (Reason::TokenRevoked, ExchangeOutcome::failed(Reason::TokenRevoked)),
            TokenEvaluation::AlreadyExpired => {
                (Reason::TokenAlreadyExpired, ExchangeOutcome::failed(Reason::TokenAlreadyExpired))
            }
            TokenEvaluation::Write { expiry, assumed } => {
                let record = build_record(request, issued, expiry);
                (Reason::Issued, self.write_token(request, record, assumed, mark).await)
            }
        }
    }
}

/// A random id for the log. It is not sent to the provider.
fn request_id() -> String {
    let mut bytes = [0_u8; 8];
    // Without random numbers there is no TLS either.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

fn evaluate(request: &ExchangeRequest, issued: &Issued) -> TokenEvaluation {
    let stored = request.stored.as_ref().map(|stored| Stored {
        expiry: stored.expiry,
        same_bytes: stored.token.expose_secret() == issued.token.expose_secret(),
        refused: request.refused,
    });
    let policy = &request.plan.renewal;
    decide::evaluate_token(request.cause, issued.issued_at, &issued.lifetime, stored, policy, clock::now())
}

fn build_record(request: &ExchangeRequest, issued: &Issued, expiry: Expiry) -> TokenRecord {
    let fingerprint = Fingerprint::new(
        issued.token.expose_secret(),
        &request.plan,
        &issued.issued_at.to_string(),
        &render::expiry_text(expiry),
    );
    TokenRecord {
        token: issued.token.clone(),
        issued_at: issued.issued_at,
        expiry,
        source_version: request.values.version.clone(),
        fingerprint,
        renew_request: request.renew_request.clone(),
    }
}
