//! One token exchange: from the permission to send it to what its outcome means for the next one.

use std::sync::Arc;
use std::time::Duration;

use apicredential::api::CreationPolicy;
use apicredential::api::condition_type;
use apicredential::decide::{self, Cause, Decision, TokenState, decide};
use apicredential::object_key::Key;
use apicredential::plan::Plan;
use apicredential::reason::{Reason, Refusal};
use apicredential::schedule;
use apicredential::status::Attempt;
use apicredential::target::ownership;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use tracing::{info, warn};

use super::cache::renew_request;
use super::observe::Observation;
use super::reconciliation::{Outcome, Reconciliation};
use crate::clock;
use crate::controller::token_issuer::{ExchangeOutcome, ExchangeReport, ExchangeRequest};
use crate::controller::watch::Watch;
use crate::kube_api::ApiError;
use crate::rate_limit::{Admission, Permit};
use apicredential::next_reconcile::NextReconcile;

/// A target that nobody else may write until the end of the write.
struct Claim {
    watch: Arc<Watch>,
    target: Key,
    owner: Key,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.watch.cache.release(&self.target);
        self.watch.enqueue_rivals(&self.target, &self.owner);
    }
}

impl Reconciliation {
    /// Acquires a permit, sends the token request, writes the token and reports.
    pub(super) async fn exchange(&mut self, observation: Observation, cause: Cause) -> Outcome {
        let Ok(plan) = self.plan.clone() else { return Outcome::Unsettled(self.after_retry_base(1)) };
        if let Some(outcome) = self.dry_run_write(&plan, &observation).await {
            return outcome;
        }
        let Some(claim) = self.claim(&plan) else {
            // The end of that claim enqueues this ApiCredential, whatever the Secret is then.
            let mut input = self.status_input(&observation);
            input.target_refusal = Some(Reason::TargetOwnedByOther.into());
            self.write_status(input).await;
            return Outcome::Unsettled(self.after_retry_base(12));
        };
        let waits = *self.history.waits_since.get_or_insert_with(clock::SuspendAwareInstant::now);
        let permit = match self.acquire_permit(&plan) {
            Ok(permit) => {
                self.history.waits_since = None;
                self.context.metrics.operator.admitted(waits.elapsed());
                permit
            }
            Err(next) => {
                drop(claim);
                self.write_status(self.status_input(&observation)).await;
                return Outcome::Queued(next.or_earlier(observation.expiry()));
            }
        };
        let is_valid = decide::token_state(&observation.facts, clock::now()) == TokenState::Valid;
        if self.status().is_ready() && !is_valid {
            // Not usable any more, and the provider may take its time: reported before the request is sent.
            self.write_status(self.status_input(&observation)).await;
        }
        // Boxed: its state is large, and every reconcile would carry it along.
        Box::pin(self.send(&plan, observation, cause, permit, claim)).await
    }

    /// A Secret that vanished, or a write that failed last time: would the API server accept it now? `Some`: not now.
    async fn dry_run_write(&mut self, plan: &Plan, observation: &Observation) -> Option<Outcome> {
        let vanished = observation.secret.is_none() && self.had_target();
        let lost = self.status().unresolved_failure().is_some_and(|reason| {
            matches!(reason, Reason::TargetWriteRejected | Reason::Forbidden | Reason::ApiUnavailable)
        });
        if !(vanished || lost || self.history.dry_run_first) {
            return None;
        }
        let dry_run = self.context.issuer.dry_run_write(&self.credential, plan, observation.secret.as_ref()).await;
        let Err(error) = dry_run else {
            let is_gone = (vanished || self.history.dry_run_first) && self.is_gone().await;
            return is_gone.then(|| Outcome::Unsettled(self.after_retry_base(1)));
        };
        let next = self.after_failed_write();
        if error != ApiError::NamespaceTerminating {
            let mut input = self.status_input(observation);
            if observation.secret.is_none() {
                input.target_refusal = Some(error.reason().into());
            } else {
                input.refusal = Some(error.reason().into());
            }
            self.write_status(input).await;
        }
        Some(Outcome::Unsettled(next))
    }

