//! Leader election over one `coordination.k8s.io/v1` Lease.
//!
//! The leader renews the Lease every sixth of its duration. A standby reads it as often, and takes it over when it has seen
//! it unchanged for the whole duration ([`rules`]). Every write carries the resourceVersion that was read, so two candidates
//! cannot both succeed.
//!
//! The operator has its own leader election for two reasons:
//!
//! - Writes are fenced by the age of the lease. The usual election reports by a flag whether this replica leads, and another
//!   task clears that flag. A process that was paused between reading the flag and the write could then replace a newer
//!   token with an older one. Here [`Leadership`] computes from the time when the last acknowledged renewal was *sent*
//!   whether a write can still end before another replica may take over. This needs no request, and it becomes false by
//!   itself when renewals stop.
//! - Clocks of two replicas are never compared. An election that compares the time in the Lease with the local clock can
//!   have two leaders if the clocks differ.

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

/// The Lease, the name of this candidate and the lease duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of the Lease.
    pub name: String,
    /// The name of this candidate, see [`identity`].
    pub identity: String,
    /// How long the Lease is valid after a renewal, in whole seconds.
    pub duration: Duration,
}

impl LeaseSettings {
    /// The interval between two renewals or reads, and the timeout of each request.
    fn period(&self) -> Duration {
        self.duration / 6
    }
}

