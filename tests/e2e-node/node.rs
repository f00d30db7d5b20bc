//! A node in namespaces of its own, and the output of a pod on it.

use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::process::Process;
use crate::support::provider::MockProvider;
use crate::support::space::Space;
use crate::support::{random, reaper};

const IMAGE: &str = "localhost/pod:e2e";

/// A running node; killed when dropped, with everything on it.
pub struct Node {
    name: String,
    folder: PathBuf,
    process: Process,
}

/// A line of the pod's output: see pod/main.go.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    pub at: Timestamp,
    /// The SHA-256 of the token that it has read, in hexadecimal digits.
    pub token: String,
    /// The same of the file that is mounted with a subPath.
    pub still: String,
    pub calls: usize,
    pub good: usize,
    pub refused: usize,
}

impl Node {
    /// Starts one. Without a period the kubelet syncs its pods in its default period.
    pub fn start(space: &Space, sync_period: Option<&str>) -> Self {
        let name = format!("node-{}", random::suffix());
        let folder = reaper::directory().join(&name);
        std::fs::create_dir(&folder).unwrap();
        let put = |file: &str, content: &str| std::fs::write(folder.join(file), content).unwrap();
        let cgroup = std::env::var("E2E_NODE_CGROUPS").expect("run.sh sets the prefix of the cgroups that it removes");
        let cgroup = format!("{cgroup}{name}");
        put("name", &name);
        put("cgroup", &cgroup);
        put("containerd.toml", &containerd());
        put("kubelet.yaml", &kubelet(&folder, &cgroup, sync_period).to_string());
        std::fs::copy(space.plane.admin_kubeconfig(), folder.join("kubeconfig")).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e-node/node.sh");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]).arg(script).arg(&folder);
        let process = Process::start("node", &mut command).unwrap();
        Self { name, folder, process }
    }

    /// Runs a pod on it that mounts the target Secret twice: as a volume, and one file of it by subPath.
    pub async fn run_pod(&self, space: &Space, mock_provider: &MockProvider, secret: &str) {
        let pods: Api<Pod> = Api::namespaced(space.client.clone(), &space.name);
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "app"},
            "spec": {
                // There is no scheduler, no network of pods and no name service.
                "nodeName": self.name,
                "hostNetwork": true,
                "dnsPolicy": "Default",
                "automountServiceAccountToken": false,
                "enableServiceLinks": false,
                "containers": [{
                    "name": "app",
                    "image": IMAGE,
                    "imagePullPolicy": "Never",
                    "args": [format!("{}/api/open/v1/health", mock_provider.origin()), "/secret/token", "/still/token"],
                    "env": [{"name": "PROVIDER_CA", "value": mock_provider.ca_pem()}],
                    "volumeMounts": [
                        {"name": "secret", "mountPath": "/secret", "readOnly": true},
                        {"name": "secret", "mountPath": "/still/token", "subPath": "token", "readOnly": true},
                    ],
                }],
                "volumes": [{"name": "secret", "secret": {"secretName": secret}}],
            },
        }))
        .unwrap();
        // Rejected as long as the namespace's default service account does not exist.
        let created = async || pods.create(&PostParams::default(), &pod).await.ok();
        drop(space.wait_for("a pod", created).await);
    }

    /// The output of the pod so far, oldest first. Panics with the ends of the logs if the node has ended.
    pub fn reports(&self) -> Vec<Report> {
        if let Some(status) = self.process.exit_status() {
            panic!("the node ended: {status}\n{}", self.log_ends());
        }
        let log = self.pod_log();
        lines_of(&log).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The ends of all logs, for a failure's text.
    pub fn log_ends(&self) -> String {
        let file = |name: &str| std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        let logs = ["containerd.log", "import.log", "kubelet.log"].map(|name| (name, file(name)));
        let logs = logs.into_iter().chain([("the pod", self.pod_log())]);
        logs.map(|(name, log)| format!("--- {name}\n{}\n", last_lines(&log))).collect()
    }

    fn pod_log(&self) -> String {
        let folders = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let logs = folders(self.folder.join("pods")).map(|pod| pod.join("app"));
        logs.flat_map(folders).filter_map(|log| std::fs::read_to_string(log).ok()).collect()
    }
}

/// The lines of standard output in a pod's log, except one that the container runtime is still writing.
fn lines_of(log: &str) -> impl Iterator<Item = &str> {
    let whole = log.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    // The time, the stream, and a tag for complete lines come first.
    whole.filter_map(|line| line.split_once(" stdout F ")).map(|(_, line)| line)
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// The sandbox's program is the pod's own, which waits when it gets no arguments.
fn containerd() -> String {
    format!(
        r#"version = 2
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  # Else every sandbox fails where CAP_SYS_RESOURCE is missing.
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
"#
    )
}

/// A kubelet that does not change the machine: no ports, no firewall rules, no cgroups except below one of its own.
fn kubelet(folder: &Path, cgroup: &str, sync_period: Option<&str>) -> Value {
    let mut configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": false}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "enableServer": false,
        "healthzPort": 0,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "localStorageCapacityIsolation": false,
        "protectKernelDefaults": true,
        "evictionHard": {},
        "oomScoreAdj": 0,
        "resolvConf": "",
        "podLogsDir": folder.join("pods"),
    });
    if let Some(period) = sync_period {
        configuration["syncFrequency"] = period.into();
    }
    configuration
}

#[test]
fn a_line_that_is_still_being_written_is_not_read() {
    let log = "T1 stdout F {\"one\":1}\nT2 stderr F oops\nT3 stdout F {\"two\":";
    assert_eq!(lines_of(log).collect::<Vec<_>>(), ["{\"one\":1}"]);
    assert_eq!(lines_of(&format!("{log}2}}\n")).collect::<Vec<_>>(), ["{\"one\":1}", "{\"two\":2}"]);
}
