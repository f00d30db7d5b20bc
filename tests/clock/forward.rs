//! The wall clock is set forward: what has expired by it is exchanged, once, and nothing else is.

use jiff::SignedDuration;

use crate::support::audit::Audit;
use crate::support::operator::Settings;
use crate::world::{HOUR, MINUTE, Way, World, assert_rate, counts, is_resync};

const RATE: f64 = 1.0;
const BURST: f64 = 16.0;

#[tokio::test]
async fn an_hour_ahead_every_token_is_exchanged_once_at_the_rate_of_the_endpoint() {
    let world = World::new().await;
    an_hour_passes(&world, world.operator(), Way::Step, 3).await;
}

#[tokio::test]
async fn an_hour_ahead_a_leader_that_has_to_take_its_lease_again_keeps_to_the_rate() {
    let world = World::new().await;
    // It writes nothing before the lease is certainly its own again: a sixth of it, at most.
    an_hour_passes(&world, world.elected_operator(), Way::Step, 3 + 4).await;
}

/// Twenty tokens of an hour, which passes in that way; within this many resyncs each is reported.
pub async fn an_hour_passes(world: &World, settings: Settings, way: Way, patience: usize) {
    let _operator = settings.flag("--provider-rate", "1").flag("--provider-burst", "16").start().await;
    let all = world.ready(20).await;
    world.resyncs(2).await;
    let before = world.audit().await;

    world.pass(way, HOUR);
    world.all_are(&all, "a second token", |_, status| status.revision == Some(2)).await;
    world.resyncs(3).await;
    assert_eq!(counts(&all), [2; 20]);
    // An hour that passed only by the clock must not allow a further request.
    let unreal = SignedDuration::from_secs(if way == Way::Step { HOUR } else { 0 });
    let times = all.iter().flat_map(|known| {
        let requests = known.client.requests();
        [requests[0].at, requests[1].at - unreal]
    });
    assert_rate(times.collect(), RATE, BURST);
    let after = world.audit().await.since(&before);
    for known in &all {
        let reported = after.only(|call| call.name == known.name && call.is_write());
        assert!(reported.writes() <= 2, "first that it has expired, then that it is valid again: {reported}");
        let resyncs = resyncs_before(&after, &known.name);
        assert!(resyncs <= patience, "{} was called ready for {resyncs} resyncs after its end", known.name);
    }
}

/// The number of the operator's resyncs before it wrote the first status of that name.
fn resyncs_before(audit: &Audit, name: &str) -> usize {
    let calls = audit.calls().iter().take_while(|call| !(call.name == name && call.is_write()));
    calls.filter(|call| is_resync(call) && call.name == "resync-token").count()
}

#[tokio::test]
async fn ten_minutes_ahead_nothing_is_requested_and_nothing_written() {
    let world = World::new().await;
    ten_minutes_pass(&world, world.operator(), Way::Step).await;
}

#[tokio::test]
async fn ten_minutes_ahead_a_leader_that_has_to_take_its_lease_again_requests_and_writes_nothing() {
    let world = World::new().await;
    ten_minutes_pass(&world, world.elected_operator(), Way::Step).await;
}

/// Tokens of an hour, of which this much passes in that way.
pub async fn ten_minutes_pass(world: &World, settings: Settings, way: Way) {
    let _operator = settings.start().await;
    let all = world.ready(5).await;
    world.resyncs(2).await;
    let before = world.audit().await;
    world.pass(way, 10 * MINUTE);
    world.resyncs(5).await;
    assert_eq!(counts(&all), [1; 5]);
    let after = world.audit().await.since(&before).only(|call| !is_resync(call));
    assert!(after.calls().is_empty(), "{after}");
}