/// Returns a name for this process: the name of the pod and random digits, which distinguish it from an earlier process in the
/// same pod.
pub fn identity() -> String {
    let pod = ["POD_NAME", "HOSTNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    let host = pod.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok()).unwrap_or_default();
    // The keys of RandomState come from the random source of the operating system. The name must be unique, not secret.
    format!("{}_{:016x}", host.trim(), RandomState::new().hash_one(std::process::id()))
}

/// Whether this replica may start work and may write now. Clones share the state. The answers send no request.
#[derive(Clone, Debug)]
pub struct Leadership {
    /// When the last acknowledged renewal was sent. `None` if leader election is off.
    renewed: Option<watch::Receiver<Option<SuspendAwareInstant>>>,
    duration: Duration,
}

impl Leadership {
    /// For a single replica without leader election: always true.
    pub fn always() -> Self {
        Self { renewed: None, duration: Duration::ZERO }
    }

    /// The time in which a write that starts now has to end, so that it ends 5 s before another replica may take over. Zero
    /// if this replica does not lead.
    pub fn write_time(&self) -> Duration {
        self.at_age(Duration::MAX, rules::write_time)
    }

    /// Whether a write may start: it has 5 s at least.
    pub fn may_write(&self) -> bool {
        self.at_age(true, rules::may_write)
    }

    /// Whether new work may start. False if the lease was not renewed for two thirds of its duration.
    pub fn may_start(&self) -> bool {
        self.at_age(true, rules::may_start)
    }

    /// What the rule says of the age of the lease; `unelected` without leader election, the default without the lease.
    fn at_age<T: Default>(&self, unelected: T, rule: fn(Duration, Duration) -> T) -> T {
        let Some(renewed) = &self.renewed else { return unelected };
        let sent = *renewed.borrow();
        sent.map(|sent| rule(sent.elapsed(), self.duration)).unwrap_or_default()
    }
}

/// Acquires, renews and releases the lease.
pub struct LeaderElector {
    settings: LeaseSettings,
    store: Store,
    candidate: Candidate,
    held: HeldLease,
    log: TransitionLog,
}

/// The state of the lease while this replica holds it.
struct HeldLease {
    /// When the last acknowledged renewal was sent; `None` while this replica does not hold the lease.
    renewed: watch::Sender<Option<SuspendAwareInstant>>,
    /// The Lease as the API server last returned it. `None` while a write is in progress, so that after a write without a
    /// response, or with a dropped future, the next step begins with a read.
    record: Option<Lease>,
}

/// Why the lease was lost.
enum LeaseLoss {
    TakenByOther,
    NotRenewed,
}

impl LeaderElector {
    /// An elector, and the [`Leadership`] that it keeps up to date. Sends no request.
    pub fn new(client: Client, settings: LeaseSettings) -> (Self, Leadership) {
        let (renewed, receiver) = watch::channel(None);
        let leadership = Leadership { renewed: Some(receiver), duration: settings.duration };
        let elector = Self {
            store: Store::new(client, &settings.namespace, settings.name.clone(), settings.period()),
            candidate: Candidate::new(settings.identity.clone(), settings.duration),
            held: HeldLease { renewed, record: None },
            log: TransitionLog::new(),
            settings,
        };
        (elector, leadership)
    }

    /// Returns when this replica holds the lease. Calls `on_standby` each time that another replica is seen to hold it. The
    /// future may be dropped at any time, and the method may be called again, also after [`LeaderElector::lost`].
    pub async fn acquired(&mut self, on_standby: impl Fn()) {
        loop {
            let began = clock::steady();
            let delay = match self.try_to_acquire().await {
                Ok(None) => return self.log.became_leader(&self.settings),
                Ok(Some(wait)) => {
                    on_standby();
                    wait.min(self.settings.period())
                }
                Err(error) => self.retry_delay(error),
            };
            sleep(delay.saturating_sub(clock::steady().saturating_sub(began))).await;
        }
    }

    /// Renews the lease. Returns when another replica has taken it, or when two thirds of its duration have passed since the
    /// last acknowledged renewal was sent. From then on [`Leadership`] is false. Returns the time in which a write that has
    /// started has to end.
    pub async fn lost(&mut self) -> Duration {
        let loss = self.renew_until_lost().await;
        let write_time = self.age().map_or(Duration::ZERO, |age| rules::write_time(age, self.settings.duration));
        self.held.renewed.send_replace(None);
        self.held.record = None;
        match loss {
            LeaseLoss::TakenByOther => {
                warn!("lost leadership: another process holds the lease, or the Lease was deleted");
            }
            LeaseLoss::NotRenewed => {
                warn!("lost leadership: the lease was not renewed in time; check the connection to the API server");
            }
        }
        write_time
    }

    /// Releases the lease if this replica still holds it, so that another replica can take over at once. [`Leadership`] is
    /// false before the request is sent. If this does not succeed within a sixth of the lease duration, the lease expires.
    pub async fn release(&mut self) {
        self.held.renewed.send_replace(None);
        match timeout(self.settings.period(), self.try_to_release()).await {
            Ok(Ok(true)) => info!("released the lease"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => warn!("the lease was not released and will expire: {error}"),
            Err(_) => warn!("the lease was not released and will expire: {}", LeaseError::Timeout),
        }
    }

    /// Returns `None` if this replica holds the lease now, otherwise the least time to wait.
    async fn try_to_acquire(&mut self) -> Result<Option<Duration>, LeaseError> {
        let sent = clock::steady();
        let lease = self.store.read().await?;
        match self.candidate.next_step(lease.as_ref(), sent, clock::steady()) {
            Step::Create | Step::Take | Step::Renew => self.claim(lease).await.map(|()| None),
            Step::Wait(remaining) => {
                self.log.became_standby(lease.as_ref().and_then(rules::holder).unwrap_or_default());
                Ok(Some(remaining))
            }
        }
    }

    async fn renew_until_lost(&mut self) -> LeaseLoss {
        let age = self.age().unwrap_or_default();
        let mut delay = self.settings.period().saturating_sub(age);
        loop {
            let Some(left) = self.time_left() else { return LeaseLoss::NotRenewed };
            sleep(delay.min(left)).await;
            let Some(left) = self.time_left() else { return LeaseLoss::NotRenewed };
            let began = clock::steady();
            let next = match timeout(left, self.renew()).await {
                Ok(Ok(true)) => self.settings.period(),
                Ok(Ok(false)) => return LeaseLoss::TakenByOther,
                Ok(Err(error)) => self.retry_delay(error),
                Err(_) => return LeaseLoss::NotRenewed,
            };
            delay = next.saturating_sub(clock::steady().saturating_sub(began));
        }
    }

    /// Returns true if the lease was renewed, false if it was deleted or another replica holds it.
    async fn renew(&mut self) -> Result<bool, LeaseError> {
        let record = match self.held.record.take() {
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
        self.held.record = Some(self.store.write(&record).await?);
        self.held.renewed.send_replace(Some(sent));
        self.log.succeeded();
        Ok(())
    }

    async fn try_to_release(&mut self) -> Result<bool, LeaseError> {
        loop {
            let record = match self.held.record.take() {
                Some(record) => Some(record),
                None => self.store.read().await?,
            };
            let Some(released) = record.and_then(|record| self.candidate.release(record, clock::now())) else {
                return Ok(false);
            };
            match self.store.write(&released).await {
                // A renewal without a response took effect in the meantime: read again.
                Err(LeaseError::Conflict) => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(true),
            }
        }
    }

    /// Logs a failed request and returns the delay before the next one, which is short after a conflict.
    fn retry_delay(&mut self, error: LeaseError) -> Duration {
        self.log.failed(error);
        match error {
            LeaseError::Conflict => self.settings.period() / 10,
            _ => self.settings.period(),
        }
    }

    fn age(&self) -> Option<Duration> {
        self.held.renewed.borrow().map(|sent| sent.elapsed())
    }

    /// The time until the lease counts as lost; `None` if it does already.
    fn time_left(&self) -> Option<Duration> {
        let left = rules::renewal_deadline(self.settings.duration).saturating_sub(self.age()?);
        (!left.is_zero()).then_some(left)
    }
}

impl fmt::Debug for LeaderElector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderElector").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Logs changes of leadership and of errors, not each repetition.
struct TransitionLog {
    holder: String,
    error: Option<LeaseError>,
}

impl TransitionLog {
    fn new() -> Self {
        Self { holder: String::new(), error: None }
    }

    fn became_leader(&mut self, settings: &LeaseSettings) {
        self.holder.clear();
        info!(lease = settings.name, namespace = settings.namespace, identity = settings.identity, "became leader");
    }

    fn became_standby(&mut self, holder: &str) {
        self.succeeded();
        if self.holder != holder {
            holder.clone_into(&mut self.holder);
            info!(holder, "standing by: another replica leads");
        }
    }

    fn failed(&mut self, error: LeaseError) {
        if self.error == Some(error) || error == LeaseError::Conflict {
            debug!("the Lease could not be read or written: {error}");
        } else {
            warn!("the Lease could not be read or written: {error}");
            self.error = Some(error);
        }
    }

    fn succeeded(&mut self) {
        self.error = None;
    }
}

#[cfg(test)]
#[path = "lease/elector_test.rs"]
mod tests;
