//! Who may send to an endpoint now: at most N in flight, a rate, a pause; first come, first served.
//!
//! Nothing here waits. A key that may not send is told when to come back, or is sent to `wake` when its turn has come, so
//! that waiting holds no reconcile slot and one hanging endpoint never starves the rest.
//!
//! Every time here is a reading of [`clock::steady`]: a wall clock that is set forward would end a pause and fill every
//! bucket, and one that is set back would stretch them.

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

/// What each endpoint bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests in flight at once; at least 1.
    pub in_flight: usize,
    /// Requests per second; 0 = no limit.
    pub rate_per_second: f64,
    /// Requests that may come at once after a rest; at least 1.
    pub burst: u32,
}

/// The answer to a key that asks to send.
#[derive(Debug)]
pub enum Admission<K: Clone + Eq + Hash> {
    /// Send now, and drop the pass when the exchange has ended.
    Go(Permit<K>),
    /// Ask again at that time: a pause ends then, or a permit is reserved for then.
    At(Duration),
    /// Ask again when the key comes out of `wake`.
    Queued,
}

/// What a key in the line waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// That time.
    Until(Duration),
    /// To come out of `wake`.
    Woken,
}

/// The gates of all endpoints. Clones share them. `K` names an object, and holds at most one place at a time.
#[derive(Clone, Debug)]
pub struct RateLimiter<K>(Arc<Shared<K>>);

struct Shared<K> {
    limits: Limits,
    state: Mutex<State<K>>,
}

struct State<K> {
    wake: UnboundedSender<K>,
    lanes: HashMap<Endpoint, EndpointQueue<K>>,
}

impl<K: Clone + Eq + Hash> RateLimiter<K> {
    /// RateLimiter without anybody before them. Keys whose turn has come are sent to `wake`.
    pub fn new(limits: Limits, wake: UnboundedSender<K>) -> Self {
        Self(Arc::new(Shared { limits, state: Mutex::new(State { wake, lanes: HashMap::new() }) }))
    }

    /// Another term begins: nobody stands before the gates, and `wake` is new. What was sent is not forgotten, nor is a
    /// pause: losing the lease and getting it back must not buy requests.
    pub fn begin_term(&self, wake: UnboundedSender<K>) {
        let mut state = self.0.lock();
        state.wake = wake;
        state.lanes.values_mut().for_each(|lane| drop(lane.empty()));
    }

    /// Asks to send now for `key` at `endpoint`. A place that the key held before another endpoint is given back.
    pub fn try_acquire(&self, endpoint: &Endpoint, key: &K, now: Duration) -> Admission<K> {
        let verdict = self.0.with(|lanes, limits| {
            let mut woken = leave(lanes, key, Some(endpoint), now);
            let (verdict, more) = lane(lanes, endpoint, limits).try_acquire(key, now);
            woken.extend(more);
            (verdict, woken)
        });
        match verdict {
            QueueDecision::Go => Admission::Go(Permit { shared: Arc::clone(&self.0), endpoint: endpoint.clone() }),
            QueueDecision::At(time) => Admission::At(time),
            QueueDecision::Queued => Admission::Queued,
        }
    }

    /// Takes a place in the line, or keeps it. Who waits learns by this, before anything was read for it, that its turn
    /// has not come: none is that it has, and that [`RateLimiter::admit`] lets it through for the next ten seconds.
    pub fn reserve_slot(&self, endpoint: &Endpoint, key: &K, now: Duration) -> Option<Wait> {
        let verdict = self.0.with(|lanes, limits| {
            let mut woken = leave(lanes, key, Some(endpoint), now);
            let (verdict, more) = lane(lanes, endpoint, limits).reserve_slot(key, now);
            woken.extend(more);
            (verdict, woken)
        });
        match verdict {
            QueueDecision::Go => None,
            QueueDecision::At(time) => Some(Wait::Until(time)),
            QueueDecision::Queued => Some(Wait::Woken),
        }
    }

