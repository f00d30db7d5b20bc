//! All N tokens are fresh and nothing happens: idling must cost nothing.

use std::time::{Duration, Instant};

use super::figures::{Figures, Goal};
use super::settings::Settings;
use super::world::World;

const FULL: Duration = Duration::from_secs(300);

pub async fn measure(world: &mut World, settings: &Settings) -> Figures {
    if world.operator.is_none() {
        world.start(&[]);
        world.operator().ready().await;
    }
    tokio::time::sleep(settings.settling()).await;
    let exchanges = world.mock_provider.total();
    let (audit, before, began) = (world.audit(), world.operator().usage(), Instant::now());
    tokio::time::sleep(settings.scaled(FULL)).await;
    let (after, seconds) = (world.operator().usage(), began.elapsed().as_secs_f64());
    let requests = audit.requests();
    let mut figures = Figures::new("idle", world.n);
    let cpu = after.cpu_seconds - before.cpu_seconds;
    figures.goal("CPU, share of a core", cpu / seconds * 100.0, "%", (world.n == 10_000).then_some(Goal::AtMost(0.2)));
    figures.note("length", seconds, "s");
    figures.count("exchanges", (world.mock_provider.total() - exchanges) as f64, Goal::Exactly(0.0));
    figures.count("writes", requests.writes() as f64, Goal::Exactly(0.0));
    figures.count("reads of single objects", requests.gets() as f64, Goal::Exactly(0.0));
    figures.note("pages of lists and watches that ended", requests.lists() as f64, "");
    figures.note("memory", after.rss_mib, "MiB");
    figures.note("of that, not mapped from a file", after.anonymous_mib, "MiB");
    figures
}

/// An operator without any ApiCredential.
pub async fn empty(settings: &Settings) -> Figures {
    let mut world = World::empty(0).await;
    let audit = world.audit();
    world.start(&[]);
    let ready = world.operator().ready().await;
    tokio::time::sleep(settings.settling()).await;
    let mut figures = Figures::new("empty", 0);
    figures.note("from the start to ready", ready.as_secs_f64(), "s");
    // A list each of ApiCredentials, sources and targets, and the API server's OpenAPI document of the CRD.
    figures.count("requests of the start, the lease's left out", audit.requests().total() as f64, Goal::AtMost(4.0));
    figures.note("CPU of the start", world.operator().usage().cpu_seconds, "s");
    let usage = world.operator().usage();
    figures.goal("memory", usage.rss_mib, "MiB", Goal::AtMost(12.0));
    figures.note("of that, not mapped from a file", usage.anonymous_mib, "MiB");
    figures
}
