//! What a real kubectl shows of the CRD, and of an ApiCredential that no operator has reconciled yet.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use apicredential::api::crd;
use serde_json::Value;

use crate::support::provider::MockProvider;
use crate::support::space::{self, Space};

#[tokio::test]
async fn before_the_first_attempt_kubectl_shows_unknown_and_waits() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("a"));
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    let shown = kubectl(&space, &["get", "apicred", "a", "--no-headers"]);
    let cells: Vec<&str> = shown.split_whitespace().collect();
    assert_eq!(cells[..5], ["a", "Welkin", "a-token", "Unknown", "Pending"], "{shown}");

    let wait = run(&space, &["wait", "--for=condition=Ready", "--timeout=1s", "apicred/a"]);
    let error = String::from_utf8_lossy(&wait.stderr).into_owned();
    assert!(!wait.status.success() && error.contains("timed out waiting for the condition"), "{error}");
}

#[tokio::test]
async fn kubectl_explains_every_field() {
    let space = Space::new().await;
    let crd = serde_json::to_value(crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let mut paths = Vec::new();
    for part in ["spec", "status"] {
        add_paths(&schema["properties"][part], &format!("apicred.{part}"), &mut paths);
    }
    assert!(paths.len() > 60, "{}", paths.len());
    let text = kubectl(&space, &["explain", "apicred", "--recursive"]);
    for path in &paths {
        let field = path.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{field}\t<")), "{path} is not explained:\n{text}");
    }
    // One of each kind, in full: text, number, map, block, list.
    for path in [
        "spec.target.tokenKey",
        "spec.renewal.renewBeforePercentage",
        "spec.target.data",
        "spec.provider.qontak",
        "status.conditions",
    ] {
        let text = kubectl(&space, &["explain", &format!("apicred.{path}")]);
        assert!(text.contains("DESCRIPTION:") && !text.contains("<empty>"), "{path}: {text}");
    }
}

/// The path of each field below a schema, as `kubectl explain` takes it.
fn add_paths(schema: &Value, path: &str, paths: &mut Vec<String>) {
    paths.push(path.to_owned());
    let below = if schema["items"].is_object() { &schema["items"] } else { schema };
    for (name, field) in below["properties"].as_object().into_iter().flatten() {
        add_paths(field, &format!("{path}.{name}"), paths);
    }
}

fn kubectl(space: &Space, arguments: &[&str]) -> String {
    let output = run(space, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn run(space: &Space, arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program());
    command.args(["-n", &space.name]).args(arguments).env_clear();
    command.env("HOME", home.path()).env("KUBECONFIG", space.plane.admin_kubeconfig()).stdin(Stdio::null());
    command.output().unwrap()
}

/// The path of kubectl, which is built once if it is missing. The progress is on standard error.
fn program() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control-plane/build.sh");
    let output = Command::new(&script).arg("kubectl").stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{}; its messages are above", output.status);
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("kubectl")
}
