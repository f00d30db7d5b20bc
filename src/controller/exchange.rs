//! One token exchange: from the permission to send it to what its outcome means for the next one.

use std::sync::Arc;

use apicredential::decide::{self, Cause, Decision, TokenState, decide};
use apicredential::next_reconcile::NextReconcile;
use apicredential::object_key::Key;
use apicredential::plan::Plan;
use apicredential::reason::{Reason, Refusal};
use apicredential::revision::Revision;
use apicredential::schedule;
use apicredential::source::SecretValues;
use apicredential::status::Attempt;
use apicredential::target::ownership;
use k8s_openapi::api::core::v1::Secret;
use tracing::{info, warn};

use super::attempt_history::attempt_inputs;
use super::backoff::{after_failed_write, next_attempt, pause_endpoint};
use super::cache::renew_request;
use super::dry_run::dry_run_write;
use super::observe::{Observation, observation_of};
use super::reconciliation::{Outcome, Reconciliation};
use super::source_history;
use super::status_input::status_input;
use super::status_writer::{report, write_status};
use crate::clock;
use crate::controller::token_issuer::{ExchangeOutcome, ExchangeReport, ExchangeRequest};
use crate::controller::watch::Watch;
use crate::rate_limit::{Admission, Permit};

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

/// Acquires a permit, sends the token request, writes the token and reports.
pub(super) async fn exchange(run: &mut Reconciliation, observation: Observation, cause: Cause) -> Outcome {
    let Ok(plan) = run.plan.clone() else { return Outcome::Unsettled(run.retry_soon()) };
    if let Some(outcome) = dry_run_write(run, &plan, &observation).await {
        return outcome;
    }
    let Some(claim) = claim(run, &plan) else {
        // The end of that claim enqueues this ApiCredential, whatever the Secret is then.
        let mut input = status_input(run, &observation);
        input.target_refusal = Some(Reason::TargetOwnedByOther.into());
        write_status(run, input).await;
        return Outcome::Unsettled(run.retry_after_refusal());
    };
    let waits = *run.history.waits_since.get_or_insert_with(clock::SuspendAwareInstant::now);
    let permit = match acquire_permit(run, &plan) {
        Ok(permit) => {
            run.history.waits_since = None;
            run.context.metrics.operator.admitted(waits.elapsed());
            permit
        }
        Err(next) => {
            drop(claim);
            report(run, &observation).await;
            return Outcome::Queued(next.or_earlier(observation.expiry()));
        }
    };
    let is_valid = decide::token_state(&observation.facts, clock::now()) == TokenState::Valid;
    if run.status().is_ready() && !is_valid {
        // Not usable any more, and the provider may take its time: reported before the request is sent.
        report(run, &observation).await;
    }
    // Boxed: its state is large, and every reconcile would carry it along.
    Box::pin(send(run, &plan, observation, cause, permit, claim)).await
}

fn claim(run: &Reconciliation, plan: &Plan) -> Option<Claim> {
    let target = run.key.sibling(&plan.target.name);
    let watch = Arc::clone(&run.context.issuer.watch);
    let owner = run.key.clone();
    watch.cache.claim(&target, run.uid()).then(|| Claim { watch, target, owner })
}

fn acquire_permit(run: &Reconciliation, plan: &Plan) -> Result<Permit<Key>, NextReconcile> {
    if !run.context.issuer.leadership.may_start() {
        // The next renewal of the lease may permit it again; if it does not, the term ends.
        return Err(run.retry_soon());
    }
    let now = clock::steady();
    match run.context.limiter.try_acquire(plan.request.endpoint(), &run.key, now) {
        Admission::Go(permit) => Ok(permit),
        Admission::At(time) => Err(NextReconcile::At(schedule::after(clock::now(), time.saturating_sub(now)))),
        Admission::Queued => Err(NextReconcile::OnChange),
    }
}

async fn send(
    run: &mut Reconciliation,
    plan: &Arc<Plan>,
    mut observation: Observation,
    cause: Cause,
    permit: Permit<Key>,
    claim: Claim,
) -> Outcome {
    let soon = Outcome::Settled(run.retry_soon());
    let Some(request) = exchange_request(run, plan, &mut observation, cause) else { return soon };
    let Some(guard) = run.context.in_flight.start() else { return Outcome::Settled(NextReconcile::OnChange) };
    run.history.latest_attempt = None;
    run.history.inputs = Some(Box::new(attempt_inputs(run, plan, Some(&request.values))));

    let issuer = run.context.issuer.clone();
    let metrics = run.context.metrics.clone();
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
    let outcome = Box::pin(after_exchange(run, plan, observation, cause, report, request.renew_request)).await;
    drop(claim);
    outcome
}

