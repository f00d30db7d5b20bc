//! The steps of a replica between two awaits, around the real decisions and the real guard.

use apicredential::decide::{Decision, Stored, TokenEvaluation, TokenState, decide, evaluate_token, token_state};
use apicredential::providers::Lifetime;
use apicredential::reason::Class;
use apicredential::schedule::{self, Expiry};
use apicredential::target::write_guard::{self, ConflictResolution, WriteContext, before_write};

use crate::facts::{facts, target};
use crate::protocol::{Action, Protocol, may_start, may_write};
use crate::server::{ended, written};
use crate::world::{
    LEASE, PACE, POLICY, Pair, Secret, Status, Task, Token, UID, Word, World, Write, at, between, first_tick_from,
};

/// Takes the step; the action fits the task.
pub fn step(protocol: &Protocol, world: &mut World, index: usize, action: Action) {
    let task = world.replicas[index].task;
    let next = match (action, task) {
        (Action::Look(_), Task::Idle) => look(protocol, world),
        (Action::Send(_), Task::Deciding(pair)) => send(protocol, world, index, pair),
        (Action::Answer(_), Task::Asked(pair)) => answer(world, pair),
        (Action::LoseAnswer(_), Task::Asked(pair)) => fail(world, &pair),
        (Action::Confirm(_), Task::Holding(pair)) => confirm(protocol, world, pair),
        (Action::Write(_), Task::Confirmed(pair)) => write(protocol, world, index, pair),
        (Action::LoseReply(_), Task::Writing(pair)) => Task::Unsure(pair),
        (Action::LookAgain(_), Task::Unsure(pair)) => look_again(protocol, world, pair),
        (Action::Tell(_), Task::Telling(word)) => tell(protocol, world, index, word),
        (_, task) => task,
    };
    world.replicas[index].task = next;
}

fn look(protocol: &Protocol, world: &mut World) -> Task {
    let credential = world.credential.clone();
    let seen = target(world, protocol.guards.truth);
    let facts = facts(seen, credential.spec, credential.source, &credential.status);
    let stored = seen.and_then(|secret| secret.token);
    let version = seen.map(|secret| secret.version);
    match (decide(&facts, at(world.now)), stored) {
        (Decision::Exchange(cause), _) => {
            world.ledger.decided();
            let token = Token {
                number: 0,
                issued: world.now,
                expires: world.now,
                spec: credential.spec,
                source: credential.source,
                edited: false,
            };
            let stored = stored.filter(|token| !token.edited && token.spec == credential.spec);
            let stored = stored.map(|token| token.expires);
            Task::Deciding(Pair { cause: Some(cause), token, target: version, stored })
        }
        (Decision::Repair, Some(token)) => {
            Task::Holding(Pair { cause: None, token, target: version, stored: Some(token.expires) })
        }
        _ => {
            let word = Word { version: credential.version, spec: credential.spec, seen, attempt: None, said: None };
            if said(world, &word).0 == credential.status { Task::Idle } else { Task::Telling(word) }
        }
    }
}

fn send(protocol: &Protocol, world: &mut World, index: usize, mut pair: Pair) -> Task {
    if !may_start(world, index) {
        return Task::Idle;
    }
    pair.token.number = world.ledger.sent();
    pair.token.issued = world.now;
    pair.token.expires = world.now + protocol.bound.life;
    Task::Asked(pair)
}

fn answer(world: &mut World, pair: Pair) -> Task {
    let Some(cause) = pair.cause else { return Task::Idle };
    let lifetime = Lifetime::Until(at(pair.token.expires));
    let stored =
        pair.stored.map(|expires| Stored { expiry: Expiry::At(at(expires)), same_bytes: false, refused: false });
    match evaluate_token(cause, at(pair.token.issued), &lifetime, stored, &POLICY, at(world.now)) {
        TokenEvaluation::Write { .. } => Task::Holding(pair),
        TokenEvaluation::NotExtended | TokenEvaluation::StillRevoked | TokenEvaluation::AlreadyExpired => {
            fail(world, &pair)
        }
    }
}

/// Another spec is another look's matter.
fn confirm(protocol: &Protocol, world: &mut World, pair: Pair) -> Task {
    if !time_left(protocol, world, &pair) {
        fail(world, &pair)
    } else if pair.cause.is_some() && world.credential.spec != pair.token.spec {
        discard(world, &pair)
    } else {
        Task::Confirmed(pair)
    }
}

fn write(protocol: &Protocol, world: &mut World, index: usize, pair: Pair) -> Task {
    let guards = &protocol.guards;
    let moment = WriteContext {
        now: at(world.now),
        since_sent: since_sent(world, &pair),
        deadline: deadline(protocol),
        may_write: may_write(world, index) || !guards.leader,
    };
    let expiry = if guards.expiry { pair.token.expiry() } else { Expiry::Never };
    match before_write(expiry, &moment) {
        Err(write_guard::WriteBlocked::TooLate | write_guard::WriteBlocked::Expired) => fail(world, &pair),
        Err(write_guard::WriteBlocked::NotLeader) => discard(world, &pair),
        Ok(()) => {
            let creates = pair.target.is_none() && world.target.is_none();
            world.ledger.written(pair.token.number, creates, !pair.token.expiry().is_over(moment.now));
            world.wire.push(Write { by: index, pair });
            Task::Writing(pair)
        }
    }
}

