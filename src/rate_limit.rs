//! The rate limit of each provider endpoint: a concurrency limit, a rate with a burst, and a backoff that the provider requested.
//! First come, first served.
//!
//! A key stands for an ApiCredential. No task waits here: a key that may not send now gets the time of its next attempt, or is
//! sent to `ready` when its turn comes.
//! So waiting holds no reconcile slot, and an endpoint that hangs does not delay the others.
//!
//! All times are readings of [`clock::steady`]. A wall clock that is set forward would end a backoff early and refill every
//! limit; one that is set back would extend them.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apicredential::endpoint::Endpoint;
use tokio::sync::mpsc::UnboundedSender;

use crate::clock;

mod endpoint_queue;
mod rate;
#[cfg(test)]
mod tests;

use endpoint_queue::{EndpointQueue, QueueDecision};

/// The limits of each endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests in flight at the same time; at least 1.
    pub in_flight: usize,
    /// Requests per second; 0 means no limit.
    pub rate_per_second: f64,
    /// Requests that may be sent at once before the rate applies; at least 1.
    pub burst: u32,
}

/// The result of [`RateLimiter::try_acquire`].
#[derive(Debug)]
pub enum Admission<K: Clone + Eq + Hash> {
    /// The key may send now. Drop the permit when the token exchange has ended.
    Go(Permit<K>),
    /// Try again at this time, when a backoff ends or a permit becomes available.
    At(Duration),
    /// Try again when the key comes out of `ready`.
    Queued,
}

/// What a key waits for that may not send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It waits until this time.
    Until(Duration),
    /// It waits until it comes out of `ready`.
    Woken,
}

/// The rate limits of all endpoints. Clones share them. `K` identifies an object, which is in at most one queue at a time.
#[derive(Clone, Debug)]
pub struct RateLimiter<K>(Arc<Shared<K>>);

struct Shared<K> {
    limits: Limits,
    state: Mutex<State<K>>,
}

struct State<K> {
    ready: UnboundedSender<K>,
    queues: HashMap<Endpoint, EndpointQueue<K>>,
}

impl<K: Clone + Eq + Hash> RateLimiter<K> {
    /// A rate limiter with empty queues. Keys whose turn has come are sent to `ready`.
    pub fn new(limits: Limits, ready: UnboundedSender<K>) -> Self {
        Self(Arc::new(Shared { limits, state: Mutex::new(State { ready, queues: HashMap::new() }) }))
    }

    /// Begins a leader term: empties all queues and replaces `ready`. Spent permits and backoffs are kept, because losing the
    /// lease and getting it back must not allow more requests.
    pub fn begin_term(&self, ready: UnboundedSender<K>) {
        let mut state = self.0.lock();
        state.ready = ready;
        state.queues.values_mut().for_each(|queue| drop(queue.drain()));
    }

    /// Requests a permit for `key` at `endpoint`. The key loses its place in the queue of any other endpoint.
    pub fn try_acquire(&self, endpoint: &Endpoint, key: &K, now: Duration) -> Admission<K> {
        let decision = self.0.with(|queues, limits| {
            let mut ready = leave(queues, key, Some(endpoint), now);
            let (decision, more) = queue_of(queues, endpoint, limits).try_acquire(key, now);
            ready.extend(more);
            (decision, ready)
        });
        match decision {
            QueueDecision::Go => Admission::Go(Permit { shared: Arc::clone(&self.0), endpoint: endpoint.clone() }),
            QueueDecision::At(time) => Admission::At(time),
            QueueDecision::Queued => Admission::Queued,
        }
    }

    /// Takes or keeps a place in the queue of the endpoint. Returns `None` if the key's turn has come; then
    /// [`RateLimiter::try_acquire`] admits it for the next ten seconds. Otherwise returns what the key waits for. So a reconcile
    /// can find out that it has to wait before it reads anything.
    pub fn reserve_slot(&self, endpoint: &Endpoint, key: &K, now: Duration) -> Option<Wait> {
        let decision = self.0.with(|queues, limits| {
            let mut ready = leave(queues, key, Some(endpoint), now);
            let (decision, more) = queue_of(queues, endpoint, limits).reserve_slot(key, now);
            ready.extend(more);
            (decision, ready)
        });
        match decision {
            QueueDecision::Go => None,
            QueueDecision::At(time) => Some(Wait::Until(time)),
            QueueDecision::Queued => Some(Wait::Woken),
        }
    }

