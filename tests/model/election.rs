//! The lease: renewed by its holder, taken by the other one through the real rules of the election.
//!
//! A candidate is taken to see each renewal at once: one that sees it later only takes the lease later, and the
//! schedule may let it.

use apicredential_operator::lease::rules::{Candidate, Step, renewal_deadline};
use k8s_openapi::api::coordination::v1::{Lease as Record, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::protocol::{Action, Protocol};
use crate::world::{Holder, LEASE, Lease, Replica, Task, World, between};

pub fn actions(protocol: &Protocol, world: &World, index: usize) -> Vec<Action> {
    let replica = &world.replicas[index];
    let mut actions = Vec::new();
    let may_stand = replica.task.in_flight().is_none() || !protocol.guards.term;
    let age = between(world.lease.renewed, world.now);
    if world.lease.holder == Holder::Replica(index) {
        if age >= LEASE / 6 && (age < renewal_deadline(LEASE) || may_stand) {
            actions.push(Action::Renew(index));
        }
    } else if may_stand && next_step(world, index) == Step::Take {
        actions.push(Action::Take(index));
    }
    let fresh = replica.renewed.is_none() && replica.task == Task::Idle;
    if world.budget.ends > 0 && !fresh {
        actions.push(Action::Crash(index));
        // With an exchange and write in flight the lease is left to expire.
        if world.lease.holder == Holder::Replica(index) && replica.task.in_flight().is_none() {
            actions.push(Action::Release(index));
        }
    }
    actions
}

/// What the real candidate decides from the record, which it has seen since it was last renewed.
fn next_step(world: &World, index: usize) -> Step {
    let mut candidate = Candidate::new(identity(index), LEASE);
    let record = record(&world.lease);
    let (since, now) = (between(0, world.lease.renewed), between(0, world.now));
    candidate.next_step(Some(&record), since, since);
    candidate.next_step(Some(&record), now, now)
}

fn record(lease: &Lease) -> Record {
    let holder = match lease.holder {
        Holder::Nobody => String::new(),
        Holder::Gone => "gone".to_owned(),
        Holder::Replica(index) => identity(index),
    };
    Record {
        metadata: ObjectMeta { resource_version: Some(lease.renewed.to_string()), ..ObjectMeta::default() },
        spec: Some(LeaseSpec {
            holder_identity: Some(holder),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            ..LeaseSpec::default()
        }),
    }
}

fn identity(index: usize) -> String {
    format!("replica-{index}")
}

/// A holder that could not renew for too long has ended its term, and begins another.
pub fn renew(world: &mut World, index: usize) {
    if between(world.lease.renewed, world.now) >= renewal_deadline(LEASE) {
        begin_term(&mut world.replicas[index]);
    }
    world.lease.renewed = world.now;
    world.replicas[index].renewed = Some(world.now);
}

/// From here on the others must not store the tokens that they requested: the new leader requests its own.
pub fn take(world: &mut World, index: usize) {
    world.lease = Lease { holder: Holder::Replica(index), renewed: world.now };
    begin_term(&mut world.replicas[index]);
    world.replicas[index].renewed = Some(world.now);
    for other in (0..world.replicas.len()).filter(|other| *other != index) {
        if let Some(in_flight) = world.replicas[other].task.in_flight() {
            world.ledger.lost(in_flight.token.number);
        }
    }
}

/// The end of a term ends what runs under its controller; an exchange with its write continues.
fn begin_term(replica: &mut Replica) {
    if replica.task.in_flight().is_none() {
        replica.task = Task::Idle;
    }
}

/// The end of a process, and the start of another without any state.
pub fn end(world: &mut World, index: usize, holder: Holder) {
    world.budget.ends -= 1;
    if let Some(in_flight) = world.replicas[index].task.in_flight() {
        world.ledger.lost(in_flight.token.number);
    }
    world.replicas[index] = Replica { renewed: None, task: Task::Idle };
    if world.lease.holder == Holder::Replica(index) {
        world.lease.holder = holder;
    }
}
