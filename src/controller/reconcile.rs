//! One look at one credential: observe → decide → exchange → deliver → report → rest.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use apicredential::decide::{Decision, decide};
use apicredential::endpoint::AllowedEndpoints;
use apicredential::object_key::Key;
use apicredential::reason::{Reason, Refusal};
use apicredential::schedule::{self, Timings};
use apicredential::target::render::render;
use futures::FutureExt as _;
use jiff::Timestamp;
use kube::Resource as _;

use crate::clock;
use crate::controller::memory::Memory;
use crate::controller::reconcile::look::{Blind, Round};
use crate::controller::reconcile::sight::Sight;
use crate::controller::token_issuer::TokenIssuer;
use crate::controller::token_issuer::write::WriteError;
use crate::controller::watch::held::Held;
use crate::controller::watch::{DecodeResult, Opened};
use crate::http_server::Health;
use crate::kube_api::ApiError;
use crate::metrics::Metrics;
use crate::rate_limit::RateLimiter;

mod attempt;
mod check;
mod earlier;
mod line;
mod look;
mod seed;
mod sight;
mod tell;

pub(crate) use seed::restore_pause;

/// What every look works with.
pub struct Context {
    /// Exchanges and writes.
    pub courier: TokenIssuer,
    /// Who may send to which endpoint, and when.
    pub gates: RateLimiter<Key>,
    /// Which endpoints may be sent to at all.
    pub allowed: AllowedEndpoints,
    /// What is known from earlier looks.
    pub memory: Arc<Memory>,
    /// The operator's own pace and pulse.
    pub operator: Operator,
}

/// The operator's own pace and pulse.
#[derive(Clone)]
pub struct Operator {
    /// Delays.
    pub pace: Timings,
    /// What is counted.
    pub metrics: Metrics,
    /// The probes.
    pub health: Health,
    /// What is under way.
    pub pairs: InFlight,
    /// Keys the memory of attempted values; drawn at start.
    pub session_key: Arc<[u8; 32]>,
}

/// The exchanges under way, which an ending process or term waits for.
#[derive(Clone, Default)]
pub struct InFlight {
    count: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
}

/// One exchange under way.
pub struct InFlightGuard(Arc<AtomicUsize>);

