//! Whether a credential has to wait for its turn at the endpoint, asked before anything is read for it.

use apicredential::api::CreationPolicy;
use apicredential::plan::Plan;
use apicredential::schedule;
use apicredential::status;
use jiff::Timestamp;

use super::look::Round;
use crate::clock;
use crate::controller::watch::Version;
use crate::controller::watch::index::Seen;
use crate::rate_limit::Wait;

impl Round {
    /// Where all that is known without a read says that an exchange comes next, whoever has to wait for its turn waits
    /// before anything is read for it, and not with a look before and a look after. Some: its turn has not come.
    pub(super) fn reserve_slot(&mut self) -> Option<Timestamp> {
        if !self.is_bound_to_exchange() || !self.context.courier.leadership.may_start() {
            return None;
        }
        let plan = Plan::parse(&self.credential.spec, &self.context.allowed).ok()?;
        let (endpoint, now) = (plan.request.endpoint(), clock::steady());
        // What is to be told during a pause is found by a look.
        if !plan.endpoint_allowed || self.context.gates.paused_until(endpoint, now).is_some() {
            return None;
        }
        let wait = self.context.gates.reserve_slot(endpoint, &self.key, now)?;
        self.memory.waits_since.get_or_insert_with(clock::SuspendAwareInstant::now);
        self.queued = true;
        Some(match wait {
            Wait::Until(time) => schedule::after(clock::now(), time.saturating_sub(now)),
            Wait::Woken => Timestamp::MAX,
        })
    }

    /// The watches show its first exchange ahead, or the status a renewal that is due.
    fn is_bound_to_exchange(&self) -> bool {
        let is_there = |seen: &Option<Seen>| seen.as_ref().is_some_and(|seen| seen.present);
        let spec = &self.credential.spec;
        if self.memory.status_unsaved || spec.suspend || !is_there(&self.glance.source) {
            return false;
        }
        if !self.context.courier.watch.healthy() {
            return false;
        }
        let (status, now) = (self.status(), clock::now());
        let is_first = status.observed_generation.is_none_or(|generation| generation < 0);
        let is_over =
            status.token.as_ref().and_then(|token| token.expiration_time.as_ref()).is_some_and(|end| end.0 <= now);
        let is_due = status.renewal_time.as_ref().is_some_and(|planned| planned.0 <= now);
        // What was said last is of this spec, and of the target as it is.
        let told = status.target.as_ref().zip(self.glance.target.as_ref());
        let as_told = status.observed_generation == self.credential.metadata.generation
            && told.is_some_and(|(told, seen)| Version::from(told.version.as_str()) == seen.version);
        match is_there(&self.glance.target) {
            // Of a target to merge into, the watch need not know.
            false => is_first && spec.target.creation_policy != CreationPolicy::Merge,
            true => {
                as_told && is_due && !is_over && status::is_ready(&status) && status::open_failure(&status).is_none()
            }
        }
    }
}
