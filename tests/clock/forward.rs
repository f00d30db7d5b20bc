//! The wall clock is set forward: what has expired by it is exchanged, once, and nothing else is.

use jiff::SignedDuration;

use crate::support::audit::Audit;
use crate::support::operator::Settings;
use crate::world::{HOUR, MINUTE, World, assert_rate, counts, is_turn};

const RATE: f64 = 1.0;
const BURST: f64 = 8.0;

#[tokio::test]
async fn an_hour_ahead_every_token_is_exchanged_once_at_the_rate_of_the_endpoint() {
    let world = World::new().await;
    an_hour_ahead(&world, world.operator(), 3).await;
}

#[tokio::test]
async fn an_hour_ahead_a_leader_that_has_to_take_its_lease_again_keeps_to_the_rate() {
    let world = World::new().await;
    // It says nothing before the lease is surely its own again: a sixth of it, at most.
    an_hour_ahead(&world, world.elected_operator(), 3 + 4).await;
}

async fn an_hour_ahead(world: &World, settings: Settings, patience: usize) {
    let _operator = settings.flag("--provider-rate", "1").flag("--provider-burst", "8").start().await;
    let all = world.ready(20).await;
    world.turns(2).await;
    let before = world.audit().await;

    world.step(HOUR);
    world.all_are(&all, "a second token", |_, status| status.revision == Some(2)).await;
    world.turns(3).await;
    assert_eq!(counts(&all), [2; 20]);
    // Both in the machine's own time: to the provider, the hour did not pass.
    let hour = SignedDuration::from_secs(HOUR);
    let times = all.iter().flat_map(|known| {
        let requests = known.client.requests();
        [requests[0].at, requests[1].at - hour]
    });
    assert_rate(times.collect(), RATE, BURST);
    let after = world.audit().await.since(&before);
    for known in &all {
        let told = after.only(|call| call.name == known.name && call.is_write());
        assert!(told.writes() <= 2, "first that it has expired, then that it is valid again: {told}");
        let turns = turns_before(&after, &known.name);
        assert!(turns <= patience, "{} was called ready for {turns} turns after its end", known.name);
    }
}

/// How often the operator's loop had turned when it wrote the first status of that name.
fn turns_before(audit: &Audit, name: &str) -> usize {
    let calls = audit.calls().iter().take_while(|call| !(call.name == name && call.is_write()));
    calls.filter(|call| is_turn(call) && call.name == "turn-token").count()
}

#[tokio::test]
async fn ten_minutes_ahead_nothing_is_asked_and_nothing_written() {
    let world = World::new().await;
    ten_minutes_ahead(&world, world.operator()).await;
}

#[tokio::test]
async fn ten_minutes_ahead_a_leader_that_has_to_take_its_lease_again_asks_and_writes_nothing() {
    let world = World::new().await;
    let settings = world.elected_operator();
    ten_minutes_ahead(&world, settings).await;
}

async fn ten_minutes_ahead(world: &World, settings: Settings) {
    let _operator = settings.start().await;
    let all = world.ready(5).await;
    world.turns(2).await;
    let before = world.audit().await;
    world.step(10 * MINUTE);
    world.turns(5).await;
    assert_eq!(counts(&all), [1; 5]);
    let after = world.audit().await.since(&before).only(|call| !is_turn(call));
    assert!(after.calls().is_empty(), "{after}");
}
