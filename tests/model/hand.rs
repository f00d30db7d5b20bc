//! What users may do at any time.

use crate::world::{Secret, World};

/// A change by somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hand {
    /// `spec` asks for another token.
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

/// What would change something.
pub fn possible(world: &World) -> Vec<Hand> {
    let mut hands = vec![Hand::ChangeSpec, Hand::ChangeSource];
    let Some(secret) = world.target else {
        return [hands, vec![Hand::Replace]].concat();
    };
    hands.push(Hand::Delete);
    if let Some(token) = secret.token {
        hands.push(Hand::Replace);
        if !token.edited {
            hands.push(Hand::Edit);
        }
        if !secret.drift {
            hands.push(Hand::Relabel);
        }
    }
    hands
}

pub fn act(world: &mut World, hand: Hand) {
    world.budget.hands -= 1;
    let had_token = world.target.is_some_and(|secret| secret.token.is_some());
    let version = world.version + 1;
    match hand {
        Hand::ChangeSpec => {
            world.credential.spec += 1;
            world.credential.version += 1;
        }
        Hand::ChangeSource => world.credential.source += 1,
        Hand::Delete => world.target = None,
        Hand::Replace => world.target = Some(Secret { version, token: None, drift: false }),
        Hand::Edit | Hand::Relabel => {
            if let Some(secret) = &mut world.target {
                secret.version = version;
                secret.drift |= hand == Hand::Relabel;
                if let Some(token) = secret.token.as_mut().filter(|_| hand == Hand::Edit) {
                    token.edited = true;
                }
            }
        }
    }
    world.version = world.version.max(world.target.map_or(0, |secret| secret.version));
    let takes_the_token = matches!(hand, Hand::Delete | Hand::Replace | Hand::Edit) && had_token;
    if takes_the_token || matches!(hand, Hand::ChangeSpec | Hand::ChangeSource) {
        world.ledger.cause();
    }
}
