//! The properties of the image, without a container engine: a read-only root with the content of the image, an
//! unprivileged user, no capabilities, only the environment that Kubernetes sets, and a pod's own service account.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::fixture::Scene;
use crate::support::operator::Settings;
use crate::support::space::DEADLINE;
use crate::support::{random, reaper};

const USER: &str = "65532";
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[tokio::test]
async fn in_a_sandbox_like_its_image_it_starts_syncs_and_exits_with_0() {
    let Some(bubblewrap) = bubblewrap() else {
        println!("SKIPPED: bubblewrap is not here and cannot be fetched");
        return;
    };
    let scene = Scene::new().await;
    let settings = scene.operator().flag("--provider-ca-file", "/provider-ca/ca.pem");
    let operator = in_sandbox(&scene, settings, &bubblewrap).start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    assert_eq!(client.count(), 1);

    let inner = child_of(operator.pid());
    let status = std::fs::read_to_string(format!("/proc/{inner}/status")).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), "1");
    let users = std::fs::read_to_string(format!("/proc/{inner}/uid_map")).unwrap();
    assert_eq!(users.split_whitespace().next(), Some(USER));
    assert_eq!(writable_mounts(inner), [""; 0]);
    // Only root can read /proc of a process that is not dumpable.
    if let Ok(environment) = std::fs::read_to_string(format!("/proc/{inner}/environ")) {
        let variables = environment.split('\0').filter_map(|variable| variable.split_once('='));
        let mut names: Vec<&str> = variables.map(|(name, _)| name).collect();
        names.sort_unstable();
        // PWD is the sandbox's own.
        assert_eq!(names, ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "PWD"]);
    }

    let pid = Pid::from_raw(i32::try_from(inner).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = operator.ended(DEADLINE).await;
    assert_eq!(ended.code(), Some(0), "{}", operator.output());
}

fn bubblewrap() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/bubblewrap.sh");
    let output = Command::new(script).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().into())
}

fn in_sandbox(scene: &Scene, settings: Settings, bubblewrap: &Path) -> Settings {
    let program = env!("CARGO_BIN_EXE_apicredential-operator");
    let account = service_account(scene);
    let server = scene.space.plane.url();
    let (host, port) = server.trim_start_matches("https://").rsplit_once(':').unwrap();
    let mut arguments: Vec<String> = Vec::new();
    let mut say = |words: &[&str]| arguments.extend(words.iter().map(|word| (*word).to_owned()));
    say(&["--unshare-user", "--unshare-ipc", "--unshare-uts", "--uid", USER, "--gid", USER]);
    say(&["--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv"]);
    say(&["--setenv", "KUBERNETES_SERVICE_HOST", host, "--setenv", "KUBERNETES_SERVICE_PORT", port]);
    say(&["--ro-bind", program, "/apicredential-operator"]);
    for library in libraries(program) {
        say(&["--ro-bind", &library, &library]);
    }
    say(&["--ro-bind-try", "/etc/ssl/certs", "/etc/ssl/certs"]);
    // A kubelet mounts its own over the image's.
    for file in ["/etc/hosts", "/etc/resolv.conf"] {
        say(&["--ro-bind-try", file, file]);
    }
    say(&["--ro-bind", account.to_str().unwrap(), SERVICE_ACCOUNT]);
    say(&["--ro-bind", scene.mock_provider.ca_file().to_str().unwrap(), "/provider-ca/ca.pem"]);
    say(&["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]);
    say(&["--", "/apicredential-operator"]);
    settings.inside(bubblewrap, arguments)
}

/// The files that a pod finds: a token, the API server's CA, its namespace.
fn service_account(scene: &Scene) -> PathBuf {
    let kubeconfig = std::fs::read(scene.space.plane.operator_kubeconfig()).unwrap();
    let kubeconfig: Value = serde_json::from_slice(&kubeconfig).unwrap();
    let ca = kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"].as_str().unwrap();
    let directory = reaper::directory().join(format!("service-account-{}", random::suffix()));
    std::fs::create_dir(&directory).unwrap();
    let put = |name: &str, content: &[u8]| std::fs::write(directory.join(name), content).unwrap();
    put("token", kubeconfig["users"][0]["user"]["token"].as_str().unwrap().as_bytes());
    put("ca.crt", &BASE64_STANDARD.decode(ca).unwrap());
    put("namespace", scene.space.name.as_bytes());
    directory
}

/// What the dynamic linker loads. In the image these files come with the base of the C library.
fn libraries(program: &str) -> Vec<String> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(str::to_owned)
        .collect()
}

/// bubblewrap stays, and waits for the one process that it starts.
fn child_of(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

/// The writable mounts, except the kernel's own.
fn writable_mounts(pid: u32) -> Vec<String> {
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let writable = mounts.lines().filter(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let (place, options) = (fields[4], fields[5]);
        let kernels = place == "/proc" || place.starts_with("/proc/") || place.starts_with("/dev/");
        !kernels && !options.split(',').any(|option| option == "ro")
    });
    writable.map(str::to_owned).collect()
}
