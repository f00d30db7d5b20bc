//! The plugin run by a real kubectl, which finds plugins on the PATH.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::fixture::Scene;
use crate::transcript::{Transcript, program};

#[tokio::test]
async fn kubectl_runs_the_plugin_and_completes_its_commands_and_names() {
    let scene = Scene::new().await;
    let client = scene.welkin_client("care").await;
    scene.apply_welkin("care", &client).await;
    let path = tempfile::tempdir().unwrap();
    symlink(program(), path.path().join("kubectl-apicredential")).unwrap();
    symlink(kubectl_program(), path.path().join("kubectl")).unwrap();
    let run = |arguments: &[&str]| kubectl(path.path(), &scene, arguments);

    let listed = run(&["apicredential", "list", "-n", &scene.space.name]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.status.success() && text.contains("care-token"), "{listed:?}");
    assert_eq!(run(&["apicredential", "status", "nobody", "-n", &scene.space.name]).status.code(), Some(3));

    let script = run(&["apicredential", "completion", "kubectl"]);
    let completer = path.path().join("kubectl_complete-apicredential");
    std::fs::write(&completer, script.stdout).unwrap();
    std::fs::set_permissions(&completer, std::fs::Permissions::from_mode(0o755)).unwrap();
    let completions = |words: &[&str]| {
        let output = run(&[&["__complete", "apicredential"], words].concat());
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let commands = completions(&["st"]);
    assert!(commands[0].starts_with("status\t") && commands[1] == ":4", "{commands:?}");
    assert_eq!(completions(&["status", "-n", &scene.space.name, "c"]), ["care", ":4"]);
    let flags = completions(&["list", "--not"]);
    assert!(flags[0].starts_with("--not-ready\t"), "{flags:?}");
}

#[tokio::test]
async fn each_completion_script_contains_the_commands() {
    let mut shell = Transcript::bare("completion", PathBuf::new());
    for name in ["bash", "zsh", "fish"] {
        let run = shell.quietly(&["completion", name]).await;
        assert_eq!(run.code, 0, "{}", run.stderr);
        for word in ["doctor", "kubeconfig", "not-ready"] {
            assert!(run.stdout.contains(word), "{name}: {word}");
        }
        assert!(!run.stdout.contains("stderr"), "{name}");
    }
    let syntax =
        Command::new("bash").args(["-n", "-c"]).arg(shell.quietly(&["completion", "bash"]).await.stdout).status();
    assert!(syntax.unwrap().success());
}

fn kubectl(path: &Path, scene: &Scene, arguments: &[&str]) -> Output {
    let mut command = Command::new(path.join("kubectl"));
    // The completion script needs a shell on the PATH.
    command.args(arguments).env_clear().env("PATH", format!("{}:/usr/bin:/bin", path.display()));
    command.env("HOME", path).env("KUBECONFIG", scene.space.plane.admin_kubeconfig()).stdin(Stdio::null());
    command.output().unwrap()
}

/// The path of kubectl, which is built once if it is missing. The progress is on standard error.
fn kubectl_program() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control-plane/build.sh");
    let output = Command::new(&script).arg("kubectl").stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{}; its messages are above", output.status);
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("kubectl")
}
