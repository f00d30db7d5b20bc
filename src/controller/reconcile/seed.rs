//! The first look of a term: what the status and the watches together already prove.

use std::sync::Arc;

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use apicredential::decide::attempt_class;
use apicredential::endpoint::AllowedEndpoints;
use apicredential::object_key::Key;
use apicredential::plan::Plan;
use apicredential::reason::Reason;
use apicredential::schedule::{self, Timings};
use apicredential::status;
use jiff::Timestamp;

use super::Context;
use crate::clock::{self, SuspendAwareInstant};
use crate::controller::memory::Remembered;
use crate::controller::watch::index::Glance;
use crate::controller::watch::{DecodeResult, Version};
use crate::metrics::CredentialGauges;
use crate::rate_limit::RateLimiter;

/// What is known before anything was read. With a glance in it: nothing changed while nobody looked.
pub(super) fn seed(credential: &ApiCredential, glance: &Glance, context: &Context) -> Remembered {
    let status = credential.status.clone().unwrap_or_default();
    let mut memory = Remembered { target_known: status.revision.unwrap_or(0) > 0, ..Remembered::default() };
    let Ok(plan) = Plan::parse(&credential.spec, &context.allowed) else { return memory };
    let (mark, now, pace) = (SuspendAwareInstant::now(), clock::now(), &context.operator.pace);
    memory.latest_attempt = status::open_failure(&status).and_then(|reason| latest_attempt(reason, None, now, pace));
    if !is_proven(&status, glance, &plan) || is_of_the_future(&status, now) {
        return memory;
    }
    let expiry = status.token.as_ref().and_then(|token| token.expiration_time.as_ref());
    let renewal = status.renewal_time.as_ref();
    let attempt = status.next_attempt_time.as_ref().filter(|_| status::open_failure(&status).is_some());
    let attempt = attempt.map(|time| memory.latest_attempt.map_or(time.0, |latest| time.0.min(latest)));
    let next = attempt.or(renewal.map(|time| time.0));
    let check = plan.verification.map(|interval| {
        let told = status.verification.as_ref().map(|told| told.time.0);
        let since = told.into_iter().chain(status.token.as_ref().map(|token| token.issued_time.0)).max();
        let uid = credential.metadata.uid.as_deref().unwrap_or_default();
        since.map_or(now, |since| schedule::check_time(since, interval, uid)).min(schedule::latest_check(now, interval))
    });
    let due = [next, expiry.map(|time| time.0), check].into_iter().flatten().min().unwrap_or(Timestamp::MAX);
    if due > now {
        memory.glance = Some(glance.imprint);
        memory.due = Some(due);
        memory.looked = Some(mark);
        memory.status = Some(Arc::new(status.clone()));
        // While an attempt failed, what the keys meant then is not known.
        memory.source_read = status.observed_generation.filter(|_| status::open_failure(&status).is_none());
        let key = Key::of(credential);
        let shown = CredentialGauges::of(&status, credential.spec.suspend);
        context.operator.metrics.set_credential(&key, shown);
    }
    memory
}

/// How the longest delay of a failure's class bounds the next attempt in a status, which was written before a restart or
/// before the clock was set back. A token that was not extended waits as long as it was told to, which is to its end if
/// that is known and to come.
pub(super) fn latest_attempt(
    reason: Reason,
    expiry: Option<Timestamp>,
    now: Timestamp,
    pace: &Timings,
) -> Option<Timestamp> {
    let latest = schedule::after(now, schedule::longest(attempt_class(reason), pace));
    match reason {
        Reason::TokenNotExtended => expiry.map(|expiry| expiry.max(latest)),
        _ => Some(latest),
    }
}

/// Rebuilds the pause of an endpoint from a credential that was told to slow down. Done for all of them before the
/// first request is sent.
pub(crate) fn restore_pause(
    object: &DecodeResult,
    gates: &RateLimiter<Key>,
    allowed: &AllowedEndpoints,
    pace: &Timings,
) -> Option<Timestamp> {
    let credential = object.0.as_ref().ok()?;
    let status = credential.status.as_ref()?;
    let reason = status::open_failure(status).filter(|reason| *reason == Reason::RateLimited)?;
    let plan = Plan::parse(&credential.spec, allowed).ok()?;
    let now = clock::now();
    // What the provider asked for cannot be longer than this; a renewal that is planned for later is no pause.
    let asked = schedule::after(status.last_attempt.as_ref()?.time.0, schedule::longest(attempt_class(reason), pace));
    let until = status.next_attempt_time.as_ref()?.0.min(asked).min(latest_attempt(reason, None, now, pace)?);
    let end = clock::steady().saturating_add(schedule::until(until, now));
    (until > now).then(|| gates.pause(plan.request.endpoint(), end))?;
    Some(until)
}

/// The token was issued by a clock that was ahead of this one: its times have to be counted from now.
fn is_of_the_future(status: &ApiCredentialStatus, now: Timestamp) -> bool {
    status.token.as_ref().is_some_and(|token| token.issued_time.0 > now)
}

/// The target is as we left it, made from the source as it is, for the spec as it is, and all that was said.
fn is_proven(status: &ApiCredentialStatus, glance: &Glance, plan: &Plan) -> bool {
    let (Some(target), Some(source)) = (&glance.target, &glance.source) else { return false };
    let request = glance.renew_request.as_ref();
    let answered = request.is_none()
        || request.map(String::as_str) == target.renew_request()
        || request == status.last_handled_renew_request.as_ref();
    let resolved =
        status.conditions.iter().any(|condition| condition.type_ == "SourceResolved" && condition.status == "True");
    let settled = status::is_renewed(status) || status::open_failure(status).is_some();
    target.present
        && source.present
        && status.target.as_ref().is_some_and(|known| {
            Version::from(known.version.as_str()) == target.version && known.name == plan.target.name
        })
        && target.source_version() == Some(&source.version)
        && status.observed_generation == Some(glance.generation)
        && status::is_ready(status)
        && settled
        && resolved
        && plan.endpoint_allowed
        && answered
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use apicredential::schedule::later;

    #[test]
    fn a_try_is_put_off_by_no_more_than_its_class_allows_and_a_kept_token_to_its_end() {
        let second = Duration::from_secs(1);
        let pace = Timings { retry_base: second, min_renewal_interval: second, resync: second };
        let now = Timestamp::UNIX_EPOCH;
        let latest = |reason, expiry| latest_attempt(reason, expiry, now, &pace);
        assert_eq!(latest(Reason::DnsFailed, Some(later(now, 9999))), Some(later(now, 60)));
        assert_eq!(latest(Reason::CredentialsRejected, None), Some(later(now, 720)));
        assert_eq!(latest(Reason::TokenNotExtended, Some(later(now, 9999))), Some(later(now, 9999)));
        assert_eq!(latest(Reason::TokenNotExtended, Some(later(now, -1))), Some(later(now, 60)));
        assert_eq!(latest(Reason::TokenNotExtended, None), None, "it never ends");
    }
}
