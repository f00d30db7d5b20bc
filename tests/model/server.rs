//! The API server: a write is done or rejected as a whole, by the version that it names.

use crate::protocol::{Protocol, note_due};
use crate::world::{Attempt, InFlight, Report, Secret, Task, World, Write};

/// Handles a write. The replica that still waits for the reply gets it.
pub fn handle(protocol: &Protocol, world: &mut World, place: usize) {
    let Write { by, in_flight, until: _ } = world.in_transit.remove(place);
    let accepted = match (in_flight.target, world.target) {
        (None, None) => true,
        (Some(named), Some(secret)) => named == secret.version || !protocol.guards.version,
        (None, Some(_)) | (Some(_), None) => false,
    };
    if accepted {
        let ours = world.target.is_some_and(|secret| secret.token.is_some());
        world.ledger.stored(in_flight.token.number, world.target.is_none(), ours);
        world.version += 1;
        world.target = Some(Secret { version: world.version, token: Some(in_flight.token), drift: false });
        note_due(world);
    }
    let waits = matches!(&world.replicas[by].task, Task::Writing(waiting) if *waiting == in_flight);
    if waits {
        world.replicas[by].task = if accepted { written(world, &in_flight) } else { Task::Unsure(in_flight) };
    }
}

/// After a repair the next reconcile writes the status.
pub fn written(world: &World, in_flight: &InFlight) -> Task {
    match in_flight.cause {
        None => Task::Idle,
        Some(_) => ended(world, in_flight, world.target, true),
    }
}

/// An attempt has ended, and is to be reported.
pub fn ended(world: &World, in_flight: &InFlight, seen: Option<Secret>, success: bool) -> Task {
    let InFlight { token, .. } = in_flight;
    let attempt = Attempt { sent: token.issued, spec: token.spec, source: token.source };
    Task::Reporting(Report {
        version: world.credential.version,
        spec: token.spec,
        seen,
        attempt: Some((attempt, success)),
        reported: None,
    })
}
