//! Decides what the operator does with one ApiCredential now: from the observed [`Facts`] and the time, without a
//! client, a clock or a secret byte. It also decides whether an issued token is written, in [`evaluate_token`].

use jiff::Timestamp;

use crate::next_reconcile::NextReconcile;
use crate::reason::{Reason, Refusal};
use crate::schedule::{self, TokenLifetime};

mod evaluate;
#[cfg(test)]
mod tests;

pub use evaluate::{Stored, TokenEvaluation, after_not_extended, evaluate_token};

/// Why a token exchange is needed. If several causes apply, the first in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The target Secret holds no token.
    Missing,
    /// Somebody else changed the token or its annotations.
    Edited,
    /// The token was issued for another provider, endpoint, tenant or client, or with other keys or another source Secret.
    Spec,
    /// The values in the source Secret have changed, or it is not known that they have not.
    Source,
    /// The annotation `apicredential.io/renew-requested-at` requests a renewal.
    Requested,
    /// The provider refuses the token, although it has not expired.
    Revoked,
    /// The time of the planned renewal has come, or the token has expired.
    Due,
}

impl Cause {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Edited => "edited",
            Self::Spec => "spec",
            Self::Source => "source",
            Self::Requested => "requested",
            Self::Revoked => "revoked",
            Self::Due => "due",
        }
    }
}

/// What was observed about one ApiCredential.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `spec.suspend`
    pub suspended: bool,
    /// Why the spec is refused; `None` if it is valid and its endpoint is allowed.
    pub spec: Option<Refusal>,
    /// The target Secret.
    pub target: Target,
    /// Why a target Secret that is ours cannot be written; `None` if it can.
    pub blocked: Option<Refusal>,
    /// The source Secret.
    pub source: Source,
    /// Whether there is a renew request that was not answered yet.
    pub renew_requested: bool,
    /// The checks of the stored token at the provider.
    pub verification: Verification,
    /// The results of earlier attempts.
    pub attempts: Attempts,
}

/// The checks of the stored token at the provider, with `spec.verification`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verification {
    /// When the next check is made; `None` without `spec.verification`.
    pub next_check: Option<Timestamp>,
    /// From when on the token needs a token exchange because the provider refused it in the last check; `None` if the
    /// provider did not refuse it.
    pub refused: Option<Timestamp>,
}

/// The target Secret. It is *ours* if this ApiCredential owns it, or may write to it by the consent of its owner.
#[derive(Clone, Debug)]
pub enum Target {
    /// It does not exist, and this ApiCredential may create it.
    Absent,
    /// It is not ours, or it is being deleted.
    Refused(Refusal),
    /// It is ours.
    Ours {
        /// The token in it.
        token: Option<Token>,
        /// When our keys, labels and annotations are written again: at once if they differ from what they should be.
        repair: NextReconcile,
    },
}

/// The stored token.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// When it was issued and when it expires.
    pub lifetime: TokenLifetime,
    /// Whether it was issued for this spec.
    pub spec_match: SpecMatch,
    /// The planned renewal.
    pub renewal: Option<Timestamp>,
}

/// Whether the stored token was issued for the current spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecMatch {
    /// It was issued for the current spec, and no other client changed it.
    Fits,
    /// Somebody else changed its bytes or its times.
    Edited,
    /// It was issued for another spec.
    OtherSpec,
}

/// The source Secret.
#[derive(Clone, Debug)]
pub enum Source {
    /// It was not read, because the decision does not need it.
    Unknown,
    /// According to the watch it has the version that the token was issued with, or that was compared since.
    Unchanged,
    /// It was read and can be used.
    Resolved {
        /// Its values are not, as far as is known, those that the token was issued with.
        changed: bool,
    },
    /// It cannot be used.
    Refused(Refusal),
}

/// The results of earlier attempts.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// The failure of the last attempt, if no token was issued or adopted since.
    pub unresolved: Option<UnresolvedFailure>,
    /// The spec or the source Secret has changed since the last attempt, so the next one is not delayed.
    pub inputs_changed: bool,
    /// When the last request was sent.
    pub last_sent: Option<Timestamp>,
}

