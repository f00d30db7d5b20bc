//! Measures the operator beside the ceiling of the same API server on the same machine: `make bench`.
//!
//! A real control plane, the provider's stand-in and the operator's own binary; one module per scenario. `BENCH_N` names
//! the fleets' sizes, `BENCH_MINUTES` the length of the longest scenario (the others shrink with it), `BENCH_SCENARIOS`
//! picks some, and `BENCH_SMOKE=1` runs small ones and fails where a count misses its goal.

#![allow(dead_code, unused_imports, reason = "the support modules offer more than a measurement uses")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot be made ends the run, with its reason; its numbers are small"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod ceiling;
mod churn;
mod cold;
mod figures;
mod fit;
mod fleet;
mod herd;
mod idle;
mod machine;
mod meter;
mod operator;
mod plot;
mod renewals;
mod report;
mod restart;
mod seed;
mod settings;
mod steady;
mod storm;
#[path = "../support/grounds.rs"]
mod support;
mod table;
mod trickle;
mod witness;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use figures::Figures;
use settings::Settings;
use world::World;

/// Measures the operator.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Sends the requests of first syncs, and nothing else; started by the measurement
    Ceiling(ceiling::Load),
    /// Lists what an operator lists at its start; started by the measurement
    List(restart::Listing),
}

#[tokio::main]
async fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().expect("it is the first");
    match Arguments::parse().command {
        Some(Command::Ceiling(load)) => load.run().await,
        Some(Command::List(listing)) => listing.run().await,
        None => return measure(&Settings::from_environment()).await,
    }
    ExitCode::SUCCESS
}

async fn measure(settings: &Settings) -> ExitCode {
    println!("{}", machine::description());
    let (mut results, mut herd) = (Vec::new(), Vec::new());
    if settings.wants("empty") {
        let figures = idle::empty(settings).await;
        table::print(std::slice::from_ref(&figures));
        results.push(figures);
    }
    for &n in &settings.sizes {
        fleet_of(n, settings, &mut results, &mut herd).await;
    }
    if !settings.smoke {
        report::write(&results, &herd, settings);
    }
    let missed = results.iter().flat_map(Figures::missed_counts).count();
    if settings.smoke && missed > 0 {
        eprintln!("bench: {missed} counts missed their goal, see above");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// All scenarios with one size of the fleet.
async fn fleet_of(n: usize, settings: &Settings, results: &mut Vec<Figures>, herd: &mut report::Herd) {
    let mut keep = |figures: Figures| {
        table::print(std::slice::from_ref(&figures));
        results.push(figures);
    };
    if settings.wants("latency") && !settings.smoke {
        keep(cold::measure(n, cold::LATENCY, settings).await.0);
    }
    let mut settled = None;
    if settings.wants("cold") {
        let (figures, world) = cold::measure(n, Duration::ZERO, settings).await;
        keep(figures);
        settled = Some(world);
    }
    fresh(n, settled, settings, &mut keep).await;
    if settings.wants("steady") {
        keep(steady::measure(n, settings).await);
    }
    if settings.wants("herd") {
        let (figures, times) = herd::measure(n, settings).await;
        keep(figures);
        // That of the largest fleet is plotted.
        *herd = times;
    }
    if settings.wants("storm") {
        keep(storm::throttled(n, settings).await);
        keep(storm::rejected(n, settings).await);
        keep(storm::hanging(n, settings).await);
    }
}

/// The scenarios in which all tokens are fresh share one world; the trickle is the last, for it adds to the fleet.
async fn fresh(n: usize, settled: Option<World>, settings: &Settings, keep: &mut impl FnMut(Figures)) {
    if !["restart", "idle", "churn", "trickle"].iter().any(|scenario| settings.wants(scenario)) {
        return;
    }
    let mut world = match settled {
        Some(world) => world,
        None => World::settled(n).await,
    };
    if settings.wants("restart") {
        keep(restart::measure(&mut world, settings).await);
    }
    if settings.wants("idle") {
        keep(idle::measure(&mut world, settings).await);
    }
    if settings.wants("churn") {
        keep(churn::measure(&mut world, settings).await);
    }
    if settings.wants("trickle") {
        keep(trickle::measure(&mut world, settings).await);
    }
}
