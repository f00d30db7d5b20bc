//! The quiet time itself: what a fault holds back and what follows it belong to the run, and any write after that is
//! reported.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use crate::fault_proxy_works::Scene;
use crate::quiet::{settle, surplus};
use crate::support::fault_proxy::{Act, When};

#[tokio::test]
async fn what_follows_a_request_that_a_fault_delays_belongs_to_the_run() {
    for when in [When::Before, When::After] {
        let scene = Scene::new(&[("create", "a", 1, when, Act::Delay)]).await;
        let operator = async {
            scene.create("a").await.unwrap();
            scene.create("follows").await.unwrap();
        };
        let check = async {
            scene.space.wait_for("it arrives", async || (scene.log.count() > 0).then_some(())).await;
            let writes = settle(&scene.log, async || true).await;
            (writes, surplus(&scene.log, writes).await)
        };
        let ((), (writes, surplus)) = tokio::join!(operator, check);
        assert_eq!((writes, surplus), (2, Vec::new()), "{when:?}");
    }
}

#[tokio::test]
async fn a_write_in_the_quiet_time_is_reported_also_after_a_delayed_reply() {
    for faults in [vec![], vec![("create", "a", 1, When::After, Act::Delay)]] {
        let scene = Scene::new(&faults).await;
        scene.create("a").await.unwrap();
        let writes = settle(&scene.log, async || true).await;
        assert_eq!(writes, 1);
        let (found, created) = tokio::join!(surplus(&scene.log, writes), scene.create("surplus"));
        created.unwrap();
        let found: Vec<_> = found.iter().map(|call| call.kind()).collect();
        assert_eq!(found, [("create", "secrets", "surplus")]);
    }
}

#[tokio::test]
async fn a_write_between_the_run_and_the_quiet_time_is_reported_too() {
    let scene = Scene::new(&[]).await;
    let writes = settle(&scene.log, async || true).await;
    scene.create("surplus").await.unwrap();
    assert_eq!(surplus(&scene.log, writes).await.len(), 1);
}

#[tokio::test]
async fn a_reply_that_is_held_is_held_back_until_its_client_hangs_up() {
    let scene = Scene::new(&[("create", "a", 1, When::After, Act::Hold)]).await;
    assert!(!scene.log.holds_back());
    let stored = async || {
        let held = scene.log.calls().first()?.status == Some(201);
        held.then(|| assert!(scene.log.holds_back(), "the reply is held"))
    };
    scene.given_up_once("it is stored", stored).await;
    let over = async || (!scene.log.holds_back()).then_some(());
    scene.space.wait_for("the fault proxy notices that the client is gone", over).await;
    assert!(scene.log.calls()[0].hung_up);
}

#[tokio::test]
async fn nothing_is_settled_while_watches_are_silent_or_an_operator_does_not_respond() {
    let scene = Scene::new(&[]).await;
    scene.log.silence_watches(true);
    let asked = Cell::new(0);
    let settling = settle(&scene.log, async || {
        asked.set(asked.get() + 1);
        asked.get() > 2
    });
    let mut settling = pin!(settling);
    // Longer than it takes if nothing holds it up.
    let early = tokio::time::timeout(Duration::from_secs(4), &mut settling).await;
    assert!(early.is_err() && asked.get() == 0, "the watches are silent");
    scene.log.silence_watches(false);
    settling.await;
    assert_eq!(asked.get(), 3);
}
