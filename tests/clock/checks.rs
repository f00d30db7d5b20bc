//! Tokens that are verified at their provider: once an interval by the clock, whatever its steps.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::support::provider::Client;
use crate::support::space;
use crate::world::{HOUR, MINUTE, World};

#[tokio::test]
async fn hours_bring_one_check_an_interval_and_never_two() {
    let world = World::new().await;
    let operator = world.operator().start().await;
    let users = verified(&world, 5).await;
    pass(&world, 2 * HOUR).await;
    drop(operator);
    let _operator = world.operator().start().await;
    pass(&world, HOUR + 10 * MINUTE).await;
    for user in &users {
        let checks = times(user);
        // An interval and up to a tenth, by a clock that goes in steps of ten minutes.
        assert!((2..=3).contains(&checks.len()), "{checks:?}");
        let first = checks[0].duration_since(user.requests()[0].at);
        let gaps = checks.windows(2).map(|pair| pair[1].duration_since(pair[0])).chain([first]);
        // The time is in whole seconds.
        gaps.for_each(|gap| assert!(gap > SignedDuration::from_secs(HOUR - 1), "{gap:?}: {checks:?}"));
        assert_eq!(user.count(), 1);
    }
}

#[tokio::test]
async fn a_clock_that_is_set_back_neither_brings_a_check_nor_keeps_it_away() {
    let world = World::new().await;
    let _operator = world.operator().start().await;
    let users = verified(&world, 3).await;
    pass(&world, HOUR + 10 * MINUTE).await;
    let before: Vec<usize> = users.iter().map(|user| times(user).len()).collect();
    assert_eq!(before, [1; 3]);
    world.step(-5 * HOUR);
    world.resyncs(3).await;
    pass(&world, 50 * MINUTE).await;
    assert!(users.iter().all(|user| times(user).len() == 1), "an hour has not passed");
    pass(&world, 20 * MINUTE).await;
    assert!(users.iter().all(|user| times(user).len() == 2), "it has");
    pass(&world, 50 * MINUTE).await;
    assert!(users.iter().all(|user| times(user).len() == 2 && user.count() == 1));
}

/// Qontak ApiCredentials with tokens of a year, each verified once an hour.
async fn verified(world: &World, count: usize) -> Vec<Client> {
    let mut users = Vec::new();
    for number in 0..count {
        let name = format!("q{number}");
        let user = world.scene.qontak_user(&name).await;
        user.lifetime(29_823_918.0);
        let mut manifest = space::qontak(&name, &world.scene.mock_provider);
        manifest["spec"]["verification"] = json!({"interval": "1h"});
        world.scene.space.apply(&manifest).await;
        world.scene.space.wait_ready(&name).await;
        users.push(user);
    }
    users
}

/// Lets the time pass in steps of ten minutes, after each of which every ApiCredential was reconciled.
async fn pass(world: &World, seconds: i64) {
    for _step in 0..seconds / (10 * MINUTE) {
        world.sleep(10 * MINUTE);
        world.resyncs(2).await;
    }
}

fn times(user: &Client) -> Vec<Timestamp> {
    user.checks().into_iter().map(|(at, _)| at).collect()
}
