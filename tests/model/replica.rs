//! The steps of a replica between two awaits, around the real decisions and the real guard.

use std::time::Duration;

use apicredential::decide::{Decision, Stored, TokenEvaluation, TokenState, decide, evaluate_token, token_state};
use apicredential::providers::Lifetime;
use apicredential::reason::Class;
use apicredential::schedule::{self, Expiry};
use apicredential::target::write_guard::{self, ConflictResolution, WriteContext, before_write};

use crate::facts::{facts, target};
use crate::protocol::{Action, Protocol, may_start, may_write, write_time};
use crate::server::{ended, written};
use crate::world::{
    InFlight, LEASE, POLICY, Report, Secret, Status, TIMINGS, Task, Token, UID, World, Write, at, between,
    first_tick_from, ticks,
};

/// Takes the step; the action fits the task.
pub fn step(protocol: &Protocol, world: &mut World, index: usize, action: Action) {
    let task = world.replicas[index].task;
    let next = match (action, task) {
        (Action::Reconcile(_), Task::Idle) => reconcile(protocol, world),
        (Action::Send(_), Task::Deciding(in_flight)) => send(protocol, world, index, in_flight),
        (Action::Answer(_), Task::Requested(in_flight)) => answer(world, in_flight),
        (Action::LoseAnswer(_), Task::Requested(in_flight)) => fail(world, &in_flight),
        (Action::Confirm(_), Task::Holding(in_flight)) => confirm(protocol, world, in_flight),
        (Action::Write(_), Task::Confirmed(in_flight)) => write(protocol, world, index, in_flight),
        (Action::LoseReply(_), Task::Writing(in_flight)) => Task::Unsure(in_flight),
        (Action::ReadAgain(_), Task::Unsure(in_flight)) => read_again(protocol, world, in_flight),
        (Action::WriteStatus(_), Task::Reporting(report)) => write_status(protocol, world, index, report),
        (_, task) => task,
    };
    world.replicas[index].task = next;
}

fn reconcile(protocol: &Protocol, world: &mut World) -> Task {
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
            Task::Deciding(InFlight { cause: Some(cause), token, target: version, stored })
        }
        (Decision::Repair, Some(token)) => {
            Task::Holding(InFlight { cause: None, token, target: version, stored: Some(token.expires) })
        }
        _ => {
            let report =
                Report { version: credential.version, spec: credential.spec, seen, attempt: None, reported: None };
            if new_status(world, &report).0 == credential.status { Task::Idle } else { Task::Reporting(report) }
        }
    }
}

fn send(protocol: &Protocol, world: &mut World, index: usize, mut in_flight: InFlight) -> Task {
    if !may_start(world, index) {
        return Task::Idle;
    }
    in_flight.token.number = world.ledger.sent();
    in_flight.token.issued = world.now;
    in_flight.token.expires = world.now + protocol.bound.lifetime;
    Task::Requested(in_flight)
}

fn answer(world: &mut World, in_flight: InFlight) -> Task {
    let Some(cause) = in_flight.cause else { return Task::Idle };
    let lifetime = Lifetime::Until(at(in_flight.token.expires));
    let stored =
        in_flight.stored.map(|expires| Stored { expiry: Expiry::At(at(expires)), same_bytes: false, refused: false });
    match evaluate_token(cause, at(in_flight.token.issued), &lifetime, stored, &POLICY, at(world.now)) {
        TokenEvaluation::Write { .. } => Task::Holding(in_flight),
        TokenEvaluation::NotExtended | TokenEvaluation::StillRevoked | TokenEvaluation::AlreadyExpired => {
            fail(world, &in_flight)
        }
    }
}

/// Another spec is left to another reconcile.
fn confirm(protocol: &Protocol, world: &mut World, in_flight: InFlight) -> Task {
    if !time_left(protocol, world, &in_flight) {
        fail(world, &in_flight)
    } else if in_flight.cause.is_some() && world.credential.spec != in_flight.token.spec {
        discard(world, &in_flight)
    } else {
        Task::Confirmed(in_flight)
    }
}

fn write(protocol: &Protocol, world: &mut World, index: usize, in_flight: InFlight) -> Task {
    let guards = &protocol.guards;
    let moment = WriteContext {
        now: at(world.now),
        since_sent: since_sent(world, &in_flight),
        deadline: deadline(protocol),
        lease_time: if guards.leader { write_time(world, index) } else { Duration::MAX },
    };
    let expiry = if guards.expiry { in_flight.token.expiry() } else { Expiry::Never };
    match before_write(expiry, &moment) {
        Err(write_guard::WriteBlocked::TooLate | write_guard::WriteBlocked::Expired) => fail(world, &in_flight),
        Err(write_guard::WriteBlocked::NotLeader) => discard(world, &in_flight),
        Ok(timeout) => {
            let creates = in_flight.target.is_none() && world.target.is_none();
            world.ledger.written(in_flight.token.number, creates, !in_flight.token.expiry().is_over(moment.now));
            world.in_transit.push(Write { by: index, in_flight, until: world.now + ticks(timeout) });
            Task::Writing(in_flight)
        }
    }
}

