//! What earlier attempts mean for this look: whether the inputs are new, what is still open, and until when it binds.

use std::time::Duration;

use apicredential::api::ApiCredentialStatus;
use apicredential::decide::{self, OpenFailure, Target};
use apicredential::plan::Plan;
use apicredential::reason::{Class, Reason};
use apicredential::schedule;
use apicredential::source::SecretValues;
use apicredential::status;
use apicredential::target::fingerprint;
use apicredential::target::render::TokenRecord;
use jiff::Timestamp;

use super::look::Round;
use super::seed;
use crate::clock;
use crate::controller::memory::Attempted;

impl Round {
    /// Whether the inputs are not those of the last attempt, and whether that is known well enough to count anew.
    pub(super) fn fresh(
        &self,
        plan: &Plan,
        status: &ApiCredentialStatus,
        values: Option<&SecretValues>,
    ) -> (bool, bool) {
        let now = self.attempted(plan, values);
        if let Some(before) = &self.memory.attempted {
            let fresh = before.identity != now.identity || (values.is_some() && before.values != now.values);
            return (fresh, fresh);
        }
        // After a restart the values of the last attempt are not known: its Secret's version gives one try.
        let differs = status.last_attempt.as_ref().is_some_and(|last| {
            let generation = self.credential.metadata.generation.unwrap_or(0);
            let other_spec = last.generation != generation && status.observed_generation != Some(generation);
            other_spec || values.is_some_and(|values| values.version != last.source_version)
        });
        (differs, false)
    }

    pub(super) fn attempted(&self, plan: &Plan, values: Option<&SecretValues>) -> Attempted {
        let exposed = values.map(SecretValues::expose).unwrap_or_default();
        let key = &self.context.operator.session_key[..];
        Attempted {
            identity: fingerprint::mac(key, "identity", &plan.request.identity()),
            values: fingerprint::mac(key, "values", &exposed),
        }
    }

    pub(super) fn open_failure(
        &mut self,
        status: &ApiCredentialStatus,
        target: &Target,
        record: Option<&TokenRecord>,
    ) -> Option<OpenFailure> {
        let reason = status::open_failure(status)?;
        let (last, now) = (status.last_attempt.as_ref()?.time.0, clock::now());
        // A time of issue in the future proves nothing.
        let is_later = |record: &TokenRecord| record.issued_at > last && record.issued_at <= now;
        if record.is_some_and(|record| is_later(record) || is_of_last_attempt(record, status)) {
            return None;
        }
        let mut next = status.next_attempt_time.as_ref().map_or(last, |time| time.0);
        if status.last_handled_renew_request.is_some() && status.last_handled_renew_request == self.glance.renew_request
        {
            // A request failed, and the plan stood. The plan binds no other cause than its own.
            let failed = u32::try_from(status.failed_attempts.unwrap_or(0)).unwrap_or(0).max(1);
            next = next.min(schedule::after(last, self.longest_after(decide::attempt_class(reason), failed)));
        }
        let expiry = match target {
            Target::Ours { token: Some(token), .. } => token.life.expiry.time(),
            _ => None,
        };
        let latest = seed::latest_attempt(reason, expiry, now, &self.context.operator.pace);
        Some(OpenFailure { reason, next: self.bounded(next, latest) })
    }

    /// The longest delay that so many failures of that class in a row can have led to.
    fn longest_after(&self, class: Class, failed: u32) -> Duration {
        let pace = &self.context.operator.pace;
        match class {
            Class::Throttled => schedule::longest(class, pace),
            _ => schedule::delay(class, failed, pace, false, &self.uid),
        }
    }

    /// Only a clock that was set back can leave a try further ahead than the longest delay of its class. What it is
    /// bounded to then stays, or else it would move along with the clock.
    fn bounded(&mut self, next: Timestamp, latest: Option<Timestamp>) -> Timestamp {
        let Some(latest) = latest else { return next };
        let before = self.memory.latest_attempt.filter(|bound| *bound <= latest);
        self.memory.latest_attempt = before.or((next > latest).then_some(latest));
        next.min(self.memory.latest_attempt.unwrap_or(next))
    }

    /// The delay after a write, or a rehearsal of one, that failed without an exchange.
    pub(super) fn after_failed_write(&mut self) -> Timestamp {
        self.memory.failed_writes = self.memory.failed_writes.saturating_add(1);
        let pace = &self.context.operator.pace;
        let delay = schedule::delay(Class::Transient, self.memory.failed_writes, pace, false, &self.uid);
        schedule::after(clock::now(), delay)
    }
}

/// Whether the stored token is that of the last attempt, although its write was answered as a failure. The exchange
/// itself cannot have failed then, so that no token of the same second is mistaken for it.
pub(super) fn is_of_last_attempt(record: &TokenRecord, status: &ApiCredentialStatus) -> bool {
    status.last_attempt.as_ref().is_some_and(|last| {
        let undelivered = Reason::parse(&last.reason)
            .is_some_and(|reason| reason == Reason::TargetWriteRejected || reason.class() == Class::Local);
        undelivered && record.issued_at == last.time.0 && record.source_version == last.source_version
    })
}
