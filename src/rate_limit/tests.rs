//! The state machine, with a clock of its own.

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

fn gates(limits: Limits) -> (RateLimiter<u32>, UnboundedReceiver<u32>, Endpoint) {
    let (wake, woken) = unbounded_channel();
    (RateLimiter::new(limits, wake), woken, Endpoint::parse("https://a.example").unwrap())
}

fn drain(woken: &mut UnboundedReceiver<u32>) -> Vec<u32> {
    std::iter::from_fn(|| woken.try_recv().ok()).collect()
}

fn pass(admission: Admission<u32>) -> Permit<u32> {
    match admission {
        Admission::Go(pass) => pass,
        other => panic!("expected a pass, got {other:?}"),
    }
}

#[test]
fn at_most_n_are_in_flight_and_the_next_in_line_is_woken() {
    let (gates, mut woken, endpoint) = gates(limits(2, 0.0, 1));
    let now = clock::steady();
    let first = pass(gates.try_acquire(&endpoint, &1, now));
    let _second = pass(gates.try_acquire(&endpoint, &2, now));
    assert!(matches!(gates.try_acquire(&endpoint, &3, now), Admission::Queued));
    assert!(matches!(gates.try_acquire(&endpoint, &4, now), Admission::Queued));
    assert!(matches!(gates.try_acquire(&endpoint, &3, now), Admission::Queued), "asking twice is no second place");
    assert!(drain(&mut woken).is_empty());
    drop(first);
    assert_eq!(drain(&mut woken), [3]);
    let now = clock::steady();
    assert!(
        matches!(gates.try_acquire(&endpoint, &4, now), Admission::Queued),
        "the place is kept for the one who was woken"
    );
    drop(pass(gates.try_acquire(&endpoint, &3, now)));
    assert_eq!(drain(&mut woken), [4]);
}

#[test]
fn who_lines_up_keeps_its_place_and_takes_nobody_elses() {
    let (gates, mut woken, endpoint) = gates(limits(1, 0.0, 1));
    let now = clock::steady();
    assert_eq!(gates.reserve_slot(&endpoint, &1, now), None);
    assert_eq!(gates.reserve_slot(&endpoint, &2, now), Some(Wait::Woken), "the place is promised to the first");
    assert_eq!(gates.reserve_slot(&endpoint, &1, now), None, "asking again is no second place");
    let first = pass(gates.try_acquire(&endpoint, &1, now));
    assert!(drain(&mut woken).is_empty());
    drop(first);
    assert_eq!(drain(&mut woken), [2]);
    let now = clock::steady();
    assert_eq!(gates.reserve_slot(&endpoint, &2, now), None);
    assert_eq!(gates.reserve_slot(&endpoint, &3, now), Some(Wait::Woken));
    gates.forget(&2);
    assert_eq!(drain(&mut woken), [3], "who found nothing to ask for gives its turn back");
}

#[test]
fn who_lines_up_spends_no_permit() {
    let (gates, _woken, endpoint) = gates(limits(4, 1.0, 1));
    let now = clock::steady();
    for _ in 0..3 {
        assert_eq!(gates.reserve_slot(&endpoint, &1, now), None);
    }
    assert!(matches!(gates.reserve_slot(&endpoint, &2, now), Some(Wait::Until(time)) if time > now));
    drop(pass(gates.try_acquire(&endpoint, &1, now)));
    assert!(matches!(gates.try_acquire(&endpoint, &1, now), Admission::At(time) if time > now));
}

#[test]
fn who_comes_aside_takes_at_most_half_of_the_places_and_none_from_those_in_line() {
    let (gates, _woken, endpoint) = gates(limits(3, 0.0, 1));
    let now = clock::steady();
    let aside = [gates.try_acquire_low_priority(&endpoint, now), gates.try_acquire_low_priority(&endpoint, now)];
    assert_eq!(aside.each_ref().map(Option::is_some), [true, true]);
    assert!(gates.try_acquire_low_priority(&endpoint, now).is_none(), "the rest is for others");
    let _exchange = pass(gates.try_acquire(&endpoint, &1, now));
    assert!(matches!(gates.try_acquire(&endpoint, &2, now), Admission::Queued), "its place counts in flight");
    drop(aside);
    assert!(gates.try_acquire_low_priority(&endpoint, now).is_none(), "somebody is in line");
    let _second = pass(gates.try_acquire(&endpoint, &2, now));
    gates.pause(&endpoint, now + at(1000));
    assert!(gates.try_acquire_low_priority(&endpoint, now).is_none(), "a pause binds everybody");
}