fn read_again(protocol: &Protocol, world: &mut World, in_flight: InFlight) -> Task {
    if in_flight.cause.is_none() {
        return Task::Idle;
    }
    if !time_left(protocol, world, &in_flight) {
        return fail(world, &in_flight);
    }
    let Some(secret) = world.target else {
        return Task::Holding(InFlight { target: None, ..in_flight });
    };
    let Some(token) = secret.token else { return fail(world, &in_flight) };
    let same = token == in_flight.token;
    match write_guard::resolve_conflict(same, at(token.issued), at(in_flight.token.issued), at(world.now)) {
        ConflictResolution::Written => written(world, &in_flight),
        ConflictResolution::Newer => discard(world, &in_flight),
        ConflictResolution::Write => Task::Holding(InFlight { target: Some(secret.version), ..in_flight }),
    }
}

fn discard(world: &mut World, in_flight: &InFlight) -> Task {
    world.ledger.lost(in_flight.token.number);
    Task::Idle
}

/// The status reports it, so that the next attempt waits; it also reports the current Secret.
fn fail(world: &mut World, in_flight: &InFlight) -> Task {
    world.ledger.lost(in_flight.token.number);
    match in_flight.cause {
        None => Task::Idle,
        Some(_) => ended(world, in_flight, world.target, false),
    }
}

/// The first attempt is made in the moment in which Ready is evaluated; the second, after a conflict, is not.
fn write_status(protocol: &Protocol, world: &mut World, index: usize, report: Report) -> Task {
    if !may_write(world, index) && protocol.guards.leader {
        return Task::Idle;
    }
    let (mut status, token_state) = new_status(world, &report);
    if let Some(before) = report.reported.filter(|_| !protocol.guards.reevaluates) {
        status.ready = before;
    }
    let still_requested = world.credential.version == report.version;
    if status.ready {
        let read = target_as_read(protocol, world, &report);
        world.ledger.reported_ready(token_state == TokenState::Valid && read);
    }
    if still_requested {
        world.credential.status = status;
        world.credential.version += 1;
        return Task::Idle;
    }
    let same_spec = world.credential.spec == report.spec;
    if report.reported.is_some() || (report.attempt.is_none() && !same_spec) {
        return Task::Idle;
    }
    Task::Reporting(Report { version: world.credential.version, reported: Some(status.ready), ..report })
}

/// Whether the Secret in the report was read from the API server at all.
fn target_as_read(protocol: &Protocol, world: &World, report: &Report) -> bool {
    protocol.guards.truth
        || report.attempt.is_some()
        || report.seen.map(|seen| seen.token) == world.target.map(|secret| secret.token)
}

/// The status after a report, and the state of the token in it.
fn new_status(world: &World, report: &Report) -> (Status, TokenState) {
    let prior = &world.credential.status;
    let source = report.seen.and_then(|secret| secret.token).map_or(0, |token| token.source);
    let token_state = token_state(&facts(report.seen, report.spec, source, prior), at(world.now));
    let token = seen_token(report.seen, token_state);
    let mut status = Status { ready: token_state == TokenState::Valid, token, ..prior.clone() };
    match report.attempt {
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
            let delay = schedule::delay(Class::Transient, u32::from(status.failed), &TIMINGS, status.ready, UID);
            status.next = Some(first_tick_from(schedule::after(at(world.now), delay)));
        }
    }
    (status, token_state)
}

fn seen_token(seen: Option<Secret>, token_state: TokenState) -> Option<Token> {
    let token = seen.and_then(|secret| secret.token);
    token.filter(|_| matches!(token_state, TokenState::Valid | TokenState::Expired))
}

fn time_left(protocol: &Protocol, world: &World, in_flight: &InFlight) -> bool {
    write_guard::time_left(since_sent(world, in_flight), deadline(protocol))
}

/// A repair follows no token request: its time begins with its write.
fn since_sent(world: &World, in_flight: &InFlight) -> Duration {
    let sent = if in_flight.cause.is_some() { in_flight.token.issued } else { world.now };
    between(sent, world.now)
}

fn deadline(protocol: &Protocol) -> Duration {
    if protocol.guards.deadline { LEASE / 2 } else { Duration::MAX }
}
