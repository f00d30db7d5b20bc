//! `doctor`.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::life::Scene;
use crate::status::with_lease;
use crate::support::control_plane::{Content, ControlPlane};
use crate::transcript::Transcript;

#[tokio::test]
async fn where_all_is_well_every_check_says_so() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let client = scene.welkin_client("care").await;
    scene.apply_welkin("care", &client).await;
    scene.space.wait_ready("care").await;
    deploy(&scene, &["--allowed-endpoints", &format!("welkin={}", scene.stand_in.origin())], 1).await;
    let mut shell = Transcript::new("doctor-well", &scene);
    stand_for_holder(&mut shell, &scene).await;
    let ca = scene.stand_in.ca_file().display().to_string();
    shell.replace(&ca, "CA-FILE");
    let place = ["--operator-namespace", &scene.space.name];
    let run = shell.run_in(&scene.space, &[&["doctor", "--provider-ca-file", &ca], &place[..]].concat()).await;
    assert_eq!(run.code, 0);
    // A certificate that this machine does not trust is a warning: the cluster may trust it.
    assert_eq!(shell.run_in(&scene.space, &[&["doctor"], &place[..]].concat()).await.code, 0);
    let run = shell.run_in(&scene.space, &[&["doctor", "--offline", "-o", "json"], &place[..]].concat()).await;
    assert_eq!(run.code, 0);
    let none = shell.file("no-certificate", "nothing");
    assert_eq!(
        shell.run_in(&scene.space, &[&["doctor", "--provider-ca-file", &none], &place[..]].concat()).await.code,
        2
    );
    shell.check();
}

#[tokio::test]
async fn each_trouble_is_named_with_its_remedy_and_ends_with_1() {
    let scene = Scene::new().await;
    let operator = scene.operator().patient().start().await;
    for name in ["elsewhere", "unlabelled"] {
        let client = scene.welkin_client(name).await;
        scene.apply_welkin(name, &client).await;
        scene.space.wait_ready(name).await;
    }
    let remove = json!({"metadata": {"labels": {"apicredential.io/source": null}}});
    scene.space.patch_secret("unlabelled-source", &remove).await;
    let mut shell = Transcript::new("doctor-trouble", &scene);
    stand_for_holder(&mut shell, &scene).await;
    pods(&scene).await;
    let place = ["doctor", "--offline", "--operator-namespace", &scene.space.name];
    assert_eq!(shell.run_in(&scene.space, &place).await.code, 1);
    // Not up, and with a list that does not have the stand-in.
    deploy(&scene, &["--allowed-endpoints", "welkin=https://api.live.welkincloud.io"], 0).await;
    assert_eq!(shell.run_in(&scene.space, &place).await.code, 1);
    // For others, and long gone: what was due has not happened.
    deploy(&scene, &["--namespaces", "others"], 1).await;
    operator.kill();
    let leases = &scene.space.leases;
    let silent = json!({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}});
    leases.patch("apicredential-operator", &PatchParams::default(), &Patch::Merge(&silent)).await.unwrap();
    let past = json!({"renewalTime": "2026-01-01T00:00:00Z", "nextAttemptTime": null});
    scene.patch_status("elsewhere", &past).await;
    assert_eq!(shell.run_in(&scene.space, &place).await.code, 1);
    shell.check();
}

#[tokio::test]
async fn what_the_user_may_not_see_is_a_warning_and_no_fault() {
    let scene = Scene::new().await;
    let client = scene.welkin_client("care").await;
    scene.apply_welkin("care", &client).await;
    let rules = [json!({"apiGroups": ["apicredential.io"], "resources": ["apicredentials"], "verbs": ["get", "list"]})];
    let account = scene.space.account("developer", &with_lease(&rules)).await;
    let mut shell = Transcript::new("doctor-hidden", &scene);
    shell.kubeconfig(&account.kubeconfig);
    assert_eq!(shell.run_in(&scene.space, &["doctor", "--offline"]).await.code, 0);
    shell.check();
}

#[tokio::test]
async fn without_a_definition_every_command_says_how_to_install_it() {
    let plane = ControlPlane::start(Content::Empty).await.expect("a control plane");
    let mut shell = Transcript::bare("not-installed", plane.admin_kubeconfig());
    assert_eq!(shell.run(&["list"]).await.code, 4);
    assert_eq!(shell.run(&["status", "a"]).await.code, 4);
    assert_eq!(shell.run(&["renew", "--all"]).await.code, 4);
    let create = ["create", "qontak", "a", "--secret-ref", "a-source", "--target", "a-token"];
    assert_eq!(shell.run(&create).await.code, 4);
    assert_eq!(shell.run(&["doctor", "--offline"]).await.code, 1);
    shell.check();
}

/// A Deployment as deploy/install.yaml has it, but here; nobody runs it, so its status is written by hand.
async fn deploy(scene: &Scene, flags: &[&str], available: i32) {
    let labels = json!({"app": "operator"});
    let args = [&["run"], flags].concat();
    let container = json!({
        "name": "operator", "image": "none", "args": args,
        "env": [{"name": "APICREDENTIAL_LEASE_NAMESPACE", "value": scene.space.name}],
    });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "apicredential-operator"},
        "spec": {"selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [container]},
        }},
    });
    let api: Api<Deployment> = Api::namespaced(scene.space.client.clone(), &scene.space.name);
    let parameters = PatchParams::apply("tests").force();
    api.patch("apicredential-operator", &parameters, &Patch::Apply(&deployment)).await.unwrap();
    let no = json!([{"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
        "message": "Deployment does not have minimum availability.", "lastUpdateTime": "2026-01-01T00:00:00Z",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    let status = match available {
        0 => json!({"status": {"replicas": 1, "conditions": no}}),
        _ => json!({"status": {"replicas": 1, "readyReplicas": available, "availableReplicas": available}}),
    };
    api.patch_status("apicredential-operator", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

/// One that mounts the token as it should be, and one for each way in which it should not.
async fn pods(scene: &Scene) {
    let secret = "elsewhere-token";
    let volumes = json!([{"name": "token", "secret": {"secretName": secret}}]);
    let mount = |extra: Value| {
        let mut mount = json!({"name": "token", "mountPath": "/var/run/token"});
        mount.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"name": "main", "image": "none", "volumeMounts": [mount]})
    };
    let variable = json!({"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "token"}}});
    for (name, container) in [
        ("well", mount(json!({}))),
        ("by-sub-path", mount(json!({"subPath": "token"}))),
        ("by-variable", json!({"name": "main", "image": "none", "env": [variable]})),
        ("by-variables", json!({"name": "main", "image": "none", "envFrom": [{"secretRef": {"name": secret}}]})),
    ] {
        let spec = json!({"containers": [container], "volumes": volumes, "serviceAccountName": "default"});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let api: Api<Pod> = Api::namespaced(scene.space.client.clone(), &scene.space.name);
        // The service account is made by a controller, some moments after the namespace.
        let created = async || api.create(&PostParams::default(), &pod).await.ok().map(drop);
        scene.space.wait_for("the pod is created", created).await;
    }
}

async fn stand_for_holder(shell: &mut Transcript, scene: &Scene) {
    let lease = scene.space.leases.get("apicredential-operator").await.unwrap();
    shell.replace(&lease.spec.unwrap().holder_identity.unwrap(), "HOLDER");
}
