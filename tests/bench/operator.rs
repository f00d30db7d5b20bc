//! The operator's own binary, as in a cluster, with its log in a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::fleet::HOME;
use super::meter::Usage;
use super::support::process::Process;
use super::support::{random, reaper};
use super::world::World;

const START_WITHIN: Duration = Duration::from_secs(180);

/// A running operator; killed when dropped.
pub struct Operator {
    process: Process,
    log: PathBuf,
    pub began: Instant,
    addresses: OnceLock<(String, String)>,
    http: reqwest::Client,
}

impl Operator {
    /// Starts one for the whole cluster, without a rate limit, and does not wait. These flags replace its own.
    pub fn spawn(world: &World, flags: &[(&str, &str)]) -> Self {
        let (allowed, ca) =
            (format!("welkin={}", world.mock_provider.origin()), world.mock_provider.ca_file().display().to_string());
        let usual = [
            ("--lease-namespace", HOME),
            ("--listen", "127.0.0.1:0"),
            ("--health-listen", "127.0.0.1:0"),
            ("--provider-ca-file", &ca),
            ("--allowed-endpoints", &allowed),
            ("--provider-rate", "0"),
        ];
        let kept = usual.into_iter().filter(|(name, _)| !flags.iter().any(|(given, _)| given == name));
        let log = reaper::directory().join(format!("operator-{}.log", random::suffix()));
        let file = File::create(&log).expect("a log can be made");
        let mut command = Command::new(program());
        command.arg("run").args(kept.chain(flags.iter().copied()).flat_map(|(name, value)| [name, value]));
        command.env_clear().env("KUBECONFIG", world.plane.operator_kubeconfig()).current_dir("/");
        command.stdout(Stdio::null()).stderr(file);
        let began = Instant::now();
        let process = Process::start("apicredential-operator", &mut command).expect("the operator starts");
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(60));
        let http = http.build().expect("a plain client can be made");
        Self { process, log, began, addresses: OnceLock::new(), http }
    }

    /// Waits until `/readyz` returns 200. Returns how long after its start that was.
    pub async fn ready(&self) -> Duration {
        loop {
            if self.get("/readyz").await.is_some_and(|(status, _)| status == 200) {
                return self.began.elapsed();
            }
            assert!(self.process.exit_status().is_none(), "the operator ended: {}", self.log_text());
            assert!(self.began.elapsed() < START_WITHIN, "the operator is not ready: {}", self.log_text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub fn usage(&self) -> Usage {
        Usage::of(self.process.pid())
    }

    /// The value of one series, written as in the text.
    pub async fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.get("/metrics").await.expect("the operator serves /metrics");
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or(0.0)
    }

    /// SIGTERM, and waits for its end.
    pub async fn end(self) {
        self.process.terminate();
        self.process.ended(Duration::from_secs(30)).await.expect("the operator ends");
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn get(&self, path: &str) -> Option<(u16, String)> {
        let (metrics, health) = self.addresses()?;
        let url = format!("http://{}{path}", if path == "/metrics" { metrics } else { health });
        let response = self.http.get(url).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// Those of the metrics and of the probes; one and the same in an older build, to compare with.
    fn addresses(&self) -> Option<&(String, String)> {
        if let Some(addresses) = self.addresses.get() {
            return Some(addresses);
        }
        let text = self.log_text();
        let line: Value =
            text.lines().filter(|line| line.contains("listening")).find_map(|it| serde_json::from_str(it).ok())?;
        let field = |name: &str| line["fields"][name].as_str().or_else(|| line[name].as_str()).map(str::to_owned);
        let metrics = field("address")?;
        let health = field("health_address").unwrap_or_else(|| metrics.clone());
        Some(self.addresses.get_or_init(|| (metrics, health)))
    }
}

/// Built into the folder above the examples; `BENCH_OPERATOR` names another one, to compare with.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("BENCH_OPERATOR") {
        return program.into();
    }
    let own = std::env::current_exe().expect("a program knows where it is");
    let folder = own.parent().and_then(Path::parent).expect("examples are built into a folder of their own");
    folder.join("apicredential-operator")
}
