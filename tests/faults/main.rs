//! Every fault at every step: runs with one fault each, recorded in full and checked afterwards.
//!
//! Environment variables configure the ignored tests:
//!
//! - `FAULTS_MINUTES` and `PAIRS_MINUTES` bound the time of single faults and of pairs.
//! - `FAULTS_SCENARIO=Renewal` leaves only the plans of that scenario.
//! - `PAIRS_SEED` runs the pairs of an earlier run again.
//! - `FAULTS_PLANS=plans.jsonl` names a file of plans, one JSON object a line, as a failure prints them after `FAILED`
//!   and as `regressions.jsonl` holds them. `FAULTS_TIMES=20` runs each of them that often:
//!   `FAULTS_PLANS=/tmp/plans.jsonl FAULTS_TIMES=20 cargo test --test faults -- --ignored --nocapture chosen_plans`

#![allow(dead_code, unused_imports, reason = "the support modules offer more than these tests use")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test support: a broken set-up fails the test, with its reason"
)]

mod fault_proxy_works;
mod gone;
mod history;
mod oracles;
mod plans;
mod quiet;
mod quiet_works;
mod recorder;
mod results;
mod runs;
mod scenarios;
mod stage;
#[path = "../support/tree.rs"]
mod support;
mod unsaved;

use std::time::{Duration, Instant};

use plans::{pair, sample, single};
use results::Results;
use runs::{Plan, Trouble};
use scenarios::Scenario;
use support::fault_proxy::{Act, Fault, Site, When};

/// How many plans the smoke tier runs.
const SMOKE: usize = 24;

/// Plans that failed once, one JSON object a line.
const REGRESSIONS: &str = include_str!("regressions.jsonl");

#[test]
fn a_run_without_faults_keeps_every_promise_and_a_sample_of_single_faults_does_too() {
    let plans = all_single_faults();
    println!("{} single faults", plans.len());
    let mut chosen: Vec<Plan> = regressions();
    chosen.extend(sample(&plans, SMOKE));
    assert_all_pass("smoke", &chosen, None);
}

#[test]
fn a_rejected_write_is_not_sent_again_before_the_next_reconcile() {
    let site = Site { verb: "create".into(), resource: "secrets".into(), name: "a-token".into(), nth: 1 };
    let fault = Fault { site, when: When::After, act: Act::Answer(503) };
    let plan = Plan { scenario: Scenario::FirstSync, troubles: vec![Trouble::Api(fault)] };
    let run = results::run(&plan).expect("it converges");
    let of_target = run.history.calls.iter().filter(|call| call.resource == "secrets" && call.name == "a-token");
    let verbs: Vec<&str> = of_target.map(|call| call.verb.as_str()).collect();
    let first = verbs.iter().position(|verb| *verb == "create").expect("it was created");
    assert_eq!(verbs.get(first + 1), Some(&"get"), "{verbs:?}");
    assert_eq!(verbs.iter().filter(|verb| **verb == "create").count(), 1, "it was there already: {verbs:?}");
}

#[test]
#[ignore = "torture: about half an hour; FAULTS_MINUTES bounds it, and the next run goes on where it was"]
fn every_single_fault_at_every_request_keeps_every_promise() {
    assert_all_pass("single", &all_single_faults(), minutes_from_now("FAULTS_MINUTES", 60));
}

#[test]
#[ignore = "torture: for PAIRS_MINUTES"]
fn random_pairs_of_faults_keep_every_promise() {
    let first = number("PAIRS_SEED", u64::from_le_bytes(support::random::bytes()) >> 16);
    println!("pairs of the seeds from {first}: PAIRS_SEED={first} does them again");
    let until = minutes_from_now("PAIRS_MINUTES", 10);
    let plans = all_single_faults();
    // More than can be run in that time.
    let pairs: Vec<Plan> = (0..200 * number("PAIRS_MINUTES", 10)).map(|step| pair(&plans, first + step)).collect();
    assert_all_pass("pairs", &pairs, until);
}

#[test]
#[ignore = "runs the plans of the file that FAULTS_PLANS names, FAULTS_TIMES times"]
fn chosen_plans_keep_every_promise_each_time() {
    let path = std::env::var("FAULTS_PLANS").expect("FAULTS_PLANS names a file of plans");
    let plans = read(&std::fs::read_to_string(path).expect("the file of plans is readable"));
    let times = number("FAULTS_TIMES", 1);
    let mut failed = Vec::new();
    for time in 1..=times {
        let table = Results::empty("chosen").run(&plans, None);
        table.print(&format!("chosen, {time} of {times}"));
        failed.extend(table.failed);
    }
    assert!(failed.is_empty(), "{} of {} runs: {failed:#?}", failed.len(), times * plans.len() as u64);
}

/// From the requests of runs without faults, which are checked, too. Those of FAULTS_SCENARIO, if it is set.
fn all_single_faults() -> Vec<Plan> {
    let only = std::env::var("FAULTS_SCENARIO").ok();
    let chosen = Scenario::ALL.into_iter();
    let chosen = chosen.filter(|scenario| only.as_ref().is_none_or(|only| *only == format!("{scenario:?}")));
    let calm: Vec<_> =
        chosen.map(|scenario| std::thread::spawn(move || (scenario, results::run(&Plan::calm(scenario))))).collect();
    let calm = calm.into_iter().map(|run| run.join().expect("a panic is a result"));
    let plans = calm.flat_map(|(scenario, run)| {
        let run = run.unwrap_or_else(|panic| panic!("{scenario:?} without a fault: {panic}"));
        let report = oracles::check(&run.history);
        assert!(report.violations.is_empty(), "{scenario:?} without a fault: {:#?}", report.violations);
        for promise in ["I1", "I2", "I3", "I4", "I5", "I7", "I8", "I9"] {
            assert!(report.checks.contains_key(promise), "{scenario:?}: nothing was held against {promise}");
        }
        assert!(run.leaks.is_empty(), "{scenario:?} without a fault: {:#?}", run.leaks);
        single(scenario, &run.sites)
    });
    plans.collect()
}

fn assert_all_pass(tier: &str, plans: &[Plan], until: Option<Instant>) {
    let table = Results::open(tier).run(plans, until);
    table.print(tier);
    assert!(table.failed.is_empty(), "{:#?}", table.failed);
}

fn regressions() -> Vec<Plan> {
    read(REGRESSIONS)
}

fn read(plans: &str) -> Vec<Plan> {
    plans.lines().map(|line| serde_json::from_str(line).expect("a plan a line")).collect()
}

fn minutes_from_now(name: &str, default: u64) -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(60 * number(name, default)))
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