    /// A Secret that vanished, or a token that was discarded, may have gone with its ApiCredential, whose end the watch has not
    /// shown yet.
    async fn is_gone(&self) -> bool {
        match self.context.issuer.kube.read_credential(self.key.namespace(), self.key.name()).await {
            Ok(Some(live)) => live.uid().as_deref() != Some(self.uid()) || live.metadata.deletion_timestamp.is_some(),
            Ok(None) => true,
            Err(_unclear) => false,
        }
    }

    /// The target was ours once.
    fn had_target(&self) -> bool {
        self.history.target_known || self.status().revision.unwrap_or(0) > 0
    }

    /// Whether a source is gone because its whole namespace is being deleted, which is not reported. Asked once, before the
    /// refusal is reported: a dry-run create is what such a namespace rejects first, even if the Secret is still there.
    pub(super) async fn is_namespace_terminating(&self, refusal: &Refusal) -> bool {
        let Some(plan) = self.plan.as_ref().ok().filter(|plan| plan.target.policy == CreationPolicy::Owner) else {
            return false;
        };
        let is_reported = self.status().has_reason(condition_type::RENEWED, refusal.reason);
        if refusal.reason != Reason::SourceSecretNotFound || is_reported || !self.had_target() {
            return false;
        }
        self.context.issuer.dry_run_write(&self.credential, plan, None).await == Err(ApiError::NamespaceTerminating)
    }

    fn claim(&self, plan: &Plan) -> Option<Claim> {
        let target = self.key.sibling(&plan.target.name);
        let watch = Arc::clone(&self.context.issuer.watch);
        let owner = self.key.clone();
        watch.cache.claim(&target, self.uid()).then(|| Claim { watch, target, owner })
    }

    fn acquire_permit(&self, plan: &Plan) -> Result<Permit<Key>, NextReconcile> {
        if !self.context.issuer.leadership.may_start() {
            // The next renewal of the lease may permit it again; if it does not, the term ends.
            return Err(self.after_retry_base(1));
        }
        let now = clock::steady();
        match self.context.limiter.try_acquire(plan.request.endpoint(), &self.key, now) {
            Admission::Go(permit) => Ok(permit),
            Admission::At(time) => Err(NextReconcile::At(schedule::after(clock::now(), time.saturating_sub(now)))),
            Admission::Queued => Err(NextReconcile::OnChange),
        }
    }

