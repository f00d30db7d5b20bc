//! One reconcile of one ApiCredential: observe → decide → act → write the status.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use apicredential::decide::{Decision, decide};
use apicredential::object_key::Key;
use apicredential::reason::{Reason, Refusal};
use apicredential::schedule;
use apicredential::target::render::render;
use futures::FutureExt as _;

use super::cache::{CachedObject, Remember, Snapshot};
use super::context::Context;
use super::observe::{Observation, ObserveError, Reads, SourceRead, TargetRead};
use super::reconciliation::{Outcome, Reconciliation};
use super::reserve_slot::Slot;
use super::token_issuer::write::WriteError;
use super::{restore, status_writer};
use crate::clock::{self, SuspendAwareInstant};
use crate::kube_api::ApiError;
use apicredential::next_reconcile::NextReconcile;

/// One reconcile of an ApiCredential, if it exists, and after which time to reconcile again even if nothing changes. Never
/// fails: whatever goes wrong becomes a status and a time.
pub async fn reconcile(key: Key, context: Arc<Context>) -> Option<Duration> {
    let watch = &context.issuer.watch;
    watch.ready().await;
    let snapshot = watch.cache.snapshot(&key)?;
    if snapshot.object.is_deleting() {
        // Nothing more is done for it, and nothing holds it back: there is no finalizer.
        context.limiter.forget(&key);
        return None;
    }
    let began = clock::steady();
    let object = snapshot.object.clone();
    // Boxed: its state is large.
    let work = Box::pin(reconcile_snapshot(key.clone(), snapshot, Arc::clone(&context)));
    let next = match unless_it_panics(work).await {
        Some(next) => next,
        None => after_panic(&key, &object, &context).await,
    };
    context.metrics.operator.reconciled(clock::steady().saturating_sub(began));
    // A timer knows nothing of the wall clock: if that was just set back, the time until the next reconcile is too long.
    let resync = context.settings.timings.resync;
    let pause = match next {
        NextReconcile::At(time) => schedule::until(time, clock::now()).min(resync),
        NextReconcile::OnChange => resync,
    };
    Some(pause.max(Duration::from_millis(1)))
}

async fn reconcile_snapshot(key: Key, snapshot: Snapshot, context: Arc<Context>) -> NextReconcile {
    match snapshot.object.clone() {
        CachedObject::Decoded(credential) => Reconciliation::new(key, credential, snapshot, context).run().await,
        CachedObject::Undecodable(meta) => {
            context.limiter.forget(&key);
            status_writer::report_unobserved(&key, &snapshot.object, &context, &Reason::InvalidSpec.into()).await;
            let uid = meta.uid.clone().unwrap_or_default();
            NextReconcile::At(schedule::resync_time(clock::now(), &uid, &context.settings.timings))
        }
    }
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
    let _ = unless_it_panics(status_writer::report_unobserved(key, object, context, &refusal)).await;
    NextReconcile::after(clock::now(), context.settings.timings.retry_base * 12)
}

/// What follows from a repair or a check.
enum Step {
    /// Observe again, by these reads.
    Observe(Reads),
    /// The reconcile ends.
    End(Outcome),
}

/// How many steps one reconcile takes at most: a repair, a check, a read of the source, a conflict.
const STEPS: usize = 7;

impl Reconciliation {
    async fn run(mut self) -> NextReconcile {
        match self.snapshot.planned {
            Some((began, next)) if !self.snapshot.is_dirty && self.is_up_to_date(began, next) => {
                // A resync finds that nothing changed, and sends nothing.
                return self.or_resync(next);
            }
            None => {
                if let Some(next) = restore::from_status(&mut self)
                    && self.is_up_to_date(self.began, next)
                {
                    return self.finish(Outcome::Settled(next));
                }
            }
            Some(_) => {}
        }
        // From here on it counts as changed until it settles, so that a panic or an error needs no exit of its own.
        self.context.issuer.watch.cache.begin(&self.key, &mut self.snapshot);
        let outcome = match self.reserve_slot() {
            Slot::Later(next) => Outcome::Queued(next),
            Slot::Free => self.steps().await,
        };
        let outcome = self.or_sooner(outcome);
        self.finish(outcome)
    }

    /// Whether nothing is due that the reconcile which began then planned, and the cache can be trusted.
    fn is_up_to_date(&self, began: SuspendAwareInstant, next: NextReconcile) -> bool {
        !self.has_pending_status()
            && next.is_after(clock::now())
            && !began.is_set_back()
            && self.context.issuer.watch.is_healthy()
    }

    async fn steps(&mut self) -> Outcome {
        let mut reads = Reads::default();
        for _step in 0..STEPS {
            let observation = match self.observe(&mut reads).await {
                Ok(observation) => observation,
                Err(error) => return self.report_api_error(error).await,
            };
            let step = match decide(&observation.facts, clock::now()) {
                Decision::Idle(next) => {
                    self.write_status(self.status_input(&observation)).await;
                    return Outcome::Settled(next);
                }
                Decision::Wait(_cause, time) => {
                    self.write_status(self.status_input(&observation)).await;
                    return Outcome::Settled(NextReconcile::At(time).or_earlier(observation.expiry()));
                }
                Decision::Reject(refusal) => return self.reject(&observation, refusal).await,
                Decision::Repair => self.repair(&observation).await,
                Decision::Check => Step::Observe(Box::pin(self.verify(&observation)).await),
                Decision::Exchange(_) if observation.values.is_none() => {
                    Step::Observe(Reads { source: SourceRead::Always, ..reads.with_target(observation.secret) })
                }
                Decision::Exchange(cause) => return Box::pin(self.exchange(observation, cause)).await,
            };
            match step {
                Step::Observe(again) => reads = again,
                Step::End(outcome) => return outcome,
            }
        }
        Outcome::Unsettled(self.after_retry_base(1))
    }

