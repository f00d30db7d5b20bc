//! The machine is suspended: both clocks advance, and no timer does.

use std::time::Duration;

use crate::forward::{an_hour_passes, ten_minutes_pass};
use crate::support::provider::Reply;
use crate::support::space::value;
use crate::world::{HOUR, Way, World};

#[tokio::test]
async fn after_an_hour_of_sleep_every_token_is_exchanged_once_at_the_rate_of_the_endpoint() {
    let world = World::new().await;
    an_hour_passes(&world, world.operator(), Way::Sleep, 3).await;
}

#[tokio::test]
async fn after_an_hour_of_sleep_a_leader_takes_its_lease_again_and_exchanges_every_token_once() {
    let world = World::new().await;
    an_hour_passes(&world, world.elected_operator(), Way::Sleep, 3 + 4).await;
}

#[tokio::test]
async fn after_ten_minutes_of_sleep_nothing_is_requested_and_nothing_written() {
    let world = World::new().await;
    ten_minutes_pass(&world, world.elected_operator(), Way::Sleep).await;
}

#[tokio::test]
async fn a_token_that_was_requested_before_an_hour_of_sleep_is_not_written_after_it() {
    let world = World::new().await;
    let _operator = world.operator().start().await;
    let client = world.scene.welkin_client("a").await;
    // It would be valid for a day, but another replica may have written meanwhile.
    let day = Reply::token().lifetime(86_400.0);
    client.next(day.clone().latency(Duration::from_secs(8))).always(day);
    world.scene.apply_welkin("a", &client).await;
    let arrived = async || (client.in_flight() == 1).then_some(());
    world.scene.space.wait_for("the request arrives", arrived).await;
    world.sleep(HOUR);
    world.scene.space.wait_ready("a").await;
    world.resyncs(3).await;
    assert_eq!((client.count(), client.tokens().len()), (2, 2));
    assert_eq!(value(&world.scene.target("a").await, "token"), client.last_token());
    let audit = world.audit().await.to("secrets").only(|call| call.is_write() && !call.dry_run);
    assert_eq!(audit.writes(), 1, "the first token is not written: {audit}");
}
