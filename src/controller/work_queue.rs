//! The work queue: enqueued keys are reconciled in order, some at a time, and again when their timer fires.
//!
//! Not kube's `Controller`: this queue is first in, first out (kube's scheduler hands out ready objects in no order), it takes
//! keys from several watches that share one cache, and it uses nothing of what kube marks as unstable.

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

/// After a reconcile that panicked, the next one comes this much later.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// Reconciles every key that comes out of `enqueued`, at most `concurrency` at a time and never the same key twice at a time.
/// A key that is enqueued while it is reconciled is reconciled again. A reconcile returns after which time the next one is
/// due if nothing enqueues the key before. `on_ended` is called after each reconcile. Ends after `stop`, once the reconciles
/// under way have ended.
pub async fn run<R>(
    mut enqueued: UnboundedReceiver<Key>,
    concurrency: usize,
    reconcile: impl Fn(Key) -> R,
    on_ended: impl Fn(),
    stop: impl Future<Output = ()>,
) where
    R: Future<Output = Option<Duration>> + Send + 'static,
{
    let (mut ready, mut timers, mut running) = (ReadyQueue::default(), RequeueTimers::default(), JoinSet::new());
    let mut stop = std::pin::pin!(stop);
    let mut stopping = false;
    loop {
        while !stopping
            && running.len() < concurrency
            && let Some(key) = ready.next()
        {
            // The reconcile sets the timer anew.
            timers.set(&key, None);
            let work = AssertUnwindSafe(reconcile(key.clone())).catch_unwind();
            running.spawn(async move { (key, work.await.unwrap_or(Some(AFTER_PANIC))) });
        }
        if stopping && running.is_empty() {
            return;
        }
        tokio::select! {
            Some(ended) = running.join_next() => {
                if let Ok((key, next)) = ended {
                    // A key that was enqueued meanwhile gets its timer after the reconcile that follows.
                    let again = ready.ended(&key);
                    timers.set(&key, next.filter(|_| !again));
                }
                on_ended();
            }
            Some(key) = enqueued.recv(), if !stopping => ready.add(key),
            Some(key) = timers.next() => ready.add(key),
            () = &mut stop, if !stopping => stopping = true,
        }
    }
}

/// The keys that wait for their reconcile, or are being reconciled.
#[derive(Default)]
struct ReadyQueue {
    waiting: VecDeque<Key>,
    states: HashMap<Key, ItemState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ItemState {
    Waiting,
    Running,
    /// It was enqueued while it was running.
    RunningAndWaiting,
}

impl ReadyQueue {
    fn add(&mut self, key: Key) {
        match self.states.get_mut(&key) {
            Some(ItemState::Waiting | ItemState::RunningAndWaiting) => {}
            Some(state) => *state = ItemState::RunningAndWaiting,
            None => {
                self.states.insert(key.clone(), ItemState::Waiting);
                self.waiting.push_back(key);
            }
        }
    }

    /// The next key to reconcile.
    fn next(&mut self) -> Option<Key> {
        let key = self.waiting.pop_front()?;
        self.states.insert(key.clone(), ItemState::Running);
        if self.waiting.is_empty() {
            // Thousands of keys wait here once, at the start.
            self.waiting.shrink_to(IDLE_CAPACITY);
            self.states.shrink_to(IDLE_CAPACITY);
        }
        Some(key)
    }

    /// The reconcile of the key has ended. Returns whether another one follows at once.
    fn ended(&mut self, key: &Key) -> bool {
        let again = self.states.remove(key) == Some(ItemState::RunningAndWaiting);
        if again {
            self.add(key.clone());
        }
        again
    }
}

/// The capacity that an empty queue keeps.
const IDLE_CAPACITY: usize = 256;

/// When each key is reconciled if nothing enqueues it before.
#[derive(Default)]
struct RequeueTimers {
    queue: DelayQueue<Key>,
    timers: HashMap<Key, delay_queue::Key>,
}

impl RequeueTimers {
    /// Replaces any existing timer. `None` cancels it.
    fn set(&mut self, key: &Key, after: Option<Duration>) {
        if let Some(timer) = self.timers.remove(key) {
            self.queue.remove(&timer);
        }
        if let Some(after) = after {
            self.timers.insert(key.clone(), self.queue.insert(key.clone(), after));
        }
    }

    /// The next key whose timer fires. `None` while no timer is set.
    async fn next(&mut self) -> Option<Key> {
        let key = self.queue.next().await?.into_inner();
        self.timers.remove(&key);
        Some(key)
    }
}
