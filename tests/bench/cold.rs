//! N sources and ApiCredentials exist, and the operator starts: all of them become Ready, as fast as possible.
//!
//! Ceiling and operator are measured alternately, each on a fresh control plane with an equal fleet.

use std::time::Duration;

use apicredential::api::ApiCredential;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;

use super::ceiling::{self, Ceiling, FIRST_RUN, TODAY};
use super::figures::{Figures, Goal, median, settled_memory_goal};
use super::fleet::Member;
use super::meter::{Requests, Usage};
use super::settings::Settings;
use super::witness::Witness;
use super::world::{World, lasting};

/// The latency of a provider that is not near.
pub const LATENCY: Duration = Duration::from_millis(100);

/// One start of the operator.
#[derive(Clone, Copy)]
struct Start {
    seconds: f64,
    ready_seconds: f64,
    usage: Usage,
}

/// The limits of the machine, measured in a world of its own.
struct Top {
    ceiling: Ceiling,
    /// With the requests of the first run, if they differ from today's.
    first: Option<Ceiling>,
    /// Together with an operator's lists and watches; not measured again for a slow provider.
    following: Option<Ceiling>,
    /// With exchanges alone: the limit of the mock provider.
    exchanges: Ceiling,
    requests: usize,
    stored_bytes: usize,
}

impl Top {
    async fn reach(n: usize, latency: Duration) -> Self {
        let mut first = None;
        if TODAY != FIRST_RUN {
            let world = World::with_fleet(n, lasting(latency)).await;
            let _witness = Witness::start(&world.client);
            first = Some(ceiling::measure(&world, FIRST_RUN).await);
        }
        let mut following = None;
        if latency.is_zero() {
            let world = World::with_fleet(n, lasting(latency)).await;
            let _witness = Witness::start(&world.client);
            following = Some(ceiling::measure_following(&world, TODAY).await);
        }
        let world = World::with_fleet(n, lasting(latency)).await;
        let _witness = Witness::start(&world.client);
        let audit = world.audit();
        let ceiling = ceiling::measure(&world, TODAY).await;
        let (requests, stored_bytes) = (audit.requests().single(), stored_bytes(&world).await);
        let exchanges = ceiling::measure(&world, &[]).await;
        Self { ceiling, first, following, exchanges, requests, stored_bytes }
    }
}

/// The figures, and the world of the last start with its operator, all fresh.
pub async fn measure(n: usize, latency: Duration, settings: &Settings) -> (Figures, World) {
    let (mut tops, mut starts) = (Vec::new(), Vec::new());
    let mut last = None;
    for _round in 0..settings.rounds(n, has_goal(n, latency)) {
        // One control plane at a time.
        drop(last.take());
        tops.push(Top::reach(n, latency).await);
        last = Some(start(n, latency, settings).await);
        starts.extend(last.as_ref().map(|(_, start, _)| *start));
    }
    let (world, _, requests) = last.expect("there is a round at least");
    let mut figures = Figures::new(format!("cold, provider latency {} ms", latency.as_millis()), n);
    scores(&mut figures, &tops, &starts, latency);
    counts(&mut figures, &world, &requests);
    let top = tops.last().expect("there is a round at least");
    figures.note("requests, ours / the ceiling's", requests.single() as f64 / top.requests as f64, "");
    let bytes = stored_bytes(&world).await as f64;
    figures.note("stored bytes of Secret and status, ours / the ceiling's", bytes / top.stored_bytes as f64, "");
    figures.note("peak memory", median(starts.iter().map(|it| it.usage.peak_mib).collect()), "MiB");
    if latency.is_zero() {
        let goal = settled_memory_goal(n);
        tokio::time::sleep(settings.settling()).await;
        let usage = world.operator().usage();
        figures.goal("settled memory", usage.rss_mib, "MiB", goal);
        figures.note("of that, not mapped from a file", usage.anonymous_mib, "MiB");
    }
    (figures, world)
}

fn has_goal(n: usize, latency: Duration) -> bool {
    n == 10_000 && latency.is_zero()
}