fn exchange_request(
    run: &Reconciliation,
    plan: &Plan,
    observation: &mut Observation,
    cause: Cause,
) -> Option<ExchangeRequest> {
    let values = observation.values.take()?;
    let token = decide::token(&observation.facts).filter(|token| token.spec_match == decide::SpecMatch::Fits);
    Some(ExchangeRequest {
        credential: Arc::clone(&run.credential),
        cause,
        inputs: values.login.clone(),
        plan: plan.clone(),
        values,
        target: observation.secret.clone(),
        // A token from the future would outlive every other, and its times have to be corrected.
        stored: observation.record.clone().filter(|stored| token.is_some() && stored.issued_at <= clock::now()),
        refused: observation.facts.verification.refused.is_some(),
        renew_request: renew_request(&*run.credential),
    })
}

async fn after_exchange(
    run: &mut Reconciliation,
    plan: &Plan,
    mut observation: Observation,
    cause: Cause,
    report: ExchangeReport,
    renew_request: Option<String>,
) -> Outcome {
    let ExchangeReport { request_id: id, sent, took, response, outcome } = report;
    let (namespace, name) = (run.key.namespace().to_owned(), run.key.name().to_owned());
    let provider = run.credential.spec.provider.type_.as_str();
    let seconds = took.as_secs_f64();
    let refusal = match outcome {
        ExchangeOutcome::Written { secret, assumed } => {
            info!(
                namespace, name, provider, cause = cause.as_str(),
                reason = %Reason::Issued, request = id, seconds, "the token was issued and written"
            );
            return after_written(run, plan, observation, cause, *secret, assumed).await;
        }
        ExchangeOutcome::Discarded => {
            info!(
                namespace, name, provider, cause = cause.as_str(),
                reason = %response, request = id, seconds, "the token was discarded: it is no longer wanted"
            );
            // In a namespace that is being deleted the next exchange would be in vain, too: a dry run comes first.
            run.history.dry_run_first = true;
            // A watch that lags would make us try over and over.
            return Outcome::Unsettled(after_failed_write(run));
        }
        ExchangeOutcome::NotExtended => Refusal::from(Reason::TokenNotExtended),
        ExchangeOutcome::Failed { refusal, retry_after, token_lost } => {
            run.history.dry_run_first = token_lost;
            if refusal.reason == Reason::RateLimited {
                pause_endpoint(run, plan, &observation, retry_after);
            }
            refusal
        }
    };
    let (failed, next) = next_attempt(run, plan, &observation, cause, refusal.reason);
    warn!(
        namespace, name, provider, cause = cause.as_str(),
        reason = %refusal.reason, request = id, seconds, failed, "the token was not renewed"
    );
    let mut input = status_input(run, &observation);
    input.handled_request = renew_request;
    input.attempt = Some(Attempt {
        at: sent,
        source: source_revision(observation.values.as_ref()),
        outcome: Err(refusal.clone()),
        failed,
        next,
        expiry_assumed: false,
    });
    write_status(run, input).await;
    observation.facts.renew_requested = false;
    observation.facts.attempts.inputs_changed = false;
    observation.facts.attempts.unresolved =
        Some(decide::UnresolvedFailure { reason: refusal.reason, next: next.into() });
    outcome_after(&observation)
}

async fn after_written(
    run: &mut Reconciliation,
    plan: &Plan,
    before: Observation,
    cause: Cause,
    secret: Secret,
    assumed: bool,
) -> Outcome {
    let planned = decide::token(&before.facts).and_then(|token| token.renewal).filter(|_| cause == Cause::Due);
    if let Some(planned) = planned {
        run.context.metrics.renewal_lateness(clock::now().duration_since(planned).as_secs_f64());
    }
    run.context.metrics.token_renewed(run.credential.spec.provider.type_, cause.as_str());
    run.history.note_write(&secret);
    run.history.dry_run_first = false;
    run.history.inputs = None;

    let values = before.values;
    let sent_with = source_revision(values.as_ref());
    let target = ownership::target(&run.credential, plan, Some(secret), &run.context.issuer.watch.cache);
    let source = decide::Source::Resolved { changed: false };
    let mut observation = observation_of(run, plan, target, source, values, None);
    let Some((record, values)) = observation.record.as_ref().zip(observation.values.as_ref()) else {
        return Outcome::Unsettled(NextReconcile::At(clock::now()));
    };
    let issued = record.issued_at;
    source_history::remember(run, record, values);
    let mut input = status_input(run, &observation);
    input.attempt = Some(Attempt {
        at: issued,
        source: sent_with,
        outcome: Ok(()),
        failed: 0,
        next: None,
        expiry_assumed: assumed,
    });
    write_status(run, input).await;
    observation.facts.attempts = decide::Attempts::default();
    outcome_after(&observation)
}

/// The source Secret that a request was sent with.
fn source_revision(values: Option<&SecretValues>) -> Revision {
    Revision::from(values.map_or("", |values| values.version.as_str()))
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
