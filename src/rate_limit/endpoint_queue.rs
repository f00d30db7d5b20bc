//! The queue of one endpoint: a state machine that takes the time as an argument.
//!
//! A key is first queued, then granted, then in flight. A grant reserves one of the requests that the concurrency limit allows,
//! and *predicts* when the rate allows it. The rate is charged only when the key sends, so it holds for what is sent and not
//! for what was planned, and a dropped grant returns nothing to it. A key that comes late can still send, because keys behind
//! it do not use what the rate allows to keys ahead of them.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use super::Limits;
use super::rate::Rate;

/// A grant that is not used for this long after its time is dropped.
const GRANT_LIFETIME: Duration = Duration::from_secs(10);
/// A grant that is not used for this long after its time no longer delays the keys behind it.
const GRANT_GRACE: Duration = Duration::from_secs(1);

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueDecision {
    /// Send now. The request is in flight until [`EndpointQueue::release`].
    Go,
    /// Try again at this time.
    At(Duration),
    /// Try again when the key comes out of the queue.
    Queued,
}

/// The state of a key with its turn. Turns ascend in the order of arrival.
#[derive(Clone, Copy, Debug)]
enum Position {
    Queued(u64),
    Granted(u64),
}

#[derive(Debug)]
struct Grant<K> {
    key: K,
    due: Duration,
}

/// The state of one endpoint. Each method that lets keys advance returns the keys that may advance, in order.
#[derive(Debug)]
pub(super) struct EndpointQueue<K> {
    in_flight_limit: usize,
    rate: Rate,
    in_flight: usize,
    paused_until: Option<Duration>,
    next_turn: u64,
    waiters: Waiters<K>,
}

/// The waiting keys, by key and by turn.
#[derive(Debug)]
struct Waiters<K> {
    positions: HashMap<K, Position>,
    queue: BTreeMap<u64, K>,
    grants: BTreeMap<u64, Grant<K>>,
}

