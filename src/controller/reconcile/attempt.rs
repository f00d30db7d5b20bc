//! An exchange, from the permission to make it to what it means for the next one.

use std::sync::Arc;

use apicredential::api::CreationPolicy;
use apicredential::decide::{self, Cause, Decision, TokenState, attempt_class, decide};
use apicredential::object_key::Key;
use apicredential::reason::{Reason, Refusal};
use apicredential::schedule;
use apicredential::status::{self, Attempt};
use apicredential::target::ownership;
use jiff::Timestamp;
use kube::ResourceExt as _;
use tracing::{info, warn};

use super::look::Round;
use super::sight::Sight;
use crate::clock;
use crate::controller::token_issuer::{ExchangeOutcome, ExchangeReport, ExchangeRequest};
use crate::controller::watch::Watch;
use crate::kube_api::ApiError;
use crate::rate_limit::{Admission, Permit};

/// A target that nobody else may write until the end of the write.
struct Claim {
    watch: Arc<Watch>,
    target: Key,
    name: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.watch.index.release(&self.target);
        self.watch.wake_rivals(&self.target, &self.name);
    }
}

impl Round {
    /// Asks for permission, exchanges, delivers and tells; when to look again.
    pub(super) async fn exchange(&mut self, sight: Sight, cause: Cause) -> Timestamp {
        if let Some(wake) = self.dry_run_write(&sight).await {
            return wake;
        }
        let Some(claim) = self.claim(&sight) else {
            // The end of the claim wakes this one, whatever the Secret looks like then.
            self.glance_is_void();
            let mut findings = sight.findings(self);
            findings.target_refusal = Some(Reason::TargetOwnedByOther.into());
            self.tell(findings).await;
            return schedule::after(clock::now(), self.context.operator.pace.retry_base * 12);
        };
        let waits = *self.memory.waits_since.get_or_insert_with(clock::SuspendAwareInstant::now);
        let pass = match self.try_acquire(&sight) {
            Ok(pass) => {
                self.memory.waits_since = None;
                self.context.operator.metrics.machine.let_through(waits.elapsed());
                pass
            }
            Err(wake) => {
                drop(claim);
                self.queued = true;
                self.tell(sight.findings(self)).await;
                return wake.min(sight.expiry());
            }
        };
        if status::is_ready(&self.status()) && decide::token_state(&sight.facts, clock::now()) != TokenState::Valid {
            // Not usable any more, and a hanging provider may take its time: say so before asking.
            self.tell(sight.findings(self)).await;
        }
        // Boxed: its state is large, and every look would carry it along.
        Box::pin(self.run_pair(sight, cause, pass, claim)).await
    }

    /// A Secret that vanished, or a write that failed last time: would the API server take it now? Some: not now.
    async fn dry_run_write(&mut self, sight: &Sight) -> Option<Timestamp> {
        let plan = sight.plan.as_ref()?;
        let vanished = sight.secret.is_none() && self.had_target();
        let lost = status::open_failure(&self.status()).is_some_and(|reason| {
            matches!(reason, Reason::TargetWriteRejected | Reason::Forbidden | Reason::ApiUnavailable)
        });
        if !(vanished || lost || self.memory.dry_run_first) {
            return None;
        }
        let courier = &self.context.courier;
        let Err(fault) = courier.dry_run_write(&self.credential, plan, sight.secret.as_ref()).await else {
            let gone = vanished && self.is_gone().await;
            return gone.then(|| {
                self.glance_is_void();
                schedule::after(clock::now(), self.context.operator.pace.retry_base)
            });
        };
        let wake = self.after_failed_write();
        self.glance_is_void();
        if fault != ApiError::NamespaceTerminating {
            let mut findings = sight.findings(self);
            if sight.secret.is_none() {
                findings.target_refusal = Some(fault.reason().into());
            } else {
                findings.refusal = Some(fault.reason().into());
            }
            self.tell(findings).await;
        }
        Some(wake)
    }