#[test]
fn who_comes_aside_spends_a_permit_and_waits_for_none() {
    let (gates, _woken, endpoint) = gates(limits(9, 1.0, 2));
    let now = clock::steady();
    drop(gates.try_acquire_low_priority(&endpoint, now).expect("the first of the burst"));
    drop(gates.try_acquire_low_priority(&endpoint, now).expect("the second of the burst"));
    assert!(gates.try_acquire_low_priority(&endpoint, now).is_none());
    match gates.try_acquire(&endpoint, &1, now) {
        Admission::At(time) => assert_eq!(time, now + at(1000), "the rate holds for both together"),
        other => panic!("expected a time, got {other:?}"),
    }
    assert!(
        gates.try_acquire_low_priority(&endpoint, now + at(1000)).is_none(),
        "the permit is kept for who is in line"
    );
}

#[test]
fn endpoints_do_not_wait_for_each_other() {
    let (gates, _woken, endpoint) = gates(limits(1, 0.0, 1));
    let other = Endpoint::parse("https://b.example").unwrap();
    let _hanging = pass(gates.try_acquire(&endpoint, &1, at(0)));
    let _free = pass(gates.try_acquire(&other, &2, at(0)));
    gates.pause(&endpoint, at(1000));
    assert_eq!(gates.paused_until(&endpoint, at(0)), Some(at(1000)));
    assert_eq!(gates.paused_until(&other, at(0)), None);
}

#[test]
fn a_key_that_turns_to_another_endpoint_leaves_its_first_place() {
    let (gates, mut woken, endpoint) = gates(limits(1, 1.0, 1));
    let other = Endpoint::parse("https://b.example").unwrap();
    drop(pass(gates.try_acquire(&endpoint, &1, clock::steady())));
    let now = clock::steady();
    assert!(matches!(gates.try_acquire(&endpoint, &2, now), Admission::At(_)));
    assert!(matches!(gates.try_acquire(&endpoint, &3, now), Admission::Queued));
    let _pass = pass(gates.try_acquire(&other, &2, now));
    assert_eq!(drain(&mut woken), [3]);
}

#[test]
fn a_forgotten_key_gives_its_place_to_the_next() {
    let (gates, mut woken, endpoint) = gates(limits(1, 1.0, 1));
    drop(pass(gates.try_acquire(&endpoint, &1, clock::steady())));
    let now = clock::steady();
    assert!(matches!(gates.try_acquire(&endpoint, &2, now), Admission::At(_)));
    assert!(matches!(gates.try_acquire(&endpoint, &3, now), Admission::Queued));
    assert!(matches!(gates.try_acquire(&endpoint, &4, now), Admission::Queued));
    gates.forget(&3);
    gates.forget(&99);
    assert!(drain(&mut woken).is_empty());
    gates.forget(&2);
    assert_eq!(drain(&mut woken), [4]);
}

#[test]
fn a_pause_sends_everybody_away_until_its_end_and_the_later_end_wins() {
    let (gates, mut woken, endpoint) = gates(limits(1, 1.0, 1));
    let running = pass(gates.try_acquire(&endpoint, &1, at(0)));
    assert!(matches!(gates.try_acquire(&endpoint, &2, at(0)), Admission::Queued));
    assert!(matches!(gates.try_acquire(&endpoint, &3, at(0)), Admission::Queued));
    gates.pause(&endpoint, at(5000));
    gates.pause(&endpoint, at(2000));
    assert_eq!(drain(&mut woken), [2, 3]);
    for key in [2, 3, 4] {
        assert!(matches!(gates.try_acquire(&endpoint, &key, at(100)), Admission::At(end) if end == at(5000)));
    }
    drop(running);
    assert!(drain(&mut woken).is_empty());
    assert_eq!(gates.paused_until(&endpoint, at(4999)), Some(at(5000)));
    assert_eq!(gates.paused_until(&endpoint, at(5000)), None);
    let _pass = pass(gates.try_acquire(&endpoint, &3, at(5000)));
}

#[test]
fn another_term_finds_nobody_in_line_and_what_was_sent_and_paused_before() {
    let (gates, mut woken, endpoint) = gates(limits(2, 1.0, 1));
    let other = Endpoint::parse("https://b.example").unwrap();
    let _in_flight = pass(gates.try_acquire(&endpoint, &1, at(0)));
    assert!(matches!(gates.try_acquire(&endpoint, &2, at(0)), Admission::At(time) if time == at(1000)));
    assert!(matches!(gates.try_acquire(&endpoint, &3, at(0)), Admission::Queued));
    gates.pause(&other, at(5000));

    let (wake, mut woken_now) = unbounded_channel();
    gates.begin_term(wake);
    assert_eq!(gates.paused_until(&other, at(0)), Some(at(5000)));
    assert!(matches!(gates.try_acquire(&endpoint, &4, at(0)), Admission::At(time) if time == at(1000)));
    assert!(matches!(gates.try_acquire(&endpoint, &5, at(0)), Admission::Queued));
    gates.forget(&4);
    assert_eq!((drain(&mut woken), drain(&mut woken_now)), (vec![], vec![5]));
}