async fn start(n: usize, latency: Duration, settings: &Settings) -> (World, Start, Requests) {
    let mut world = World::with_fleet(n, lasting(latency)).await;
    let witness = Witness::start(&world.client);
    let audit = world.audit();
    world.start(&[]);
    let ready_seconds = world.operator().ready().await.as_secs_f64();
    let done = witness.wait_for(n).await;
    let usage = world.operator().usage();
    let seconds = done.duration_since(world.operator().began).as_secs_f64();
    // The last events are published after the last status.
    tokio::time::sleep(Duration::from_secs(if settings.smoke { 1 } else { 3 })).await;
    let requests = audit.requests();
    (world, Start { seconds, ready_seconds, usage }, requests)
}

fn scores(figures: &mut Figures, tops: &[Top], starts: &[Start], latency: Duration) {
    let n = figures.n as f64;
    let of_tops = |value: fn(&Ceiling) -> f64| median(tops.iter().map(|top| value(&top.ceiling)).collect());
    let of_starts = |value: fn(&Start) -> f64| median(starts.iter().map(value).collect());
    let (ceiling, ours) = (of_tops(|it| it.seconds), of_starts(|it| it.seconds));
    let goal = has_goal(figures.n, latency).then_some(Goal::AtLeast(0.9));
    figures.goal("score: ceiling's time / ours", ceiling / ours, "", goal);
    if starts.len() > 1 {
        let each = || tops.iter().zip(starts).map(|(top, start)| top.ceiling.seconds / start.seconds);
        figures.note("of single rounds, the lowest", each().fold(f64::INFINITY, f64::min), "");
        figures.note("of single rounds, the highest", each().fold(0.0, f64::max), "");
    }
    let first: Vec<f64> = tops.iter().filter_map(|top| Some(top.first.as_ref()?.seconds)).collect();
    if !first.is_empty() {
        figures.note("score against the first run's requests", median(first) / ours, "");
    }
    let following: Vec<f64> = tops.iter().filter_map(|top| Some(top.following.as_ref()?.seconds)).collect();
    if !following.is_empty() {
        figures.note("score against the ceiling that lists and watches, too", median(following) / ours, "");
    }
    figures.note("time to all Ready", ours, "s");
    figures.note("of that, from the start to ready", of_starts(|it| it.ready_seconds), "s");
    figures.note("ceiling's time", ceiling, "s");
    let alone = median(tops.iter().map(|top| top.exchanges.seconds).collect());
    figures.note("exchanges alone", n / alone, "/s");
    let cpu = of_starts(|it| it.usage.cpu_seconds);
    let goal = latency.is_zero().then_some(Goal::AtMost(1.0));
    figures.goal("CPU per first sync", cpu / n * 1000.0, "ms", goal);
    figures.note("CPU of all first syncs", cpu, "s");
    figures.note("ceiling's CPU / ours", of_tops(|it| it.cpu_seconds) / cpu, "");
    figures.note("ceiling's CPU per object", of_tops(|it| it.cpu_seconds) / n * 1000.0, "ms");
    figures.note("ceiling's CPU", of_tops(|it| it.cpu_seconds), "s");
    figures.note("ceiling's peak memory", of_tops(|it| it.peak_mib), "MiB");
}

fn counts(figures: &mut Figures, world: &World, requests: &Requests) {
    let n = world.n as f64;
    figures.count("exchanges", world.mock_provider.total() as f64, Goal::Exactly(n));
    figures.count("reads per first sync", requests.gets() as f64 / n, Goal::AtMost(3.0));
    figures.count("writes per first sync", requests.writes() as f64 / n, Goal::AtMost(3.0));
    figures.note("pages of lists and watches", requests.lists() as f64, "");
    figures.note("requests", requests.total() as f64, "");
    for (name, count) in requests.each() {
        figures.note(format!("requests: {name}"), count as f64, "");
    }
}

/// Of the first member's Secret and status, as JSON.
async fn stored_bytes(world: &World) -> usize {
    let member = Member(0);
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &member.namespace());
    let credentials: Api<ApiCredential> = Api::namespaced(world.client.clone(), &member.namespace());
    let secret = secrets.get(&member.target()).await.expect("the target was written");
    let status = credentials.get(&member.name()).await.expect("the ApiCredential exists").status;
    let bytes = |value: serde_json::Result<String>| value.map_or(0, |text| text.len());
    bytes(serde_json::to_string(&secret.data))
        + bytes(serde_json::to_string(&secret.metadata.annotations))
        + bytes(serde_json::to_string(&status))
}
