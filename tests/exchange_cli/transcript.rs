//! Runs of the program as a user would see them, compared with a reviewed file.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::leaks::Sentinels;
use crate::support::provider::MockProvider;
use crate::support::{random, reaper};

/// Several runs in one golden file.
pub struct Transcript {
    name: &'static str,
    text: String,
    /// Texts that differ between runs, and their placeholders.
    replaced: Vec<(String, String)>,
    flags: Vec<String>,
    sentinels: Vec<(&'static str, String)>,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Transcript {
    /// Runs against this mock provider. The flags for it are passed but not recorded.
    pub fn new(name: &'static str, mock_provider: &MockProvider) -> Self {
        Self {
            name,
            text: String::new(),
            flags: flags(mock_provider),
            replaced: vec![(mock_provider.origin(), "https://provider".to_owned())],
            sentinels: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// Further runs use another provider.
    pub fn flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|&flag| flag.to_owned()).collect();
    }

    /// This text must not appear anywhere: not on a command line, and in no output except as a requested token.
    pub fn secret(&mut self, name: &'static str, secret: &str) {
        self.sentinels.push((name, secret.to_owned()));
    }

    /// Replaces this text by that placeholder.
    pub fn show(&mut self, text: &str, as_what: &str) {
        self.replaced.push((text.to_owned(), as_what.to_owned()));
    }

    /// Sets an environment variable of the runs.
    pub fn variable(&mut self, name: &'static str, value: &Path) {
        self.variables.push((name, value.to_owned()));
    }

    /// Runs the program and records its output.
    pub fn run(&mut self, title: &str, words: &[&str], stdin: &str) -> Run {
        let run = Run::of(&program(words, &self.flags, stdin, &self.variables));
        self.note(title, words, words, &run);
        run
    }

    /// The same without input, with a requested token, and with placeholders for the paths that differ.
    pub fn run_shown(
        &mut self,
        title: &str,
        words: &[&str],
        shown: &[&str],
        token: impl Fn() -> Option<String>,
    ) -> Run {
        let run = Run::of(&program(words, &self.flags, "", &self.variables));
        self.replaced.extend(token().map(|token| (token, "<token>".to_owned())));
        self.note(title, words, shown, &run);
        run
    }

    fn note(&mut self, title: &str, words: &[&str], shown: &[&str], run: &Run) {
        let line = words.join(" ");
        let sentinels = Sentinels::new(self.sentinels.iter().map(|(name, secret)| (*name, secret.as_str())));
        let flags = self.flags.join(" ");
        for (place, text) in [("argv", &line), ("argv", &flags), ("stdout", &run.stdout), ("stderr", &run.stderr)] {
            assert_eq!(sentinels.found_in(text), Vec::<&str>::new(), "{title}: in {place}");
        }
        writeln!(self.text, "# {title}\n$ apicredential-operator {}", self.stable(&shown.join(" "))).unwrap();
        let said = self.stable(&(run.stdout.clone() + &run.stderr));
        writeln!(self.text, "{said}[exit code {}]\n", run.code).unwrap();
    }

    /// Compares with the reviewed file; `UPDATE_GOLDEN=1` writes it.
    pub fn check(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/exchange_cli/golden/{}.txt", self.name));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &self.text).unwrap();
        }
        let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(self.text, reviewed, "run with UPDATE_GOLDEN=1 to accept the new text of {}", path.display());
    }

    fn stable(&self, text: &str) -> String {
        let mut text = self.replaced.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        // The provider's second may be the one after ours.
        text = text.replace("Lifetime:    1h 1s", "Lifetime:    1h").replace(":3601,", ":3600,");
        text.split_inclusive(|character: char| {
            character.is_whitespace() || "\",".contains(character) || character == '='
        })
        .map(|word| if is_time(word) { format!("<time>{}", &word[20..]) } else { word.to_owned() })
        .collect()
    }
}

/// The flags for this mock provider.
pub fn flags(mock_provider: &MockProvider) -> Vec<String> {
    let (origin, ca) = (mock_provider.origin(), mock_provider.ca_file().display().to_string());
    let allowed = format!("welkin={origin},qontak={origin}");
    let flags = ["--endpoint", &origin, "--provider-ca-file", &ca, "--allowed-endpoints", &allowed];
    flags.map(str::to_owned).into()
}

/// `2026-11-25T14:40:00Z`, with the punctuation that follows.
fn is_time(word: &str) -> bool {
    word.len() <= 21 && word.get(..20).is_some_and(|time| time.parse::<jiff::Timestamp>().is_ok())
}

/// The result of a run.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().expect("it ended by itself"),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
        }
    }
}

/// The program with only these environment variables.
pub fn command(words: &[&str], flags: &[String], variables: &[(&'static str, PathBuf)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_apicredential-operator"));
    command.args(words).args(flags).env_clear();
    for (name, value) in variables {
        command.env(name, value);
    }
    command
}

fn program(words: &[&str], flags: &[String], stdin: &str, variables: &[(&'static str, PathBuf)]) -> Output {
    let mut command = command(words, flags, variables);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    // A program that needs no input may have ended by now.
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).ok();
    child.wait_with_output().expect("it ends")
}

/// A file next to the test.
pub fn file(name: &str, content: &[u8]) -> String {
    let path = reaper::directory().join(format!("{}-{name}", random::suffix()));
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}
