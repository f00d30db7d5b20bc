//! `renew`.

use std::path::Path;

use serde_json::{Value, json};

use crate::fixture::Scene;
use crate::status::with_lease;
use crate::support::fault_proxy::{FaultProxy, Log};
use crate::support::provider::Reply;
use crate::support::space::annotation;
use crate::transcript::Transcript;

#[tokio::test]
async fn a_renewal_is_requested_and_its_result_is_reported() {
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
    // The result comes from the Secret, because the user may read it.
    assert_eq!(shell.run_in(&scene.space, &["renew", "a", "--wait"]).await.code, 0);
    assert_eq!(counts(), [2, 1, 1]);
    assert!(annotation(&scene.target("a").await, "renew-request").is_some());
    clients[2].always(Reply::error(401));
    assert_eq!(shell.run_in(&scene.space, &["renew", "b", "c", "--wait=3m", "-o", "yaml"]).await.code, 1);
    assert_eq!(counts(), [2, 2, 2]);
    assert_eq!(shell.run_in(&scene.space, &["renew", "c", "--wait"]).await.code, 1);
    let requested = shell.run_in(&scene.space, &["renew", "--all", "--spread", "2s", "-o", "json"]).await;
    assert_eq!(requested.code, 0);
    let requested: Value = serde_json::from_str(&requested.stdout).unwrap();
    assert_eq!(requested.as_array().unwrap().len(), 3);
    // If one name does not exist, no renewal is requested.
    let before = scene.space.credential("a").await.metadata.annotations;
    assert_eq!(shell.run_in(&scene.space, &["renew", "a", "bb"]).await.code, 3);
    assert_eq!(scene.space.credential("a").await.metadata.annotations, before);
    assert_eq!(shell.run_in(&scene.space, &["renew", "-l", "nobody=has-it"]).await.code, 3);
    assert_eq!(shell.run_in(&scene.space, &["renew"]).await.code, 2);
    shell.check();
}

#[tokio::test]
async fn without_permission_to_read_secrets_the_result_comes_from_the_status() {
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
    let proxy = FaultProxy::start(&scene.space.plane, &log, 0);
    let mut shell = Transcript::new("renew-by-watch", &scene);
    // The fault proxy's own kubeconfig has the operator's token.
    let read = |path: &Path| serde_json::from_slice::<Value>(&std::fs::read(path).unwrap()).unwrap();
    let mut kubeconfig = read(proxy.kubeconfig());
    kubeconfig["users"][0]["user"] = read(&scene.space.plane.admin_kubeconfig())["users"][0]["user"].take();
    let path = shell.file("fault-proxy", &kubeconfig.to_string());
    shell.kubeconfig(Path::new(&path));
    // No result within the timeout: the operator was killed.
    assert_eq!(shell.run_in(&scene.space, &["renew", "slow", "--wait=5s"]).await.code, 1);
    shell.check();
    let calls = log.calls();
    let count =
        |verb: &str, resource: &str| calls.iter().filter(|call| call.verb == verb && call.resource == resource).count();
    assert_eq!((count("list", "apicredentials"), count("watch", "apicredentials")), (1, 1), "{calls:?}");
    // One read by name, and one after the timeout.
    assert_eq!((count("get", "apicredentials"), count("get", "secrets")), (2, 1), "{calls:?}");
}

#[tokio::test]
async fn a_request_that_cannot_be_handled_now_ends_the_wait() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    for name in ["suspended", "unlabelled", "too-soon"] {
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
    // Within 30 s of the last attempt the operator delays the request for longer than this wait.
    scene.request_renewal("too-soon", "now").await;
    scene.wait_answered("too-soon", "now").await;
    assert_eq!(shell.run_in(&scene.space, &["renew", "too-soon", "--wait=1s"]).await.code, 1);
    shell.check();
}
