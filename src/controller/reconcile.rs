//! One reconcile of one ApiCredential: observe → decide → act → write the status.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use apicredential::decide::{Decision, decide};
use apicredential::next_reconcile::NextReconcile;
use apicredential::object_key::Key;
use apicredential::reason::{Reason, Refusal};
use apicredential::schedule;
use futures::FutureExt as _;

use super::backoff::after_failed_write;
use super::cache::{CachedObject, Remember, Snapshot};
use super::context::Context;
use super::dry_run::is_namespace_terminating;
use super::exchange::exchange;
use super::observe::{Observation, ObserveError, Reads, SourceRead, Step, observe};
use super::reconciliation::{Outcome, Reconciliation};
use super::repair::repair;
use super::reserve_slot::{Slot, reserve_slot};
use super::restore;
use super::status_input::{status_input, status_input_from_status};
use super::status_writer::{report, report_refusal, report_unobserved, write_status};
use super::verify::verify;
use crate::clock;
use crate::kube_api::ApiError;

/// Reconciles an ApiCredential. Returns the delay until the next reconcile if nothing changes before, or `None` if the
/// ApiCredential does not exist or is being deleted. It never fails: an error becomes a status and a delay.
pub async fn reconcile(key: Key, context: Arc<Context>) -> Option<Duration> {
    let watch = &context.issuer.watch;
    watch.ready().await;
    let snapshot = watch.cache.snapshot(&key)?;
    if snapshot.object.is_deleting() {
        // Nothing more is done for it, and nothing holds it back: there is no finalizer.
        context.limiter.forget(&key);
        return None;
    }
    let started = clock::steady();
    let object = snapshot.object.clone();
    // Boxed: its state is large.
    let work = Box::pin(reconcile_snapshot(key.clone(), snapshot, Arc::clone(&context)));
    let next = match unless_it_panics(work).await {
        Some(next) => next,
        // Boxed as well, so that a reconcile that does not panic keeps no memory for it.
        None => Box::pin(after_panic(&key, &object, &context)).await,
    };
    context.metrics.operator.reconciled(clock::steady().saturating_sub(started));
    // The time until the next reconcile is too long if the wall clock was just set back, so it is bounded.
    let resync = context.settings.timings.resync;
    let requeue_after = match next {
        NextReconcile::At(time) => schedule::until(time, clock::now()).min(resync),
        NextReconcile::OnChange => resync,
    };
    Some(requeue_after.max(Duration::from_millis(1)))
}

async fn reconcile_snapshot(key: Key, snapshot: Snapshot, context: Arc<Context>) -> NextReconcile {
    if let Some(credential) = snapshot.object.credential(&key) {
        return reconcile_credential(Reconciliation::new(key, Arc::new(credential), snapshot, context)).await;
    }
    context.limiter.forget(&key);
    report_unobserved(&key, &snapshot.object, &context, &Reason::InvalidSpec.into()).await;
    NextReconcile::At(schedule::resync_time(clock::now(), snapshot.object.uid(), &context.settings.timings))
}

/// A panic ends one reconcile and not the process. Its text is not read, because it may quote secrets.
async fn unless_it_panics<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

async fn after_panic(key: &Key, object: &CachedObject, context: &Context) -> NextReconcile {
    let (namespace, name) = (key.namespace(), key.name());
    tracing::error!(namespace, name, reason = %Reason::UnexpectedPanic, "the reconcile of this ApiCredential panicked");
    context.limiter.forget(key);
    let refusal = Reason::UnexpectedPanic.into();
    let _ = unless_it_panics(report_unobserved(key, object, context, &refusal)).await;
    NextReconcile::after(clock::now(), context.settings.timings.retry_base * 12)
}

/// Observes, decides, acts and writes the status, unless nothing has changed since the last reconcile.
async fn reconcile_credential(mut run: Reconciliation) -> NextReconcile {
    if let Some(next) = next_if_unchanged(&mut run) {
        return finish(run, Outcome::Settled(next));
    }
    // From here on the ApiCredential counts as changed. Only an outcome that is settled ends that, so after a panic or an
    // error the next reconcile observes again.
    run.context.issuer.watch.cache.begin(&run.key, &mut run.snapshot);
    let outcome = match reserve_slot(&mut run) {
        Slot::Wait(next) => Outcome::Queued(next),
        Slot::Proceed => observe_and_act(&mut run).await,
    };
    let next = next_status_write(&mut run);
    finish(run, outcome.or_earlier(next))
}

/// If the cache shows that nothing has changed, returns when the next reconcile is due, and this one sends nothing. It compares
/// with the last reconcile, or with the stored status in the first reconcile of a term.
fn next_if_unchanged(run: &mut Reconciliation) -> Option<NextReconcile> {
    let (began, next) = match run.snapshot.planned {
        Some(_) if run.snapshot.is_dirty => return None,
        Some(planned) => planned,
        None => (run.began, restore::from_status(run)?),
    };
    let is_current = !run.has_pending_status()
        && next.is_after(clock::now())
        && !began.is_set_back()
        && run.context.issuer.watch.is_healthy();
    if !is_current {
        return None;
    }
    // The plan stays that of the earlier reconcile. If the clock is set back later, that is measured from there.
    run.began = began;
    Some(next)
}