    async fn send(
        &mut self,
        plan: &Arc<Plan>,
        mut observation: Observation,
        cause: Cause,
        permit: Permit<Key>,
        claim: Claim,
    ) -> Outcome {
        let soon = Outcome::Settled(self.after_retry_base(1));
        let Some(request) = self.exchange_request(plan, &mut observation, cause) else { return soon };
        let Some(guard) = self.context.in_flight.start() else { return Outcome::Settled(NextReconcile::OnChange) };
        self.history.latest_attempt = None;
        self.history.inputs = Some(Box::new(self.attempt_inputs(plan, Some(&request.values))));

        let issuer = self.context.issuer.clone();
        let metrics = self.context.metrics.clone();
        let provider = request.inputs.provider();
        // A task of its own: neither a lost lease nor a dropped controller can split the request from its write.
        let task = tokio::spawn(async move {
            let report = issuer.run(&request).await;
            metrics.exchange_ended(provider, report.response, report.took);
            drop((permit, guard));
            (request, report, claim)
        });
        let (request, report, claim) = match task.await {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_cancelled) => return soon,
        };
        observation.values = Some(request.values);
        let outcome = Box::pin(self.conclude(plan, observation, cause, report, request.renew_request)).await;
        drop(claim);
        outcome
    }

    fn exchange_request(&self, plan: &Plan, observation: &mut Observation, cause: Cause) -> Option<ExchangeRequest> {
        let values = observation.values.take()?;
        let token = decide::token(&observation.facts).filter(|token| token.spec_match == decide::SpecMatch::Fits);
        Some(ExchangeRequest {
            credential: Arc::clone(&self.credential),
            cause,
            inputs: values.login.clone(),
            plan: plan.clone(),
            values,
            target: observation.secret.clone(),
            // A token from the future would outlive every other, and its times have to be corrected.
            stored: observation.record.clone().filter(|stored| token.is_some() && stored.issued_at <= clock::now()),
            refused: observation.facts.verification.refused.is_some(),
            renew_request: renew_request(&*self.credential),
        })
    }

    async fn conclude(
        &mut self,
        plan: &Plan,
        mut observation: Observation,
        cause: Cause,
        report: ExchangeReport,
        renew_request: Option<String>,
    ) -> Outcome {
        let ExchangeReport { request_id: id, sent, took, response, outcome } = report;
        let (namespace, name) = (self.key.namespace().to_owned(), self.key.name().to_owned());
        let provider = self.credential.spec.provider.type_.as_str();
        let seconds = took.as_secs_f64();
        let refusal = match outcome {
            ExchangeOutcome::Written { secret, assumed } => {
                info!(
                    namespace, name, provider, cause = cause.as_str(),
                    reason = %Reason::Issued, request = id, seconds, "the token was issued and written"
                );
                return self.after_written(plan, observation, cause, *secret, assumed).await;
            }
            ExchangeOutcome::Discarded => {
                info!(
                    namespace, name, provider, cause = cause.as_str(),
                    reason = %response, request = id, seconds, "the token was discarded: it is no longer wanted"
                );
                // In a namespace that is being deleted the next exchange would be in vain, too: a dry run comes first.
                self.history.dry_run_first = true;
                // A watch that lags would make us try over and over.
                return Outcome::Unsettled(self.after_failed_write());
            }
            ExchangeOutcome::NotExtended => Refusal::from(Reason::TokenNotExtended),
            ExchangeOutcome::Failed { refusal, retry_after, token_lost } => {
                self.history.dry_run_first = token_lost;
                if refusal.reason == Reason::RateLimited {
                    self.pause_endpoint(plan, &observation, retry_after);
                }
                refusal
            }
        };
        let (failed, next) = self.next_attempt(plan, &observation, cause, refusal.reason);
        warn!(
            namespace, name, provider, cause = cause.as_str(),
            reason = %refusal.reason, request = id, seconds, failed, "the token was not renewed"
        );
        let source_version = observation.values.as_ref().map(|values| values.version.clone()).unwrap_or_default();
        let mut input = self.status_input(&observation);
        input.attempt = Some(Attempt {
            at: sent,
            source_version,
            outcome: Err(refusal.clone()),
            failed,
            next,
            expiry_assumed: false,
            handled_request: renew_request,
        });
        self.write_status(input).await;
        observation.facts.renew_requested = false;
        observation.facts.attempts.inputs_changed = false;
        observation.facts.attempts.unresolved =
            Some(decide::UnresolvedFailure { reason: refusal.reason, next: next.into() });
        outcome_after(&observation)
    }

    async fn after_written(
        &mut self,
        plan: &Plan,
        before: Observation,
        cause: Cause,
        secret: Secret,
        assumed: bool,
    ) -> Outcome {
        let planned = decide::token(&before.facts).and_then(|token| token.renewal).filter(|_| cause == Cause::Due);
        if let Some(planned) = planned {
            self.context.metrics.renewal_lateness(clock::now().duration_since(planned).as_secs_f64());
        }
        self.context.metrics.token_renewed(self.credential.spec.provider.type_, cause.as_str());
        self.history.note_write(&secret);
        self.history.source_read_for = self.credential.metadata.generation;
        self.history.dry_run_first = false;

        let values = before.values;
        let source_version = values.as_ref().map(|values| values.version.clone()).unwrap_or_default();
        let target = ownership::target(&self.credential, plan, Some(secret), &self.context.issuer.watch.cache);
        let source = decide::Source::Resolved { changed: false };
        let mut observation = self.observation(plan, target, source, values, None);
        let Some(issued) = observation.record.as_ref().map(|record| record.issued_at) else {
            return Outcome::Unsettled(NextReconcile::At(clock::now()));
        };
        let mut input = self.status_input(&observation);
        input.attempt = Some(Attempt {
            at: issued,
            source_version,
            outcome: Ok(()),
            failed: 0,
            next: None,
            expiry_assumed: assumed,
            handled_request: None,
        });
        self.write_status(input).await;
        observation.facts.attempts = decide::Attempts::default();
        outcome_after(&observation)
    }

    /// No token request is sent to the endpoint until the provider's time, or the delay of the class, has passed.
    pub(super) fn pause_endpoint(&self, plan: &Plan, observation: &Observation, retry_after: Option<Duration>) {
        let (_, next) = self.backoff(observation, Reason::RateLimited);
        let delay = retry_after.unwrap_or_else(|| schedule::until(next, clock::now()));
        self.context.limiter.pause(plan.request.endpoint(), clock::steady().saturating_add(delay));
    }

    /// Failed attempts of the same class in a row, and when the next one is made. `None`: not before something changes.
    fn next_attempt(
        &self,
        plan: &Plan,
        observation: &Observation,
        cause: Cause,
        reason: Reason,
    ) -> (u32, Option<Timestamp>) {
        let now = clock::now();
        let token = decide::token(&observation.facts);
        let is_valid = decide::token_state(&observation.facts, now) == TokenState::Valid;
        if let (Reason::TokenNotExtended, true, Some(token)) = (reason, is_valid, token)
            && let Some(next) = decide::after_not_extended(&token.lifetime, &plan.renewal, now)
        {
            return (0, Some(whole_second_after(next)));
        }
        let (failed, mut next) = self.backoff(observation, reason);
        if reason == Reason::RateLimited {
            let steady = clock::steady();
            let paused = self.context.limiter.paused_until(plan.request.endpoint(), steady);
            next = paused.map_or(next, |until| schedule::after(now, until.saturating_sub(steady)));
        }
        if let (Reason::TokenRevoked, Some(interval)) = (reason, plan.verification) {
            // The provider contradicts itself: a check may show that it accepts the token again.
            next = next.max(schedule::latest_check(now, interval));
        }
        if cause == Cause::Requested && is_valid {
            // The request is answered; what comes next is the planned renewal.
            let planned = token.and_then(|token| token.renewal);
            return (failed, planned.map(|planned| planned.max(whole_second_after(next))));
        }
        (failed, Some(whole_second_after(next)))
    }

    fn backoff(&self, observation: &Observation, reason: Reason) -> (u32, Timestamp) {
        let now = clock::now();
        let status = self.status();
        let class = reason.retry_class();
        let is_in_a_row = !observation.counts_anew && status.unresolved_failure_class() == Some(class);
        let before = u32::try_from(status.failed_attempts.unwrap_or(0)).unwrap_or(0);
        let failed = if is_in_a_row { before.saturating_add(1) } else { 1 };
        let is_valid = decide::token_state(&observation.facts, now) == TokenState::Valid;
        let delay = schedule::delay(class, failed, &self.context.settings.timings, is_valid, self.uid());
        (failed, schedule::after(now, delay))
    }
}

/// The facts alone decide when to reconcile again; nothing has to be read for it.
fn outcome_after(observation: &Observation) -> Outcome {
    match decide(&observation.facts, clock::now()) {
        Decision::Idle(next) => Outcome::Settled(next),
        Decision::Wait(_, time) => Outcome::Settled(NextReconcile::At(time).or_earlier(observation.expiry())),
        // Something else is to be done at once; the next reconcile does it.
        Decision::Repair | Decision::Check | Decision::Exchange(_) | Decision::Reject(_) => {
            Outcome::Unsettled(NextReconcile::At(clock::now()))
        }
    }
}

/// Stored times have whole seconds; rounding up never makes an attempt too early.
fn whole_second_after(time: Timestamp) -> Timestamp {
    let whole = clock::whole_seconds(time);
    if whole == time { whole } else { schedule::later(whole, 1) }
}
