//! Measures the operator together with the ceiling of the same API server on the same machine: `make bench`.
//!
//! A real control plane, the mock provider and the operator's own binary; one module per scenario. `BENCH_N` sets the
//! fleets' sizes, `BENCH_MINUTES` the length of the longest scenario (the others shrink with it), `BENCH_SCENARIOS`
//! selects some, and `BENCH_SMOKE=1` runs small ones and fails if a count misses its goal.

#![allow(dead_code, unused_imports, reason = "the support modules offer more than a measurement uses")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::large_futures,
    reason = "a failed measurement reports why; its numbers are small, and there is one at a time"
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
#[path = "../support/servers.rs"]
mod support;
mod table;
mod trickle;
mod witness;
mod world;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures::FutureExt as _;

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
    let mut run = Run { settings, results: Vec::new(), herd: Vec::new(), broken: 0 };
    if settings.wants("empty") {
        run.try_for(0, idle::empty(settings)).await;
    }
    for &n in &settings.sizes {
        run.fleet_of(n).await;
    }
    let missed = run.results.iter().flat_map(Figures::missed_counts).count();
    if run.broken > 0 || (settings.smoke && missed > 0) {
        eprintln!(
            "bench: {missed} counts missed their goal and {} scenarios could not be measured, see above",
            run.broken
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What was measured so far.
struct Run<'a> {
    settings: &'a Settings,
    results: Vec<Figures>,
    /// Of the largest fleet.
    herd: report::Herd,
    broken: usize,
}

impl Run<'_> {
    /// Measures one scenario. One that fails is reported and left out, because a run takes hours.
    async fn try_for(&mut self, n: usize, scenario: impl Future<Output = Figures>) {
        if let Some(figures) = self.or_say(n, scenario).await {
            self.keep(figures);
        }
    }

    async fn or_say<T>(&mut self, n: usize, scenario: impl Future<Output = T>) -> Option<T> {
        let done = AssertUnwindSafe(scenario).catch_unwind().await.ok();
        if done.is_none() {
            eprintln!("bench: a scenario of {n} could not be measured, see above");
            self.broken += 1;
        }
        done
    }

    fn keep(&mut self, figures: Figures) {
        table::print(std::slice::from_ref(&figures));
        self.results.push(figures);
        if !self.settings.smoke {
            report::write(&self.results, &self.herd, self.settings);
        }
    }

    /// All scenarios with one size of the fleet.
    async fn fleet_of(&mut self, n: usize) {
        let settings = self.settings;
        if settings.wants("latency") && !settings.smoke {
            self.try_for(n, async { cold::measure(n, cold::LATENCY, settings).await.0 }).await;
        }
        let mut settled = None;
        if settings.wants("cold")
            && let Some((figures, world)) = self.or_say(n, cold::measure(n, Duration::ZERO, settings)).await
        {
            self.keep(figures);
            settled = Some(world);
        }
        self.fresh(n, settled).await;
        if settings.wants("steady") {
            self.try_for(n, steady::measure(n, settings)).await;
        }
        if settings.wants("herd")
            && let Some((figures, times)) = self.or_say(n, herd::measure(n, settings)).await
        {
            self.herd = times;
            self.keep(figures);
        }
        if settings.wants("storm") {
            self.try_for(n, storm::throttled(n, settings)).await;
            self.try_for(n, storm::rejected(n, settings)).await;
            self.try_for(n, storm::hanging(n, settings)).await;
        }
    }

    /// The scenarios in which all tokens are fresh share one world. The trickle is the last, because it adds to the
    /// fleet.
    async fn fresh(&mut self, n: usize, settled: Option<World>) {
        let settings = self.settings;
        if !["restart", "idle", "churn", "trickle"].iter().any(|scenario| settings.wants(scenario)) {
            return;
        }
        let world = match settled {
            Some(world) => Some(world),
            None => self.or_say(n, World::settled(n)).await,
        };
        let Some(mut world) = world else { return };
        if settings.wants("restart") {
            self.try_for(n, restart::measure(&mut world, settings)).await;
        }
        if settings.wants("idle") {
            self.try_for(n, idle::measure(&mut world, settings)).await;
        }
        if settings.wants("churn") {
            self.try_for(n, churn::measure(&mut world, settings)).await;
        }
        if settings.wants("trickle") {
            self.try_for(n, trickle::measure(&mut world, settings)).await;
        }
    }
}