    /// Some things are due whatever the reconcile waits for: another try to write a status, and the end of the token, which
    /// is reported.
    fn or_sooner(&mut self, outcome: Outcome) -> Outcome {
        let mut next = outcome.next();
        if self.has_pending_status() {
            next = next.or_earlier(self.after_failed_write());
        }
        let now = clock::now();
        let ends = self.status().token.as_ref().and_then(|token| token.expiration_time.as_ref()).map(|time| time.0);
        next = next.or_earlier(ends.filter(|ends| *ends > now).into());
        match outcome {
            Outcome::Settled(_) => Outcome::Settled(next),
            Outcome::Unsettled(_) => Outcome::Unsettled(next),
            Outcome::Queued(_) => Outcome::Queued(next),
        }
    }

    /// Keeps what was learned for the next reconcile, and says when that is due.
    fn finish(mut self, outcome: Outcome) -> NextReconcile {
        if !matches!(outcome, Outcome::Queued(_)) {
            // A place in a queue that this reconcile did not need again is given back.
            self.history.waits_since = None;
            self.context.limiter.forget(&self.key);
        }
        let remember = Remember {
            began: self.began,
            next: outcome.next(),
            is_settled: matches!(outcome, Outcome::Settled(_)),
            reported_status: self.reported.clone(),
            history: std::mem::take(&mut self.history),
        };
        if !self.context.issuer.watch.cache.finish(&self.key, &self.snapshot, remember) {
            // It was deleted meanwhile: nothing may stay behind.
            self.context.metrics.remove_credential(&self.key);
        }
        self.or_resync(outcome.next())
    }

    fn or_resync(&self, next: NextReconcile) -> NextReconcile {
        let resync = schedule::resync_time(clock::now(), self.uid(), &self.context.settings.timings);
        next.or_earlier(NextReconcile::At(resync))
    }

    /// A refusal waits for a change, else it is observed again after a flat delay.
    async fn reject(&mut self, observation: &Observation, refusal: Refusal) -> Outcome {
        let next = self.after_retry_base(12).or_earlier(observation.expiry());
        if self.is_namespace_terminating(&refusal).await {
            return Outcome::Unsettled(next);
        }
        self.write_status(self.status_input(observation).refused(refusal)).await;
        Outcome::Settled(next)
    }

    /// The API server did not let us read. Where the target was not seen, what the status reports of it may still be so.
    async fn report_api_error(&mut self, ObserveError { error, observation }: ObserveError) -> Outcome {
        let retry = self.after_retry_base(12);
        if error == ApiError::NamespaceTerminating {
            return Outcome::Unsettled(retry);
        }
        let seen = observation.as_ref().map(|observation| self.status_input(observation));
        let input = seen.unwrap_or_else(|| self.status_input_from_status());
        self.write_status(input.refused(error.reason().into())).await;
        Outcome::Unsettled(observation.map_or(retry, |observation| retry.or_earlier(observation.expiry())))
    }

    /// Writes our part of the Secret again, from the token in it.
    async fn repair(&mut self, observation: &Observation) -> Step {
        let (Ok(plan), Some(current), Some(record)) = (self.plan.clone(), &observation.secret, &observation.record)
        else {
            return Step::End(Outcome::Unsettled(self.after_retry_base(1)));
        };
        let error = match self.context.issuer.repair(&self.credential, &plan, record, current).await {
            Ok(secret) => {
                tracing::info!(
                    namespace = self.key.namespace(),
                    name = self.key.name(),
                    "the target Secret was repaired from the token in it"
                );
                let failed = self.history.failed_writes;
                self.history.note_write(&secret);
                if render(&self.credential, &plan, record).to_patch(&secret).is_none() {
                    return Step::Observe(Reads { target: TargetRead::Known(Box::new(secret)), ..Reads::default() });
                }
                // Something changes what is written. To repair it again would go on for ever.
                self.history.failed_writes = failed;
                self.write_status(self.status_input(observation).refused(Reason::TargetWriteRejected.into())).await;
                return Step::End(Outcome::Settled(self.after_failed_write()));
            }
            Err(WriteError::Api(ApiError::Conflict | ApiError::NotFound)) => return Step::Observe(Reads::default()),
            Err(WriteError::Api(error)) => error,
            Err(WriteError::NotAllowed | WriteError::TooLate | WriteError::Expired) => {
                return Step::End(Outcome::Unsettled(self.after_retry_base(1)));
            }
        };
        self.write_status(self.status_input(observation).refused(error.reason().into())).await;
        Step::End(Outcome::Unsettled(self.after_failed_write()))
    }
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