/// A failed attempt that is retried.
#[derive(Clone, Debug)]
pub struct UnresolvedFailure {
    /// How it ended.
    pub reason: Reason,
    /// When the next attempt is made.
    pub next: NextReconcile,
}

impl UnresolvedFailure {
    fn is_not_extended(&self) -> bool {
        self.reason == Reason::TokenNotExtended
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Do nothing until then.
    Idle(NextReconcile),
    /// A token exchange is needed, but not before that time.
    Wait(Cause, Timestamp),
    /// Write our keys, labels and annotations again, with the stored token.
    Repair,
    /// Check at the provider whether it accepts the token.
    Check,
    /// Request a token from the provider.
    Exchange(Cause),
    /// Report the refusal and send no request.
    Reject(Refusal),
}

/// What to do now.
pub fn decide(facts: &Facts, now: Timestamp) -> Decision {
    let decision = decide_without_check(facts, now);
    let Some(check) = next_check(facts, now) else { return decision };
    match decision {
        // Also while a token exchange is delayed: until then the stored token is in use.
        Decision::Idle(_) | Decision::Wait(..) if check <= now => Decision::Check,
        Decision::Idle(next) => Decision::Idle(next.or_earlier(NextReconcile::At(check))),
        Decision::Wait(cause, time) => Decision::Wait(cause, time.min(check)),
        other => other,
    }
}

/// When the next check is made. Only a token that is not expired and fits the spec is checked.
fn next_check(facts: &Facts, now: Timestamp) -> Option<Timestamp> {
    let is_checked = !facts.suspended && matches!(token_state(facts, now), TokenState::Valid | TokenState::Revoked);
    facts.verification.next_check.filter(|_| is_checked)
}

/// When our part of the target Secret is written again. That needs a valid token.
fn next_repair(facts: &Facts, now: Timestamp) -> NextReconcile {
    match facts.target {
        Target::Ours { repair, .. } if !facts.suspended && token_state(facts, now) == TokenState::Valid => repair,
        _ => NextReconcile::OnChange,
    }
}

fn decide_without_check(facts: &Facts, now: Timestamp) -> Decision {
    if let Target::Refused(refusal) = &facts.target {
        return Decision::Reject(refusal.clone());
    }
    if let Some(refusal) = &facts.spec {
        return Decision::Reject(refusal.clone());
    }
    if facts.suspended {
        return Decision::Idle(next_change(facts, now));
    }
    if let Some(refusal) = &facts.blocked {
        return Decision::Reject(refusal.clone());
    }
    if !next_repair(facts, now).is_after(now) {
        return Decision::Repair;
    }
    if let Source::Refused(refusal) = &facts.source {
        return Decision::Reject(refusal.clone());
    }
    match cause(facts, now) {
        None => Decision::Idle(next_change(facts, now)),
        Some(cause) => match not_before(facts, cause, now) {
            NextReconcile::At(time) if time <= now => Decision::Exchange(cause),
            NextReconcile::At(time) if cause == Cause::Requested => before_renew_request(facts, now, time),
            NextReconcile::At(time) => Decision::Wait(cause, time),
            NextReconcile::OnChange => Decision::Idle(next_change(facts, now)),
        },
    }
}

/// The decision while a renew request has to wait, because it comes too soon after the last attempt. It delays nothing
/// that is needed without it. A token exchange that is made meanwhile answers the request.
fn before_renew_request(facts: &Facts, now: Timestamp, request: Timestamp) -> Decision {
    match decide_without_check(&Facts { renew_requested: false, ..facts.clone() }, now) {
        Decision::Idle(NextReconcile::At(time)) | Decision::Wait(_, time) => {
            Decision::Wait(Cause::Requested, request.min(time))
        }
        Decision::Idle(NextReconcile::OnChange) => Decision::Wait(Cause::Requested, request),
        other => other,
    }
}

/// The state of the token in the target Secret, from which the condition `Ready` follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// The target Secret holds no token of this ApiCredential.
    None,
    /// The token does not fit the spec: it was changed, or issued for another spec.
    Unfit,
    /// The token has expired.
    Expired,
    /// The provider refuses the token, although it has not expired.
    Revoked,
    /// The token is valid and fits the spec.
    Valid,
}

