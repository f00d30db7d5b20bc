//! The state machine with simulated time.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

fn at(milliseconds: i64) -> Duration {
    Duration::from_millis(u64::try_from(milliseconds).unwrap())
}

fn limits(in_flight: usize, rate_per_second: f64, burst: u32) -> Limits {
    Limits { in_flight, rate_per_second, burst }
}

fn rate_limiter(limits: Limits) -> (RateLimiter<u32>, UnboundedReceiver<u32>, Endpoint) {
    let (sender, ready) = unbounded_channel();
    (RateLimiter::new(limits, sender), ready, Endpoint::parse("https://a.example").unwrap())
}

fn drain(ready: &mut UnboundedReceiver<u32>) -> Vec<u32> {
    std::iter::from_fn(|| ready.try_recv().ok()).collect()
}

fn permit(admission: Admission<u32>) -> Permit<u32> {
    match admission {
        Admission::Go(permit) => permit,
        other => panic!("expected a permit, got {other:?}"),
    }
}

#[test]
fn at_most_n_requests_are_in_flight_and_the_next_key_in_the_queue_is_ready() {
    let (limiter, mut ready, endpoint) = rate_limiter(limits(2, 0.0, 1));
    let now = clock::steady();
    let first = permit(limiter.try_acquire(&endpoint, &1, now));
    let _second = permit(limiter.try_acquire(&endpoint, &2, now));
    assert!(matches!(limiter.try_acquire(&endpoint, &3, now), Admission::Queued));
    assert!(matches!(limiter.try_acquire(&endpoint, &4, now), Admission::Queued));
    assert!(matches!(limiter.try_acquire(&endpoint, &3, now), Admission::Queued), "a key is queued only once");
    assert!(drain(&mut ready).is_empty());
    drop(first);
    assert_eq!(drain(&mut ready), [3]);
    let now = clock::steady();
    assert!(
        matches!(limiter.try_acquire(&endpoint, &4, now), Admission::Queued),
        "the permit is reserved for the key that came out of the queue"
    );
    drop(permit(limiter.try_acquire(&endpoint, &3, now)));
    assert_eq!(drain(&mut ready), [4]);
}

#[test]
fn a_key_that_reserves_a_slot_keeps_its_place_and_takes_no_other() {
    let (limiter, mut ready, endpoint) = rate_limiter(limits(1, 0.0, 1));
    let now = clock::steady();
    assert_eq!(limiter.reserve_slot(&endpoint, &1, now), None);
    assert_eq!(limiter.reserve_slot(&endpoint, &2, now), Some(Wait::Woken), "the slot is reserved for the first key");
    assert_eq!(limiter.reserve_slot(&endpoint, &1, now), None, "a key is queued only once");
    let first = permit(limiter.try_acquire(&endpoint, &1, now));
    assert!(drain(&mut ready).is_empty());
    drop(first);
    assert_eq!(drain(&mut ready), [2]);
    let now = clock::steady();
    assert_eq!(limiter.reserve_slot(&endpoint, &2, now), None);
    assert_eq!(limiter.reserve_slot(&endpoint, &3, now), Some(Wait::Woken));
    limiter.forget(&2);
    assert_eq!(drain(&mut ready), [3], "a key that needs no request gives up its turn");
}

#[test]
fn reserving_a_slot_spends_no_permit() {
    let (limiter, _ready, endpoint) = rate_limiter(limits(4, 1.0, 1));
    let now = clock::steady();
    for _ in 0..3 {
        assert_eq!(limiter.reserve_slot(&endpoint, &1, now), None);
    }
    assert!(matches!(limiter.reserve_slot(&endpoint, &2, now), Some(Wait::Until(time)) if time > now));
    drop(permit(limiter.try_acquire(&endpoint, &1, now)));
    assert!(matches!(limiter.try_acquire(&endpoint, &1, now), Admission::At(time) if time > now));
}

