//! Tests of the control plane and the support code, on which all other tests depend.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::support::control_plane::{self, Content, ControlPlane};
use crate::support::leaks::Sentinels;
use crate::support::process::Process;
use crate::support::provider::MockProvider;
use crate::support::reaper;
use crate::support::space::{self, Space, observed, value};

#[tokio::test]
async fn a_secret_can_be_created_on_the_real_api_server_and_the_audit_log_records_it() {
    let space = Space::new().await;
    space.source_welkin("client", "a secret of a source").await;
    let secret = space.secret("client").await.unwrap();
    assert_eq!(value(&secret, "secret").as_deref(), Some("a secret of a source"));
    let audit = space.audit().await.by("admin").to("secrets");
    assert_eq!((audit.writes(), audit.gets()), (1, 1), "{audit}");
    assert_eq!(audit.by_object().get("secrets/client"), Some(&(1, 1)), "{audit}");
}

#[tokio::test]
async fn the_user_operator_has_the_operators_permissions_and_no_more() {
    let space = Space::new().await;
    space.source_welkin("client", "a secret of a source").await;
    let client = control_plane::client(&space.plane.operator_kubeconfig()).await;
    let secrets: Api<Secret> = Api::namespaced(client, &space.name);
    secrets.get("client").await.unwrap();
    let refused = secrets.delete("client", &DeleteParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
}

#[tokio::test]
async fn a_service_account_gets_a_token_that_the_api_server_knows() {
    let space = Space::new().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(space.client.clone(), &space.name);
    let account = serde_json::from_value(json!({"metadata": {"name": "pod"}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let kubeconfig = space.plane.kubeconfig_for_service_account(&space.name, "pod").await;
    let secrets: Api<Secret> = Api::namespaced(control_plane::client(&kubeconfig).await, &space.name);
    let refused = secrets.get("client").await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");
    let user = format!("system:serviceaccount:{}:pod", space.name);
    let audit = space.audit().await;
    assert_eq!(audit.by(&user).count("get"), 1, "{audit}");
}

#[tokio::test]
async fn credentials_are_accepted_and_their_owned_secrets_are_collected() {
    let space = Space::new().await;
    let mock_provider = MockProvider::start();
    space.apply(&space::qontak("other", &mock_provider)).await;
    let credential = space.apply(&space::welkin("a", &mock_provider.welkin("A"), &mock_provider)).await;
    assert!(!observed(&credential), "the default status has no observed generation");
    let owner = json!({
        "apiVersion": "apicredential.io/v1alpha1",
        "kind": "ApiCredential",
        "name": "a",
        "uid": credential.metadata.uid,
        "controller": true,
    });
    let owned = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "a-token", "ownerReferences": [owner]},
    });
    space.apply_secret(&owned).await;
    space.delete("a").await;
    space.wait_for("the Secret goes", async || space.secret("a-token").await.is_none().then_some(())).await;
}

#[tokio::test]
async fn a_dedicated_api_server_can_be_stopped_and_started_again() {
    let plane = Arc::new(ControlPlane::start(Content::Installed).await.unwrap());
    let space = Space::on(Arc::clone(&plane)).await;
    space.source_welkin("client", "a secret of a source").await;
    let answers = async || {
        let answer = tokio::time::timeout(Duration::from_secs(5), space.secrets.get("client")).await;
        answer.is_ok_and(|answer| answer.is_ok())
    };
    plane.pause_api_server();
    assert!(tokio::time::timeout(Duration::from_millis(500), space.secrets.get("client")).await.is_err());
    plane.resume_api_server();
    space.wait_for("an answer after the pause", async || answers().await.then_some(())).await;
    plane.stop_api_server();
    assert!(!answers().await);
    plane.start_api_server().await;
    space.wait_for("an answer after the stop", async || answers().await.then_some(())).await;
}

#[tokio::test]
async fn what_a_test_process_started_ends_with_it_even_if_it_is_killed() {
    let exe = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(exe);
    command.args(["--exact", "support_works::starts_a_process_and_waits", "--ignored", "--nocapture"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let doomed = Process::start("a test process", &mut command).unwrap();
    let mut lines = BufReader::new(doomed.take_output().0.unwrap()).lines().map_while(Result::ok);
    let mut reported =
        |what: &str| lines.find_map(|line| line.split_once(what).map(|(_, rest)| rest.to_owned())).unwrap();
    let (pid, directory) = (reported("its pid: "), reported("its directory: "));
    assert!(Path::new("/proc").join(&pid).exists() && Path::new(&directory).exists());
    doomed.kill();
    let gone = async || {
        let all = !Path::new("/proc").join(&pid).exists() && !Path::new(&directory).exists();
        all.then_some(())
    };
    assert!(space::poll(space::DEADLINE, gone).await.is_some(), "{pid} or {directory} is still there");
}

#[test]
#[ignore = "a part of the test above, which runs it in a process of its own"]
fn starts_a_process_and_waits() {
    let child = Process::start("sleep", std::process::Command::new("sleep").arg("600")).unwrap();
    println!("its pid: {}", child.pid());
    println!("its directory: {}", reaper::directory().display());
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn a_leak_is_found_in_every_form() {
    let secret = r#"+}B{KGTG6#zG%P;"tQm0C"#;
    let sentinels = Sentinels::new([("the secret", secret)]);
    let encode = |text: String| base64::prelude::BASE64_STANDARD.encode(text);
    let debugged = format!("{:?}", secret.as_bytes());
    let leaks = [
        secret.to_owned(),
        json!({ "a": secret }).to_string(),
        json!({"line": json!({ "a": secret }).to_string()}).to_string(),
        encode(secret.to_owned()),
        encode(format!("x{secret}yz")),
        encode(format!("ab{secret}")),
        debugged,
        "%2B%7DB%7BKGTG6%23zG%25P%3B%22tQm0C".to_owned(),
    ];
    for leak in leaks {
        assert!(!sentinels.found_in(&format!("before {leak} after")).is_empty(), "{leak}");
    }
    assert!(sentinels.found_in("nothing to see here").is_empty());
}