#[test]
fn a_burst_is_followed_by_the_rate() {
    let mut lane = EndpointQueue::new(limits(100, 10.0, 3));
    let verdicts: Vec<QueueDecision> = (0..6).map(|key| lane.try_acquire(&key, at(0)).0).collect();
    let later = |milliseconds| QueueDecision::At(at(milliseconds));
    assert_eq!(verdicts, [QueueDecision::Go, QueueDecision::Go, QueueDecision::Go, later(100), later(200), later(300)]);
    assert_eq!(lane.try_acquire(&3, at(99)).0, later(100));
    assert_eq!(lane.try_acquire(&5, at(100)).0, later(300), "the permit of those ahead is not taken");
    assert_eq!(lane.try_acquire(&3, at(100)).0, QueueDecision::Go);
    assert_eq!(lane.try_acquire(&5, at(300)).0, QueueDecision::Go);
    assert_eq!(lane.try_acquire(&4, at(300)).0, QueueDecision::Go, "a late key finds its permit");
}

#[test]
fn a_vanished_key_holds_nobody_back_for_long() {
    let mut lane = EndpointQueue::new(limits(1, 1.0, 1));
    assert_eq!(lane.try_acquire(&1, at(0)).0, QueueDecision::Go);
    assert_eq!(lane.try_acquire(&2, at(0)).0, QueueDecision::Queued);
    assert_eq!(lane.try_acquire(&3, at(0)).0, QueueDecision::Queued);
    assert_eq!(lane.release(at(0)), [2]);
    assert!(lane.sweep(at(11_000)).is_empty());
    assert_eq!(lane.sweep(at(11_001)), [3]);
    assert_eq!(lane.try_acquire(&3, at(11_001)).0, QueueDecision::Go);
}

/// What a simulated key does.
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

/// Plays the actors through a lane. Answers with what was sent, in order: the key and when.
fn play(limits: Limits, actors: &[Actor], pause: Option<(i64, i64)>) -> Vec<(u32, i64)> {
    let mut lane = EndpointQueue::new(limits);
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
        let mut woken = Vec::new();
        if let Some((_, length)) = pause.take_if(|(start, _)| *start <= time) {
            woken.extend(lane.pause(at(time + length)));
        }
        match event {
            Event::Finish => {
                in_flight -= 1;
                woken.extend(lane.release(at(time)));
            }
            Event::TokenRequest(key) => {
                let actor = &actors[key as usize];
                asked[key as usize] += 1;
                let gone = actor.vanishes && asked[key as usize] > 1;
                if !gone && sent.iter().all(|(other, _)| *other != key) {
                    let (verdict, more) = lane.try_acquire(&key, at(time));
                    woken.extend(more);
                    match verdict {
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
        for key in woken {
            plan(&mut agenda, time + actors[key as usize].late, Event::TokenRequest(key));
        }
        if agenda.is_empty() {
            // Somebody looks in from time to time, as the resync does.
            for key in lane.sweep(at(time + 20_000)) {
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
    fn nobody_is_lost_and_the_rate_holds_whoever_is_late_or_vanishes(
        in_flight in 1_usize..6,
        rate in 1_u32..30,
        burst in 1_u32..8,
        actors in prop::collection::vec(actor(300, true), 1..40),
        pause in prop::option::of((0..3000_i64, 1..3000_i64)),
    ) {
        let limits = limits(in_flight, f64::from(rate), burst);
        let sent = play(limits, &actors, pause);
        prop_assert!(stays_under_the_rate(&sent, limits));
        for (key, actor) in (0_u32..).zip(&actors) {
            prop_assert!(actor.vanishes || sent.iter().any(|(other, _)| *other == key), "{key} was lost: {sent:?}");
        }
    }

    #[test]
    fn first_come_is_first_served(
        in_flight in 1_usize..6,
        rate in 0_u32..30,
        burst in 1_u32..8,
        mut actors in prop::collection::vec(actor(0, false), 1..40),
    ) {
        actors.sort_by_key(|actor| actor.arrives);
        let sent = play(limits(in_flight, f64::from(rate), burst), &actors, None);
        let order: Vec<u32> = sent.iter().map(|(key, _)| *key).collect();
        prop_assert_eq!(order, (0..u32::try_from(actors.len()).unwrap()).collect::<Vec<_>>());
    }
}
