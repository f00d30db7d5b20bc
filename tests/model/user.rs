//! Changes that users may make at any time.

use crate::world::{Secret, World};

/// A change by a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserChange {
    /// `spec` requests another token.
    ChangeSpec,
    /// The source has other values.
    ChangeSource,
    /// The target is deleted.
    Delete,
    /// The token is overwritten.
    Edit,
    /// A label of ours is changed.
    Relabel,
    /// The target is replaced by a Secret that is not ours.
    Replace,
}

/// The changes that have an effect.
pub fn possible(world: &World) -> Vec<UserChange> {
    let mut changes = vec![UserChange::ChangeSpec, UserChange::ChangeSource];
    let Some(secret) = world.target else {
        return [changes, vec![UserChange::Replace]].concat();
    };
    changes.push(UserChange::Delete);
    if let Some(token) = secret.token {
        changes.push(UserChange::Replace);
        if !token.edited {
            changes.push(UserChange::Edit);
        }
        if !secret.drift {
            changes.push(UserChange::Relabel);
        }
    }
    changes
}

pub fn act(world: &mut World, change: UserChange) {
    world.budget.changes -= 1;
    let had_token = world.target.is_some_and(|secret| secret.token.is_some());
    let version = world.version + 1;
    match change {
        UserChange::ChangeSpec => {
            world.credential.spec += 1;
            world.credential.version += 1;
        }
        UserChange::ChangeSource => world.credential.source += 1,
        UserChange::Delete => world.target = None,
        UserChange::Replace => world.target = Some(Secret { version, token: None, drift: false }),
        UserChange::Edit | UserChange::Relabel => {
            if let Some(secret) = &mut world.target {
                secret.version = version;
                secret.drift |= change == UserChange::Relabel;
                if let Some(token) = secret.token.as_mut().filter(|_| change == UserChange::Edit) {
                    token.edited = true;
                }
            }
        }
    }
    world.version = world.version.max(world.target.map_or(0, |secret| secret.version));
    let takes_the_token = matches!(change, UserChange::Delete | UserChange::Replace | UserChange::Edit) && had_token;
    if takes_the_token || matches!(change, UserChange::ChangeSpec | UserChange::ChangeSource) {
        world.ledger.cause();
    }
}
