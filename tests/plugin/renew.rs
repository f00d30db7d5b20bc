//! `renew`.

use std::path::Path;

use serde_json::{Value, json};

use crate::life::Scene;
use crate::status::with_lease;
use crate::support::gate::{Gate, Log};
use crate::support::provider::Reply;
use crate::support::space::annotation;
use crate::transcript::Transcript;

#[tokio::test]
async fn a_renewal_is_asked_for_waited_for_and_told_with_its_result() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let mut clients = Vec::new();
    for name in ["a", "b", "c"] {
        let client = scene.welkin_client(name).await;
        scene.apply_welkin(name, &client).await;
        scene.space.wait_ready(name).await;
        clients.push(client);
    }
    let counts = || clients.iter().map(|client| client.count()).collect::<Vec<_>>();
    let mut shell = Transcript::new("renew", &scene);
    // Seen in the Secret, for the user may read it.
    assert_eq!(shell.run_in(&scene.space, &["renew", "a", "--wait"]).await.code, 0);
    assert_eq!(counts(), [2, 1, 1]);
    assert!(annotation(&scene.target("a").await, "renew-request").is_some());
    clients[2].always(Reply::error(401));
    assert_eq!(shell.run_in(&scene.space, &["renew", "b", "c", "--wait=3m", "-o", "yaml"]).await.code, 1);
    assert_eq!(counts(), [2, 2, 2]);
    assert_eq!(shell.run_in(&scene.space, &["renew", "c", "--wait"]).await.code, 1);
    let asked = shell.run_in(&scene.space, &["renew", "--all", "--spread", "2s", "-o", "json"]).await;
    assert_eq!(asked.code, 0);
    let asked: Value = serde_json::from_str(&asked.stdout).unwrap();
    assert_eq!(asked.as_array().unwrap().len(), 3);
    // A name that is not there keeps the others from being asked.
    let before = scene.space.credential("a").await.metadata.annotations;
    assert_eq!(shell.run_in(&scene.space, &["renew", "a", "bb"]).await.code, 3);
    assert_eq!(scene.space.credential("a").await.metadata.annotations, before);
    assert_eq!(shell.run_in(&scene.space, &["renew", "-l", "nobody=has-it"]).await.code, 3);
    assert_eq!(shell.run_in(&scene.space, &["renew"]).await.code, 2);
    shell.check();
}

#[tokio::test]
async fn who_may_not_read_secrets_learns_the_result_from_the_status() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    for name in ["good", "bad"] {
        let client = scene.welkin_client(name).await;
        scene.apply_welkin(name, &client).await;
        scene.space.wait_ready(name).await;
        if name == "bad" {
            client.always(Reply::error(503));
        }
    }
    let rules =
        |verbs: &[&str]| [json!({"apiGroups": ["apicredential.io"], "resources": ["apicredentials"], "verbs": verbs})];
    let account = scene.space.account("developer", &with_lease(&rules(&["get", "list", "watch", "patch"]))).await;
    let mut shell = Transcript::new("renew-by-status", &scene);
    shell.kubeconfig(&account.kubeconfig);
    assert_eq!(shell.run_in(&scene.space, &["renew", "good", "--wait"]).await.code, 0);
    assert_eq!(shell.run_in(&scene.space, &["renew", "bad", "--wait"]).await.code, 1);
    let unwatchful = scene.space.account("unwatchful", &with_lease(&rules(&["get", "list", "patch"]))).await;
    shell.replace(&unwatchful.user, "USER");
    shell.kubeconfig(&unwatchful.kubeconfig);
    assert_eq!(shell.run_in(&scene.space, &["renew", "good", "--wait"]).await.code, 4);
    shell.check();
}

#[tokio::test]
async fn a_wait_costs_one_watch_however_long_it_takes() {
    let scene = Scene::new().await;
    let client = scene.welkin_client("slow").await;
    let operator = scene.operator().patient().start().await;
    scene.apply_welkin("slow", &client).await;
    scene.space.wait_ready("slow").await;
    operator.kill();
    let log = Log::new(|_, _| {});
    let gate = Gate::start(&scene.space.plane, &log, 0);
    let mut shell = Transcript::new("renew-by-watch", &scene);
    // The gate's own kubeconfig has the operator's token.
    let read = |path: &Path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    let mut kubeconfig = read(gate.kubeconfig());
    kubeconfig["users"][0]["user"] = read(&scene.space.plane.admin_kubeconfig())["users"][0]["user"].take();
    let path = shell.file("gate", &kubeconfig.to_string());
    shell.kubeconfig(Path::new(&path));
    // Nobody answers within the time: the operator is gone.
    assert_eq!(shell.run_in(&scene.space, &["renew", "slow", "--wait=5s"]).await.code, 1);
    shell.check();
    let calls = log.calls();
    let count =
        |verb: &str, resource: &str| calls.iter().filter(|call| call.verb == verb && call.resource == resource).count();
    assert_eq!((count("list", "apicredentials"), count("watch", "apicredentials")), (1, 1), "{calls:?}");
    // Found by name, and looked at once more in the end.
    assert_eq!((count("get", "apicredentials"), count("get", "secrets")), (2, 1), "{calls:?}");
}

#[tokio::test]
async fn a_request_that_cannot_be_answered_now_is_not_waited_for_in_vain() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    for name in ["suspended", "unlabelled", "paused"] {
        let client = scene.welkin_client(name).await;
        scene.apply_welkin(name, &client).await;
        scene.space.wait_ready(name).await;
    }
    scene.space.patch("suspended", &json!({"spec": {"suspend": true}})).await;
    let remove = json!({"metadata": {"labels": {"apicredential.io/source": null}}});
    scene.space.patch_secret("unlabelled-source", &remove).await;
    scene.space.wait_condition("unlabelled", "SourceResolved", "False/SourceNotPermitted").await;
    let mut shell = Transcript::new("renew-waiting", &scene);
    assert_eq!(shell.run_in(&scene.space, &["renew", "suspended", "--wait"]).await.code, 1);
    assert_eq!(shell.run_in(&scene.space, &["renew", "unlabelled", "--wait"]).await.code, 1);
    // Asked within 30 s of its last attempt, it is answered later than this waits.
    scene.ask_to_renew("paused", "now").await;
    scene.wait_answered("paused", "now").await;
    assert_eq!(shell.run_in(&scene.space, &["renew", "paused", "--wait=1s"]).await.code, 1);
    shell.check();
}
