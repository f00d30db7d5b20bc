//! Secrets and tokens in the operator's own memory: what remains of them, and which user can read it.

mod scan;

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::geteuid;
use serde_json::json;

use crate::fixture::Scene;
use crate::memory::scan::ProcessMemory;
use crate::support::leaks::Sentinels;
use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Client, Reply};
use crate::support::space::{self, poll, value};

/// The operator closes idle connections within 40 s. The test does not wait for the API server to close them, after 90
/// s.
const IDLE_WITHIN: Duration = Duration::from_secs(80);
/// The user of the image.
const USER: u32 = 65532;

#[tokio::test]
async fn once_idle_no_secret_and_no_token_is_left_on_the_heap() {
    let scene = Scene::new().await;
    let (client, user) = (scene.welkin_client("a").await, scene.qontak_user("b").await);
    let (operator, mut memory) = start(&scene.operator()).await;
    client.next(Reply::token().latency(Duration::from_secs(10)));
    let welkin = space::welkin("a", &client, &scene.mock_provider);
    let qontak = space::qontak("b", &scene.mock_provider);
    for mut manifest in [welkin, qontak] {
        manifest["spec"]["target"]["data"] = json!({"authorization": "Bearer {token}"});
        scene.space.apply(&manifest).await;
    }

    // The scan can find something: values in use, and below a value that is not secret.
    scene.space.wait_for("the request", async || (client.in_flight() == 1).then_some(())).await;
    let secret = Sentinels::new([("the secret", "sentinel-secret-of-a")]);
    assert_ne!(search(&operator, &mut memory, &secret), [] as [String; 0]);

    for name in ["a", "b"] {
        scene.space.wait_ready(name).await;
        force_a_repair(&scene, name).await;
    }
    let secrets = secrets_of(&client, &user);
    let mut left = Vec::new();
    let clean = poll(IDLE_WITHIN, async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        left = search(&operator, &mut memory, &secrets);
        left.is_empty().then_some(())
    });
    assert!(clean.await.is_some(), "left in memory: {left:#?}");
    let namespace = Sentinels::new([("the namespace", scene.space.name.as_str())]);
    assert_ne!(search(&operator, &mut memory, &namespace), [] as [String; 0]);
    assert_eq!((client.count(), user.count()), (1, 1));
}

#[tokio::test]
async fn in_its_image_it_works_and_only_root_can_read_its_memory() {
    let scene = Scene::new().await;
    let client = scene.welkin_client("a").await;
    let image = tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().unwrap();
    let operator = in_image(&scene, image.path()).start().await;
    // The process can still read its own files, although most of /proc/self is owned by root.
    scene.apply_welkin("a", &client).await;
    scene.space.wait_condition("a", "Ready", "True/TokenValid").await;

    // The directory is the user's. Its content is root's unless the process is dumpable (proc(5)).
    let process = PathBuf::from(format!("/proc/{}", operator.pid()));
    let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
    assert_ne!(owner(&process), 0);
    assert_eq!(owner(&process.join("mem")), 0);
    let limits = std::fs::read_to_string(process.join("limits")).unwrap();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
    assert!(operator.log().iter().all(|line| line["level"] != "WARN"), "{}", operator.output());
}

/// A leading operator, and its memory, opened before the process forbids that: only root could open it later.
async fn start(settings: &Settings) -> (Operator, ProcessMemory) {
    for _ in 0..20 {
        let operator = settings.spawn();
        if let Ok(memory) = ProcessMemory::open(operator.pid()) {
            operator.ready().await;
            return (operator, memory);
        }
    }
    panic!("its memory cannot be opened");
}

/// What is found while all threads of the process are stopped.
fn search(operator: &Operator, memory: &mut ProcessMemory, sentinels: &Sentinels) -> Vec<String> {
    operator.pause();
    let found = memory.search(sentinels);
    operator.resume();
    found
}

/// The token is read back from the API server, and written again.
async fn force_a_repair(scene: &Scene, name: &str) {
    let target = format!("{name}-token");
    scene.space.patch_secret(&target, &json!({"data": {"authorization": null}})).await;
    let again = async || value(&scene.space.secret(&target).await?, "authorization");
    scene.space.wait_for("the key is back", again).await;
}

fn secrets_of(client: &Client, user: &Client) -> Sentinels {
    let (first, second) = (client.last_token().unwrap(), user.last_token().unwrap());
    Sentinels::new([
        ("Welkin's secret", "sentinel-secret-of-a"),
        ("Qontak's password", "sentinel-password-of-b"),
        ("Welkin's token", first.as_str()),
        ("Qontak's token", second.as_str()),
    ])
}

/// The program, its files, and the user of the image; the current user if the test may not change users.
fn in_image(scene: &Scene, image: &Path) -> Settings {
    let copy = |from: &Path, name: &str| {
        let to = image.join(name);
        std::fs::copy(from, &to).unwrap();
        to
    };
    let program = copy(Path::new(env!("CARGO_BIN_EXE_apicredential-operator")), "apicredential-operator");
    let kubeconfig = copy(&scene.space.plane.operator_kubeconfig(), "kubeconfig");
    let ca = copy(scene.mock_provider.ca_file(), "ca.pem");
    let settings = scene.operator().kubeconfig(&kubeconfig).flag("--provider-ca-file", ca.to_str().unwrap());
    if !geteuid().is_root() {
        return settings;
    }
    for file in [&kubeconfig, &ca] {
        chown(file, Some(USER), None).unwrap();
    }
    settings.program_as(&program, USER)
}
