//! The real operator binary as a separate process, as in a cluster: flags, a kubeconfig, nothing else.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::mode::Mode;
use super::process::Process;
use super::provider::{MockProvider, Witness};
use super::random;
use super::space::{Space, poll};

/// For the address in the log, and for `/readyz`.
const START_WITHIN: Duration = Duration::from_secs(180);

/// How to start an operator. Later values of the same flag replace earlier ones.
#[derive(Clone)]
pub struct Settings {
    flags: Vec<(String, String)>,
    program: PathBuf,
    before: Vec<String>,
    user: Option<u32>,
    kubeconfig: PathBuf,
    variables: Vec<(String, PathBuf)>,
    log: PathBuf,
    space_outputs: Arc<Mutex<Vec<Arc<Output>>>>,
    pub(super) space_witnesses: Arc<Mutex<Vec<Witness>>>,
}

/// A running operator; killed when dropped.
pub struct Operator {
    process: Process,
    output: Arc<Output>,
    readers: Mutex<Vec<JoinHandle<()>>>,
}

/// What an operator has written to standard output and standard error.
pub struct Output {
    text: Mutex<String>,
    log: PathBuf,
}

impl Settings {
    /// An operator for one test's namespace, as the user `operator`, with this mock provider allowed; logs at TRACE.
    pub fn new(space: &Space, mock_provider: &MockProvider) -> Self {
        let (namespace, origin) = (&space.name, mock_provider.origin());
        let settings = Self {
            flags: Vec::new(),
            program: env!("CARGO_BIN_EXE_apicredential-operator").into(),
            before: Vec::new(),
            user: None,
            kubeconfig: space.plane.operator_kubeconfig(),
            variables: Vec::new(),
            log: log_path(namespace),
            space_outputs: Arc::clone(&space.outputs),
            space_witnesses: Arc::clone(&space.witnesses),
        };
        settings.witnessed_by(mock_provider);
        settings
            .flag("--namespaces", namespace)
            .flag("--lease-namespace", namespace)
            .flag("--listen", "127.0.0.1:0")
            .flag("--health-listen", "127.0.0.1:0")
            .flag("--provider-ca-file", &mock_provider.ca_file().display().to_string())
            .flag("--allowed-endpoints", &format!("welkin={origin},qontak={origin}"))
            .flag("--log-format", "json")
            .flag("--log", "trace")
    }

    /// The secrets that this mock provider receives and the tokens that it issues must not appear anywhere. The end of
    /// the test's namespace searches for them.
    pub(super) fn witnessed_by(&self, mock_provider: &MockProvider) {
        self.space_witnesses.lock().unwrap_or_else(PoisonError::into_inner).push(mock_provider.witness());
    }

    /// Sets a flag: `.flag("--resync", "1h")`.
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.flags.retain(|(known, _)| known != name);
        self.flags.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes a flag.
    pub fn without_flag(mut self, name: &str) -> Self {
        self.flags.retain(|(known, _)| known != name);
        self
    }

    /// Connects with another kubeconfig, such as one of a service account's token.
    pub fn kubeconfig(mut self, path: &Path) -> Self {
        path.clone_into(&mut self.kubeconfig);
        self
    }

    /// Passes a file to it by an environment variable.
    pub fn variable(mut self, name: &str, path: &Path) -> Self {
        self.variables.push((name.to_owned(), path.to_owned()));
        self
    }

    /// Runs a copy of the program, as another user; only root can do that.
    pub fn program_as(mut self, program: &Path, user: u32) -> Self {
        program.clone_into(&mut self.program);
        self.user = Some(user);
        self
    }

    /// Runs it through another program, which gets these arguments before the operator's own.
    pub fn inside(mut self, program: &Path, arguments: Vec<String>) -> Self {
        program.clone_into(&mut self.program);
        self.before = arguments;
        self
    }

    /// Short intervals for tests in which a token of some seconds is renewed.
    pub fn quick(self) -> Self {
        self.flag("--min-renewal-interval", "1s").flag("--retry-base", "1s")
    }

    /// No retry and no resync within a test: only watch events have an effect.
    pub fn patient(self) -> Self {
        self.flag("--resync", "1h").flag("--retry-base", "5m")
    }

    /// Reconciles everything every second, and retries at once: for changes that no watch reports, and for what must
    /// not happen.
    pub fn eager(self) -> Self {
        self.flag("--min-renewal-interval", "1s").flag("--resync", "1s").flag("--retry-base", "50ms")
    }

    /// Starts it and waits until `/readyz` returns 200.
    pub async fn start(&self) -> Operator {
        let operator = self.spawn();
        operator.ready().await;
        operator
    }

    /// Starts it without waiting.
    pub fn spawn(&self) -> Operator {
        match Mode::of_run() {
            Mode::Cluster | Mode::Namespaced => self.run(),
            // No watch of Secrets reports a change, so the operator finds it at the next resync.
            Mode::Pinned => self.clone().flag("--resync", "1s").run(),
        }
    }