#[test]
fn low_priority_requests_use_at_most_half_of_the_concurrency_limit_and_never_pass_a_queue() {
    let (limiter, _ready, endpoint) = rate_limiter(limits(3, 0.0, 1));
    let now = clock::steady();
    let low_priority =
        [limiter.try_acquire_low_priority(&endpoint, now), limiter.try_acquire_low_priority(&endpoint, now)];
    assert_eq!(low_priority.each_ref().map(Option::is_some), [true, true]);
    assert!(limiter.try_acquire_low_priority(&endpoint, now).is_none(), "the rest is reserved for other requests");
    let _exchange = permit(limiter.try_acquire(&endpoint, &1, now));
    assert!(
        matches!(limiter.try_acquire(&endpoint, &2, now), Admission::Queued),
        "low-priority requests count as in flight"
    );
    drop(low_priority);
    assert!(limiter.try_acquire_low_priority(&endpoint, now).is_none(), "a key is queued");
    let _second = permit(limiter.try_acquire(&endpoint, &2, now));
    limiter.pause(&endpoint, now + at(1000));
    assert!(limiter.try_acquire_low_priority(&endpoint, now).is_none(), "a backoff holds for all requests");
}

#[test]
fn a_low_priority_request_spends_a_permit_and_does_not_wait_for_one() {
    let (limiter, _ready, endpoint) = rate_limiter(limits(9, 1.0, 2));
    let now = clock::steady();
    drop(limiter.try_acquire_low_priority(&endpoint, now).expect("the first request of the burst"));
    drop(limiter.try_acquire_low_priority(&endpoint, now).expect("the second request of the burst"));
    assert!(limiter.try_acquire_low_priority(&endpoint, now).is_none());
    match limiter.try_acquire(&endpoint, &1, now) {
        Admission::At(time) => assert_eq!(time, now + at(1000), "the rate holds for both kinds of requests together"),
        other => panic!("expected a time, got {other:?}"),
    }
    assert!(
        limiter.try_acquire_low_priority(&endpoint, now + at(1000)).is_none(),
        "the permit is reserved for the queued key"
    );
}

#[test]
fn endpoints_do_not_wait_for_each_other() {
    let (limiter, _ready, endpoint) = rate_limiter(limits(1, 0.0, 1));
    let other = Endpoint::parse("https://b.example").unwrap();
    let _hanging = permit(limiter.try_acquire(&endpoint, &1, at(0)));
    let _free = permit(limiter.try_acquire(&other, &2, at(0)));
    limiter.pause(&endpoint, at(1000));
    assert_eq!(limiter.paused_until(&endpoint, at(0)), Some(at(1000)));
    assert_eq!(limiter.paused_until(&other, at(0)), None);
}

#[test]
fn a_key_that_changes_its_endpoint_leaves_the_queue_of_the_old_one() {
    let (limiter, mut ready, endpoint) = rate_limiter(limits(1, 1.0, 1));
    let other = Endpoint::parse("https://b.example").unwrap();
    drop(permit(limiter.try_acquire(&endpoint, &1, clock::steady())));
    let now = clock::steady();
    assert!(matches!(limiter.try_acquire(&endpoint, &2, now), Admission::At(_)));
    assert!(matches!(limiter.try_acquire(&endpoint, &3, now), Admission::Queued));
    let _permit = permit(limiter.try_acquire(&other, &2, now));
    assert_eq!(drain(&mut ready), [3]);
}

#[test]
fn a_key_that_is_removed_lets_the_next_key_advance() {
    let (limiter, mut ready, endpoint) = rate_limiter(limits(1, 1.0, 1));
    drop(permit(limiter.try_acquire(&endpoint, &1, clock::steady())));
    let now = clock::steady();
    assert!(matches!(limiter.try_acquire(&endpoint, &2, now), Admission::At(_)));
    assert!(matches!(limiter.try_acquire(&endpoint, &3, now), Admission::Queued));
    assert!(matches!(limiter.try_acquire(&endpoint, &4, now), Admission::Queued));
    limiter.forget(&3);
    limiter.forget(&99);
    assert!(drain(&mut ready).is_empty());
    limiter.forget(&2);
    assert_eq!(drain(&mut ready), [4]);
}

