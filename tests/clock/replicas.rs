//! Two replicas whose clocks differ.

use crate::support::operator::{Operator, Settings};
use crate::support::space::DEADLINE;
use crate::world::{Clocks, HOUR, World, counts};

/// Apart by more than any of the operator's short delays, by less than the margin of a token of an hour.
const APART: i64 = 70;

#[tokio::test]
async fn a_hand_over_to_a_replica_that_is_behind_and_back_costs_no_exchange() {
    hand_over_and_back(APART, 0).await;
}

#[tokio::test]
async fn a_hand_over_to_a_replica_that_is_ahead_and_back_costs_no_exchange() {
    hand_over_and_back(0, APART).await;
}

/// The first replica issues the tokens.
async fn hand_over_and_back(first: i64, second: i64) {
    let world = World::new().await;
    let [first, second] = [first, second].map(|ahead| replica(&world, ahead));
    let leader = first.start().await;
    let all = world.ready(5).await;
    world.resyncs(1).await;
    let before = world.audit().await;

    let heir = hand_over(&world, &leader, &second).await;
    drop(leader);
    let _leader = hand_over(&world, &heir, &first).await;
    assert_eq!(counts(&all), [1; 5]);
    world.all_are(&all, "still ready, with the first token", |_, status| status.revision == Some(1)).await;
    let writes = world.audit().await.since(&before).only(|call| call.is_write() && call.name.starts_with('a'));
    assert_eq!(writes.to("secrets").writes(), 0, "{writes}");
    for known in &all {
        let reported = writes.only(|call| call.name.starts_with(&known.name));
        assert!(reported.writes() <= 1, "that the token counts from now, at most: {reported}");
    }
}

/// Terminates one. Returns the other, once it leads and has reconciled everything a few times.
async fn hand_over(world: &World, from: &Operator, to: &Settings) -> Operator {
    let heir = to.start().await;
    assert!(from.terminate(DEADLINE).await.success());
    leads(world, &heir).await;
    world.resyncs(3).await;
    heir
}

#[tokio::test]
async fn a_replica_that_is_an_hour_ahead_does_not_take_a_lease_that_is_renewed() {
    let world = World::new().await;
    let leader = replica(&world, 0).start().await;
    leads(&world, &leader).await;
    let _other = replica(&world, HOUR).start().await;
    let lease = async || world.scene.space.leases.get("apicredential-operator").await.expect("the lease exists");
    let before = lease().await.spec.unwrap();
    // Each sixth of the lease: in that time, it would have expired.
    let mut renewals = std::collections::BTreeSet::new();
    let renewed = async || {
        renewals.insert(lease().await.metadata.resource_version);
        (renewals.len() > 8).then_some(())
    };
    world.scene.space.wait_for("eight renewals", renewed).await;
    let after = lease().await.spec.unwrap();
    assert_eq!((after.holder_identity, after.lease_transitions), (before.holder_identity, before.lease_transitions));
}

/// A replica with clocks of its own, this far ahead.
fn replica(world: &World, ahead: i64) -> Settings {
    let clocks = Clocks::new();
    clocks.step(ahead);
    clocks.of(world.elected_operator())
}

async fn leads(world: &World, operator: &Operator) {
    let leads = async || (operator.get("/readyz").await? == (200, "leading\n".to_owned())).then_some(());
    world.scene.space.wait_for("it leads", leads).await;
}
