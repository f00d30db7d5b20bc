//! What to do about the lease: pure, told the time, without a client.
//!
//! Two clocks of two machines are never compared: another holder is late when its record was *seen* unchanged here
//! for its whole duration, whatever the times in that record say.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

/// Between the last moment a leader may start a write and the end of its lease: the time that write may take.
const WRITE_RESERVE: Duration = Duration::from_secs(15);

/// No record keeps others waiting longer than this, whatever duration it claims.
pub const LONGEST_LEASE: Duration = Duration::from_secs(3600);

/// True while a holder whose last acknowledged renewal was sent that long ago may still write.
pub fn may_write(since_sent: Duration, lease: Duration) -> bool {
    since_sent < lease.saturating_sub(WRITE_RESERVE)
}

/// True while a holder whose last acknowledged renewal was sent that long ago counts as one that can renew.
pub fn may_start(since_sent: Duration, lease: Duration) -> bool {
    since_sent < give_up_after(lease) && may_write(since_sent, lease)
}

/// How long a holder tries to renew before it steps down.
pub fn give_up_after(lease: Duration) -> Duration {
    lease * 2 / 3
}

/// What a look at the lease asks of a candidate.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no lease: create it.
    Create,
    /// Nobody holds it, or its holder has shown no sign of life for its whole duration: take it.
    Take,
    /// It is ours already: renew it.
    Renew,
    /// Somebody else holds it, for at least this much longer.
    Wait(Duration),
}

/// One who would like the lease, with what it has seen of it.
#[derive(Debug)]
pub struct Candidate {
    identity: String,
    duration: Duration,
    seen: Option<Sighting>,
}

/// A version of somebody else's record, and since when we know it.
#[derive(Debug)]
struct Sighting {
    version: String,
    since: Duration,
}

impl Candidate {
    /// A candidate that has seen nothing yet.
    pub fn new(identity: String, duration: Duration) -> Self {
        Self { identity, duration, seen: None }
    }

    /// Judges the lease as it was read. `asked` and `answered` are readings of one steady local clock before and after
    /// the read: a version is known *since* the answer that first showed it and unchanged *until* the latest question,
    /// so the time on the wire never counts against the holder.
    pub fn next_step(&mut self, lease: Option<&Lease>, asked: Duration, answered: Duration) -> Step {
        let Some(lease) = lease else { return Step::Create };
        match holder(lease) {
            None => Step::Take,
            Some(holder) if holder == self.identity => Step::Renew,
            Some(_) => self.judge_other(lease, asked, answered),
        }
    }

    fn judge_other(&mut self, lease: &Lease, asked: Duration, answered: Duration) -> Step {
        let version = version(lease);
        let patience = self.patience(lease);
        match &self.seen {
            Some(seen) if seen.version == version => match patience.saturating_sub(asked.saturating_sub(seen.since)) {
                Duration::ZERO => Step::Take,
                rest => Step::Wait(rest),
            },
            _ => {
                self.seen = Some(Sighting { version, since: answered });
                Step::Wait(patience)
            }
        }
    }

    /// The longer of both durations: during a change of `--lease-duration` the holder lives by the old one.
    fn patience(&self, lease: &Lease) -> Duration {
        let stated = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
        let stated = Duration::from_secs(u64::try_from(stated).unwrap_or(0)).min(LONGEST_LEASE);
        stated.max(self.duration)
    }

    /// The record that makes us the holder, from the one that was read (none: a new lease).
    /// What others wrote beside the record (labels, owner) stays, and so does the resourceVersion that guards the write.
    pub fn claim(&self, read: Option<Lease>, name: &str, now: Timestamp) -> Lease {
        let mut lease = read.unwrap_or_else(|| empty(name));
        let ours = holder(&lease) == Some(self.identity.as_str());
        let fresh = lease.spec.is_none();
        let spec = lease.spec.get_or_insert_default();
        spec.renew_time = Some(MicroTime(now));
        spec.lease_duration_seconds = Some(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX).max(1));
        if !ours {
            let transitions = spec.lease_transitions.unwrap_or(0);
            spec.lease_transitions = Some(if fresh { 0 } else { transitions.saturating_add(1) });
            spec.holder_identity = Some(self.identity.clone());
            spec.acquire_time = Some(MicroTime(now));
        }
        lease
    }

    /// The record without a holder, if it is ours to give up.
    pub fn give_up(&self, mut lease: Lease, now: Timestamp) -> Option<Lease> {
        if holder(&lease) != Some(self.identity.as_str()) {
            return None;
        }
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(MicroTime(now));
        Some(lease)
    }
}

/// Who holds the lease; an empty name is nobody.
pub fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|name| !name.is_empty())
}

/// Changes with every write, by whomever: any of them is a sign of life. The uid tells a recreated lease apart.
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
