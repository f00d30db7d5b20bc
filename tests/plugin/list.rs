//! `list`.

use crate::fixture::Scene;
use crate::support::provider::Reply;
use crate::transcript::Transcript;

#[tokio::test]
async fn the_list_shows_each_apicredential_as_a_table_and_as_a_document() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let (ready, bad) = (scene.welkin_client("ready").await, scene.welkin_client("rejected").await);
    bad.always(Reply::error(401));
    scene.qontak_user("endless").await.always(Reply::token().without_expiry());
    scene.apply_welkin("ready", &ready).await;
    scene.apply_qontak("endless").await;
    scene.apply_welkin("rejected", &bad).await;
    scene.space.wait_ready("endless").await;
    scene.space.patch("endless", &serde_json::json!({"spec": {"suspend": true}})).await;
    scene.space.wait_condition("rejected", "Ready", "False/CredentialsRejected").await;
    scene.space.wait_ready("ready").await;
    let suspended = async || scene.space.credential("endless").await.status?.observed_generation.filter(|it| *it == 2);
    scene.space.wait_for("endless: the suspension is observed", suspended).await;

    let mut shell = Transcript::new("list", &scene);
    for arguments in [
        &["list"][..],
        &["list", "-o", "wide"],
        &["list", "--not-ready"],
        &["list", "--expiring", "2h"],
        &["list", "--expiring", "1m"],
        &["list", "-o", "json"],
        &["list", "-o", "yaml"],
    ] {
        assert_eq!(shell.run_in(&scene.space, arguments).await.code, 0);
    }
    // The list includes the namespaces of other tests.
    let all = shell.quietly(&["list", "-A"]).await;
    assert!(all.stdout.lines().filter(|line| line.starts_with(&scene.space.name)).count() == 3, "{}", all.stdout);
    shell.check();
}

#[tokio::test]
async fn an_empty_list_names_the_namespace() {
    let scene = Scene::new().await;
    let mut shell = Transcript::new("list-empty", &scene);
    shell.run_in(&scene.space, &["list"]).await;
    shell.run_in(&scene.space, &["list", "-o", "json"]).await;
    shell.check();
}
