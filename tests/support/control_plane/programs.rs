//! The three programs: where they are, how they are started, when they are ready.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use kube::Client;

use super::super::process::Process;
use super::super::random;
use super::files::Files;

/// Below the range from which Linux takes ports for outgoing connections (32768 and up), so that no connection of our
/// own takes the API server's port while it is down.
const PORTS: std::ops::Range<u16> = 15_000..30_000;

/// The ports of one control plane.
pub struct Ports {
    pub api_server: u16,
    etcd_clients: u16,
    etcd_peers: u16,
}

impl Ports {
    /// Three ports that are free now.
    pub fn free() -> Self {
        // All three are held until all are chosen.
        let [a, b, c] = [free_port(), free_port(), free_port()];
        Self { api_server: a.1, etcd_clients: b.1, etcd_peers: c.1 }
    }
}

fn free_port() -> (TcpListener, u16) {
    loop {
        let offset = u16::from_le_bytes(random::bytes()) % (PORTS.end - PORTS.start);
        let port = PORTS.start + offset;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return (listener, port);
        }
    }
}

/// The folder with the programs.
#[derive(Clone)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds them, or builds them once. The progress is on standard error.
    pub fn find() -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/control-plane/build.sh");
        let output = Command::new(&script)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("{}: {error}", script.display()))?;
        if !output.status.success() {
            return Err(format!("{} failed: {}; its messages are above", script.display(), output.status));
        }
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Self { folder: folder.into() })
    }

    pub fn etcd(&self, files: &Files, ports: &Ports) -> Result<Process, String> {
        let clients = format!("http://127.0.0.1:{}", ports.etcd_clients);
        let peers = format!("http://127.0.0.1:{}", ports.etcd_peers);
        self.start(
            "etcd",
            files,
            &[
                // Nothing here outlives the process, so nothing needs to reach the disk.
                "--unsafe-no-fsync",
                &format!("--data-dir={}", files.path("etcd").display()),
                &format!("--listen-client-urls={clients}"),
                &format!("--advertise-client-urls={clients}"),
                &format!("--listen-peer-urls={peers}"),
                &format!("--initial-advertise-peer-urls={peers}"),
                &format!("--initial-cluster=default={peers}"),
                // Room for a thousand large Secrets; twice that for what is not compacted yet.
                "--quota-backend-bytes=4294967296",
                "--log-level=warn",
            ],
        )
    }

    /// `more` flags replace those here.
    pub fn api_server(&self, files: &Files, ports: &Ports, more: &[String]) -> Result<Process, String> {
        let file = |name: &str| files.path(name).display().to_string();
        self.start_with(
            "kube-apiserver",
            files,
            more,
            &[
                &format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd_clients),
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                // A loopback address is not valid in the Endpoints of the service "kubernetes".
                "--endpoint-reconciler-type=none",
                &format!("--secure-port={}", ports.api_server),
                &format!("--tls-cert-file={}", file("serving.crt")),
                &format!("--tls-private-key-file={}", file("serving.key")),
                "--authorization-mode=RBAC",
                &format!("--token-auth-file={}", file("tokens.csv")),
                "--service-account-issuer=https://kubernetes.default.svc",
                &format!("--service-account-key-file={}", file("service-accounts.pub")),
                &format!("--service-account-signing-key-file={}", file("service-accounts.key")),
                "--service-cluster-ip-range=10.0.0.0/24",
                &format!("--audit-policy-file={}", file("audit-policy.yaml")),
                &format!("--audit-log-path={}", files.audit_log().display()),
                // Written before the response ends, and never rotated, so a test that has its response can count.
                "--audit-log-mode=blocking",
                "--audit-log-maxsize=0",
                "--profiling=false",
            ],
        )
    }

    pub fn controller_manager(&self, files: &Files) -> Result<Process, String> {
        self.start(
            "kube-controller-manager",
            files,
            &[
                &format!("--kubeconfig={}", files.kubeconfig("controller-manager").display()),
                // What the operator relies on: owned Secrets are collected, namespaces are deleted, quotas count, the
                // ClusterRoles for users are aggregated to view, edit and admin.
                "--controllers=garbage-collector-controller,namespace-controller,serviceaccount-controller,\
             resourcequota-controller,clusterrole-aggregation-controller",
                "--leader-elect=false",
                "--use-service-account-credentials=false",
                "--secure-port=0",
                "--concurrent-gc-syncs=4",
                "--concurrent-namespace-syncs=4",
                "--concurrent-resource-quota-syncs=2",
                "--profiling=false",
            ],
        )
    }

    fn start(&self, name: &str, files: &Files, arguments: &[&str]) -> Result<Process, String> {
        self.start_with(name, files, &[], arguments)
    }

    fn start_with(&self, name: &str, files: &Files, more: &[String], arguments: &[&str]) -> Result<Process, String> {
        let log = File::options().create(true).append(true).open(log_path(files, name));
        let log = log.map_err(|error| format!("{name}: its log: {error}"))?;
        let copy = log.try_clone().map_err(|error| format!("{name}: its log: {error}"))?;
        let program = self.folder.join(name);
        let mut command = Command::new(&program);
        command.args(arguments).args(more).current_dir(files.directory()).stdout(log).stderr(copy);
        Process::start(name, &mut command).map_err(|error| format!("{}: {error}", program.display()))
    }
}

/// Waits until the API server is ready. The end of one of the `processes` is an error at once.
pub async fn ready(client: &Client, processes: &[&Process], files: &Files, within: Duration) -> Result<(), String> {
    let poll = async {
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
            let answer = tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await;
            if matches!(answer, Ok(Ok(_))) {
                return Ok(());
            }
            for process in processes {
                if let Some(status) = process.exit_status() {
                    return Err(format!("{} ended: {status}\n{}", process.name(), log_end(files, process.name())));
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(within, poll).await.unwrap_or_else(|_| {
        Err(format!("kube-apiserver was not ready within {within:?}\n{}", log_end(files, "kube-apiserver")))
    })
}

fn log_path(files: &Files, name: &str) -> PathBuf {
    files.path(&format!("{name}.log"))
}

fn log_end(files: &Files, name: &str) -> String {
    let log = std::fs::read_to_string(log_path(files, name)).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
