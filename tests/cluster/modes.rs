//! Least privilege over the whole suite: it runs in each mode of the chart under that mode's own service account, and
//! the audit logs show that no request it needs is forbidden and that it uses every verb that is granted on every
//! resource.
//!
//! Each of them takes as long as the suite, so `make modes` runs all three as a part of `make nightly`. `make test`
//! runs the suite in the mode `cluster` anyway and checks its audit logs; `privileges.rs` covers the other modes on
//! every change.

mod left_out;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::privileges::{Grant, code, grants, needed_grant};
use crate::support::mode::{self, Mode};

use self::left_out::{NOT_TAKEN, PROVOKED, UNUSED, WITHOUT, left_out, taken};

#[test]
#[ignore = "runs the suite: make modes"]
fn in_all_namespaces_the_suite_needs_all_that_is_granted_and_no_more() {
    prove(Mode::Cluster);
}

#[test]
#[ignore = "runs the suite: make modes"]
fn in_named_namespaces_the_suite_needs_all_that_is_granted_and_no_more() {
    prove(Mode::Namespaced);
}

#[test]
#[ignore = "runs the suite: make modes"]
fn with_named_secrets_the_suite_needs_all_that_is_granted_and_no_more() {
    prove(Mode::Pinned);
}

fn prove(mode: Mode) {
    // `make test` has run it in all namespaces before, and kept the logs.
    let kept = std::env::var_os("SUITE_AUDIT").map(PathBuf::from).filter(|_| mode == Mode::Cluster);
    let logs = kept.unwrap_or_else(|| run(mode));
    let log = Log::read(&logs);
    let name = mode.name();
    let granted = grants(&mode.rendering(), mode::NAME);
    for grant @ (verb, resource) in &granted {
        println!("suite, {name}: {verb:<8} {resource:<24} {}", log.used.get(grant).unwrap_or(&0));
    }
    println!("suite, {name}: {} may stay unused: {}", UNUSED.0, UNUSED.1);
    let idle = granted.iter().filter(|grant| !log.used.contains_key(grant) && grant.0 != UNUSED.0);
    let idle: Vec<&Grant> = idle.collect();
    assert!(idle.is_empty(), "{name}: granted and never used: {idle:?}");
    let unlisted: BTreeSet<_> = log.used.keys().filter(|grant| !granted.contains(grant)).collect();
    assert!(unlisted.is_empty(), "{name}: used and not granted by the rendering: {unlisted:?}");

    let mut unexplained = BTreeMap::new();
    let mut gone_without = 0;
    for ((grant, test), count) in log.forbidden {
        let (verb, resource) = (grant.0.as_str(), grant.1.as_str());
        if WITHOUT.iter().any(|it| (it.0, it.1, it.2) == (mode, verb, resource)) {
            gone_without += count;
            continue;
        }
        match PROVOKED.iter().find(|it| it.0 == test) {
            Some((_, reason)) => println!("suite, {name}: {verb} {resource} refused {count} times in {test}: {reason}"),
            None => drop(unexplained.insert((grant, test), count)),
        }
    }
    for (_, verb, resource, reason) in WITHOUT.iter().filter(|it| it.0 == mode) {
        println!("suite, {name}: {verb} {resource} refused {gone_without} times in all: {reason}");
    }
    assert!(unexplained.is_empty(), "{name}: refused: {unexplained:#?}");
}

/// Runs the suite in this mode. Returns the folder of its audit logs.
fn run(mode: Mode) -> PathBuf {
    let logs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("suite-audit").join(mode.name());
    fs::remove_dir_all(&logs).ok();
    fs::create_dir_all(&logs).unwrap();
    let mut suite = Command::new(std::env::current_exe().unwrap());
    suite.env("OPERATOR_MODE", mode.name()).env("OPERATOR_AUDIT", &logs);
    suite.args(["--test-threads", &std::env::var("TEST_THREADS").unwrap_or_else(|_| "6".to_owned())]);
    for (test, reason) in left_out(mode) {
        println!("suite, {}: left out {test}: {reason}", mode.name());
        suite.args(["--skip", test]);
    }
    if !taken(mode).is_empty() {
        println!("suite, {}: of it {}; {NOT_TAKEN}", mode.name(), taken(mode).join(" "));
        suite.args(taken(mode));
    }
    let status = suite.status().unwrap();
    assert!(status.success(), "{}: the suite failed, see above", mode.name());
    logs
}

/// The requests of the operators in a run.
#[derive(Default)]
struct Log {
    /// How often each succeeded.
    used: BTreeMap<Grant, usize>,
    /// Those that got 403, and in which test.
    forbidden: BTreeMap<(Grant, String), usize>,
}

impl Log {
    fn read(folder: &Path) -> Self {
        let notes = fs::read_to_string(folder.join("tests.txt")).unwrap();
        let tests: BTreeMap<&str, &str> = notes.lines().filter_map(|line| line.split_once(' ')).collect();
        let mut log = Self::default();
        for entry in fs::read_dir(folder).unwrap() {
            let file = entry.unwrap();
            if file.file_name().to_string_lossy().starts_with("cluster-") {
                let lines = BufReader::new(File::open(file.path()).unwrap()).lines().map(Result::unwrap);
                let own = lines.filter(|line| line.contains(mode::USER));
                own.filter_map(|line| serde_json::from_str(&line).ok()).for_each(|line| log.add(&line, &tests));
            }
        }
        log
    }

    fn add(&mut self, line: &Value, tests: &BTreeMap<&str, &str>) {
        if line["user"]["username"] != mode::USER {
            return;
        }
        let namespace = line["objectRef"]["namespace"].as_str().unwrap_or_default();
        let test = tests.get(namespace).copied().unwrap_or("no test's namespace").to_owned();
        match code(line) {
            403 => *self.forbidden.entry((needed_grant(line), test)).or_insert(0) += 1,
            // Requests for no resource, such as the API server's own documents, need no permission.
            ..400 if line["objectRef"].is_object() => *self.used.entry(needed_grant(line)).or_insert(0) += 1,
            _ => {}
        }
    }
}
