//! The rules of the leader election: pure functions that take the time as an argument.
//!
//! Clocks of two machines are never compared. The lease of another holder has expired when this candidate has *seen* the
//! Lease unchanged for its whole duration; the times in the Lease do not matter.

use std::time::Duration;

use apicredential::target::write_guard::LEAST_TIME;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

/// Every write ends at least this long before the lease does.
const WRITE_RESERVE: Duration = Duration::from_secs(5);

/// The greatest lease duration. A longer one in the Lease counts as this.
pub const LONGEST_LEASE: Duration = Duration::from_secs(3600);

/// The time in which every write of a holder has to end whose last acknowledged renewal was sent `since_sent` ago.
pub fn write_time(since_sent: Duration, lease: Duration) -> Duration {
    lease.saturating_sub(WRITE_RESERVE).saturating_sub(since_sent)
}

/// Whether that holder may start a write.
pub fn may_write(since_sent: Duration, lease: Duration) -> bool {
    write_time(since_sent, lease) >= LEAST_TIME
}

/// Whether a holder may start new work whose last acknowledged renewal was sent `since_sent` ago.
pub fn may_start(since_sent: Duration, lease: Duration) -> bool {
    since_sent < renewal_deadline(lease) && may_write(since_sent, lease)
}

/// The time after the last acknowledged renewal was sent when a holder stops renewing and steps down.
pub fn renewal_deadline(lease: Duration) -> Duration {
    lease * 2 / 3
}

/// What a candidate does after it has read the Lease.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Create the Lease, because it does not exist.
    Create,
    /// Take the lease, because it has no holder, or its holder has not renewed it for its whole duration.
    Take,
    /// Renew the lease, because this candidate holds it.
    Renew,
    /// Wait for at least this time, because another candidate holds the lease.
    Wait(Duration),
}

/// A candidate for leadership, and the version of the Lease that it has seen.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    duration: Duration,
    seen: Option<SeenVersion>,
}

/// A version of the Lease while another candidate holds it, and since when this candidate knows it.
#[derive(Debug)]
struct SeenVersion {
    version: String,
    since: Duration,
}

impl Candidate {
    /// A candidate that has not read the Lease yet.
    pub fn new(identity: String, duration: Duration) -> Self {
        Self { identity, duration, seen: None }
    }

    /// Decides what to do with the Lease as it was read. `sent` and `received` are times of a steady local clock before and
    /// after the read. A version is known *since* the response that first contained it, and it was unchanged *until* the latest
    /// request was sent. So time on the network never counts against the holder.
    pub fn next_step(&mut self, lease: Option<&Lease>, sent: Duration, received: Duration) -> Step {
        let Some(lease) = lease else { return Step::Create };
        match holder(lease) {
            None => Step::Take,
            Some(holder) if holder == self.identity => Step::Renew,
            Some(_) => self.wait_for_other(lease, sent, received),
        }
    }

    fn wait_for_other(&mut self, lease: &Lease, sent: Duration, received: Duration) -> Step {
        let version = version(lease);
        let duration = self.effective_duration(lease);
        match &self.seen {
            Some(seen) if seen.version == version => match duration.saturating_sub(sent.saturating_sub(seen.since)) {
                Duration::ZERO => Step::Take,
                remaining => Step::Wait(remaining),
            },
            _ => {
                self.seen = Some(SeenVersion { version, since: received });
                Step::Wait(duration)
            }
        }
    }

    /// The longer of the durations in the Lease and in the settings. While `--lease-duration` is being changed, the holder may
    /// still use the old one.
    fn effective_duration(&self, lease: &Lease) -> Duration {
        let stated = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
        let stated = Duration::from_secs(u64::try_from(stated).unwrap_or(0)).min(LONGEST_LEASE);
        stated.max(self.duration)
    }

    /// The Lease with this candidate as its holder, made from the one that was read, or a new one. Labels and other fields
    /// that another client wrote stay, and so does the resourceVersion, which guards the write.
    pub fn claim(&self, read: Option<Lease>, name: &str, now: Timestamp) -> Lease {
        let mut lease = read.unwrap_or_else(|| empty(name));
        let is_holder = holder(&lease) == Some(self.identity.as_str());
        let is_new = lease.spec.is_none();
        let spec = lease.spec.get_or_insert_default();
        spec.renew_time = Some(MicroTime(now));
        spec.lease_duration_seconds = Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX).max(1));
        if !is_holder {
            let transitions = spec.lease_transitions.unwrap_or(0);
            spec.lease_transitions = Some(if is_new { 0 } else { transitions.saturating_add(1) });
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(MicroTime(now));
        }
        lease
    }

    /// The Lease without a holder; `None` if this candidate does not hold it.
    pub fn release(&self, mut lease: Lease, now: Timestamp) -> Option<Lease> {
        if holder(&lease) != Some(self.identity.as_str()) {
            return None;
        }
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(now));
        Some(lease)
    }
}

/// The holder of the lease. An empty name means that it has no holder.
pub fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|name| !name.is_empty())
}

/// A text that changes with every write of the Lease, by any client, and with a Lease that was deleted and created again.
fn version(lease: &Lease) -> String {
    let metadata = &lease.metadata;
    format!(
        "{}/{}",
        metadata.uid.as_deref().unwrap_or_default(),
        metadata.resource_version.as_deref().unwrap_or_default()
    )
}

fn empty(name: &str) -> Lease {
    Lease { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, spec: None::<LeaseSpec> }
}

#[cfg(test)]
#[path = "rules_test.rs"]
mod tests;
