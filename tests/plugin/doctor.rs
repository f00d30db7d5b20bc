//! `doctor`.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::fixture::Scene;
use crate::status::with_lease;
use crate::support::control_plane::{Content, ControlPlane};
use crate::transcript::Transcript;

#[tokio::test]
async fn every_check_is_ok_in_a_healthy_cluster() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let client = scene.welkin_client("care").await;
    scene.apply_welkin("care", &client).await;
    scene.space.wait_ready("care").await;
    deploy(&scene, &["--allowed-endpoints", &format!("welkin={}", scene.mock_provider.origin())], 1).await;
    let mut shell = Transcript::new("doctor-well", &scene);
    replace_holder(&mut shell, &scene).await;
    let ca = scene.mock_provider.ca_file().display().to_string();
    shell.replace(&ca, "CA-FILE");
    let place = ["--operator-namespace", &scene.space.name];
    let run = shell.run_in(&scene.space, &[&["doctor", "--provider-ca-file", &ca], &place[..]].concat()).await;
    assert_eq!(run.code, 0);
    // A certificate that this machine does not trust is only a warning: the cluster may trust it.
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
async fn each_problem_is_reported_with_its_remedy_and_exit_code_1() {
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
    replace_holder(&mut shell, &scene).await;
    pods(&scene).await;
    let place = ["doctor", "--offline", "--operator-namespace", &scene.space.name];
    assert_eq!(shell.run_in(&scene.space, &place).await.code, 1);
    // Not available, and with an allow-list without the mock provider.
    deploy(&scene, &["--allowed-endpoints", "welkin=https://api.live.welkincloud.io"], 0).await;
    assert_eq!(shell.run_in(&scene.space, &place).await.code, 1);
    // It watches other namespaces and has stopped: the renewal is overdue.
    deploy(&scene, &["--namespaces", "others"], 1).await;
    operator.kill();
    let leases = &scene.space.leases;
    let expired = json!({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z"}});
    leases.patch("apicredential-operator", &PatchParams::default(), &Patch::Merge(&expired)).await.unwrap();
    let past = json!({"renewalTime": "2026-01-01T00:00:00Z", "nextAttemptTime": null});
    scene.patch_status("elsewhere", &past).await;
    assert_eq!(shell.run_in(&scene.space, &place).await.code, 1);
    shell.check();
}

#[tokio::test]
async fn a_missing_permission_is_a_warning_and_not_a_failure() {
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
async fn without_the_crd_every_command_explains_how_to_install_it() {
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

/// The Deployment of deploy/install.yaml in this namespace. No controller runs its pods, so the test writes its status.
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
    let unavailable = json!([{"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
        "message": "Deployment does not have minimum availability.", "lastUpdateTime": "2026-01-01T00:00:00Z",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    let status = match available {
        0 => json!({"status": {"replicas": 1, "conditions": unavailable}}),
        _ => json!({"status": {"replicas": 1, "readyReplicas": available, "availableReplicas": available}}),
    };
    api.patch_status("apicredential-operator", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

/// One pod that mounts the token correctly, and one for each use that the kubelet never updates.
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
        ("correct", mount(json!({}))),
        ("by-sub-path", mount(json!({"subPath": "token"}))),
        ("by-variable", json!({"name": "main", "image": "none", "env": [variable]})),
        ("by-variables", json!({"name": "main", "image": "none", "envFrom": [{"secretRef": {"name": secret}}]})),
    ] {
        let spec = json!({"containers": [container], "volumes": volumes, "serviceAccountName": "default"});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let api: Api<Pod> = Api::namespaced(scene.space.client.clone(), &scene.space.name);
        // A controller creates the service account a moment after the namespace.
        let created = async || api.create(&PostParams::default(), &pod).await.ok().map(drop);
        scene.space.wait_for("the pod is created", created).await;
    }
}

async fn replace_holder(shell: &mut Transcript, scene: &Scene) {
    let lease = scene.space.leases.get("apicredential-operator").await.unwrap();
    shell.replace(&lease.spec.unwrap().holder_identity.unwrap(), "HOLDER");
}