/// How often one reconcile observes at most. It observes again after a repair, a check, a read of the source or a conflict.
const MAX_OBSERVATIONS: usize = 7;

async fn observe_and_act(run: &mut Reconciliation) -> Outcome {
    let mut reads = Reads::default();
    for _ in 0..MAX_OBSERVATIONS {
        let observation = match observe(run, &mut reads).await {
            Ok(observation) => observation,
            Err(error) => return report_api_error(run, error).await,
        };
        let step = match decide(&observation.facts, clock::now()) {
            Decision::Idle(next) => {
                report(run, &observation).await;
                return Outcome::Settled(next);
            }
            Decision::Wait(_cause, time) => {
                report(run, &observation).await;
                return Outcome::Settled(NextReconcile::At(time).or_earlier(observation.expiry()));
            }
            Decision::Reject(refusal) => return reject(run, &observation, refusal).await,
            Decision::Repair => repair(run, &observation).await,
            Decision::Check => Step::ObserveAgain(Box::pin(verify(run, &observation)).await),
            Decision::Exchange(_) if observation.values.is_none() => {
                Step::ObserveAgain(Reads { source: SourceRead::Always, ..reads.with_target(observation.secret) })
            }
            Decision::Exchange(cause) => return Box::pin(exchange(run, observation, cause)).await,
        };
        match step {
            Step::ObserveAgain(again) => reads = again,
            Step::End(outcome) => return outcome,
        }
    }
    Outcome::Unsettled(run.retry_soon())
}

/// When the status has to be written whatever else happens: a status that could not be written is tried again, and the expiry
/// of the token is reported.
fn next_status_write(run: &mut Reconciliation) -> NextReconcile {
    let retry = if run.has_pending_status() { after_failed_write(run) } else { NextReconcile::OnChange };
    let expiry = run.status().token.as_ref().and_then(|token| token.expiration_time.as_ref()).map(|time| time.0);
    retry.or_earlier(expiry.filter(|expiry| *expiry > clock::now()).into())
}

/// Keeps what was learned for the next reconcile, and returns when that is due.
fn finish(mut run: Reconciliation, outcome: Outcome) -> NextReconcile {
    if !matches!(outcome, Outcome::Queued(_)) {
        // A slot in the queue that this reconcile did not need again is given back.
        run.history.waits_since = None;
        run.context.limiter.forget(&run.key);
    }
    let remember = Remember {
        began: run.began,
        next: outcome.next(),
        is_settled: matches!(outcome, Outcome::Settled(_)),
        reported_status: run.reported.clone(),
        history: std::mem::take(&mut run.history),
    };
    if !run.context.issuer.watch.cache.finish(&run.key, &run.snapshot, remember) {
        // It was deleted meanwhile: nothing may stay behind.
        run.context.metrics.remove_credential(&run.key);
    }
    let resync = schedule::resync_time(clock::now(), run.uid(), &run.context.settings.timings);
    outcome.next().or_earlier(NextReconcile::At(resync))
}

/// Reports why nothing can be done. The next reconcile comes with the next change, at the latest after a flat delay.
async fn reject(run: &mut Reconciliation, observation: &Observation, refusal: Refusal) -> Outcome {
    let next = run.retry_after_refusal().or_earlier(observation.expiry());
    if is_namespace_terminating(run, &refusal).await {
        return Outcome::Unsettled(next);
    }
    report_refusal(run, observation, refusal).await;
    Outcome::Settled(next)
}

/// Reports that the API server did not answer a read. If the target Secret could not be read, the status keeps what it
/// reported of it before.
async fn report_api_error(run: &mut Reconciliation, ObserveError { error, observation }: ObserveError) -> Outcome {
    let retry = run.retry_after_refusal();
    if error == ApiError::NamespaceTerminating {
        return Outcome::Unsettled(retry);
    }
    let seen = observation.as_ref().map(|observation| status_input(run, observation));
    let input = seen.unwrap_or_else(|| status_input_from_status(run));
    write_status(run, input.refused(error.refusal())).await;
    Outcome::Unsettled(observation.map_or(retry, |observation| retry.or_earlier(observation.expiry())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_reconcile_and_nothing_else() {
        assert_eq!(unless_it_panics(async { 7 }).await, Some(7));
        assert_eq!(unless_it_panics(async { panic!("in the reconcile") }).await, None::<i32>);
        // An exchange runs in a task of its own, and hands its panic on.
        let exchange = async {
            match tokio::spawn(async { panic!("in the exchange") }).await {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                ended => ended.is_ok(),
            }
        };
        assert_eq!(unless_it_panics(exchange).await, None);
    }
}
