//! One endpoint's line of waiters: a state machine that is told the time.
//!
//! A key moves from the queue to a grant to a place in flight. A grant is a promise of a place and a *prediction* of its
//! permit: the permit itself is spent when the key sends, so the rate holds for what is sent, not for what was planned,
//! and a grant that is dropped gives nothing back. A key that comes late finds its permit still there, for those behind
//! it leave the permits of those ahead untouched.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

use super::Limits;
use super::rate::Rate;

/// A grant that is not used this long after its time belongs to a key that vanished.
const GRANT_LIFE: Duration = Duration::from_secs(10);
/// A grant that is this late holds nobody back any more.
const GRANT_GRACE: Duration = Duration::from_secs(1);

/// The answer to one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueueDecision {
    /// Send now; the place is taken until [`EndpointQueue::release`].
    Go,
    /// Come back then.
    At(Duration),
    /// Come back when woken.
    Queued,
}

/// Where a key stands; the number is its turn, ascending in order of arrival.
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

/// The state of one endpoint. Each method that frees a place returns the keys to wake, in order.
#[derive(Debug)]
pub(super) struct EndpointQueue<K> {
    in_flight_limit: usize,
    rate: Rate,
    in_flight: usize,
    paused_until: Option<Duration>,
    next_turn: u64,
    line: Waiters<K>,
}

/// Who waits, by key and by turn.
#[derive(Debug)]
struct Waiters<K> {
    places: HashMap<K, Position>,
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
            line: Waiters { places: HashMap::new(), queue: BTreeMap::new(), grants: BTreeMap::new() },
        }
    }

    /// Asks to send now. The keys to wake never include `key`, which hears its own news in the verdict.
    pub(super) fn try_acquire(&mut self, key: &K, now: Duration) -> (QueueDecision, Vec<K>) {
        let (verdict, woken) = self.reserve_slot(key, now);
        if matches!(verdict, QueueDecision::Go) {
            self.line.remove(key);
            self.rate.spend(now);
            self.in_flight += 1;
        }
        (verdict, woken)
    }

    /// Asks whether it could send now, and keeps its place in the line.
    pub(super) fn reserve_slot(&mut self, key: &K, now: Duration) -> (QueueDecision, Vec<K>) {
        self.drop_vanished(now, Some(key));
        if let Some(until) = self.paused_until(now) {
            return (QueueDecision::At(until), Vec::new());
        }
        if !self.line.places.contains_key(key) {
            self.line.enqueue(key.clone(), self.next_turn);
            self.next_turn += 1;
        }
        let mut woken = self.fill(now);
        woken.retain(|other| other != key);
        let Some(Position::Granted(turn)) = self.line.places.get(key).copied() else {
            return (QueueDecision::Queued, woken);
        };
        let due = self.due(turn, now);
        if due > now {
            self.line.postpone(turn, due);
            return (QueueDecision::At(due), woken);
        }
        // Who has come reads now: it is not late, and its grant lives from here.
        self.line.postpone(turn, now);
        (QueueDecision::Go, woken)
    }

    /// Takes a place at once, if the line is empty, a permit is there, and less than half of the places are taken.
    pub(super) fn try_acquire_low_priority(&mut self, now: Duration) -> bool {
        let idle = self.line.places.is_empty() && self.in_flight * 2 < self.in_flight_limit;
        if !idle || self.paused_until(now).is_some() || self.rate.permit(0, now) > now {
            return false;
        }
        self.rate.spend(now);
        self.in_flight += 1;
        true
    }

    /// Gives back the place of a key that was told to go.
    pub(super) fn release(&mut self, now: Duration) -> Vec<K> {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.sweep(now)
    }

    /// Takes the key out of the line.
    pub(super) fn forget(&mut self, key: &K, now: Duration) -> Vec<K> {
        if self.line.remove(key) { self.fill(now) } else { Vec::new() }
    }

    /// Drops grants of keys that vanished, so that nobody waits for them.
    pub(super) fn sweep(&mut self, now: Duration) -> Vec<K> {
        self.drop_vanished(now, None);
        self.fill(now)
    }

    /// Stops everybody until then. The whole line is sent away: those who wait for a wake get it now, to hear the time;
    /// those who hold a grant have a time of their own to come back at, and hear it then.
    pub(super) fn pause(&mut self, until: Duration) -> Vec<K> {
        self.paused_until = self.paused_until.max(Some(until));
        self.empty().collect()
    }

    /// Sends the whole line away; who was waiting for a wake.
    pub(super) fn empty(&mut self) -> impl Iterator<Item = K> + use<K> {
        self.line.places.clear();
        self.line.grants.clear();
        std::mem::take(&mut self.line.queue).into_values()
    }

    /// How many keys wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.line.places.len()
    }

    /// The end of the pause, if there is one now.
    pub(super) fn paused_until(&self, now: Duration) -> Option<Duration> {
        self.paused_until.filter(|until| *until > now)
    }

    /// Moves the head of the queue to free places.
    fn fill(&mut self, now: Duration) -> Vec<K> {
        let mut woken = Vec::new();
        while self.in_flight + self.line.grants.len() < self.in_flight_limit {
            let Some((turn, key)) = self.line.queue.pop_first() else { break };
            let due = self.due(turn, now);
            self.line.grant(turn, key.clone(), due);
            woken.push(key);
        }
        woken
    }

    /// When the grant of that turn can be used if those ahead of it use theirs.
    fn due(&self, turn: u64, now: Duration) -> Duration {
        let ahead = self.line.grants.range(..turn).filter(|(_, grant)| !overdue(grant.due, GRANT_GRACE, now)).count();
        self.rate.permit(ahead, now)
    }

    /// Drops the grants whose keys did not come, except that of the key that just came after all.
    fn drop_vanished(&mut self, now: Duration, present: Option<&K>) {
        let gone = |grant: &&Grant<K>| overdue(grant.due, GRANT_LIFE, now) && Some(&grant.key) != present;
        let vanished: Vec<K> = self.line.grants.values().filter(gone).map(|grant| grant.key.clone()).collect();
        for key in &vanished {
            self.line.remove(key);
        }
    }
}

impl<K: Clone + Eq + Hash> Waiters<K> {
    fn enqueue(&mut self, key: K, turn: u64) {
        self.places.insert(key.clone(), Position::Queued(turn));
        self.queue.insert(turn, key);
    }

    fn grant(&mut self, turn: u64, key: K, due: Duration) {
        self.places.insert(key.clone(), Position::Granted(turn));
        self.grants.insert(turn, Grant { key, due });
    }

    fn postpone(&mut self, turn: u64, due: Duration) {
        if let Some(grant) = self.grants.get_mut(&turn) {
            grant.due = due;
        }
    }

    fn remove(&mut self, key: &K) -> bool {
        match self.places.remove(key) {
            Some(Position::Queued(turn)) => self.queue.remove(&turn).is_some(),
            Some(Position::Granted(turn)) => self.grants.remove(&turn).is_some(),
            None => false,
        }
    }
}

fn overdue(due: Duration, by: Duration, now: Duration) -> bool {
    now.saturating_sub(due) > by
}