impl<K: Clone + Eq + Hash> EndpointQueue<K> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            in_flight_limit: limits.in_flight.max(1),
            rate: Rate::new(limits.rate_per_second, limits.burst),
            in_flight: 0,
            paused_until: None,
            next_turn: 0,
            waiters: Waiters { positions: HashMap::new(), queue: BTreeMap::new(), grants: BTreeMap::new() },
        }
    }

    /// Requests a permit. The returned keys never include `key`, which gets its own decision.
    pub(super) fn try_acquire(&mut self, key: &K, now: Duration) -> (QueueDecision, Vec<K>) {
        let (decision, ready) = self.reserve_slot(key, now);
        if matches!(decision, QueueDecision::Go) {
            self.waiters.remove(key);
            self.rate.spend(now);
            self.in_flight += 1;
        }
        (decision, ready)
    }

    /// Whether the key could send now. It gets or keeps its place in the queue.
    pub(super) fn reserve_slot(&mut self, key: &K, now: Duration) -> (QueueDecision, Vec<K>) {
        self.drop_expired_grants(now, Some(key));
        if let Some(until) = self.paused_until(now) {
            return (QueueDecision::At(until), Vec::new());
        }
        if !self.waiters.positions.contains_key(key) {
            self.waiters.enqueue(key.clone(), self.next_turn);
            self.next_turn += 1;
        }
        let mut ready = self.fill(now);
        ready.retain(|other| other != key);
        let Some(Position::Granted(turn)) = self.waiters.positions.get(key).copied() else {
            return (QueueDecision::Queued, ready);
        };
        let due = self.due(turn, now);
        if due > now {
            self.waiters.postpone(turn, due);
            return (QueueDecision::At(due), ready);
        }
        // The key is about to read its objects, so it is not late: its grant is valid from now.
        self.waiters.postpone(turn, now);
        (QueueDecision::Go, ready)
    }

    /// Requests a permit if no key waits, the rate allows a request now, and fewer than half of the requests that the
    /// concurrency limit allows are in flight.
    pub(super) fn try_acquire_low_priority(&mut self, now: Duration) -> bool {
        let idle = self.waiters.positions.is_empty() && self.in_flight * 2 < self.in_flight_limit;
        if !idle || self.paused_until(now).is_some() || self.rate.permit_time(0, now) > now {
            return false;
        }
        self.rate.spend(now);
        self.in_flight += 1;
        true
    }

    /// Ends a request in flight.
    pub(super) fn release(&mut self, now: Duration) -> Vec<K> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.sweep(now)
    }

    /// Removes the key from the queue.
    pub(super) fn forget(&mut self, key: &K, now: Duration) -> Vec<K> {
        if self.waiters.remove(key) { self.fill(now) } else { Vec::new() }
    }

    /// Drops grants that were not used in time, so that no key waits for them.
    pub(super) fn sweep(&mut self, now: Duration) -> Vec<K> {
        self.drop_expired_grants(now, None);
        self.fill(now)
    }

    /// Starts a backoff until this time, and empties the queue. Queued keys are returned and learn the time. Keys with a grant
    /// try again at the time of their grant and learn it then.
    pub(super) fn pause(&mut self, until: Duration) -> Vec<K> {
        self.paused_until = self.paused_until.max(Some(until));
        self.drain().collect()
    }

    /// Empties the queue, and returns the keys that were queued. Keys with a grant lose it and are not returned, because they try
    /// again at the time of their grant.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = K> + use<K> {
        self.waiters.positions.clear();
        self.waiters.grants.clear();
        std::mem::take(&mut self.waiters.queue).into_values()
    }

    /// The number of keys that are queued or granted.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.positions.len()
    }

    /// The end of the backoff, if there is one now.
    pub(super) fn paused_until(&self, now: Duration) -> Option<Duration> {
        self.paused_until.filter(|until| *until > now)
    }

    /// Grants a request to the first keys of the queue, as many as the concurrency limit still allows, and returns these keys.
    fn fill(&mut self, now: Duration) -> Vec<K> {
        let mut ready = Vec::new();
        while self.in_flight + self.waiters.grants.len() < self.in_flight_limit {
            let Some((turn, key)) = self.waiters.queue.pop_first() else { break };
            let due = self.due(turn, now);
            self.waiters.grant(turn, key.clone(), due);
            ready.push(key);
        }
        ready
    }

    /// When the rate allows the grant of this turn, if all grants ahead of it are used. Grants that are late do not count.
    fn due(&self, turn: u64, now: Duration) -> Duration {
        let ahead =
            self.waiters.grants.range(..turn).filter(|(_, grant)| !overdue(grant.due, GRANT_GRACE, now)).count();
        self.rate.permit_time(ahead, now)
    }

    /// Drops the grants that were not used in time, except that of `present`.
    fn drop_expired_grants(&mut self, now: Duration, present: Option<&K>) {
        let expired = |grant: &&Grant<K>| overdue(grant.due, GRANT_LIFETIME, now) && Some(&grant.key) != present;
        let keys: Vec<K> = self.waiters.grants.values().filter(expired).map(|grant| grant.key.clone()).collect();
        for key in &keys {
            self.waiters.remove(key);
        }
    }
}

impl<K: Clone + Eq + Hash> Waiters<K> {
    fn enqueue(&mut self, key: K, turn: u64) {
        self.positions.insert(key.clone(), Position::Queued(turn));
        self.queue.insert(turn, key);
    }

    fn grant(&mut self, turn: u64, key: K, due: Duration) {
        self.positions.insert(key.clone(), Position::Granted(turn));
        self.grants.insert(turn, Grant { key, due });
    }

    fn postpone(&mut self, turn: u64, due: Duration) {
        if let Some(grant) = self.grants.get_mut(&turn) {
            grant.due = due;
        }
    }

    fn remove(&mut self, key: &K) -> bool {
        match self.positions.remove(key) {
            Some(Position::Queued(turn)) => self.queue.remove(&turn).is_some(),
            Some(Position::Granted(turn)) => self.grants.remove(&turn).is_some(),
            None => false,
        }
    }
}

fn overdue(due: Duration, by: Duration, now: Duration) -> bool {
    now.saturating_sub(due) > by
}
