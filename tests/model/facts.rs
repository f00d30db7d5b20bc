//! What a reconcile sees, as the facts that the real `decide` takes.

use apicredential::decide::{
    Attempts, Facts, Source, SpecMatch, Target, Token as Known, UnresolvedFailure, Verification,
};
use apicredential::next_reconcile::NextReconcile;
use apicredential::reason::Reason;
use jiff::Timestamp;

use crate::world::{Secret, Status, Token, World, at};

/// The target as it is read: the Secret itself, or (a mistake) what the status says about it.
pub fn target(world: &World, truth: bool) -> Option<Secret> {
    if truth {
        return world.target;
    }
    let token = world.credential.status.token?;
    let version = world.target.map_or(0, |secret| secret.version);
    Some(Secret { version, token: Some(token), drift: false })
}

/// The facts about a target, as of this spec and source.
pub fn facts(target: Option<Secret>, spec: u8, source: u8, status: &Status) -> Facts {
    let token = target.and_then(|secret| secret.token);
    let source_found = match token {
        Some(token) if token.source == source => Source::Unchanged,
        _ => Source::Resolved { changed: token.is_some() },
    };
    Facts {
        suspended: false,
        spec: None,
        target: match target {
            None => Target::Absent,
            Some(Secret { token: None, .. }) => Target::Refused(Reason::TargetNotOwned.into()),
            Some(Secret { token: Some(token), drift, .. }) => {
                let repair = NextReconcile::from(drift.then_some(Timestamp::UNIX_EPOCH));
                Target::Ours { token: Some(known(&token, spec)), repair }
            }
        },
        blocked: None,
        source: source_found,
        renew_requested: false,
        verification: Verification::default(),
        attempts: attempts(status, token, spec, source),
    }
}

fn known(token: &Token, spec: u8) -> Known {
    let spec_match = match token {
        Token { edited: true, .. } => SpecMatch::Edited,
        Token { spec: asked, .. } if *asked != spec => SpecMatch::OtherSpec,
        Token { .. } => SpecMatch::Fits,
    };
    Known { lifetime: token.lifetime(), spec_match, renewal: token.renewal() }
}

fn attempts(status: &Status, token: Option<Token>, spec: u8, source: u8) -> Attempts {
    let Some(last) = status.last else { return Attempts::default() };
    let is_resolved = token.is_some_and(|token| token.issued > last.sent);
    let unresolved = status.next.filter(|_| !is_resolved);
    Attempts {
        unresolved: unresolved
            .map(|next| UnresolvedFailure { reason: Reason::ConnectionFailed, next: NextReconcile::At(at(next)) }),
        inputs_changed: last.spec != spec || last.source != source,
        last_sent: Some(at(last.sent)),
    }
}
