//! Ten credentials a second are created beside N that are fresh: how soon each becomes Ready.

use std::time::{Duration, Instant};

use tokio::time::interval;

use super::figures::{Figures, Goal, percentile};
use super::fleet::Member;
use super::settings::Settings;
use super::witness::Witness;
use super::world::{World, lasting};

const PER_SECOND: f64 = 10.0;
const FULL: Duration = Duration::from_secs(60);

/// The world has more than N members after it.
pub async fn measure(world: &mut World, settings: &Settings) -> Figures {
    let count = (settings.scaled(FULL).as_secs_f64() * PER_SECOND) as usize;
    let members = world.n..world.n + count;
    world.answer(&lasting(Duration::ZERO), members.clone());
    let witness = Witness::start(&world.client);
    witness.wait_for(world.n).await;
    let exchanges = world.stand_in.total();
    let (audit, before) = (world.audit(), world.operator().usage());

    let mut ticks = interval(Duration::from_secs_f64(1.0 / PER_SECOND));
    let mut created = Vec::new();
    for number in members {
        ticks.tick().await;
        let (client, origin) = (world.client.clone(), world.stand_in.origin());
        created.push(tokio::spawn(async move {
            let member = Member(number);
            member.create_source(&client).await;
            let asked = Instant::now();
            member.create_credential(&client, &origin).await;
            (member, asked)
        }));
    }
    let created = futures::future::try_join_all(created).await.expect("they can be created");
    witness.wait_for(world.n + count).await;
    let after = world.operator().usage();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let waits = created.iter().map(|(member, asked)| {
        let ready = witness.ready_at(&member.name()).expect("all are Ready");
        ready.saturating_duration_since(*asked).as_secs_f64() * 1000.0
    });
    let mut waits: Vec<f64> = waits.collect();
    let requests = audit.requests();
    let each = |total: f64| total / count as f64;
    let mut figures = Figures::new("trickle", world.n);
    figures.note("created", count as f64, "");
    figures.note("from the create request to Ready, p50", percentile(&mut waits, 50.0), "ms");
    figures.goal("from the create request to Ready, p99", percentile(&mut waits, 99.0), "ms", Goal::AtMost(50.0));
    figures.note("from the create request to Ready, max", percentile(&mut waits, 100.0), "ms");
    figures.count(
        "exchanges per created credential",
        each((world.stand_in.total() - exchanges) as f64),
        Goal::Exactly(1.0),
    );
    figures.count("reads per first sync", each(requests.gets() as f64), Goal::AtMost(3.0));
    figures.count("writes per first sync", each(requests.writes() as f64), Goal::AtMost(3.0));
    figures.note("CPU per first sync", each(after.cpu_seconds - before.cpu_seconds) * 1000.0, "ms");
    figures
}
