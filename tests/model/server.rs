//! The API server: a write is done or refused as a whole, by the version it names.

use crate::protocol::{Protocol, note_due};
use crate::world::{Attempt, Pair, Secret, Task, Word, World, Write};

/// Handles a write; whoever still waits for the reply gets it.
pub fn handle(protocol: &Protocol, world: &mut World, place: usize) {
    let Write { by, pair } = world.wire.remove(place);
    let accepted = match (pair.target, world.target) {
        (None, None) => true,
        (Some(named), Some(secret)) => named == secret.version || !protocol.guards.version,
        (None, Some(_)) | (Some(_), None) => false,
    };
    if accepted {
        let ours = world.target.is_some_and(|secret| secret.token.is_some());
        world.ledger.stored(pair.token.number, world.target.is_none(), ours);
        world.version += 1;
        world.target = Some(Secret { version: world.version, token: Some(pair.token), drift: false });
        note_due(world);
    }
    let waits = matches!(&world.replicas[by].task, Task::Writing(waiting) if *waiting == pair);
    if waits {
        world.replicas[by].task = if accepted { written(world, &pair) } else { Task::Unsure(pair) };
    }
}

/// After a repair the next look says what there is to say.
pub fn written(world: &World, pair: &Pair) -> Task {
    match pair.cause {
        None => Task::Idle,
        Some(_) => ended(world, pair, world.target, true),
    }
}

/// An attempt has ended, and is to be told of.
pub fn ended(world: &World, pair: &Pair, seen: Option<Secret>, success: bool) -> Task {
    let Pair { token, .. } = pair;
    let attempt = Attempt { sent: token.issued, spec: token.spec, source: token.source };
    Task::Telling(Word {
        version: world.credential.version,
        spec: token.spec,
        seen,
        attempt: Some((attempt, success)),
        said: None,
    })
}
