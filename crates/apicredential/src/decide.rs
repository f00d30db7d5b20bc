//! Facts and the time → what to do. Pure: no client, no clock, no secret bytes.

use jiff::Timestamp;

use crate::providers::Lifetime;
use crate::reason::{Class, Reason, Refusal};
use crate::schedule::{self, Expiry, Life, Policy};

#[cfg(test)]
mod tests;

/// Why an exchange is made; the first that applies, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// There is no token.
    Missing,
    /// The token or its annotations were changed by somebody else.
    Edited,
    /// The token is of another provider, endpoint, tenant or client.
    Spec,
    /// The values in the source Secret have changed.
    Source,
    /// Somebody asked by annotation.
    Requested,
    /// The provider refuses the token, although it has not expired.
    Revoked,
    /// The planned renewal has come, or the token has expired.
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

/// What is known about one credential, without a secret byte.
#[derive(Clone, Debug)]
pub struct Facts {
    /// `spec.suspend`.
    pub suspended: bool,
    /// Why the spec cannot be acted on, if it cannot.
    pub spec: Option<Refusal>,
    /// The target Secret.
    pub target: Target,
    /// Why a target that is ours cannot be written, if it cannot.
    pub blocked: Option<Refusal>,
    /// The source Secret.
    pub source: Source,
    /// Whether a renew request waits that was not answered yet.
    pub renew_requested: bool,
    /// What the provider says of the stored token.
    pub verification: Verification,
    /// What became of earlier attempts.
    pub attempts: Attempts,
}

/// What the provider says of the stored token, where the spec wants it to be asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verification {
    /// When it is asked next; none if it is not asked at all.
    pub next_check: Option<Timestamp>,
    /// It refused this very token when it was last asked: from when on that calls for an exchange.
    pub refused: Option<Timestamp>,
}

/// The target Secret.
#[derive(Clone, Debug)]
pub enum Target {
    /// Does not exist, and may be created by us.
    Absent,
    /// Not ours, or not usable.
    Refused(Refusal),
    /// Ours.
    Ours {
        /// The token in it.
        token: Option<Token>,
        /// Whether our part of the Secret differs from what it should be.
        drift: bool,
    },
}

/// The stored token.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// From when to when it counts.
    pub life: Life,
    /// Whether it is the token that the spec asks for.
    pub fit: SpecMatch,
    /// Its planned renewal.
    pub renewal: Option<Timestamp>,
}

/// Whether the stored token is the one that the spec asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecMatch {
    /// Yes.
    Fits,
    /// Its bytes or its times were changed by somebody else.
    Edited,
    /// It was issued for another spec.
    OtherSpec,
}

/// The source Secret.
#[derive(Clone, Debug)]
pub enum Source {
    /// Not looked at: something else comes first.
    Unknown,
    /// The watch says that it is the version which the token was made from.
    Unchanged,
    /// Read: whether its values differ from those that the token was made from.
    Resolved {
        /// They differ.
        changed: bool,
    },
    /// Not usable.
    Refused(Refusal),
}

/// What became of earlier attempts.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// The last attempt failed and nothing has mended it since.
    pub open: Option<OpenFailure>,
    /// The inputs are not those of the last attempt: try at once.
    pub fresh: bool,
    /// When the last request was sent.
    pub last_sent: Option<Timestamp>,
}

/// A failed attempt that waits for its next try.
#[derive(Clone, Debug)]
pub struct OpenFailure {
    /// How it ended.
    pub reason: Reason,
    /// When to try again.
    pub next: Timestamp,
}

