//! Records a shell session: command lines, output, exit codes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::fixture::Scene;
use crate::support::leaks::Sentinels;
use crate::support::space::Space;

/// The timeout of a command; longer than any `--wait` in the tests.
const WITHIN: Duration = Duration::from_secs(300);

/// The path of the plugin.
pub use crate::support::plugin::plugin as program;

/// A session, compared with its golden file.
pub struct Transcript {
    name: &'static str,
    kubeconfig: PathBuf,
    variables: Vec<(&'static str, String)>,
    home: tempfile::TempDir,
    stdin: Option<String>,
    /// Texts that differ between runs, and their placeholders.
    placeholders: Vec<(String, &'static str)>,
    sentinels: Sentinels,
    /// Whether durations are replaced by `SPAN`.
    has_spans: bool,
    text: String,
}

/// The output and the exit code of a command.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Transcript {
    /// A session in the scene's namespace, as the user `admin`.
    pub fn new(name: &'static str, scene: &Scene) -> Self {
        let mut transcript = Self::bare(name, scene.space.plane.admin_kubeconfig());
        transcript.sentinels = Sentinels::of_providers(&[scene.mock_provider.witness()]);
        transcript.replace(&scene.space.plane.admin_kubeconfig().display().to_string(), "KUBECONFIG");
        transcript.replace(&scene.space.name, "NAMESPACE");
        transcript.replace(&scene.mock_provider.origin(), "https://provider");
        transcript.replace(&scene.space.plane.url(), "https://api-server");
        transcript
    }

    /// A session with this kubeconfig.
    pub fn bare(name: &'static str, kubeconfig: PathBuf) -> Self {
        let home = tempfile::tempdir().unwrap();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let placeholders = vec![(home.path().display().to_string(), "HOME"), (version, "VERSION")];
        let sentinels = Sentinels::new([]);
        Self {
            name,
            kubeconfig,
            variables: Vec::new(),
            home,
            stdin: None,
            placeholders,
            sentinels,
            has_spans: true,
            text: String::new(),
        }
    }

    /// Replaces a text that differs between runs by a placeholder.
    pub fn replace(&mut self, text: &str, by: &'static str) {
        self.placeholders.push((text.to_owned(), by));
    }

    /// Keeps durations in the output, for commands whose durations do not differ between runs.
    pub fn without_spans(mut self) -> Self {
        self.has_spans = false;
        self
    }

    /// Sets the kubeconfig for the next commands.
    pub fn kubeconfig(&mut self, path: &Path) {
        path.clone_into(&mut self.kubeconfig);
    }

    /// Sets an environment variable for the next commands.
    pub fn variable(&mut self, name: &'static str, value: &str) {
        self.variables.retain(|(set, _)| *set != name);
        self.variables.push((name, value.to_owned()));
    }

    /// Writes a file below the session's home directory and returns its path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// Sets the standard input of the next command.
    pub fn stdin(&mut self, text: &str) {
        self.stdin = Some(text.to_owned());
    }

    /// Runs the plugin in a namespace and records the output.
    pub async fn run_in(&mut self, space: &Space, arguments: &[&str]) -> Run {
        self.run(&[arguments, &["-n", &space.name]].concat()).await
    }

    /// Runs the plugin and records the output.
    pub async fn run(&mut self, arguments: &[&str]) -> Run {
        let run = self.quietly(arguments).await;
        let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        let line = format!("$ kubectl apicredential {}\n", words.join(" "));
        self.text.push_str(&self.renamed(&line));
        self.text.push_str(&self.normalize(&run.stdout));
        if !run.stderr.is_empty() {
            self.text.push_str(&self.normalize(&format!("[standard error]\n{}", run.stderr)));
        }
        self.text.push_str(&format!("[exit {}]\n\n", run.code));
        run
    }

    /// Runs the plugin without recording the output. The output is still checked for secrets.
    pub async fn quietly(&mut self, arguments: &[&str]) -> Run {
        let mut command = Command::new(program());
        command.args(arguments).env_clear().env("HOME", self.home.path()).current_dir(self.home.path());
        if !self.kubeconfig.as_os_str().is_empty() {
            command.env("KUBECONFIG", &self.kubeconfig);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // An error means that the command closed its standard input.
        stdin.write_all(self.stdin.take().unwrap_or_default().as_bytes()).await.ok();
        drop(stdin);
        let output = tokio::time::timeout(WITHIN, child.wait_with_output()).await.expect("it ends in time").unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes UTF-8");
        let run = Run {
            code: output.status.code().expect("it ends by itself"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        for output in [&run.stdout, &run.stderr] {
            assert_eq!(self.sentinels.found_in(output), [""; 0], "{arguments:?} prints a secret");
            assert!(!output.contains("panicked"), "{output}");
        }
        run
    }

    /// Compares the session with `golden/<name>.txt`, or writes it.
    pub fn check(self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/plugin/golden/{}.txt", self.name));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &self.text).unwrap();
            return;
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        for (number, (golden, actual)) in golden.lines().zip(self.text.lines()).enumerate() {
            assert_eq!(golden, actual, "{}, line {}; UPDATE_GOLDEN=1 rewrites it", path.display(), number + 1);
        }
        assert_eq!(
            golden.lines().count(),
            self.text.lines().count(),
            "{}; the output is:\n{}",
            path.display(),
            self.text
        );
    }

    /// Replaces names, times, durations and column widths, which differ between runs.
    fn normalize(&self, text: &str) -> String {
        self.renamed(text).lines().map(|line| normalize_line(line, self.has_spans) + "\n").collect()
    }

    fn renamed(&self, text: &str) -> String {
        self.placeholders.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }
}

fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=.,/:@".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

fn normalize_line(line: &str, has_spans: bool) -> String {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let mut normal = line[..indent].to_owned();
    let mut word = String::new();
    for character in line[indent..].chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() || "-:.+".contains(character) {
            word.push(character);
            continue;
        }
        let finished = std::mem::take(&mut word);
        let is_digits = !finished.is_empty() && finished.bytes().all(|byte| byte.is_ascii_digit());
        let is_version = is_digits && normal.replace('"', "").ends_with("resourceVersion: ");
        normal.push_str(&if is_version { "VERSION".to_owned() } else { normalize_word(&finished, has_spans) });
        // More than three spaces pad a column.
        if !(character == ' ' && normal.len() > indent && normal.ends_with("   ")) {
            normal.push(character);
        }
    }
    normal.trim_end().to_owned()
}

fn normalize_word(word: &str, has_spans: bool) -> String {
    let (body, end) = match word.find(|character| !".:".contains(character)) {
        None => return word.to_owned(),
        Some(_) => word.split_at(word.trim_end_matches(['.', ':']).len()),
    };
    let placeholder = if body.parse::<jiff::Timestamp>().is_ok() {
        "TIME"
    } else if has_spans && is_duration(body) {
        "SPAN"
    } else if is_uid(body) {
        "UID"
    } else {
        body
    };
    format!("{placeholder}{end}")
}

/// `45s`, `3m10s`, `26h`.
fn is_duration(word: &str) -> bool {
    let mut rest = word;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || !rest[digits..].starts_with(['s', 'm', 'h', 'd', 'y']) {
            return false;
        }
        rest = &rest[digits + 1..];
    }
    !word.is_empty()
}

fn is_uid(word: &str) -> bool {
    word.len() == 36 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[test]
fn only_texts_that_differ_between_runs_are_replaced() {
    assert_eq!(
        normalize_line("   a    True      59m     2026-11-25T14:32:16Z  end. in 3m10s.", true),
        "   a   True   SPAN   TIME  end. in SPAN."
    );
    assert_eq!(
        normalize_line("exit 1: secret, 10 of 12s: no span: 1x", true),
        "exit 1: secret, 10 of SPAN: no span: 1x"
    );
    assert_eq!(normalize_line("12s", false), "12s");
    assert_eq!(normalize_line("    resourceVersion: \"479\"", true), "    resourceVersion: \"VERSION\"");
    assert_eq!(normalize_line("      \"resourceVersion\": \"479\"", true), "      \"resourceVersion\": \"VERSION\"");
}
