//! Helm, in the version that tests/tools pins, and our chart as Helm renders it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The name of the release and of its namespace.
pub const RELEASE: &str = "apicredential-operator";

/// The objects that the chart renders with these arguments, or Helm's error.
pub fn template(arguments: &[&str]) -> Result<Vec<Value>, String> {
    let output = helm(&[&["template", RELEASE, &chart(), "--namespace", RELEASE], arguments].concat());
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).expect("Helm writes UTF-8");
    Ok(serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{error} in\n{text}")))
}

/// Runs Helm.
pub fn helm(arguments: &[&str]) -> Output {
    run("helm", arguments)
}

/// Runs a program of tests/tools with a home directory of its own, so that a developer's configuration has no effect.
pub fn run(name: &str, arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program(name));
    command.args(arguments).env_clear().env("HOME", home.path()).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The path of the chart.
pub fn chart() -> String {
    repository().join("deploy/helm/apicredential-operator").display().to_string()
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Finds the programs, or builds them once. The progress is on standard error.
fn program(name: &str) -> PathBuf {
    let script = repository().join("tests/tools/build.sh");
    let output = Command::new(&script).arg(name).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(output.status.success(), "{}: {}; its messages are above", script.display(), output.status);
    String::from_utf8_lossy(&output.stdout).trim().into()
}