    /// Sends now for whoever can as well come later, or not at all: only past an empty line, and with at most half of the
    /// places, so that nobody who asks by [`RateLimiter::admit`] waits for it in the line.
    pub fn try_acquire_low_priority(&self, endpoint: &Endpoint, now: Duration) -> Option<Permit<K>> {
        let goes =
            self.0.with(|lanes, limits| (lane(lanes, endpoint, limits).try_acquire_low_priority(now), Vec::new()));
        goes.then(|| Permit { shared: Arc::clone(&self.0), endpoint: endpoint.clone() })
    }

    /// Nobody is admitted to the endpoint until then; of two pauses the later end wins. Grants that were not used are
    /// dropped and the queue is woken, to be told the end of the pause.
    pub fn pause(&self, endpoint: &Endpoint, until: Duration) {
        self.0.with(|lanes, limits| ((), lane(lanes, endpoint, limits).pause(until)));
    }

    /// The end of the endpoint's pause, if there is one now.
    pub fn paused_until(&self, endpoint: &Endpoint, now: Duration) -> Option<Duration> {
        self.0.with(|lanes, _| (lanes.get(endpoint).and_then(|lane| lane.paused_until(now)), Vec::new()))
    }

    /// The object is gone or no longer wants to exchange: gives back its turn or its grant, wherever it is.
    /// (A pass is given back by dropping it.)
    pub fn forget(&self, key: &K) {
        self.0.with(|lanes, _| ((), leave(lanes, key, None, clock::steady())));
    }

    /// How many keys wait for their turn.
    pub fn waiting(&self) -> usize {
        self.0.with(|lanes, _| (lanes.values().map(EndpointQueue::waiting).sum(), Vec::new()))
    }

    /// Drops grants that nobody came for. Admissions and dropped passes do the same; without either, call this now and then.
    pub fn sweep(&self, now: Duration) {
        self.0.with(|lanes, _| ((), lanes.values_mut().flat_map(|lane| lane.sweep(now)).collect()));
    }
}

fn lane<'a, K: Clone + Eq + Hash>(
    lanes: &'a mut HashMap<Endpoint, EndpointQueue<K>>,
    endpoint: &Endpoint,
    limits: Limits,
) -> &'a mut EndpointQueue<K> {
    lanes.entry(endpoint.clone()).or_insert_with(|| EndpointQueue::new(limits))
}

fn leave<K: Clone + Eq + Hash>(
    lanes: &mut HashMap<Endpoint, EndpointQueue<K>>,
    key: &K,
    except: Option<&Endpoint>,
    now: Duration,
) -> Vec<K> {
    let others = lanes.iter_mut().filter(|(endpoint, _)| Some(*endpoint) != except);
    others.flat_map(|(_, lane)| lane.forget(key, now)).collect()
}

impl<K> Shared<K> {
    /// Does one step and wakes whom it says, in that order even when two steps are made at once.
    fn with<T>(&self, step: impl FnOnce(&mut HashMap<Endpoint, EndpointQueue<K>>, Limits) -> (T, Vec<K>)) -> T {
        let mut state = self.lock();
        let (result, woken) = step(&mut state.lanes, self.limits);
        for key in woken {
            // Nobody listens any more: the operator is stopping.
            let _ = state.wake.send(key);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        // A panic in a step leaves at worst a place too many or too few; refusing everybody for ever would be worse.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> fmt::Debug for Shared<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A place in flight; dropping it gives it back and wakes the next in line.
#[must_use = "a pass that is dropped lets the next one go"]
pub struct Permit<K: Clone + Eq + Hash> {
    shared: Arc<Shared<K>>,
    endpoint: Endpoint,
}

impl<K: Clone + Eq + Hash> Drop for Permit<K> {
    fn drop(&mut self) {
        self.shared.with(|lanes, _| {
            ((), lanes.get_mut(&self.endpoint).map(|lane| lane.release(clock::steady())).unwrap_or_default())
        });
    }
}

impl<K: Clone + Eq + Hash> fmt::Debug for Permit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