#[test]
fn a_backoff_empties_the_queue_and_of_two_backoffs_the_later_end_counts() {
    let (limiter, mut ready, endpoint) = rate_limiter(limits(1, 1.0, 1));
    let running = permit(limiter.try_acquire(&endpoint, &1, at(0)));
    assert!(matches!(limiter.try_acquire(&endpoint, &2, at(0)), Admission::Queued));
    assert!(matches!(limiter.try_acquire(&endpoint, &3, at(0)), Admission::Queued));
    limiter.pause(&endpoint, at(5000));
    limiter.pause(&endpoint, at(2000));
    assert_eq!(drain(&mut ready), [2, 3]);
    for key in [2, 3, 4] {
        assert!(matches!(limiter.try_acquire(&endpoint, &key, at(100)), Admission::At(end) if end == at(5000)));
    }
    drop(running);
    assert!(drain(&mut ready).is_empty());
    assert_eq!(limiter.paused_until(&endpoint, at(4999)), Some(at(5000)));
    assert_eq!(limiter.paused_until(&endpoint, at(5000)), None);
    let _permit = permit(limiter.try_acquire(&endpoint, &3, at(5000)));
}

#[test]
fn a_new_term_begins_with_an_empty_queue_and_keeps_spent_permits_and_backoffs() {
    let (limiter, mut ready, endpoint) = rate_limiter(limits(2, 1.0, 1));
    let other = Endpoint::parse("https://b.example").unwrap();
    let _in_flight = permit(limiter.try_acquire(&endpoint, &1, at(0)));
    assert!(matches!(limiter.try_acquire(&endpoint, &2, at(0)), Admission::At(time) if time == at(1000)));
    assert!(matches!(limiter.try_acquire(&endpoint, &3, at(0)), Admission::Queued));
    limiter.pause(&other, at(5000));

    let (sender, mut ready_now) = unbounded_channel();
    limiter.begin_term(sender);
    assert_eq!(limiter.paused_until(&other, at(0)), Some(at(5000)));
    assert!(matches!(limiter.try_acquire(&endpoint, &4, at(0)), Admission::At(time) if time == at(1000)));
    assert!(matches!(limiter.try_acquire(&endpoint, &5, at(0)), Admission::Queued));
    limiter.forget(&4);
    assert_eq!((drain(&mut ready), drain(&mut ready_now)), (vec![], vec![5]));
}

#[test]
fn a_burst_is_followed_by_the_rate() {
    let mut queue = EndpointQueue::new(limits(100, 10.0, 3));
    let decisions: Vec<QueueDecision> = (0..6).map(|key| queue.try_acquire(&key, at(0)).0).collect();
    let later = |milliseconds| QueueDecision::At(at(milliseconds));
    assert_eq!(
        decisions,
        [QueueDecision::Go, QueueDecision::Go, QueueDecision::Go, later(100), later(200), later(300)]
    );
    assert_eq!(queue.try_acquire(&3, at(99)).0, later(100));
    assert_eq!(queue.try_acquire(&5, at(100)).0, later(300), "a key does not use the permit of a key ahead");
    assert_eq!(queue.try_acquire(&3, at(100)).0, QueueDecision::Go);
    assert_eq!(queue.try_acquire(&5, at(300)).0, QueueDecision::Go);
    assert_eq!(queue.try_acquire(&4, at(300)).0, QueueDecision::Go, "a late key can still use its permit");
}

#[test]
fn a_key_that_never_comes_delays_others_only_for_a_short_time() {
    let mut queue = EndpointQueue::new(limits(1, 1.0, 1));
    assert_eq!(queue.try_acquire(&1, at(0)).0, QueueDecision::Go);
    assert_eq!(queue.try_acquire(&2, at(0)).0, QueueDecision::Queued);
    assert_eq!(queue.try_acquire(&3, at(0)).0, QueueDecision::Queued);
    assert_eq!(queue.release(at(0)), [2]);
    assert!(queue.sweep(at(11_000)).is_empty());
    assert_eq!(queue.sweep(at(11_001)), [3]);
    assert_eq!(queue.try_acquire(&3, at(11_001)).0, QueueDecision::Go);
}

/// The behaviour of a simulated key.
#[derive(Clone, Debug)]
struct Actor {
    arrives: i64,
    late: i64,
    works: i64,
    vanishes: bool,
}