fn look_again(protocol: &Protocol, world: &mut World, pair: Pair) -> Task {
    if pair.cause.is_none() {
        return Task::Idle;
    }
    if !time_left(protocol, world, &pair) {
        return fail(world, &pair);
    }
    let Some(secret) = world.target else {
        return Task::Holding(Pair { target: None, ..pair });
    };
    let Some(token) = secret.token else { return fail(world, &pair) };
    let same = token == pair.token;
    match write_guard::resolve_conflict(same, at(token.issued), at(pair.token.issued), at(world.now)) {
        ConflictResolution::Written => written(world, &pair),
        ConflictResolution::Newer => discard(world, &pair),
        ConflictResolution::Write => Task::Holding(Pair { target: Some(secret.version), ..pair }),
    }
}

fn discard(world: &mut World, pair: &Pair) -> Task {
    world.ledger.lost(pair.token.number);
    Task::Idle
}

/// The status tells of it, so that the next try waits; of the Secret it tells what there is.
fn fail(world: &mut World, pair: &Pair) -> Task {
    world.ledger.lost(pair.token.number);
    match pair.cause {
        None => Task::Idle,
        Some(_) => ended(world, pair, world.target, false),
    }
}

/// The first try is made in the moment in which Ready is judged; the second, after a conflict, is not.
fn tell(protocol: &Protocol, world: &mut World, index: usize, word: Word) -> Task {
    if !may_write(world, index) && protocol.guards.leader {
        return Task::Idle;
    }
    let (mut status, token_state) = said(world, &word);
    if let Some(before) = word.said.filter(|_| !protocol.guards.anew) {
        status.ready = before;
    }
    let asked_for = world.credential.version == word.version;
    if status.ready {
        let read = target_as_read(protocol, world, &word);
        world.ledger.said_ready(token_state == TokenState::Valid && read);
    }
    if asked_for {
        world.credential.status = status;
        world.credential.version += 1;
        return Task::Idle;
    }
    let same_spec = world.credential.spec == word.spec;
    if word.said.is_some() || (word.attempt.is_none() && !same_spec) {
        return Task::Idle;
    }
    Task::Telling(Word { version: world.credential.version, said: Some(status.ready), ..word })
}

/// Whether what the word says was seen was read from a Secret at all.
fn target_as_read(protocol: &Protocol, world: &World, word: &Word) -> bool {
    protocol.guards.truth
        || word.attempt.is_some()
        || word.seen.map(|seen| seen.token) == world.target.map(|secret| secret.token)
}

/// The status after a word, and what it makes of the Secret.
fn said(world: &World, word: &Word) -> (Status, TokenState) {
    let prior = &world.credential.status;
    let source = word.seen.and_then(|secret| secret.token).map_or(0, |token| token.source);
    let token_state = token_state(&facts(word.seen, word.spec, source, prior), at(world.now));
    let token = seen_token(word.seen, token_state);
    let mut status = Status { ready: token_state == TokenState::Valid, token, ..prior.clone() };
    match word.attempt {
        None => {
            let newer = status.last.zip(token).is_some_and(|(last, token)| last.sent < token.issued);
            if newer {
                (status.failed, status.next) = (0, None);
            }
        }
        Some((attempt, true)) => {
            (status.last, status.failed, status.next) = (Some(attempt), 0, None);
        }
        Some((attempt, false)) => {
            status.last = Some(attempt);
            status.failed += 1;
            let delay = schedule::delay(Class::Transient, u32::from(status.failed), &PACE, status.ready, UID);
            status.next = Some(first_tick_from(schedule::after(at(world.now), delay)));
        }
    }
    (status, token_state)
}

fn seen_token(seen: Option<Secret>, token_state: TokenState) -> Option<Token> {
    let token = seen.and_then(|secret| secret.token);
    token.filter(|_| matches!(token_state, TokenState::Valid | TokenState::Expired))
}

fn time_left(protocol: &Protocol, world: &World, pair: &Pair) -> bool {
    write_guard::time_left(since_sent(world, pair), deadline(protocol))
}

/// A repair was not asked for by a request: its time begins with its write.
fn since_sent(world: &World, pair: &Pair) -> std::time::Duration {
    let sent = if pair.cause.is_some() { pair.token.issued } else { world.now };
    between(sent, world.now)
}

fn deadline(protocol: &Protocol) -> std::time::Duration {
    if protocol.guards.deadline { LEASE / 2 } else { std::time::Duration::MAX }
}
