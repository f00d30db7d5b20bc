//! The wall clock is set back: times in the future then count from now, and delays do not become longer.

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use jiff::{SignedDuration, Timestamp};

use crate::support::operator::Settings;
use crate::support::provider::Reply;
use crate::support::space::DEADLINE;
use crate::world::{HOUR, Known, MINUTE, World, counts, is_resync};

#[tokio::test]
async fn an_hour_back_every_token_is_due_within_a_tenth_of_its_lifetime_and_exchanged_once() {
    let world = World::new().await;
    an_hour_back(&world, world.operator()).await;
}

#[tokio::test]
async fn an_hour_ahead_and_back_again_costs_each_token_one_exchange_each_time() {
    let world = World::new().await;
    let _operator = world.operator().start().await;
    let all = world.ready(5).await;
    world.step(HOUR);
    world.all_are(&all, "a second token", |_, status| status.revision == Some(2)).await;
    world.step(-HOUR);
    count_from(&world, &all, world.clocks.now()).await;
    world.step(HOUR / 10 + MINUTE);
    world.all_are(&all, "a third token", |_, status| status.revision == Some(3)).await;
    world.resyncs(3).await;
    assert_eq!(counts(&all), [3; 5]);
}

#[tokio::test]
async fn an_hour_back_a_new_process_plans_the_same_and_the_next_one_keeps_to_it() {
    let world = World::new().await;
    let settings = world.operator();
    let operator = settings.start().await;
    let all = world.ready(5).await;
    assert!(operator.terminate(DEADLINE).await.success());
    world.step(-HOUR);
    let back = world.clocks.now();
    let operator = settings.start().await;
    count_from(&world, &all, back).await;
    // A step back that comes when they are due delays nothing.
    assert!(operator.terminate(DEADLINE).await.success());
    world.step(HOUR / 10 + MINUTE);
    let _operator = settings.start().await;
    world.all_are(&all, "a second token", |_, status| status.revision == Some(2)).await;
    world.resyncs(3).await;
    assert_eq!(counts(&all), [2; 5]);
}

async fn an_hour_back(world: &World, settings: Settings) {
    let _operator = settings.start().await;
    let all = world.ready(20).await;
    world.resyncs(2).await;

    world.step(-HOUR);
    let back = world.clocks.now();
    let plans = count_from(world, &all, back).await;
    // The spread begins at once: one of them may have been renewed already, and the others wait for their time.
    let (waiting, early): (Vec<_>, Vec<_>) = all.iter().zip(plans).partition(|(known, _)| known.client.count() == 1);
    assert!(early.iter().all(|(known, _)| known.client.requests()[1].at >= back));
    let plans: Vec<_> = waiting.iter().map(|(_, planned)| *planned).collect();
    let (first, last) = (plans.iter().min().unwrap(), plans.iter().max().unwrap());
    assert!(*last <= back + SignedDuration::from_secs(HOUR / 10 + MINUTE), "set back at {back}: {plans:?}");
    assert!(plans.len() >= 10 && last.duration_since(*first).as_secs() > HOUR / 10 / 2, "not spread: {plans:?}");

    // After all of their times, and before the next ones.
    world.step(HOUR / 10 + MINUTE);
    world.all_are(&all, "a second token", |_, status| status.revision == Some(2)).await;
    world.resyncs(3).await;
    assert_eq!(counts(&all), [2; 20]);
}

#[tokio::test]
async fn ten_minutes_back_every_token_counts_from_now_and_none_is_exchanged() {
    let world = World::new().await;
    let _operator = world.operator().start().await;
    let all = world.ready(5).await;
    world.resyncs(2).await;
    world.step(-10 * MINUTE);
    let back = world.clocks.now();
    let plans = count_from(&world, &all, back).await;
    let least = SignedDuration::from_secs(HOUR / 2);
    assert!(plans.iter().all(|planned| *planned >= back + least), "set back at {back}: {plans:?}");
    let before = world.audit().await;
    world.resyncs(5).await;
    assert_eq!(counts(&all), [1; 5]);
    let after = world.audit().await.since(&before).only(|call| !is_resync(call));
    assert!(after.calls().is_empty(), "it is reported once: {after}");
}

