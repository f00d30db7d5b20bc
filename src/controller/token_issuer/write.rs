//! The guarded write: the checks before it, and what follows a conflict or a lost reply.

use std::time::Duration;

use apicredential::api::ApiCredential;
use apicredential::object_key::Key;
use apicredential::plan::Plan;
use apicredential::reason::{Reason, Refusal};
use apicredential::schedule::Expiry;
use apicredential::target::fingerprint::Fingerprint;
use apicredential::target::ownership::{self, Target};
use apicredential::target::render::{self, StoredToken, TokenRecord, render};
use apicredential::target::write_guard::{self, WriteBlocked, WriteContext};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use secrecy::ExposeSecret as _;

use super::{ExchangeOutcome, ExchangeRequest, TokenIssuer};
use crate::clock::{self, SuspendAwareInstant};
use crate::kube_api::{ApiError, SHORT, WebhookOutcome, Write};

#[cfg(test)]
mod tests;

/// How often a write is tried again after a conflict or a lost reply. The deadline ends it sooner.
const ATTEMPTS: usize = 8;
/// Between two calls to an API server that does not answer, or whose admission webhook fails.
const PAUSE: Duration = Duration::from_millis(250);

impl TokenIssuer {
    /// Writes a new token, with as many attempts as it takes, until half a lease after the token request was sent.
    pub(super) async fn write_token(
        &self,
        request: &ExchangeRequest,
        record: TokenRecord,
        assumed: bool,
        mark: &SuspendAwareInstant,
    ) -> ExchangeOutcome {
        let mut target = request.target.clone();
        // Reported if the time is over before the write has succeeded.
        let mut unwritten = ApiError::Unavailable;
        for _attempt in 0..ATTEMPTS {
            let Some((credential, plan)) = (match self.still_wanted(request, &unwritten, mark).await {
                Ok(wanted) => wanted,
                Err(refusal) => return ExchangeOutcome::lost(refusal),
            }) else {
                return ExchangeOutcome::Discarded;
            };
            let written = self.write(&credential, &plan, &record, target.as_ref(), mark).await;
            match written {
                Ok(secret) if holds(&secret, &plan, &record) => {
                    return ExchangeOutcome::Written { secret: Box::new(secret), assumed };
                }
                // Something changed what was written. Another exchange would end no better.
                Ok(_other) => return ExchangeOutcome::lost(Reason::TargetWriteRejected),
                Err(WriteError::NotAllowed) | Err(WriteError::Api(ApiError::NamespaceTerminating)) => {
                    return ExchangeOutcome::Discarded;
                }
                Err(WriteError::TooLate) => return ExchangeOutcome::lost(unwritten.refusal()),
                Err(WriteError::Expired) => return ExchangeOutcome::lost(Reason::TokenAlreadyExpired),
                Err(WriteError::Api(error)) if is_final(&error) => return ExchangeOutcome::lost(error.refusal()),
                Err(WriteError::Api(ApiError::Conflict | ApiError::NotFound)) => {}
                Err(WriteError::Api(error)) => {
                    unwritten = error;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // Another version, or nobody knows whether it was written: read before writing again.
            match self.read_again(&credential, &plan, &record, &unwritten, mark).await {
                Ok(Reread::Write(found)) => target = found.map(|secret| *secret),
                Ok(Reread::Ours(secret)) => return ExchangeOutcome::Written { secret, assumed },
                Ok(Reread::Newer) => return ExchangeOutcome::Discarded,
                Err(refusal) => return ExchangeOutcome::lost(refusal),
            }
        }
        ExchangeOutcome::lost(unwritten.refusal())
    }

    /// The ApiCredential as it is now, if it still requests this token. Once the time is over: why it was not written.
    async fn still_wanted(
        &self,
        request: &ExchangeRequest,
        unwritten: &ApiError,
        mark: &SuspendAwareInstant,
    ) -> Result<Option<(ApiCredential, Plan)>, Refusal> {
        let (namespace, name) = (request.credential.namespace().unwrap_or_default(), request.credential.name_any());
        let mut unwritten = unwritten.clone();
        loop {
            if !self.time_left(mark) {
                return Err(unwritten.refusal());
            }
            match self.kube.read_credential(&namespace, &name).await {
                Ok(None) => return Ok(None),
                Ok(Some(live)) => {
                    let same = live.uid() == request.credential.uid() && live.metadata.deletion_timestamp.is_none();
                    if !same {
                        return Ok(None);
                    }
                    let plan = Plan::parse(&live.spec, &self.allowed).ok();
                    return Ok(plan.filter(|plan| plan.has_same_exchange(&request.plan)).map(|plan| (live, plan)));
                }
                Err(error) if is_final(&error) => return Err(error.refusal()),
                Err(error) => {
                    unwritten = error;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn write(
        &self,
        credential: &ApiCredential,
        plan: &Plan,
        record: &TokenRecord,
        target: Option<&Secret>,
        mark: &SuspendAwareInstant,
    ) -> Result<Secret, WriteError> {
        let rendering = render(credential, plan, record);
        let namespace = credential.namespace().unwrap_or_default();
        let call = self.watch.cache.begin_call();
        // Nothing is awaited between this check and the write itself.
        let write = Write::Within(write_guard::before_write(record.expiry, &self.write_context(mark))?);
        let mut written = match target {
            None => {
                let secret = rendering.to_new_secret(credential, &plan.target.name);
                self.kube.create_secret(&secret, write).await?
            }
            Some(current) => match rendering.to_patch(current) {
                None => return Ok(current.clone()),
                Some(patch) => self.kube.patch_secret(&namespace, &plan.target.name, &patch, write).await?,
            },
        };
        let effects = self.watch.cache.apply_target_reply(&Key::of(credential), &written, call);
        self.watch.enqueue_all(&effects);
        plan.drop_unused_of_target(&mut written);
        Ok(written)
    }

    async fn read_again(
        &self,
        credential: &ApiCredential,
        plan: &Plan,
        record: &TokenRecord,
        unwritten: &ApiError,
        mark: &SuspendAwareInstant,
    ) -> Result<Reread, Refusal> {
        let namespace = credential.namespace().unwrap_or_default();
        let mut unwritten = unwritten.clone();
        let mut secret = loop {
            if !self.time_left(mark) {
                return Err(unwritten.refusal());
            }
            match self.kube.read_secret(&namespace, &plan.target.name, SHORT).await {
                Ok(secret) => break secret,
                Err(error) if is_final(&error) => return Err(error.refusal()),
                Err(error) => {
                    unwritten = error;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        secret.iter_mut().for_each(|secret| plan.drop_unused_of_target(secret));
        match ownership::target(credential, plan, secret, &self.watch.cache) {
            Target::Refused(refusal) | Target::Ours { blocked: Some(refusal), .. } => Err(refusal),
            Target::Absent => Ok(Reread::Write(None)),
            Target::Ours { secret, stored: StoredToken::Intact(stored), .. } => {
                let same = stored.fingerprint == record.fingerprint;
                Ok(match write_guard::resolve_conflict(same, stored.issued_at, record.issued_at, clock::now()) {
                    write_guard::ConflictResolution::Written => Reread::Ours(secret),
                    write_guard::ConflictResolution::Newer => Reread::Newer,
                    write_guard::ConflictResolution::Write => Reread::Write(Some(secret)),
                })
            }
            Target::Ours { secret, .. } => Ok(Reread::Write(Some(secret))),
        }
    }

    fn time_left(&self, mark: &SuspendAwareInstant) -> bool {
        write_guard::time_left(mark.elapsed(), self.write_deadline)
    }

    fn write_context(&self, mark: &SuspendAwareInstant) -> WriteContext {
        WriteContext {
            now: clock::now(),
            since_sent: mark.elapsed(),
            deadline: self.write_deadline,
            lease_time: self.leadership.write_time(),
        }
    }

    /// Writes our part of the Secret again from the token in it.
    ///
    /// # Errors
    /// The write did not start, or the API server rejected it.
    pub async fn repair(
        &self,
        credential: &ApiCredential,
        plan: &Plan,
        stored: &TokenRecord,
        current: &Secret,
    ) -> Result<Secret, WriteError> {
        let namespace = credential.namespace().unwrap_or_default();
        match self.kube.read_credential(&namespace, &credential.name_any()).await? {
            Some(live)
                if live.uid() == credential.uid() && live.metadata.generation == credential.metadata.generation => {}
            _ => return Err(WriteError::NotAllowed),
        }
        self.write(credential, plan, stored, Some(current), &SuspendAwareInstant::now()).await
    }

    /// Asks the API server by a dry run whether it would accept a write. No token is in it.
    ///
    /// # Errors
    /// The API server would reject it.
    pub async fn dry_run_write(
        &self,
        credential: &ApiCredential,
        plan: &Plan,
        target: Option<&Secret>,
    ) -> Result<(), ApiError> {
        let now = clock::now_seconds();
        let placeholder = TokenRecord {
            token: "placeholder".to_owned().into(),
            issued_at: now,
            expiry: Expiry::Never,
            source_version: String::new(),
            fingerprint: Fingerprint::new("placeholder", plan, &now.to_string(), "never"),
            renew_request: None,
        };
        let rendering = render(credential, plan, &placeholder);
        let namespace = credential.namespace().unwrap_or_default();
        let outcome = match target {
            None => {
                let secret = rendering.to_new_secret(credential, &plan.target.name);
                self.kube.create_secret(&secret, Write::DryRun).await
            }
            Some(current) => match rendering.to_patch(current) {
                None => return Ok(()),
                Some(patch) => self.kube.patch_secret(&namespace, &plan.target.name, &patch, Write::DryRun).await,
            },
        };
        match outcome {
            Ok(_) | Err(ApiError::Conflict | ApiError::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

/// Whether another call soon would end the same way. A failed webhook or an expired login of the operator can recover.
fn is_final(error: &ApiError) -> bool {
    match error {
        ApiError::Forbidden | ApiError::Rejected => true,
        ApiError::Webhook(webhook) => webhook.outcome == WebhookOutcome::Denied,
        _ => false,
    }
}

/// Whether a Secret holds this token and all that belongs to it.
fn holds(secret: &Secret, plan: &Plan, record: &TokenRecord) -> bool {
    let StoredToken::Intact(stored) = render::read(secret, plan) else { return false };
    stored.token.expose_secret() == record.token.expose_secret()
        && stored.fingerprint == record.fingerprint
        && (stored.issued_at, stored.expiry) == (record.issued_at, record.expiry)
}

/// Why a write did not happen.
#[derive(Clone, Debug)]
pub enum WriteError {
    /// Half a lease has passed since the token request was sent.
    TooLate,
    /// The token has expired.
    Expired,
    /// The lease may not be ours, or the ApiCredential changed.
    NotAllowed,
    /// The API server.
    Api(ApiError),
}

impl From<WriteBlocked> for WriteError {
    fn from(halt: WriteBlocked) -> Self {
        match halt {
            WriteBlocked::TooLate => Self::TooLate,
            WriteBlocked::NotLeader => Self::NotAllowed,
            WriteBlocked::Expired => Self::Expired,
        }
    }
}

impl From<ApiError> for WriteError {
    fn from(fault: ApiError) -> Self {
        Self::Api(fault)
    }
}

/// What a read after a conflict or a lost reply showed.
enum Reread {
    Write(Option<Box<Secret>>),
    Ours(Box<Secret>),
    Newer,
}