impl OpenFailure {
    fn not_extended(&self) -> bool {
        self.reason == Reason::TokenNotExtended
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing until then; none means until something changes.
    Idle(Option<Timestamp>),
    /// An exchange is called for, but not before then.
    Wait(Cause, Timestamp),
    /// Write our part of the Secret again, from the token in it.
    Repair,
    /// Ask the provider whether it takes the token.
    Check,
    /// Ask the provider for another token.
    Exchange(Cause),
    /// Refuse, without a request.
    Reject(Refusal),
}

/// The least time between a request and one that an annotation asks for, in seconds.
const REQUEST_INTERVAL: i64 = 30;

/// What to do now.
pub fn decide(facts: &Facts, now: Timestamp) -> Decision {
    let decision = without_check(facts, now);
    let Some(check) = next_check(facts, now) else { return decision };
    match decision {
        // Also while an exchange waits for its time: until then the token in the Secret is the one that there is.
        Decision::Idle(_) | Decision::Wait(..) if check <= now => Decision::Check,
        Decision::Idle(time) => Decision::Idle(Some(time.unwrap_or(check).min(check))),
        Decision::Wait(cause, time) => Decision::Wait(cause, time.min(check)),
        other => other,
    }
}

/// When the provider is asked whether it takes the token; not about one that is of no use anyway.
fn next_check(facts: &Facts, now: Timestamp) -> Option<Timestamp> {
    let tried = !facts.suspended && matches!(token_state(facts, now), TokenState::Valid | TokenState::Revoked);
    facts.verification.next_check.filter(|_| tried)
}

fn without_check(facts: &Facts, now: Timestamp) -> Decision {
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
    if token_state(facts, now) == TokenState::Valid && matches!(facts.target, Target::Ours { drift: true, .. }) {
        return Decision::Repair;
    }
    if let Source::Refused(refusal) = &facts.source {
        return Decision::Reject(refusal.clone());
    }
    match cause(facts, now) {
        None => Decision::Idle(next_change(facts, now)),
        Some(cause) => match not_before(facts, cause, now) {
            Some(time) if time > now && cause == Cause::Requested => before_request(facts, now, time),
            Some(time) if time > now => Decision::Wait(cause, time),
            _ => Decision::Exchange(cause),
        },
    }
}

/// A request that comes too soon after the last attempt must not hold up what the plan asks for meanwhile; an
/// exchange that the plan makes answers it.
fn before_request(facts: &Facts, now: Timestamp, request: Timestamp) -> Decision {
    match without_check(&Facts { renew_requested: false, ..facts.clone() }, now) {
        Decision::Idle(Some(time)) | Decision::Wait(_, time) => Decision::Wait(Cause::Requested, request.min(time)),
        Decision::Idle(None) => Decision::Wait(Cause::Requested, request),
        other => other,
    }
}

/// What the Secret is worth right now; the source of the Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    /// No token of this credential's.
    None,
    /// A token, but not the one that the spec asks for.
    Unfit,
    /// It has expired.
    Expired,
    /// The provider refuses it, although it has not expired.
    Revoked,
    /// Valid, and the one that the spec asks for.
    Valid,
}

/// What the Secret is worth right now.
pub fn token_state(facts: &Facts, now: Timestamp) -> TokenState {
    match token(facts) {
        None => TokenState::None,
        Some(token) if token.fit != SpecMatch::Fits => TokenState::Unfit,
        Some(token) if token.life.expiry.is_over(now) => TokenState::Expired,
        Some(_) if facts.verification.refused.is_some() => TokenState::Revoked,
        Some(_) => TokenState::Valid,
    }
}

/// The stored token, where the Secret is ours.
pub fn token(facts: &Facts) -> Option<&Token> {
    match &facts.target {
        Target::Ours { token, .. } => token.as_ref(),
        Target::Absent | Target::Refused(_) => None,
    }
}