#[tokio::test]
async fn a_clock_that_is_set_back_twice_counts_from_the_second_time() {
    let world = World::new().await;
    let _operator = world.operator().start().await;
    let all = world.ready(3).await;
    for _ in 0..2 {
        world.step(-15 * MINUTE);
        count_from(&world, &all, world.clocks.now()).await;
    }
    assert!(counts(&all).iter().all(|count| *count <= 2));
}

#[tokio::test]
async fn a_failing_apicredential_is_not_delayed_by_a_clock_that_was_set_back() {
    let world = World::new().await;
    let _operator = world.operator().start().await;
    let client = world.scene.welkin_client("a").await;
    client.always(Reply::error(503));
    world.scene.apply_welkin("a", &client).await;
    world.scene.space.wait_condition("a", "Ready", "False/ProviderUnavailable").await;
    world.step(-HOUR);
    let before = client.count();
    world.scene.space.wait_for("two more tries", async || (client.count() >= before + 2).then_some(())).await;
    client.lifetime(3600.0);
    world.scene.space.wait_ready("a").await;
}

#[tokio::test]
async fn a_rejected_object_is_reconciled_again_although_the_clock_was_set_back() {
    let world = World::new().await;
    let _operator = world.operator().start().await;
    world.resyncs(1).await;
    world.step(-HOUR);
    world.resyncs(3).await;
}

#[tokio::test]
async fn a_renew_request_is_not_delayed_by_a_clock_that_was_set_back() {
    let world = World::new().await;
    let _operator = world.operator().start().await;
    let all = world.ready(1).await;
    world.step(-10 * MINUTE);
    world.scene.request_renewal("a00", "now").await;
    world.scene.wait_answered("a00", "now").await;
    world.resyncs(3).await;
    assert_eq!(counts(&all), [2]);
}

#[tokio::test]
async fn a_failed_renewal_of_a_token_from_the_future_is_not_tried_again_before_its_time() {
    let world = World::new().await;
    // The second attempt comes at least half an hour after the first, wherever in the spread that is.
    let settings = world.operator().flag("--retry-base", "5m");
    let operator = settings.start().await;
    let all = world.ready(1).await;
    all[0].client.always(Reply::error(401));
    world.step(-HOUR);
    let space = &world.scene.space;
    let counts = |it: &ApiCredential| {
        let token = it.status.as_ref().and_then(|status| status.token.as_ref());
        token.is_some_and(|token| token.issued_time.0 <= world.clocks.now())
    };
    space.wait_until("a00", "its token counts from now", counts).await;
    world.step(HOUR / 10 + 1);
    let failing = space.wait_condition("a00", "Ready", "True/RenewalFailing").await.status.unwrap();
    world.scene.trigger_reconciles("a00", 3).await;
    assert_eq!(all[0].client.count(), 2);
    assert!(operator.terminate(DEADLINE).await.success());
    let _operator = settings.start().await;
    world.scene.trigger_reconciles("a00", 3).await;
    assert_eq!(all[0].client.count(), 2);
    let status = world.status("a00").await;
    let open = |status: &ApiCredentialStatus| {
        (status.failed_attempts, status.next_attempt_time.clone(), status.last_attempt.clone())
    };
    assert_eq!(open(&status), open(&failing));
}

/// Waits until the status of each has a token that counts from no later than now and no earlier than `back`, and
/// returns the planned renewals.
async fn count_from(world: &World, all: &[Known], back: Timestamp) -> Vec<Timestamp> {
    let earliest = back - SignedDuration::from_secs(1);
    world
        .all_are(all, "reported of a token that counts from now", |_, status| {
            let token = status.token.as_ref().unwrap();
            let end = token.expiration_time.as_ref().unwrap().0;
            let now = world.clocks.now();
            (earliest..=now).contains(&token.issued_time.0) && end <= now + SignedDuration::from_secs(HOUR)
        })
        .await;
    let mut plans = Vec::new();
    for known in all {
        plans.push(world.status(&known.name).await.renewal_time.expect("a renewal is planned").0);
    }
    plans
}
