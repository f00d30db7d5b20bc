//! Which replica may write: a small election over one `coordination.k8s.io/v1` Lease.
//!
//! The holder renews its record every sixth of the lease; the others look at it as often and take it once they saw it
//! unchanged for the whole duration ([`rules`]). Every write names the resourceVersion it read, so two candidates
//! cannot both succeed. Holding the lease is a *belief with an age*: [`Leadership`] answers from the moment at which the
//! last acknowledged renewal was sent, without a request, and turns false by itself when renewals stop.

pub mod rules;
mod store;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::clock::{self, SuspendAwareInstant};
use rules::{Candidate, Step};
use store::{LeaseError, Store};

pub use rules::LONGEST_LEASE;

/// Where the lease is, who asks for it and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The namespace of the lease.
    pub namespace: String,
    /// The name of the lease.
    pub name: String,
    /// The name of this process, see [`identity`].
    pub identity: String,
    /// How long a record counts after it was last renewed; whole seconds.
    pub duration: Duration,
}

impl LeaseSettings {
    /// Between two renewals or looks, and the time each call may take.
    fn period(&self) -> Duration {
        self.duration / 6
    }
}

/// A name for this process: the pod's, and random digits that tell it from its predecessor of the same name.
pub fn identity() -> String {
    let pod = ["POD_NAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let host = pod.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok()).unwrap_or_default();
    // RandomState is keyed by the operating system's random source; uniqueness is wanted here, not secrecy.
    format!("{}_{:016x}", host.trim(), RandomState::new().hash_one(std::process::id()))
}

/// A shared, cheap answer to "may I write now?". It sends nothing.
#[derive(Clone, Debug)]
pub struct Leadership {
    /// When the last acknowledged renewal was sent; without election there is nothing to ask.
    renewed: Option<watch::Receiver<Option<SuspendAwareInstant>>>,
    duration: Duration,
}

impl Leadership {
    /// For a single replica without election: always yes.
    pub fn always() -> Self {
        Self { renewed: None, duration: Duration::ZERO }
    }

    /// True while a write that starts now ends before anybody else may take the lease: the last acknowledged renewal
    /// was sent less than the lease duration minus 15 s ago.
    pub fn may_write(&self) -> bool {
        self.age_is(rules::may_write)
    }

    /// True while new work may start: false once the lease could not be renewed for two thirds of its duration.
    pub fn may_start(&self) -> bool {
        self.age_is(rules::may_start)
    }

    fn age_is(&self, young_enough: fn(Duration, Duration) -> bool) -> bool {
        let Some(renewed) = &self.renewed else { return true };
        let sent = *renewed.borrow();
        sent.is_some_and(|sent| young_enough(sent.elapsed(), self.duration))
    }
}

/// Stands for election, holds the lease, gives it up.
pub struct LeaderElector {
    settings: LeaseSettings,
    store: Store,
    candidate: Candidate,
    term: HeldLease,
    journal: TransitionLog,
}

/// What we know of our own record.
struct HeldLease {
    /// When the last acknowledged renewal was sent; none while we do not hold the lease.
    renewed: watch::Sender<Option<SuspendAwareInstant>>,
    /// The record as last acknowledged. Taken out for the time of a write, so that a write which is cut short
    /// (no answer, future dropped) leaves none behind and the next step begins with a read.
    record: Option<Lease>,
}

/// How a term ended.
enum LeaseLoss {
    TakenByOther,
    NotRenewed,
}

impl LeaderElector {
    /// An elector, and the answer that it keeps up to date. Nothing is sent yet.
    pub fn new(client: Client, settings: LeaseSettings) -> (Self, Leadership) {
        let (renewed, receiver) = watch::channel(None);
        let leadership = Leadership { renewed: Some(receiver), duration: settings.duration };
        let elector = Self {
            store: Store::new(client, &settings.namespace, settings.name.clone(), settings.period()),
            candidate: Candidate::new(settings.identity.clone(), settings.duration),
            term: HeldLease { renewed, record: None },
            journal: TransitionLog::new(),
            settings,
        };
        (elector, leadership)
    }

    /// Returns once the lease is ours; `stands_by` hears each time that somebody else was seen to hold it. May be dropped
    /// at any time and called again, also after [`LeaderElector::lost`].
    pub async fn acquired(&mut self, stands_by: impl Fn()) {
        loop {
            let began = clock::steady();
            let pause = match self.try_to_acquire().await {
                Ok(None) => return self.journal.became_leader(&self.settings),
                Ok(Some(wait)) => {
                    stands_by();
                    wait.min(self.settings.period())
                }
                Err(failure) => self.after(failure),
            };
            sleep(pause.saturating_sub(clock::steady().saturating_sub(began))).await;
        }
    }

    /// Keeps renewing; returns when somebody else took the lease, or when it could not be renewed for two thirds of
    /// its duration since the last acknowledged renewal was sent. From then on [`Leadership`] says no.
    pub async fn lost(&mut self) {
        let ending = self.hold().await;
        self.term.renewed.send_replace(None);
        self.term.record = None;
        match ending {
            LeaseLoss::TakenByOther => warn!("lost leadership: the lease is no longer held by this process"),
            LeaseLoss::NotRenewed => warn!("lost leadership: the lease could not be renewed in time"),
        }
    }

    /// Gives the lease up if it is still ours, so that another replica need not wait; [`Leadership`] says no before
    /// the request is sent. Best effort, within a sixth of the lease.
    pub async fn release(&mut self) {
        self.term.renewed.send_replace(None);
        match timeout(self.settings.period(), self.try_to_release()).await {
            Ok(Ok(true)) => info!("gave up leadership"),
            Ok(Ok(false)) => {}
            Ok(Err(failure)) => warn!("the lease was not released and will expire: {failure}"),
            Err(_) => warn!("the lease was not released and will expire: {}", LeaseError::Timeout),
        }
    }

    /// None: ours. Otherwise how long to wait at least.
    async fn try_to_acquire(&mut self) -> Result<Option<Duration>, LeaseError> {
        let asked = clock::steady();
        let lease = self.store.read().await?;
        match self.candidate.next_step(lease.as_ref(), asked, clock::steady()) {
            Step::Create | Step::Take | Step::Renew => self.claim(lease).await.map(|()| None),
            Step::Wait(rest) => {
                self.journal.standing_by(lease.as_ref().and_then(rules::holder).unwrap_or_default());
                Ok(Some(rest))
            }
        }
    }

    async fn hold(&mut self) -> LeaseLoss {
        let age = self.age().unwrap_or_default();
        let mut pause = self.settings.period().saturating_sub(age);
        loop {
            let Some(left) = self.time_left() else { return LeaseLoss::NotRenewed };
            sleep(pause.min(left)).await;
            let Some(left) = self.time_left() else { return LeaseLoss::NotRenewed };
            let began = clock::steady();
            let next = match timeout(left, self.renew()).await {
                Ok(Ok(true)) => self.settings.period(),
                Ok(Ok(false)) => return LeaseLoss::TakenByOther,
                Ok(Err(failure)) => self.after(failure),
                Err(_) => return LeaseLoss::NotRenewed,
            };
            pause = next.saturating_sub(clock::steady().saturating_sub(began));
        }
    }

    /// True: renewed. False: the lease is gone or somebody else's.
    async fn renew(&mut self) -> Result<bool, LeaseError> {
        let record = match self.term.record.take() {
            Some(record) => record,
            None => match self.store.read().await? {
                Some(lease) if rules::holder(&lease) == Some(self.settings.identity.as_str()) => lease,
                _ => return Ok(false),
            },
        };
        self.claim(Some(record)).await.map(|()| true)
    }

    async fn claim(&mut self, read: Option<Lease>) -> Result<(), LeaseError> {
        let record = self.candidate.claim(read, &self.settings.name, clock::now());
        let sent = SuspendAwareInstant::now();
        self.term.record = Some(self.store.write(&record).await?);
        self.term.renewed.send_replace(Some(sent));
        self.journal.fine();
        Ok(())
    }

    async fn try_to_release(&mut self) -> Result<bool, LeaseError> {
        loop {
            let record = match self.term.record.take() {
                Some(record) => Some(record),
                None => self.store.read().await?,
            };
            let Some(given_up) = record.and_then(|record| self.candidate.give_up(record, clock::now())) else {
                return Ok(false);
            };
            match self.store.write(&given_up).await {
                Err(LeaseError::Conflict) => {} // a renewal that was cut short arrived in between: read again
                Err(failure) => return Err(failure),
                Ok(_) => return Ok(true),
            }
        }
    }

    /// Notes a failed call and says when to try again: soon when only the version was old.
    fn after(&mut self, failure: LeaseError) -> Duration {
        self.journal.failed(failure);
        match failure {
            LeaseError::Conflict => self.settings.period() / 10,
            _ => self.settings.period(),
        }
    }

    fn age(&self) -> Option<Duration> {
        self.term.renewed.borrow().map(|sent| sent.elapsed())
    }

    /// Until the lease counts as lost; none: it does.
    fn time_left(&self) -> Option<Duration> {
        let left = rules::give_up_after(self.settings.duration).saturating_sub(self.age()?);
        (!left.is_zero()).then_some(left)
    }
}

impl fmt::Debug for LeaderElector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderElector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Logs changes, not repetitions.
struct TransitionLog {
    holder: String,
    failure: Option<LeaseError>,
}

impl TransitionLog {
    fn new() -> Self {
        Self { holder: String::new(), failure: None }
    }

    fn became_leader(&mut self, settings: &LeaseSettings) {
        self.holder.clear();
        info!(lease = settings.name, namespace = settings.namespace, identity = settings.identity, "became leader");
    }

    fn standing_by(&mut self, holder: &str) {
        self.fine();
        if self.holder != holder {
            holder.clone_into(&mut self.holder);
            info!(holder, "standing by: another replica leads");
        }
    }

    fn failed(&mut self, failure: LeaseError) {
        if self.failure == Some(failure) || failure == LeaseError::Conflict {
            debug!("the lease could not be read or written: {failure}");
        } else {
            warn!("the lease could not be read or written: {failure}");
            self.failure = Some(failure);
        }
    }

    fn fine(&mut self) {
        self.failure = None;
    }
}

#[cfg(test)]
#[path = "lease/elector_test.rs"]
mod tests;