    fn run(&self) -> Operator {
        let mut command = Command::new(&self.program);
        command.args(&self.before).arg("run").args(self.flags.iter().flat_map(|(name, value)| [name, value]));
        command.env_clear().env("KUBECONFIG", &self.kubeconfig).env("RUST_BACKTRACE", "1").current_dir("/");
        command.envs(self.variables.iter().map(|(name, path)| (name, path)));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(user) = self.user {
            command.uid(user);
        }
        let process = Process::start("apicredential-operator", &mut command).expect("the operator starts");
        let output = Arc::new(Output { text: Mutex::default(), log: self.log.clone() });
        let (stdout, stderr) = process.take_output();
        let readers = [copy(stdout.expect("it is piped"), &output), copy(stderr.expect("it is piped"), &output)];
        self.space_outputs.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&output));
        Operator { process, output, readers: Mutex::new(readers.into()) }
    }
}

impl Operator {
    /// Waits until `/readyz` returns 200.
    pub async fn ready(&self) {
        let probe = async || {
            if let Some(status) = self.process.exit_status() {
                panic!("the operator ended: {status}\n{}", self.output.end());
            }
            let (status, _) = self.get("/readyz").await?;
            (status == 200).then_some(())
        };
        if poll(START_WITHIN, probe).await.is_none() {
            panic!("the operator was not ready within {START_WITHIN:?}\n{}", self.output.end());
        }
    }

    /// Its output so far.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// The log's lines that are JSON.
    pub fn log(&self) -> Vec<Value> {
        self.output.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The text of `/metrics`.
    pub async fn metrics(&self) -> String {
        let text = poll(START_WITHIN, async || self.get("/metrics").await).await;
        text.expect("the operator serves /metrics").1
    }

    /// The value of one series, written as in the text: `apicredential_ready{resource_namespace="a",resource_name="b"}`.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics().await;
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    /// Status and body of one of its pages; `None` if it does not answer.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        self.output.get(path).await
    }

    /// Its output and its HTTP pages, for when this handle may not be held.
    pub fn shared_output(&self) -> Arc<Output> {
        Arc::clone(&self.output)
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&self) -> ExitStatus {
        let status = self.process.kill();
        self.read_to_end();
        status
    }

    /// SIGTERM. Returns the exit status, or panics after `within`.
    pub async fn terminate(&self, within: Duration) -> ExitStatus {
        self.process.terminate();
        self.ended(within).await
    }

    /// SIGTERM without waiting.
    pub fn send_sigterm(&self) {
        self.process.terminate();
    }

    /// Waits for its end.
    pub async fn ended(&self, within: Duration) -> ExitStatus {
        match self.process.ended(within).await {
            Some(status) => {
                self.read_to_end();
                status
            }
            None => panic!("the operator did not end within {within:?}\n{}", self.output.end()),
        }
    }

    /// The process id, also for `/proc`.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.process.exit_status().is_none()
    }

    /// SIGSTOP: the process is stopped, its connections stay open.
    pub fn pause(&self) {
        self.process.pause();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Read after its end: otherwise its last output could escape the search for leaks.
    fn read_to_end(&self) {
        for reader in self.readers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            reader.join().ok();
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Output {
    /// The output so far.
    pub fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last lines, and the path of the whole log, for a failure's text.
    pub fn end(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(30)..].join("\n");
        format!("--- end of the operator's output; all of it: {}\n{end}\n", self.log.display())
    }

    /// Status and body of a page of this operator; `None` if it does not respond (any more).
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        let address = if path == "/metrics" { self.address() } else { self.bound("health_address") };
        let url = format!("http://{}{path}", address?);
        let response = plain_client().get(url).send().await.ok()?;
        Some((response.status().as_u16(), response.text().await.ok()?))
    }

    /// The address of its metrics.
    pub fn address(&self) -> Option<String> {
        self.bound("address")
    }

    /// A bound address, by its field in the log line with the message "listening".
    fn bound(&self, listener: &str) -> Option<String> {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.lines().filter(|line| line.contains("listening")).find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let field = line["fields"][listener].as_str().or_else(|| line[listener].as_str())?;
            Some(field.to_owned())
        })
    }

    fn append(&self, bytes: &[u8]) {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(bytes));
    }
}

fn copy(mut pipe: impl Read + Send + 'static, output: &Arc<Output>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    let mut file = File::options().create(true).append(true).open(&output.log).expect("the log file can be opened");
    std::thread::spawn(move || {
        let mut line = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            line.extend_from_slice(&buffer[..read]);
            // Whole lines only, so that two pipes do not mix within one.
            if let Some(end) = line.iter().rposition(|&byte| byte == b'\n') {
                let whole: Vec<u8> = line.drain(..=end).collect();
                output.append(&whole);
                file.write_all(&whole).ok();
            }
        }
        output.append(&line);
        file.write_all(&line).ok();
    })
}

/// Kept after the run, to be read when a test has failed.
fn log_path(namespace: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("operator-logs");
    std::fs::create_dir_all(&folder).expect("the folder for logs can be made");
    folder.join(format!("{namespace}-{}.log", random::suffix()))
}

fn plain_client() -> reqwest::Client {
    rustls::crypto::ring::default_provider().install_default().ok();
    // The operator's pages are plain HTTP; loading the system's certificates would only cost time.
    let builder = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(30));
    builder.build().expect("a plain client can be made")
}