    /// A Secret that vanished may have gone with its credential, of whose end the watch has not told yet.
    async fn is_gone(&self) -> bool {
        match self.context.courier.cluster.credential(self.key.namespace(), self.key.name()).await {
            Ok(Some(live)) => live.uid().as_ref() != Some(&self.uid) || live.metadata.deletion_timestamp.is_some(),
            Ok(None) => true,
            Err(_unclear) => false,
        }
    }

    /// The target was ours once.
    fn had_target(&self) -> bool {
        self.memory.target_known || self.status().revision.unwrap_or(0) > 0
    }

    /// Whether a source is gone because its whole namespace goes, which is quiet. Asked once, before it is told:
    /// a dry CREATE is what a namespace that is being deleted refuses first, even if the Secret is still there.
    pub(super) async fn is_namespace_going(&self, sight: &Sight, refusal: &Refusal) -> bool {
        let Some(plan) = sight.plan.as_ref().filter(|plan| plan.target.policy == CreationPolicy::Owner) else {
            return false;
        };
        let told = status::is_refused(&self.status(), refusal.reason);
        if refusal.reason != Reason::SourceSecretNotFound || told || !self.had_target() {
            return false;
        }
        self.context.courier.dry_run_write(&self.credential, plan, None).await == Err(ApiError::NamespaceTerminating)
    }

    fn claim(&self, sight: &Sight) -> Option<Claim> {
        let target = self.key.sibling(&sight.plan.as_ref()?.target.name);
        let watch = Arc::clone(&self.context.courier.watch);
        let name = self.key.name().to_owned();
        watch.index.claim(&target, &self.uid).then(|| Claim { watch, target, name })
    }

    fn try_acquire(&self, sight: &Sight) -> Result<Permit<Key>, Timestamp> {
        let endpoint = sight.plan.as_ref().ok_or(Timestamp::MAX)?.request.endpoint();
        if !self.context.courier.leadership.may_start() {
            // The next renewal of the lease may give leave again; if it does not, the term ends.
            return Err(schedule::after(clock::now(), self.context.operator.pace.retry_base));
        }
        let now = clock::steady();
        match self.context.gates.try_acquire(endpoint, &self.key, now) {
            Admission::Go(pass) => Ok(pass),
            Admission::At(time) => Err(schedule::after(clock::now(), time.saturating_sub(now))),
            Admission::Queued => Err(Timestamp::MAX),
        }
    }

