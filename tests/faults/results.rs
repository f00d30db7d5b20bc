//! Runs plans, several at once, and keeps their results, so that an interrupted tier continues where it was.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use serde::{Deserialize, Serialize};

use crate::oracles;
use crate::runs::{Outcome, Plan, Run};

/// More than there are cores: a run waits for leases and delays far more than it computes.
const AT_ONCE: usize = 12;

/// The results of one tier, kept in a file of one JSON object a line.
pub struct Results {
    file: Mutex<File>,
    folder: PathBuf,
    /// Identifies the build of the operator and of its oracles: an old result does not count for a new build of either.
    build: String,
    known: Mutex<BTreeMap<Plan, Outcome>>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    build: String,
    plan: Plan,
    outcome: Outcome,
}

impl Results {
    /// Opens the results of a tier. Those of this very build are known already.
    pub fn open(tier: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let path = folder.join(format!("{tier}.jsonl"));
        let build = build();
        let lines = std::fs::read_to_string(&path).unwrap_or_default();
        let lines = lines.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok());
        let known = lines.filter(|line| line.build == build).map(|line| (line.plan, line.outcome)).collect();
        let file = File::options().create(true).append(true).open(path).expect("the results can be written");
        Self { file: Mutex::new(file), folder, build, known: Mutex::new(known) }
    }

    /// Opens the results of a tier without those that were kept.
    pub fn empty(tier: &str) -> Self {
        let results = Self::open(tier);
        results.known.lock().expect("no run panics here").clear();
        results
    }

    /// Runs the plans that have no good result yet, until the time is up.
    pub fn run(&self, plans: &[Plan], until: Option<Instant>) -> Table {
        let is_good = |outcome: &Outcome| outcome.violations.is_empty();
        let open: VecDeque<Plan> = {
            let known = self.known.lock().expect("no run panics here");
            plans.iter().filter(|plan| !known.get(plan).is_some_and(is_good)).cloned().collect()
        };
        let queue = Mutex::new(open);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while until.is_none_or(|until| Instant::now() < until) {
                        let Some(plan) = queue.lock().expect("no run panics here").pop_front() else { break };
                        self.keep(&plan, self.check(&plan));
                    }
                });
            }
        });
        let known = self.known.lock().expect("no run panics here");
        Table::of(plans.iter().map(|plan| (plan, known.get(plan))))
    }

    fn check(&self, plan: &Plan) -> Outcome {
        match run(plan) {
            Ok(run) => self.check_run(plan, &run),
            Err(panic) => Outcome { fired: true, violations: vec![panic], late_creates: 0, calls: 0, exchanges: 0 },
        }
    }

    fn check_run(&self, plan: &Plan, run: &Run) -> Outcome {
        let report = oracles::check(&run.history);
        let mut violations = report.violations;
        violations.extend(run.leaks.iter().map(|leak| format!("I6: {leak}")));
        if !violations.is_empty() {
            let path = self.folder.join(format!("{}.txt", crate::support::random::suffix()));
            std::fs::write(&path, format!("{plan:#?}\n{violations:#?}\n{:#?}", run.history)).ok();
            violations.push(format!("the whole history: {}", path.display()));
        }
        Outcome {
            fired: run.fired,
            violations,
            late_creates: report.late_creates,
            calls: run.history.calls.len(),
            exchanges: run.history.exchanges.len(),
        }
    }

    fn keep(&self, plan: &Plan, outcome: Outcome) {
        if !outcome.violations.is_empty() {
            println!("FAILED {}\n  {:#?}", serde_json::to_string(plan).unwrap_or_default(), outcome.violations);
        }
        let line = Record { build: self.build.clone(), plan: plan.clone(), outcome: outcome.clone() };
        let line = serde_json::to_string(&line).expect("a result is JSON");
        writeln!(self.file.lock().expect("no run panics here"), "{line}").expect("the result can be written");
        self.known.lock().expect("no run panics here").insert(plan.clone(), outcome);
    }
}

/// A run on a runtime of its own. A panic in it is its result.
pub fn run(plan: &Plan) -> Result<Run, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let run = runtime.block_on(AssertUnwindSafe(plan.run()).catch_unwind());
    runtime.shutdown_timeout(Duration::from_secs(1));
    run.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
    })
}

fn build() -> String {
    let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
    let oracles = std::env::current_exe().expect("a process has a program");
    for program in [env!("CARGO_BIN_EXE_apicredential-operator").into(), oracles] {
        hash.update(&std::fs::read(program).expect("both are built"));
    }
    hash.finish().as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The outcomes of the plans.
#[derive(Debug, Default)]
pub struct Table {
    pub plans: usize,
    pub passed: usize,
    /// Of those that passed: the run never had the request that was to fail.
    pub never_met: usize,
    pub not_run: usize,
    pub late_creates: usize,
    pub exchanges: usize,
    pub calls: usize,
    pub failed: Vec<String>,
}

impl Table {
    fn of<'a>(results: impl Iterator<Item = (&'a Plan, Option<&'a Outcome>)>) -> Self {
        let mut table = Self::default();
        for (plan, outcome) in results {
            table.plans += 1;
            let Some(outcome) = outcome else {
                table.not_run += 1;
                continue;
            };
            table.late_creates += outcome.late_creates;
            table.exchanges += outcome.exchanges;
            table.calls += outcome.calls;
            if outcome.violations.is_empty() {
                table.passed += 1;
                table.never_met += usize::from(!outcome.fired);
            } else {
                table.failed.push(format!("{plan:?}: {:#?}", outcome.violations));
            }
        }
        table
    }

    /// One line, for people.
    pub fn print(&self, what: &str) {
        println!(
            "{what}: {} plans, {} passed ({} never came to their request), {} failed, {} not run; {} requests and {} exchanges read_with at, {} late creates",
            self.plans,
            self.passed,
            self.never_met,
            self.failed.len(),
            self.not_run,
            self.calls,
            self.exchanges,
            self.late_creates
        );
    }
}