fn cause(facts: &Facts, now: Timestamp) -> Option<Cause> {
    let Some(token) = token(facts) else { return Some(Cause::Missing) };
    match token.fit {
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

/// When the token is due: as planned, or as put off because the provider did not extend it.
fn due_time(facts: &Facts, token: &Token) -> Option<Timestamp> {
    if let Some(open) = facts.attempts.open.as_ref().filter(|open| open.not_extended()) {
        return Some(open.next);
    }
    [token.renewal, token.life.expiry.time()].into_iter().flatten().min()
}

fn not_before(facts: &Facts, cause: Cause, now: Timestamp) -> Option<Timestamp> {
    let attempts = &facts.attempts;
    if cause == Cause::Requested {
        return request_time(attempts, now);
    }
    if attempts.fresh {
        return None;
    }
    let next = attempts.open.as_ref().filter(|open| !open.not_extended()).map(|open| open.next)?;
    // Whatever the cause is, somebody who asks gets a try.
    Some(if facts.renew_requested { next.min(request_time(attempts, now).unwrap_or(now)) } else { next })
}

/// From when on an annotation may ask for an exchange.
fn request_time(attempts: &Attempts, now: Timestamp) -> Option<Timestamp> {
    // Further ahead than that, the time was taken from a clock that has been set back since, and says nothing.
    let sent = attempts.last_sent.filter(|sent| *sent <= schedule::later(now, REQUEST_INTERVAL));
    sent.map(|sent| schedule::later(sent, REQUEST_INTERVAL))
}

/// The next time at which the facts alone make a difference.
fn next_change(facts: &Facts, now: Timestamp) -> Option<Timestamp> {
    let token = token(facts)?;
    let due = if facts.suspended { None } else { due_time(facts, token) };
    let refused = facts.verification.refused.filter(|_| !facts.suspended);
    [due, refused, token.life.expiry.time()].into_iter().flatten().filter(|time| *time > now).min()
}

/// What an answer of the provider is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenEvaluation {
    /// Write it.
    Write {
        /// When it ends.
        expiry: Expiry,
        /// The provider stated no expiry; the assumed lifetime was used.
        assumed: bool,
    },
    /// It lives no longer than the stored one, which stays.
    NotExtended,
    /// It is the stored one, which the provider refuses when it is used.
    StillRevoked,
    /// It has expired already.
    AlreadyExpired,
}

/// The stored token that an answer is held against.
#[derive(Clone, Copy, Debug)]
pub struct Stored {
    /// When it ends.
    pub expiry: Expiry,
    /// Whether the answer holds the same bytes.
    pub same_bytes: bool,
    /// The provider refused it when it was last asked.
    pub refused: bool,
}

/// Judges an answer. Only a *due* renewal can be "not extended": on any other cause every valid answer is written, unless
/// it is the very token that the provider refuses. Written again, that would pass for a new one.
pub fn evaluate_token(
    cause: Cause,
    issued: Timestamp,
    lifetime: &Lifetime,
    stored: Option<Stored>,
    policy: &Policy,
    now: Timestamp,
) -> TokenEvaluation {
    let (expiry, assumed) = match lifetime {
        Lifetime::Until(time) => (Expiry::At(*time), false),
        Lifetime::Never => (Expiry::Never, false),
        Lifetime::Unstated => (Expiry::At(schedule::later(issued, policy.assumed_lifetime)), true),
    };
    if stored.is_some_and(|stored| stored.refused && stored.same_bytes) {
        return TokenEvaluation::StillRevoked;
    }
    if let Some(stored) = stored.filter(|stored| cause == Cause::Due && !stored.refused)
        && !extends(stored, expiry, issued)
    {
        return TokenEvaluation::NotExtended;
    }
    if expiry.is_over(now) {
        return TokenEvaluation::AlreadyExpired;
    }
    TokenEvaluation::Write { expiry, assumed }
}

/// Seconds by which a new expiry must exceed the stored one: less is the rounding of the same token's expiry.
const LEAST_EXTENSION: i64 = 5;

fn extends(stored: Stored, expiry: Expiry, issued: Timestamp) -> bool {
    match (stored.expiry, expiry) {
        (Expiry::Never, Expiry::Never) => !stored.same_bytes,
        (_, Expiry::At(new)) if stored.same_bytes && new <= issued => false,
        (Expiry::At(old), Expiry::At(new)) => new >= schedule::later(old, LEAST_EXTENSION),
        (Expiry::At(_), Expiry::Never) | (Expiry::Never, Expiry::At(_)) => true,
    }
}

/// When to ask again after an answer that did not extend: shortly before the end, at the end, then as transient
/// (none). For a token that never expires, one maximal age later.
pub fn after_not_extended(life: &Life, policy: &Policy, now: Timestamp) -> Option<Timestamp> {
    let Some((expiry, lifetime)) = life.expiry.time().zip(life.seconds()) else {
        return policy.max_age.map(|max_age| schedule::later(now, max_age));
    };
    let last_call = schedule::later(expiry, -(lifetime / 10).min(60));
    [last_call, expiry].into_iter().find(|time| *time > now)
}

/// How the delay after a failed attempt is counted: a write that failed after the exchange waits as transient.
pub fn attempt_class(reason: Reason) -> Class {
    match reason.class() {
        Class::Local | Class::Fine => Class::Transient,
        class => class,
    }
}
