//! What happens outside the API: large neighbours, a store that is down, a store that is restored from a backup.
//!
//! Each test takes minutes and a control plane of its own, so it belongs to `make torture`.

use std::sync::Arc;
use std::time::Duration;

use apicredential::api::ApiCredential;
use futures::stream::{self, StreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use serde_json::json;

use crate::fixture::Scene;
use crate::support::control_plane::{Content, ControlPlane};
use crate::support::operator::Operator;
use crate::support::provider::MockProvider;
use crate::support::random;
use crate::support::space::{self, Space, annotation};

const NEIGHBOURS: usize = 1000;
/// A Secret can hold 1 MiB at most, including the names of its keys.
const LARGE: usize = 1024 * 1024 - 64;
/// Far less than one of them would take in memory.
const NO_MORE_THAN: u64 = 1024;
const OUTAGE: Duration = Duration::from_secs(30);

#[tokio::test]
#[ignore = "torture: a GiB of Secrets"]
async fn a_thousand_large_secrets_beside_ours_take_none_of_its_memory() {
    let scene = scene().await;
    let settings = scene.operator().quick();
    let alone = peak_of_a_run(&scene, settings.start().await, "first").await;
    stream::iter(0..NEIGHBOURS)
        .for_each_concurrent(8, |number| {
            let scene = &scene;
            async move { large(&scene.space, &format!("neighbour-{number}")).await }
        })
        .await;
    // One operator that lists with all of them present, and one that watches all of them change.
    let beside = peak_of_a_run(&scene, settings.start().await, "second").await;
    let watching = settings.start().await;
    for number in 0..100 {
        scene
            .space
            .patch_secret(&format!("neighbour-{number}"), &json!({"metadata": {"labels": {"seen": "yes"}}}))
            .await;
    }
    let while_they_change = peak_of_a_run(&scene, watching, "third").await;
    println!(
        "outside: {NEIGHBOURS} Secrets of 1 MiB: peak {alone} KiB alone, {beside} beside, {while_they_change} while they change"
    );
    assert!(beside <= alone + NO_MORE_THAN, "{beside} KiB beside them, {alone} alone");
    assert!(while_they_change <= alone + NO_MORE_THAN, "{while_they_change} KiB, {alone} alone");
}

#[tokio::test]
#[ignore = "torture: an outage of half a minute on a control plane of its own"]
async fn etcd_away_for_half_a_minute_costs_only_what_became_due() {
    let scene = scene().await;
    let [resting, due] = [scene.welkin_client("resting").await, scene.welkin_client("due").await];
    due.lifetime(60.0);
    let operator =
        scene.operator().quick().flag("--lease-duration", "40s").flag("--provider-timeout", "10s").start().await;
    for (name, client) in [("resting", &resting), ("due", &due)] {
        scene.apply_welkin(name, client).await;
        scene.space.wait_ready(name).await;
    }
    due.lifetime(3600.0);
    scene.space.plane.stop_etcd();
    // Long enough for the renewal to come due meanwhile.
    tokio::time::sleep(OUTAGE).await;
    scene.space.plane.start_etcd();
    scene.space.plane.wait_ready().await;
    scene.space.wait_until("due", "renewed", |due| revision(due) == Some(2)).await;
    scene.space.wait_ready("due").await;
    scene.a_later_one_becomes_ready("later").await;
    assert_eq!((resting.count(), due.count()), (1, 2));
    assert!(operator.is_running(), "one process went through it");
    println!("outside: etcd away for {} s: 2 exchanges for what became due, 1 for what did not", OUTAGE.as_secs());
}

#[tokio::test]
#[ignore = "torture: a restore on a control plane of its own"]
async fn after_etcd_is_restored_from_an_older_backup_the_operator_recovers() {
    let scene = scene().await;
    let names = ["resting", "renewed", "taken"];
    let mut clients = Vec::new();
    for name in names {
        clients.push(scene.welkin_client(name).await);
    }
    let foreign = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "taken-token"}, "stringData": {"token": "a user's own"}});
    scene.space.apply_secret(&foreign).await;
    let operator = scene.operator().start().await;
    for (name, client) in names.iter().zip(&clients) {
        scene.apply_welkin(name, client).await;
    }
    for name in ["resting", "renewed"] {
        scene.space.wait_ready(name).await;
    }
    scene.space.wait_condition("taken", "Ready", "False/TargetNotOwned").await;
    let copy = scene.space.plane.back_up();
    scene.space.plane.wait_ready().await;
    let users_own = scene.target("taken").await;

    // Changes that the backup does not contain.
    scene.request_renewal("renewed", "after the copy").await;
    scene.space.wait_until("renewed", "renewed", |it| revision(it) == Some(2)).await;
    scene.space.wait_ready("renewed").await;
    scene.space.delete_secret("taken-token").await;
    scene.space.wait_ready("taken").await;
    scene.a_later_one_becomes_ready("later").await;
    let before: Vec<usize> = clients.iter().map(|client| client.count()).collect();
    assert_eq!(before, [1, 2, 1]);

    scene.space.plane.put_back(&copy).await;
    // The status reports the Secret that exists now, and the user's own Secret is the user's again.
    scene.space.wait_condition("taken", "Ready", "False/TargetNotOwned").await;
    for name in ["resting", "renewed"] {
        let target = scene.target(name).await;
        let issued = annotation(&target, "issued-at");
        scene
            .space
            .wait_until(name, "reported as it is", |it| {
                let status = it.status.as_ref();
                status.and_then(|status| status.token.as_ref()).map(|token| token.issued_time.0.to_string()) == issued
            })
            .await;
        scene.space.wait_ready(name).await;
    }
    // Everything works: a new ApiCredential, a change of an old one, a requested renewal.
    scene.a_later_one_becomes_ready("afterwards").await;
    scene.space.delete_secret("resting-token").await;
    scene.space.wait_for("the target is back", async || scene.space.secret("resting-token").await).await;
    scene.request_renewal("renewed", "after the restore").await;
    scene.wait_answered("renewed", "after the restore").await;
    scene.space.wait_ready("renewed").await;
    let after: Vec<usize> = clients.iter().map(|client| client.count()).collect();
    assert_eq!((after[0], after[2]), (2, 1), "one for the deleted target, none for the user's");
    // A reconcile between the list of the Secrets and that of the ApiCredentials still sees the earlier request as
    // pending.
    assert!((3..=4).contains(&after[1]), "one for the request, and at most one more: {}", after[1]);
    assert_eq!(scene.target("taken").await, users_own, "it was not written");
    assert!(operator.is_running(), "one process went through it");
    let more: usize = after.iter().zip(before).map(|(after, before)| after - before).sum();
    println!("outside: an older copy of etcd put back: {more} exchanges for 2 causes, no foreign write");
}

async fn scene() -> Scene {
    let plane = Arc::new(ControlPlane::start(Content::Installed).await.unwrap());
    Scene { space: Space::on(plane).await, mock_provider: MockProvider::start() }
}

/// From a first token over a renewal to the end. Returns KiB at the peak.
async fn peak_of_a_run(scene: &Scene, operator: Operator, name: &str) -> u64 {
    scene.a_later_one_becomes_ready(name).await;
    scene.request_renewal(name, "once").await;
    scene.wait_answered(name, "once").await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    assert!(operator.terminate(space::DEADLINE).await.success());
    peak.split_whitespace().next().unwrap().parse().unwrap()
}

async fn large(space: &Space, name: &str) {
    let bytes: Vec<u8> = random::bytes::<64>().iter().copied().cycle().take(LARGE).collect();
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some([("bytes".to_owned(), ByteString(bytes))].into()),
        ..Secret::default()
    };
    space.secrets.create(&PostParams::default(), &secret).await.unwrap();
}

fn revision(credential: &ApiCredential) -> Option<i64> {
    credential.status.as_ref().and_then(|status| status.revision)
}