    async fn run_pair(&mut self, sight: Sight, cause: Cause, pass: Permit<Key>, claim: Claim) -> Timestamp {
        let soon = schedule::after(clock::now(), self.context.operator.pace.retry_base);
        let Some((errand, mut sight)) = self.errand(sight, cause) else { return soon };
        let Some(pair) = self.context.operator.pairs.start() else { return Timestamp::MAX };
        self.memory.latest_attempt = None;
        self.memory.attempted = sight.plan.as_ref().map(|plan| Box::new(self.attempted(plan, Some(&errand.values))));

        let courier = self.context.courier.clone();
        let metrics = self.context.operator.metrics.clone();
        let provider = errand.inputs.provider();
        // A task of its own: neither a lost lease nor a dropped controller can split the request from its write.
        let task = tokio::spawn(async move {
            let delivery = courier.run(&errand).await;
            metrics.exchange_ended(provider, delivery.answer, delivery.took);
            drop((pass, pair));
            (errand, delivery, claim)
        });
        let (errand, delivery, claim) = match task.await {
            Ok(ended) => ended,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_cancelled) => return soon,
        };
        sight.values = Some(errand.values);
        let wake = Box::pin(self.conclude(sight, cause, delivery, errand.renew_request)).await;
        drop(claim);
        wake
    }

    fn errand(&self, mut sight: Sight, cause: Cause) -> Option<(ExchangeRequest, Sight)> {
        let plan = sight.plan.clone()?;
        let values = sight.values.take()?;
        let token = decide::token(&sight.facts).filter(|token| token.fit == decide::SpecMatch::Fits);
        let errand = ExchangeRequest {
            credential: Arc::clone(&self.credential),
            cause,
            inputs: values.inputs(&plan.request)?,
            plan,
            values,
            target: sight.secret.clone(),
            // A token from the future would outlive every answer, and its times are to be put right.
            stored: sight.record.clone().filter(|stored| token.is_some() && stored.issued_at <= clock::now()),
            refused: sight.facts.verification.refused.is_some(),
            renew_request: self.glance.renew_request.clone(),
        };
        Some((errand, sight))
    }

    async fn conclude(
        &mut self,
        mut sight: Sight,
        cause: Cause,
        delivery: ExchangeReport,
        request: Option<String>,
    ) -> Timestamp {
        let ExchangeReport { request: id, sent, took, answer, ending } = delivery;
        let provider = self.credential.spec.provider.type_.as_str();
        let seconds = took.as_secs_f64();
        let refusal = match ending {
            ExchangeOutcome::Written { secret, assumed } => {
                info!(
                    namespace = self.key.namespace(), name = self.key.name(), provider, cause = cause.as_str(),
                    reason = %Reason::Issued, request = id, seconds, "the token was issued and written"
                );
                return self.written(sight, cause, *secret, assumed).await;
            }
            ExchangeOutcome::Discarded => {
                info!(
                    namespace = self.key.namespace(), name = self.key.name(), provider, cause = cause.as_str(),
                    reason = %answer, request = id, seconds, "the token was discarded: nobody asks for it any more"
                );
                // In a namespace that is being deleted the next exchange would be in vain, too: ask first.
                self.memory.dry_run_first = true;
                self.glance_is_void();
                // A watch that lags would make us try over and over.
                return self.after_failed_write();
            }
            ExchangeOutcome::NotExtended => Refusal::from(Reason::TokenNotExtended),
            ExchangeOutcome::Failed { refusal, retry_after, token_lost } => {
                self.memory.dry_run_first = token_lost;
                if refusal.reason == Reason::RateLimited {
                    self.pause(&sight, retry_after);
                }
                refusal
            }
        };
        let (failed, next) = self.next_attempt(&sight, cause, refusal.reason);
        warn!(
            namespace = self.key.namespace(), name = self.key.name(), provider, cause = cause.as_str(),
            reason = %refusal.reason, request = id, seconds, failed, "the token was not renewed"
        );
        let version = sight.values.as_ref().map(|values| values.version.clone()).unwrap_or_default();
        let mut findings = sight.findings(self);
        findings.attempt = Some(Attempt {
            at: sent,
            source_version: version,
            outcome: Err(refusal.clone()),
            failed,
            next,
            expiry_assumed: false,
            handled_request: request,
        });
        self.tell(findings).await;
        sight.facts.renew_requested = false;
        sight.facts.attempts.fresh = false;
        sight.facts.attempts.open =
            Some(decide::OpenFailure { reason: refusal.reason, next: next.unwrap_or(Timestamp::MAX) });
        self.wake_after(&sight)
    }

    async fn written(
        &mut self,
        before: Sight,
        cause: Cause,
        secret: k8s_openapi::api::core::v1::Secret,
        assumed: bool,
    ) -> Timestamp {
        let planned = decide::token(&before.facts).and_then(|token| token.renewal).filter(|_| cause == Cause::Due);
        if let Some(planned) = planned {
            self.context.operator.metrics.lateness(clock::now().duration_since(planned).as_secs_f64());
        }
        self.context.operator.metrics.renewed(self.credential.spec.provider.type_, cause.as_str());
        self.remember_write(&secret);
        self.memory.source_read = self.credential.metadata.generation;
        self.fresh_target = None;
        self.memory.dry_run_first = false;

        let (Some(plan), values) = (before.plan, before.values) else { return Timestamp::MAX };
        let version = values.as_ref().map(|values| values.version.clone()).unwrap_or_default();
        let target = ownership::target(&self.credential, &plan, Some(secret), &self.context.courier.watch.index);
        let mut sight = self.sight(plan, target, decide::Source::Resolved { changed: false }, values);
        let Some(issued) = sight.record.as_ref().map(|record| record.issued_at) else {
            self.glance_is_void();
            return clock::now();
        };
        let mut findings = sight.findings(self);
        findings.attempt = Some(Attempt {
            at: issued,
            source_version: version,
            outcome: Ok(()),
            failed: 0,
            next: None,
            expiry_assumed: assumed,
            handled_request: None,
        });
        self.tell(findings).await;
        sight.facts.attempts = decide::Attempts::default();
        self.wake_after(&sight)
    }

    /// The facts alone say when to look again; nothing has to be read for it.
    fn wake_after(&mut self, sight: &Sight) -> Timestamp {
        match decide(&sight.facts, clock::now()) {
            Decision::Idle(time) => time.unwrap_or(Timestamp::MAX),
            Decision::Wait(_, time) => time.min(sight.expiry()),
            // Something else is to be done at once; the next look does it.
            Decision::Repair | Decision::Check | Decision::Exchange(_) | Decision::Reject(_) => {
                self.glance_is_void();
                clock::now()
            }
        }
    }

    pub(super) fn pause(&self, sight: &Sight, retry_after: Option<std::time::Duration>) {
        let Some(plan) = &sight.plan else { return };
        let (_, next) = self.backoff(sight, Reason::RateLimited);
        let delay = retry_after.unwrap_or_else(|| schedule::until(next, clock::now()));
        self.context.gates.pause(plan.request.endpoint(), clock::steady().saturating_add(delay));
    }

    /// Failed attempts of the same class in a row, and when the next one is made.
    fn next_attempt(&self, sight: &Sight, cause: Cause, reason: Reason) -> (u32, Option<Timestamp>) {
        let now = clock::now();
        let token = decide::token(&sight.facts);
        let valid = decide::token_state(&sight.facts, now) == TokenState::Valid;
        if let (Reason::TokenNotExtended, true, Some((token, plan))) = (reason, valid, token.zip(sight.plan.as_ref()))
            && let Some(next) = decide::after_not_extended(&token.life, &plan.renewal, now)
        {
            return (0, Some(whole_second_after(next)));
        }
        let (failed, mut next) = self.backoff(sight, reason);
        if let Some(plan) = sight.plan.as_ref().filter(|_| reason == Reason::RateLimited) {
            let steady = clock::steady();
            let paused = self.context.gates.paused_until(plan.request.endpoint(), steady);
            next = paused.map_or(next, |until| schedule::after(now, until.saturating_sub(steady)));
        }
        if let (Reason::TokenRevoked, Some(interval)) = (reason, sight.plan.as_ref().and_then(|plan| plan.verification))
        {
            // The provider contradicts itself: a check may say that it has come to its senses.
            next = next.max(schedule::latest_check(now, interval));
        }
        if cause == Cause::Requested && valid {
            // The request is answered; what comes next is the planned renewal.
            let planned = token.and_then(|token| token.renewal);
            return (failed, planned.map(|planned| planned.max(whole_second_after(next))));
        }
        (failed, Some(whole_second_after(next)))
    }

    fn backoff(&self, sight: &Sight, reason: Reason) -> (u32, Timestamp) {
        let now = clock::now();
        let status = self.status();
        let class = attempt_class(reason);
        let in_a_row = !sight.counts_anew && status::open_class(&status) == Some(class);
        let before = u32::try_from(status.failed_attempts.unwrap_or(0)).unwrap_or(0);
        let failed = if in_a_row { before.saturating_add(1) } else { 1 };
        let valid = decide::token_state(&sight.facts, now) == TokenState::Valid;
        let delay = schedule::delay(class, failed, &self.context.operator.pace, valid, &self.uid);
        (failed, schedule::after(now, delay))
    }
}

/// Stored times have whole seconds; rounding up never makes an attempt too early.
fn whole_second_after(time: Timestamp) -> Timestamp {
    let whole = clock::whole_seconds(time);
    if whole == time { whole } else { schedule::later(whole, 1) }
}
