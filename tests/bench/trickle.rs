//! Ten ApiCredentials a second are created beside N with fresh tokens: how soon each becomes Ready; and how soon it
//! would, if a client without any logic sent its requests, and needed no event to start.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apicredential::api::ApiCredential;
use tokio::time::interval;

use super::ceiling::{Sender, TODAY};
use super::figures::{Figures, Goal, percentile};
use super::fleet::Member;
use super::settings::Settings;
use super::witness::Witness;
use super::world::{World, lasting};

const PER_SECOND: f64 = 10.0;
const FULL: Duration = Duration::from_secs(60);

/// The world has more than N members after it, and no operator.
pub async fn measure(world: &mut World, settings: &Settings) -> Figures {
    let count = (settings.scaled(FULL).as_secs_f64() * PER_SECOND) as usize;
    let witness = Witness::start(&world.client);
    witness.wait_for(world.n).await;
    let exchanges = world.mock_provider.total();
    let (audit, before) = (world.audit(), world.operator().usage());
    let timely = Sources::of(settings);
    let members = world.n..world.n + count;
    let mut waits = create(world, &witness, members, timely, |_, _| futures::future::ready(())).await;
    let after = world.operator().usage();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (requests, exchanges) = (audit.requests(), world.mock_provider.total() - exchanges);
    let mut floor = by_a_bare_client(world, &witness, world.n + count..world.n + 2 * count, timely).await;

    let each = |total: f64| total / count as f64;
    let mut figures = Figures::new("trickle", world.n);
    figures.note("created", count as f64, "");
    figures.note("from the create request to Ready, p50", percentile(&mut waits, 50.0), "ms");
    figures.goal("from the create request to Ready, p99", percentile(&mut waits, 99.0), "ms", Goal::AtMost(50.0));
    figures.note("from the create request to Ready, max", percentile(&mut waits, 100.0), "ms");
    figures.note("the same requests by a bare client, p50", percentile(&mut floor, 50.0), "ms");
    figures.note("the same requests by a bare client, p99", percentile(&mut floor, 99.0), "ms");
    figures.note("the same requests by a bare client, max", percentile(&mut floor, 100.0), "ms");
    figures.count("exchanges per created credential", each(exchanges as f64), Goal::Exactly(1.0));
    figures.count("reads per first sync", each(requests.gets() as f64), Goal::AtMost(3.0));
    figures.count("writes per first sync", each(requests.writes() as f64), Goal::AtMost(3.0));
    figures.note("CPU per first sync", each(after.cpu_seconds - before.cpu_seconds) * 1000.0, "ms");
    figures
}

/// When the source of an ApiCredential is created.
#[derive(Clone, Copy, PartialEq)]
enum Sources {
    /// Just before it, as with `kubectl apply`. Two watches deliver the two, in either order; if the source comes last,
    /// the ApiCredential is reconciled again.
    Beside,
    /// Long before it, so that the cost of a first sync can be counted to the last request.
    Before,
}

impl Sources {
    fn of(settings: &Settings) -> Self {
        if settings.smoke { Self::Before } else { Self::Beside }
    }
}

async fn by_a_bare_client(world: &mut World, witness: &Witness, members: Range<usize>, sources: Sources) -> Vec<f64> {
    world.stop().await;
    let (kubeconfig, ca) = (world.plane.operator_kubeconfig(), world.mock_provider.ca_file());
    let sender = Arc::new(Sender::new(&kubeconfig, ca, &world.mock_provider.origin(), TODAY).await);
    create(world, witness, members, sources, move |member, credential| {
        let (sender, meta) = (Arc::clone(&sender), credential.metadata);
        async move {
            let (uid, version) = (meta.uid.unwrap_or_default(), meta.resource_version.unwrap_or_default());
            sender.sync(&member, &uid, &version).await;
        }
    })
    .await
}

/// Creates these, each followed by `then`. Returns the time from each create request to Ready, in ms.
async fn create<F, W>(world: &World, witness: &Witness, members: Range<usize>, sources: Sources, then: F) -> Vec<f64>
where
    F: Fn(Member, ApiCredential) -> W + Clone + Send + 'static,
    W: Future<Output = ()> + Send,
{
    world.answer(&lasting(Duration::ZERO), members.clone());
    if sources == Sources::Before {
        for number in members.clone() {
            Member(number).create_source(&world.client).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut ticks = interval(Duration::from_secs_f64(1.0 / PER_SECOND));
    let mut created = Vec::new();
    for number in members.clone() {
        ticks.tick().await;
        let (client, origin, then) = (world.client.clone(), world.mock_provider.origin(), then.clone());
        created.push(tokio::spawn(async move {
            let member = Member(number);
            if sources == Sources::Beside {
                member.create_source(&client).await;
            }
            let requested = Instant::now();
            let credential = member.create_credential(&client, &origin).await;
            then(member.clone(), credential).await;
            (member, requested)
        }));
    }
    let created = futures::future::try_join_all(created).await.expect("they can be created");
    witness.wait_for(members.end).await;
    let waits = created.iter().map(|(member, requested)| {
        let ready = witness.ready_at(&member.name()).expect("all are Ready");
        ready.saturating_duration_since(*requested).as_secs_f64() * 1000.0
    });
    waits.collect()
}
