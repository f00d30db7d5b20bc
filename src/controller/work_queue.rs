//! Who is looked at, and when: what is woken, or whose alarm goes off, is looked at once, in order and some at a time.
//!
//! Not kube's `Controller`: 5.0.0 keeps two copies of an object's names for as long as it waits for its time, and never
//! gives back the room that ten thousand took at once.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use apicredential::object_key::Key;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio_util::time::{DelayQueue, delay_queue};

#[cfg(test)]
mod tests;

/// A look that panicked says nothing of the next one.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// Looks at whatever comes out of `wakes`, at most `concurrency` at a time and never at the same twice at a time; who is
/// woken while it is looked at is looked at again. A look says after which time the next one is due if nothing wakes it.
/// `turned` is told of each look that ended. Ends after `stop`, when the looks under way have ended.
pub async fn run<L>(
    mut wakes: UnboundedReceiver<Key>,
    concurrency: usize,
    look: impl Fn(Key) -> L,
    turned: impl Fn(),
    stop: impl Future<Output = ()>,
) where
    L: Future<Output = Option<Duration>> + Send + 'static,
{
    let (mut line, mut alarms, mut looks) = (ReadyQueue::default(), RequeueTimers::default(), JoinSet::new());
    let mut stop = std::pin::pin!(stop);
    let mut stopping = false;
    loop {
        while !stopping
            && looks.len() < concurrency
            && let Some(key) = line.next()
        {
            // The look says anew when the next one is due.
            alarms.set(&key, None);
            let look = AssertUnwindSafe(look(key.clone())).catch_unwind();
            looks.spawn(async move { (key, look.await.unwrap_or(Some(AFTER_PANIC))) });
        }
        if stopping && looks.is_empty() {
            return;
        }
        tokio::select! {
            Some(ended) = looks.join_next() => {
                if let Ok((key, next)) = ended {
                    // Who was woken meanwhile sets its alarm after the look that follows.
                    let again = line.ended(&key);
                    alarms.set(&key, next.filter(|_| !again));
                }
                turned();
            }
            Some(key) = wakes.recv(), if !stopping => line.join(key),
            Some(key) = alarms.next() => line.join(key),
            () = &mut stop, if !stopping => stopping = true,
        }
    }
}

/// Who waits to be looked at, or is.
#[derive(Default)]
struct ReadyQueue {
    waiting: VecDeque<Key>,
    places: HashMap<Key, ItemState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ItemState {
    Waits,
    IsLookedAt,
    /// It was woken meanwhile.
    IsLookedAtAndWaits,
}

impl ReadyQueue {
    fn join(&mut self, key: Key) {
        match self.places.get_mut(&key) {
            Some(ItemState::Waits | ItemState::IsLookedAtAndWaits) => {}
            Some(place) => *place = ItemState::IsLookedAtAndWaits,
            None => {
                self.places.insert(key.clone(), ItemState::Waits);
                self.waiting.push_back(key);
            }
        }
    }

    /// The next one to look at.
    fn next(&mut self) -> Option<Key> {
        let key = self.waiting.pop_front()?;
        self.places.insert(key.clone(), ItemState::IsLookedAt);
        if self.waiting.is_empty() {
            // Thousands stand here once, at the start.
            self.waiting.shrink_to(ROOM);
            self.places.shrink_to(ROOM);
        }
        Some(key)
    }

    /// The look at it has ended; whether another one follows at once.
    fn ended(&mut self, key: &Key) -> bool {
        let again = self.places.remove(key) == Some(ItemState::IsLookedAtAndWaits);
        if again {
            self.join(key.clone());
        }
        again
    }
}

/// The room that an empty line keeps.
const ROOM: usize = 256;

/// When each is looked at if nothing wakes it.
#[derive(Default)]
struct RequeueTimers {
    queue: DelayQueue<Key>,
    set: HashMap<Key, delay_queue::Key>,
}

impl RequeueTimers {
    /// In place of the one that was set before; none is none.
    fn set(&mut self, key: &Key, after: Option<Duration>) {
        if let Some(alarm) = self.set.remove(key) {
            self.queue.remove(&alarm);
        }
        if let Some(after) = after {
            self.set.insert(key.clone(), self.queue.insert(key.clone(), after));
        }
    }

    /// The next one to go off; none while none is set.
    async fn next(&mut self) -> Option<Key> {
        let key = self.queue.next().await?.into_inner();
        self.set.remove(&key);
        Some(key)
    }
}
