//! N tokens were issued at one time, as after a restore or a mass import: how far their renewals spread.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use apicredential_operator::clock;

use super::figures::{Figures, Goal, percentile};
use super::renewals::{Renewals, busiest_second};
use super::settings::Settings;
use super::witness::Witness;
use super::world::World;

/// The share of a lifetime in which nothing is due: 2/3 less the largest jitter.
const QUIET: f64 = 2.0 / 3.0 - 0.1;
/// Seeding and adopting have to end before the first renewal: this much, and this long per ApiCredential.
const AT_LEAST: f64 = 40.0;
const PER_CREDENTIAL: f64 = 0.02;

/// Returns the planned times, and those of the writes, for the plot.
pub async fn measure(n: usize, settings: &Settings) -> (Figures, Vec<[f64; 2]>) {
    let at_least = if settings.smoke { AT_LEAST / 2.0 } else { AT_LEAST };
    let lifetime = ((at_least + PER_CREDENTIAL * n as f64) / QUIET).ceil();
    // Once there is a world.
    let issued = OnceLock::new();
    let mut world = World::seeded(n, lifetime as i64, |_| *issued.get_or_init(clock::now_seconds)).await;
    let issued = *issued.get_or_init(clock::now_seconds);
    let (witness, renewals) = (Witness::start(&world.client), Renewals::watch(&world.client));
    world.start(&[("--min-renewal-interval", "1s")]);
    witness.wait_for(n).await;
    drop(witness);
    let early = clock::now().duration_since(issued).as_secs_f64() < lifetime * QUIET;
    let exchanges = world.mock_provider.total();
    let began = Instant::now();
    while renewals.all().len() < n {
        assert!(began.elapsed() < Duration::from_secs_f64(lifetime * 2.0), "the herd was not renewed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let exchanged = world.mock_provider.total() - exchanges;
    let seen = renewals.all();
    let seen = &seen[..n];

    let since = |time: jiff::Timestamp| time.duration_since(issued).as_secs_f64();
    let times: Vec<[f64; 2]> = seen.iter().map(|renewal| [since(renewal.planned), since(renewal.written)]).collect();
    let mut planned: Vec<f64> = times.iter().map(|pair| pair[0]).collect();
    let mut written: Vec<f64> = times.iter().map(|pair| pair[1]).collect();
    let mut lateness: Vec<f64> = seen.iter().map(|renewal| renewal.lateness().max(0.0)).collect();
    let spread = |times: &mut [f64]| percentile(times, 100.0) - percentile(times, 0.0);
    let mut figures = Figures::new("herd", n);
    figures.note("lifetime of the tokens", lifetime, "s");
    figures.note("planned renewals spread over", spread(&mut planned), "s");
    figures.note("of the lifetime", spread(&mut planned) / lifetime * 100.0, "%");
    figures.note("writes spread over", spread(&mut written), "s");
    figures.note("planned in the busiest second", busiest_second(seen.iter().map(|it| it.planned)) as f64, "");
    figures.note("written in the busiest second", busiest_second(seen.iter().map(|it| it.written)) as f64, "");
    figures.note("lateness p99", percentile(&mut lateness, 99.0), "s");
    figures.note("lateness max", percentile(&mut lateness, 100.0), "s");
    let expired = seen.iter().filter(|renewal| renewal.written > renewal.expired).count();
    figures.count("tokens that expired", expired as f64, Goal::Exactly(0.0));
    figures.count("taken over before the first was due", f64::from(u8::from(early)), Goal::Exactly(1.0));
    figures.note("exchanges per renewal", exchanged as f64 / n as f64, "");
    (figures, times)
}
