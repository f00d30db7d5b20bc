//! A source Secret that is touched over and over, with the same values: memory knows, and little is written.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::support::space::annotation;
use crate::world::{MINUTE, World};

#[tokio::test]
async fn a_source_that_is_touched_every_second_for_ten_minutes_costs_two_writes_and_no_exchange() {
    let world = World::new().await;
    let operator = world.operator().start().await;
    let all = world.ready(1).await;
    world.resyncs(2).await;
    let before = world.audit().await;
    let writes =
        async || world.audit().await.since(&before).only(|call| call.is_write() && call.name.starts_with("a00"));

    let began = world.clocks.now();
    let first = touch(&world).await;
    wait_named(&world, &first).await;
    touch_until(&world, began + SignedDuration::from_mins(9)).await;
    world.resyncs(1).await;
    let soon = writes().await;
    assert_eq!((soon.to("secrets").writes(), soon.writes()), (1, 2), "the Secret and the status: {soon}");
    assert_eq!(annotation(&world.scene.target("a00").await, "source-version"), Some(first));
    let last = touch_until(&world, began + SignedDuration::from_mins(10)).await;
    world.resyncs(1).await;
    let after_ten_minutes = writes().await;
    assert!(after_ten_minutes.to("secrets").writes() <= 2 && after_ten_minutes.writes() <= 4, "{after_ten_minutes}");

    // Nobody touches it any more, and the last version is named all the same.
    world.sleep(10 * MINUTE);
    wait_named(&world, &last).await;
    world.resyncs(2).await;
    let named = writes().await;
    assert!(named.to("secrets").writes() <= 3 && named.writes() <= 6, "{named}");
    // Longer than it takes until a Secret may be named again, and not so long that the token is renewed.
    world.sleep(11 * MINUTE);
    world.resyncs(2).await;
    let later = writes().await;
    assert_eq!(later.writes(), named.writes(), "once named, it stays: {later}");
    assert_eq!(all[0].client.count(), 1);

    // So a restart finds nothing to do.
    drop(operator);
    let reads = async || world.audit().await.only(|call| call.name.starts_with("a00")).calls().len();
    let known = reads().await;
    let _operator = world.operator().start().await;
    world.resyncs(2).await;
    assert_eq!((reads().await, all[0].client.count()), (known, 1));
}

/// Changes the source, but not its values; its version then.
async fn touch(world: &World) -> String {
    let note = json!({"metadata": {"annotations": {"note": world.clocks.now().to_string()}}});
    let source = world.scene.space.patch_secret("a00-source", &note).await;
    format!("{}/{}", source.metadata.uid.unwrap(), source.metadata.resource_version.unwrap())
}

/// Touches it every second until that time of the operator's clock; the last version.
async fn touch_until(world: &World, end: Timestamp) -> String {
    loop {
        world.sleep(1);
        let version = touch(world).await;
        if world.clocks.now() >= end {
            return version;
        }
    }
}

async fn wait_named(world: &World, version: &str) {
    let named = async || (annotation(&world.scene.target("a00").await, "source-version")? == version).then_some(());
    world.scene.space.wait_for("the source's version is named", named).await;
}