fn actor(late: i64, vanishing: bool) -> impl Strategy<Value = Actor> {
    let vanishes = prop::bool::weighted(if vanishing { 0.1 } else { 0.0 });
    (0..3000_i64, 0..=late, 0..400_i64, vanishes).prop_map(|(arrives, late, works, vanishes)| Actor {
        arrives,
        late,
        works,
        vanishes,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    TokenRequest(u32),
    Finish,
}

/// Simulates the actors with one queue. Returns the requests that were sent, in order, as key and time.
fn simulate(limits: Limits, actors: &[Actor], pause: Option<(i64, i64)>) -> Vec<(u32, i64)> {
    let mut queue = EndpointQueue::new(limits);
    let mut agenda: BTreeMap<(i64, usize), Event> = BTreeMap::new();
    let mut serial = 0;
    let mut plan = |agenda: &mut BTreeMap<(i64, usize), Event>, time: i64, event: Event| {
        serial += 1;
        agenda.insert((time, serial), event);
    };
    for (key, actor) in (0..).zip(actors) {
        plan(&mut agenda, actor.arrives, Event::TokenRequest(key));
    }
    let (mut sent, mut in_flight, mut asked, mut pause) = (Vec::new(), 0, vec![0; actors.len()], pause);
    while let Some(((time, _), event)) = agenda.pop_first() {
        let mut ready = Vec::new();
        if let Some((_, length)) = pause.take_if(|(start, _)| *start <= time) {
            ready.extend(queue.pause(at(time + length)));
        }
        match event {
            Event::Finish => {
                in_flight -= 1;
                ready.extend(queue.release(at(time)));
            }
            Event::TokenRequest(key) => {
                let actor = &actors[key as usize];
                asked[key as usize] += 1;
                let gone = actor.vanishes && asked[key as usize] > 1;
                if !gone && sent.iter().all(|(other, _)| *other != key) {
                    let (decision, more) = queue.try_acquire(&key, at(time));
                    ready.extend(more);
                    match decision {
                        QueueDecision::Go => {
                            in_flight += 1;
                            sent.push((key, time));
                            plan(&mut agenda, time + actor.works, Event::Finish);
                        }
                        QueueDecision::At(then) => {
                            assert!(then > at(time));
                            let then = then.as_nanos().div_ceil(1_000_000);
                            plan(&mut agenda, i64::try_from(then).unwrap() + actor.late, Event::TokenRequest(key));
                        }
                        QueueDecision::Queued => {}
                    }
                }
            }
        }
        assert!(in_flight <= limits.in_flight);
        for key in ready {
            plan(&mut agenda, time + actors[key as usize].late, Event::TokenRequest(key));
        }
        if agenda.is_empty() {
            // The heartbeat sweeps the queue regularly.
            for key in queue.sweep(at(time + 20_000)) {
                plan(&mut agenda, time + 20_000, Event::TokenRequest(key));
            }
        }
    }
    sent
}

fn stays_under_the_rate(sent: &[(u32, i64)], limits: Limits) -> bool {
    let mut times: Vec<i64> = sent.iter().map(|(_, time)| *time).collect();
    times.sort_unstable();
    (0..times.len()).all(|start| {
        (start..times.len()).all(|end| {
            let window = (times[end] - times[start]) as f64 / 1000.0;
            (end - start + 1) as f64 <= f64::from(limits.burst) + limits.rate_per_second * window + 1e-6
        })
    })
}

proptest! {
    #[test]
    fn no_key_is_lost_and_the_rate_holds_although_keys_come_late_or_never(
        in_flight in 1_usize..6,
        rate in 1_u32..30,
        burst in 1_u32..8,
        actors in prop::collection::vec(actor(300, true), 1..40),
        pause in prop::option::of((0..3000_i64, 1..3000_i64)),
    ) {
        let limits = limits(in_flight, f64::from(rate), burst);
        let sent = simulate(limits, &actors, pause);
        prop_assert!(stays_under_the_rate(&sent, limits));
        for (key, actor) in (0_u32..).zip(&actors) {
            prop_assert!(actor.vanishes || sent.iter().any(|(other, _)| *other == key), "{key} was never served: {sent:?}");
        }
    }

    #[test]
    fn keys_are_served_in_the_order_of_their_arrival(
        in_flight in 1_usize..6,
        rate in 0_u32..30,
        burst in 1_u32..8,
        mut actors in prop::collection::vec(actor(0, false), 1..40),
    ) {
        actors.sort_by_key(|actor| actor.arrives);
        let sent = simulate(limits(in_flight, f64::from(rate), burst), &actors, None);
        let order: Vec<u32> = sent.iter().map(|(key, _)| *key).collect();
        prop_assert_eq!(order, (0..u32::try_from(actors.len()).unwrap()).collect::<Vec<_>>());
    }
}