/// The state of the token in the target Secret at `now`.
pub fn token_state(facts: &Facts, now: Timestamp) -> TokenState {
    match token(facts) {
        None => TokenState::None,
        Some(token) if token.spec_match != SpecMatch::Fits => TokenState::Unfit,
        Some(token) if token.lifetime.expiry.is_over(now) => TokenState::Expired,
        Some(_) if facts.verification.refused.is_some() => TokenState::Revoked,
        Some(_) => TokenState::Valid,
    }
}

/// The stored token; `None` if there is none or the target Secret is not ours.
pub fn token(facts: &Facts) -> Option<&Token> {
    match &facts.target {
        Target::Ours { token, .. } => token.as_ref(),
        Target::Absent | Target::Refused(_) => None,
    }
}

/// The cause of the token exchange that is needed now; `None` if none is.
fn cause(facts: &Facts, now: Timestamp) -> Option<Cause> {
    let Some(token) = token(facts) else { return Some(Cause::Missing) };
    match token.spec_match {
        SpecMatch::Edited => return Some(Cause::Edited),
        SpecMatch::OtherSpec => return Some(Cause::Spec),
        SpecMatch::Fits => {}
    }
    if matches!(facts.source, Source::Resolved { changed: true }) {
        return Some(Cause::Source);
    }
    if facts.renew_requested {
        return Some(Cause::Requested);
    }
    if facts.verification.refused.is_some_and(|from| from <= now) {
        return Some(Cause::Revoked);
    }
    due_time(facts, token).filter(|due| *due <= now).map(|_| Cause::Due)
}

/// When the renewal is due: at the planned time, or later if the provider did not extend the token.
fn due_time(facts: &Facts, token: &Token) -> Option<Timestamp> {
    if let Some(failure) = facts.attempts.unresolved.as_ref().filter(|failure| failure.is_not_extended()) {
        return failure.next.time();
    }
    [token.renewal, token.lifetime.expiry.time()].into_iter().flatten().min()
}

/// From when on the token exchange may be made; `now` if it need not be delayed.
fn not_before(facts: &Facts, cause: Cause, now: Timestamp) -> NextReconcile {
    let attempts = &facts.attempts;
    let request = NextReconcile::At(request_time(attempts, now));
    if cause == Cause::Requested {
        return request;
    }
    match attempts.unresolved.as_ref().filter(|failure| !failure.is_not_extended() && !attempts.inputs_changed) {
        // A renew request shortens the delay, whatever the cause is.
        Some(failure) if facts.renew_requested => failure.next.or_earlier(request),
        Some(failure) => failure.next,
        None => NextReconcile::At(now),
    }
}

/// The minimum time between a token request and one that a renew request causes, in seconds.
const REQUEST_INTERVAL: i64 = 30;

/// From when on a renew request may cause a token exchange; `now` if at once.
fn request_time(attempts: &Attempts, now: Timestamp) -> Timestamp {
    // A time further in the future comes from a clock that was set back since, and is ignored.
    let sent = attempts.last_sent.filter(|sent| *sent <= schedule::later(now, REQUEST_INTERVAL));
    sent.map_or(now, |sent| schedule::later(sent, REQUEST_INTERVAL))
}

/// The next time at which the decision changes although the facts stay the same.
fn next_change(facts: &Facts, now: Timestamp) -> NextReconcile {
    let Some(token) = token(facts) else { return NextReconcile::OnChange };
    let due = if facts.suspended { None } else { due_time(facts, token) };
    let refused = facts.verification.refused.filter(|_| !facts.suspended);
    let repair = next_repair(facts, now).time();
    let times = [due, refused, repair, token.lifetime.expiry.time()];
    times.into_iter().flatten().filter(|time| *time > now).min().into()
}