    /// Requests a permit for a request that may as well be sent later or not at all. It is granted only if the queue is empty
    /// and fewer than half of the requests that the concurrency limit allows are in flight, so that it delays no request of
    /// [`RateLimiter::try_acquire`].
    pub fn try_acquire_low_priority(&self, endpoint: &Endpoint, now: Duration) -> Option<Permit<K>> {
        let admitted = self
            .0
            .with(|queues, limits| (queue_of(queues, endpoint, limits).try_acquire_low_priority(now), Vec::new()));
        admitted.then(|| Permit { shared: Arc::clone(&self.0), endpoint: endpoint.clone() })
    }

    /// Starts a backoff: no key is admitted to the endpoint until this time. Of two backoffs the later end counts. Unused grants
    /// are dropped, and all queued keys are sent to `ready`, so that they learn the end of the backoff.
    pub fn pause(&self, endpoint: &Endpoint, until: Duration) {
        self.0.with(|queues, limits| ((), queue_of(queues, endpoint, limits).pause(until)));
    }

    /// The end of the endpoint's backoff, if there is one now.
    pub fn paused_until(&self, endpoint: &Endpoint, now: Duration) -> Option<Duration> {
        self.0.with(|queues, _| (queues.get(endpoint).and_then(|queue| queue.paused_until(now)), Vec::new()))
    }

    /// Removes the key from all queues, with its grants, because its object was deleted or needs no token exchange any more.
    /// Permits are not affected; they are returned when they are dropped.
    pub fn forget(&self, key: &K) {
        self.0.with(|queues, _| ((), leave(queues, key, None, clock::steady())));
    }

    /// The number of keys in all queues.
    pub fn waiting(&self) -> usize {
        self.0.with(|queues, _| (queues.values().map(EndpointQueue::waiting).sum(), Vec::new()))
    }

    /// Drops grants that were not used in time. Requests for permits and dropped permits do this as well; an idle rate limiter
    /// needs regular calls.
    pub fn sweep(&self, now: Duration) {
        self.0.with(|queues, _| ((), queues.values_mut().flat_map(|queue| queue.sweep(now)).collect()));
    }
}

fn queue_of<'a, K: Clone + Eq + Hash>(
    queues: &'a mut HashMap<Endpoint, EndpointQueue<K>>,
    endpoint: &Endpoint,
    limits: Limits,
) -> &'a mut EndpointQueue<K> {
    queues.entry(endpoint.clone()).or_insert_with(|| EndpointQueue::new(limits))
}

/// Removes the key from all queues but that of `except`. Returns the keys whose turn has come by that.
fn leave<K: Clone + Eq + Hash>(
    queues: &mut HashMap<Endpoint, EndpointQueue<K>>,
    key: &K,
    except: Option<&Endpoint>,
    now: Duration,
) -> Vec<K> {
    let others = queues.iter_mut().filter(|(endpoint, _)| Some(*endpoint) != except);
    others.flat_map(|(_, queue)| queue.forget(key, now)).collect()
}

impl<K> Shared<K> {
    /// Runs `step` and sends the keys that it returns to `ready`, both under one lock, so that their order is that of the
    /// steps.
    fn with<T>(&self, step: impl FnOnce(&mut HashMap<Endpoint, EndpointQueue<K>>, Limits) -> (T, Vec<K>)) -> T {
        let mut state = self.lock();
        let (result, ready) = step(&mut state.queues, self.limits);
        for key in ready {
            // This fails when the operator is shutting down and nothing receives.
            let _ = state.ready.send(key);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // A panic in a step can at worst leave one permit too many or too few. Rejecting all keys from then on would be worse.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> fmt::Debug for Shared<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The permission for one request in flight, which counts until it is dropped. Dropping it admits the next key in the queue.
#[must_use = "dropping the permit admits the next key"]
pub struct Permit<K: Clone + Eq + Hash> {
    shared: Arc<Shared<K>>,
    endpoint: Endpoint,
}

impl<K: Clone + Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        self.shared.with(|queues, _| {
            ((), queues.get_mut(&self.endpoint).map(|queue| queue.release(clock::steady())).unwrap_or_default())
        });
    }
}

impl<K: Clone + Eq + Hash> fmt::Debug for Permit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
