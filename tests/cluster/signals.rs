//! How the process starts, rejects a start, and exits.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::account::operator_rules_without;
use crate::support::operator::{Operator, Settings};
use crate::support::process::Process;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space};
use crate::support::{random, reaper};

/// From SIGTERM to the end of the process, as documented.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn sigterm_while_idle_releases_the_lease_and_exits_with_0() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("c"));
    space.source_welkin("a-source", "a secret of a source").await;
    let operator = Settings::new(&space, &mock_provider).patient().start().await;
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    space.wait_ready("a").await;
    assert_ne!(holder(&space).await, "");
    assert_eq!(operator.terminate(STOPS_WITHIN).await.code(), Some(0), "{}", operator.output());
    assert_eq!(holder(&space).await, "");
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn sigterm_on_standby_does_not_change_the_lease() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let settings = Settings::new(&space, &mock_provider);
    let first = settings.start().await;
    let leads = async || (first.get("/readyz").await?.1 == "leading\n").then_some(());
    space.wait_for("the first leads", leads).await;
    let leader = holder(&space).await;
    let second = settings.start().await;
    assert_eq!(second.terminate(STOPS_WITHIN).await.code(), Some(0), "{}", second.output());
    assert_eq!(holder(&space).await, leader);
    assert!(first.is_running());
}

#[tokio::test]
async fn sigterm_while_the_api_server_is_silent_exits_with_0() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    // Connections are accepted and never responded to.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let kubeconfig = std::fs::read_to_string(space.plane.operator_kubeconfig()).unwrap();
    let elsewhere = kubeconfig.replace(&space.plane.url(), &format!("https://{}", silent.local_addr().unwrap()));
    assert_ne!(kubeconfig, elsewhere);
    let path = reaper::directory().join(format!("silent-{}.yaml", random::suffix()));
    std::fs::write(&path, elsewhere).unwrap();
    let operator = Settings::new(&space, &mock_provider).kubeconfig(&path).spawn();
    serves(&space, &operator).await;
    assert_eq!(operator.terminate(STOPS_WITHIN).await.code(), Some(0), "{}", operator.output());
}

#[tokio::test]
async fn sigterm_before_the_caches_are_filled_releases_the_lease_and_exits_with_0() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let rules = operator_rules_without("apicredentials", &["list", "watch"]);
    let account = space.account("blind", &rules).await;
    let operator = Settings::new(&space, &mock_provider).kubeconfig(&account.kubeconfig).spawn();
    let leads = async || space.leases.get_opt("apicredential-operator").await.ok().flatten();
    space.wait_for("the operator leads", leads).await;
    assert_ne!(holder(&space).await, "");
    serves(&space, &operator).await;
    assert_eq!(operator.get("/readyz").await, Some((503, "starting\n".to_owned())), "without caches it is not ready");
    assert_eq!(operator.terminate(STOPS_WITHIN).await.code(), Some(0), "{}", operator.output());
    assert_eq!(holder(&space).await, "");
    assert!(!operator.output().contains("has not ended"), "nothing was in flight: {}", operator.output());
}

#[tokio::test]
async fn a_rejected_start_exits_with_2_and_a_sentence_that_names_what_to_correct() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let garbage = reaper::directory().join(format!("garbage-{}", random::suffix()));
    std::fs::write(&garbage, "neither YAML: nor: PEM").unwrap();
    let garbage = garbage.to_str().unwrap();
    let kubeconfig = reaper::directory().join(format!("kubeconfig-{}", random::suffix()));
    std::fs::write(&kubeconfig, KUBECONFIG).unwrap();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let lease = ["--lease-namespace", "a", "--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0"];
    let with = |flags: &[&'static str]| [&lease[..], flags].concat();
    for (flags, env, says) in [
        (with(&["--resyncs", "1m"]), None, "--resyncs"),
        (with(&["--resync", "soon"]), None, "--resync"),
        (with(&[]), Some(("APICREDENTIAL_RESYNC", "soon")), "--resync"),
        (with(&["--provider-timeout", "21s"]), None, "--provider-timeout"),
        (with(&["--lease-duration", "10s"]), None, "--lease-duration"),
        (with(&["--allowed-endpoints", "welkin=http://a"]), None, "--allowed-endpoints"),
        (with(&["--provider-ca-file", "/nowhere/ca.pem"]), None, "--provider-ca-file /nowhere/ca.pem"),
        ([&lease[..], &["--provider-ca-file", garbage]].concat(), None, "--provider-ca-file contains"),
        (with(&["--log", "info=aloud"]), None, "--log"),
        (vec!["--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0"], None, "--lease-namespace"),
        (with(&[]), Some(("KUBECONFIG", "/nowhere/config")), "KUBECONFIG"),
        (with(&[]), Some(("KUBECONFIG", garbage)), "KUBECONFIG"),
        (vec!["--lease-namespace", "a", "--listen", &taken], None, &format!("--listen {taken}")),
        (
            vec!["--lease-namespace", "a", "--listen", "127.0.0.1:0", "--health-listen", &taken],
            None,
            &format!("--health-listen {taken}"),
        ),
    ] {
        let env = [("KUBECONFIG", kubeconfig)].into_iter().chain(env);
        let (code, _, text) = run(&[&["run"], flags.as_slice()].concat(), env).await;
        assert_eq!(code, Some(2), "{flags:?}: {text}");
        assert!(text.contains(says), "{flags:?}: {text}");
        let last = text.trim_end().lines().last().unwrap_or_default();
        assert!(!text.contains("panicked") && !last.is_empty(), "{flags:?}: {text}");
    }
}

#[tokio::test]
async fn the_crd_and_the_version_are_printed_without_a_cluster() {
    let crd = apicredential::api::crd_yaml();
    let version = format!("apicredential-operator {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["crd"], []).await, (Some(0), crd, String::new()));
    assert_eq!(run(&["--version"], []).await, (Some(0), version, String::new()));
}

/// Nothing listens there. A start that should be rejected does not get that far.
const KUBECONFIG: &str = r#"
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"#;

/// Runs to its end: exit code, standard output, standard error.
async fn run<'a>(
    arguments: &[&str],
    env: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apicredential-operator"));
    command.args(arguments).env_clear().envs(env).current_dir("/");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = Process::start("apicredential-operator", &mut command).unwrap();
    let (stdout, stderr) = process.take_output();
    let status = process.ended(STOPS_WITHIN).await;
    process.kill();
    let text = |pipe: &mut dyn Read| {
        let mut text = String::new();
        pipe.read_to_string(&mut text).map(|_| text).unwrap()
    };
    (status.and_then(|status| status.code()), text(&mut stdout.unwrap()), text(&mut stderr.unwrap()))
}

async fn serves(space: &Space, operator: &Operator) {
    space.wait_for("it serves", async || operator.get("/livez").await.map(drop)).await;
}

async fn holder(space: &Space) -> String {
    let lease = space.leases.get("apicredential-operator").await.unwrap();
    lease.spec.unwrap().holder_identity.unwrap_or_default()
}