impl InFlight {
    /// Starts one; none once the process is about to end.
    pub fn start(&self) -> Option<InFlightGuard> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let pair = InFlightGuard(Arc::clone(&self.count));
        (!self.stopping.load(Ordering::SeqCst)).then_some(pair)
    }

    /// From now on nothing starts.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether none is under way.
    pub fn are_done(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One look at one credential, if there is such a one, and after which time to look again even if nothing changes. Never
/// fails: whatever goes wrong becomes a status and a time to look again.
pub async fn reconcile(key: Key, context: Arc<Context>) -> Option<Duration> {
    context.courier.watch.ready().await;
    let held = context.courier.watch.held(&key)?;
    reconcile_held(held, context).await
}

/// The same, of a credential as the watch delivered it.
pub async fn reconcile_held(held: Held, context: Arc<Context>) -> Option<Duration> {
    let object = held.open();
    let key = Key::of(&object);
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    if object.meta().deletion_timestamp.is_some() || !context.courier.watch.index.lives(&key, uid) {
        // Nothing more is done for it, and nothing holds it back: there is no finalizer.
        context.gates.forget(&key);
        return None;
    }
    let began = clock::steady();
    // Boxed: its state is large.
    let look = Box::pin(look_at(object, held.clone(), Arc::clone(&context)));
    let wake = match unless_it_panics(look).await {
        Some(wake) => wake,
        None => {
            tracing::error!(namespace = key.namespace(), name = key.name(), reason = %Reason::UnexpectedPanic, "a look at this credential panicked");
            let refusal = Reason::UnexpectedPanic.into();
            context.gates.forget(&key);
            let _ = unless_it_panics(tell::refused(&held.open(), &context, &refusal)).await;
            schedule::after(clock::now(), context.operator.pace.retry_base * 12)
        }
    };
    context.operator.metrics.machine.looked(clock::steady().saturating_sub(began));
    // A timer knows nothing of the wall clock: if that was set back just now, the way to the wake time is too long.
    let pause = schedule::until(wake, clock::now()).min(context.operator.pace.resync);
    Some(pause.max(Duration::from_millis(1)))
}

/// A panic ends one look, and not the process; its text is not looked at, for it may quote what was worked on.
async fn unless_it_panics<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

async fn look_at(object: DecodeResult, held: Held, context: Arc<Context>) -> Timestamp {
    if object.0.is_err() {
        context.gates.forget(&Key::of(&object));
        tell::refused(&object, &context, &Reason::InvalidSpec.into()).await;
    }
    match object.0 {
        Ok(credential) => Round::run(Opened { held, credential: Arc::new(credential) }, context).await,
        Err(undecodable) => {
            schedule::resync_time(clock::now(), &undecodable.metadata.uid.unwrap_or_default(), &context.operator.pace)
        }
    }
}

/// How many steps one look takes at most: a repair, a check, a read of the source, a conflict.
const STEPS: usize = 7;

impl Round {
    /// Looks, decides and acts; when to look again.
    async fn run(opened: Opened, context: Arc<Context>) -> Timestamp {
        let mut round = match Round::begin(opened, context) {
            Ok(round) => round,
            Err(unchanged) => return unchanged,
        };
        let mut due = match round.reserve_slot() {
            Some(wake) => wake,
            None => round.steps().await,
        };
        if round.memory.status_unsaved {
            due = due.min(round.after_failed_write());
        }
        let now = clock::now();
        // Whatever it waits for, the end of its token has to be told of.
        let ends = round.status().token.and_then(|token| token.expiration_time).map(|time| time.0);
        let due = due.min(ends.filter(|ends| *ends > now).unwrap_or(Timestamp::MAX));
        let resync = schedule::resync_time(now, &round.uid, &round.context.operator.pace);
        round.end(due);
        due.min(resync)
    }

    async fn steps(&mut self) -> Timestamp {
        for _step in 0..STEPS {
            let sight = match self.look().await {
                Ok(sight) => sight,
                Err(blind) => return self.blind(blind).await,
            };
            match decide(&sight.facts, clock::now()) {
                Decision::Idle(time) => {
                    self.tell(sight.findings(self)).await;
                    return time.unwrap_or(Timestamp::MAX);
                }
                Decision::Wait(_cause, time) => {
                    self.tell(sight.findings(self)).await;
                    return time.min(sight.expiry());
                }
                Decision::Reject(refusal) => return self.refuse(&sight, refusal).await,
                Decision::Repair => {
                    if let Some(wake) = self.repair(&sight).await {
                        return wake;
                    }
                }
                Decision::Check => Box::pin(self.check(&sight)).await,
                Decision::Exchange(_) if sight.values.is_none() => {
                    self.read_source = true;
                    self.fresh_target = sight.secret;
                }
                Decision::Exchange(cause) => return Box::pin(self.exchange(sight, cause)).await,
            }
        }
        schedule::after(clock::now(), self.context.operator.pace.retry_base)
    }

    /// A refusal waits for a watch event, else it is looked at again after a flat delay.
    async fn refuse(&mut self, sight: &Sight, refusal: Refusal) -> Timestamp {
        if self.is_namespace_going(sight, &refusal).await {
            self.glance_is_void();
        } else {
            self.tell(sight.findings(self).refused(refusal)).await;
        }
        schedule::after(clock::now(), self.context.operator.pace.retry_base * 12).min(sight.expiry())
    }

    /// The API server did not let us look. Where the target was not seen, what the status says of it may still be so.
    async fn blind(&mut self, Blind { fault, sight }: Blind) -> Timestamp {
        let retry = schedule::after(clock::now(), self.context.operator.pace.retry_base * 12);
        self.glance_is_void();
        if fault == ApiError::NamespaceTerminating {
            return retry;
        }
        let seen = sight.as_ref().map(|sight| sight.findings(self));
        let findings = seen.unwrap_or_else(|| self.findings_from_status());
        self.tell(findings.refused(fault.reason().into())).await;
        sight.map_or(retry, |sight| retry.min(sight.expiry()))
    }

    /// Writes our part again; none means: look again at once.
    async fn repair(&mut self, sight: &Sight) -> Option<Timestamp> {
        let (Some(plan), Some(current), Some(stored)) = (&sight.plan, &sight.secret, &sight.record) else {
            return Some(schedule::after(clock::now(), self.context.operator.pace.retry_base));
        };
        let written = self.context.courier.repair(&self.credential, plan, stored, current).await;
        let fault = match written {
            Ok(secret) => {
                tracing::info!(
                    namespace = self.key.namespace(),
                    name = self.key.name(),
                    "the Secret was put right from the token in it"
                );
                let failed = self.memory.failed_writes;
                self.remember_write(&secret);
                render(&self.credential, plan, stored).to_patch(&secret)?;
                // Something in between changes what is written: putting it right again would go on for ever.
                self.memory.failed_writes = failed;
                self.tell(sight.findings(self).refused(Reason::TargetWriteRejected.into())).await;
                return Some(self.after_failed_write());
            }
            Err(WriteError::Api(ApiError::Conflict | ApiError::NotFound)) => return None,
            Err(WriteError::Api(fault)) => fault,
            Err(WriteError::NotAllowed | WriteError::TooLate | WriteError::Expired) => {
                self.glance_is_void();
                return Some(schedule::after(clock::now(), self.context.operator.pace.retry_base));
            }
        };
        self.glance_is_void();
        self.tell(sight.findings(self).refused(fault.reason().into())).await;
        Some(self.after_failed_write())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_one_look_and_nothing_else() {
        assert_eq!(unless_it_panics(async { 7 }).await, Some(7));
        assert_eq!(unless_it_panics(async { panic!("in the look") }).await, None::<i32>);
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
