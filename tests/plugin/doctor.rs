//! `doctor`.

use apicredential_operator::terminal::is_unsafe;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::fixture::Scene;
use crate::status::with_lease;
use crate::support::control_plane::{Content, ControlPlane};
use crate::support::provider::MockProvider;
use crate::support::space::welkin;
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
async fn only_endpoints_that_the_operator_allows_are_connected_to_and_a_narrower_list_names_whom_it_refuses() {
    let (scene, other) = (Scene::new().await, MockProvider::start());
    for (name, mock_provider) in [("care", &scene.mock_provider), ("stranger", &other)] {
        let client = mock_provider.welkin(&scene.space.unique(name));
        scene.space.apply(&welkin(name, &client, mock_provider)).await;
    }
    let origin = scene.mock_provider.origin();
    let place = ["doctor", "--operator-namespace", &scene.space.name];
    let mut shell = Transcript::bare("none", scene.space.plane.admin_kubeconfig());
    let mut run = async |flags: &[&str]| {
        let run = shell.quietly(&[&place, flags, &["-n", &scene.space.name]].concat()).await;
        assert_eq!(run.stderr, "");
        run.stdout
    };

    // Its flags are unknown: neither mock provider is in the default list.
    let unknown = run(&[]).await;
    assert!(unknown.contains("The operator's flags cannot be read"), "{unknown}");
    assert_eq!((scene.mock_provider.connections(), other.connections()), (0, 0), "{unknown}");

    deploy(&scene, &["--allowed-endpoints", &format!("welkin={origin}")], 1).await;
    let known = run(&[]).await;
    assert!(known.contains(&format!("the endpoint {} is not allowed for Welkin", other.origin())), "{known}");
    assert!(scene.mock_provider.connections() > 0, "{known}");
    assert_eq!(other.connections(), 0, "{known}");

    let narrower = run(&["--offline", "--allowed-endpoints", "welkin=https://api.live.welkincloud.io"]).await;
    let lines: Vec<&str> =
        narrower.lines().filter(|line| line.split_whitespace().nth(1) == Some("allow-list")).collect();
    let refused =
        format!("care: --allowed-endpoints welkin=https://api.live.welkincloud.io would refuse its endpoint {origin}");
    assert!(matches!(lines[..], [line] if line.starts_with("warn") && line.contains(&refused)), "{narrower}");
    let same = run(&["--offline", "--allowed-endpoints", &format!("welkin={origin}")]).await;
    assert!(same.contains("would refuse no ApiCredential here that is allowed now"), "{same}");
}

#[tokio::test]
async fn text_from_the_cluster_moves_no_cursor_and_neither_reorders_nor_hides_anything() {
    let scene = Scene::new().await;
    let client = scene.welkin_client("care").await;
    scene.apply_welkin("care", &client).await;
    let hostile = "fine\u{1b}[2J\u{1b}]0;title\u{7}\r\nok    forged\u{9b}31m\u{202e}desrever\u{2066}\u{200b}\u{feff}";
    let condition = json!({
        "type": "Ready", "status": "False", "reason": "TokenExpired", "message": hostile, "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let request = json!({"metadata": {"annotations": {"apicredential.io/renew-requested-at": hostile}}});
    scene.space.patch("care", &request).await;
    scene.patch_status("care", &json!({"observedGeneration": 1, "conditions": [condition]})).await;
    // The path of a mount is text of its author, too.
    let mount = json!({"name": "token", "mountPath": hostile, "subPath": "token"});
    let spec = json!({
        "containers": [{"name": "main", "image": "none", "volumeMounts": [mount]}],
        "volumes": [{"name": "token", "secret": {"secretName": "care-token"}}], "serviceAccountName": "default",
    });
    let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "hostile"}, "spec": spec})).unwrap();
    let pods: Api<Pod> = Api::namespaced(scene.space.client.clone(), &scene.space.name);
    // A controller creates the service account a moment after the namespace.
    let created = async || pods.create(&PostParams::default(), &pod).await.ok().map(drop);
    scene.space.wait_for("the pod is created", created).await;

    let mut shell = Transcript::bare("none", scene.space.plane.admin_kubeconfig());
    for arguments in [
        &["list"][..],
        &["list", "-o", "wide"],
        &["list", "-o", "json"],
        &["list", "-o", "yaml"],
        &["status", "care"],
        &["status", "care", "-o", "json"],
        &["status", "care", "-o", "yaml"],
        &["renew", "care", "--wait=1s"],
        &["doctor", "--offline"],
        &["doctor", "--offline", "-o", "json"],
    ] {
        let run = shell.quietly(&[arguments, &["-n", &scene.space.name]].concat()).await;
        let text = run.stdout + &run.stderr;
        let unsafe_characters: Vec<char> = text.chars().filter(|it| *it != '\n' && is_unsafe(*it)).collect();
        assert!(unsafe_characters.is_empty(), "{arguments:?}: {unsafe_characters:?} in {text:?}");
        assert!(!text.lines().any(|line| line.starts_with("ok    forged")), "{arguments:?}: {text}");
    }
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
