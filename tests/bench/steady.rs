//! About thirty renewals a second are due, evenly, for ten minutes.

use std::time::Duration;

use apicredential::api::ApiCredential;
use apicredential_operator::clock;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::figures::{Figures, Goal, percentile};
use super::fleet::Member;
use super::renewals::Renewals;
use super::seed::ago;
use super::settings::Settings;
use super::witness::Witness;
use super::world::World;

const PER_SECOND: f64 = 30.0;
/// A token is renewed at 2/3 of its lifetime less a jitter of up to 1/10: on average after this share of it.
const RENEWED_AFTER: f64 = 2.0 / 3.0 - 0.05;
/// Small fleets renew less often: a lifetime of a few seconds would be no useful measurement.
const SHORTEST_LIFE: f64 = 20.0;
/// A smoke run only checks that none expires, on a machine that may be slow.
const SHORTEST_LIFE_IN_A_SMOKE: f64 = 60.0;
const FULL: Duration = Duration::from_secs(600);

pub async fn measure(n: usize, settings: &Settings) -> Figures {
    let shortest = if settings.smoke { SHORTEST_LIFE_IN_A_SMOKE } else { SHORTEST_LIFE };
    let lifetime = (n as f64 / PER_SECOND / RENEWED_AFTER).max(shortest);
    // Of all ages, up to the earliest planned renewal.
    let age = |number: usize| Duration::from_secs_f64(lifetime * (2.0 / 3.0 - 0.1) * number as f64 / n as f64);
    let mut world = World::seeded(n, lifetime as i64, |number| ago(age(number))).await;
    let (witness, renewals) = (Witness::start(&world.client), Renewals::watch(&world.client));
    world.start(&[("--min-renewal-interval", "1s")]);
    witness.wait_for(n).await;
    drop(witness);
    // What came due while the tokens were adopted is renewed late, and delays what is due then.
    renewals.caught_up(Duration::from_secs_f64(lifetime)).await;

    let exchanges = world.mock_provider.total();
    let (audit, before, from) = (world.audit(), world.operator().usage(), clock::now());
    let earlier = renewals.all().len();
    let length = if settings.is_largest(n) { FULL } else { FULL / 5 };
    tokio::time::sleep(settings.scaled(length)).await;
    let (after, to) = (world.operator().usage(), clock::now());
    let seen = renewals.all();
    let (exchanged, requests) = (world.mock_provider.total() - exchanges, audit.requests());

    let written = (seen.len() - earlier) as f64;
    let due = seen.iter().filter(|renewal| renewal.planned >= from);
    let mut lateness: Vec<f64> = due.map(|renewal| renewal.lateness().max(0.0)).collect();
    let expired = seen.iter().filter(|renewal| renewal.written > renewal.expired).count() + renewals.expired();
    let mut figures = Figures::new("steady", n);
    figures.note("lifetime of the tokens", lifetime, "s");
    figures.note("length", to.duration_since(from).as_secs_f64(), "s");
    figures.note("renewals per second", written / to.duration_since(from).as_secs_f64(), "");
    figures.note("lateness p50", percentile(&mut lateness, 50.0), "s");
    figures.goal("lateness p99", percentile(&mut lateness, 99.0), "s", Goal::AtMost(1.0));
    figures.goal("lateness max", percentile(&mut lateness, 100.0), "s", Goal::AtMost(5.0));
    figures.count("tokens that expired", expired as f64, Goal::Exactly(0.0));
    let cpu = (after.cpu_seconds - before.cpu_seconds) / written * 1000.0;
    figures.goal("CPU per renewal", cpu, "ms", Goal::AtMost(1.0));
    figures.note("exchanges per renewal", exchanged as f64 / written, "");
    figures.note("reads per renewal", requests.gets() as f64 / written, "");
    figures.note("writes per renewal", requests.writes() as f64 / written, "");
    figures.note("memory", after.rss_mib, "MiB");
    figures.count(
        "planned times that differ from the status",
        differing_plans(&world, &renewals).await,
        Goal::Exactly(0.0),
    );
    figures
}

/// The times above are planned by the library. Some are compared with the status.
async fn differing_plans(world: &World, renewals: &Renewals) -> f64 {
    let credentials: Api<ApiCredential> = Api::namespaced(world.client.clone(), &Member(0).namespace());
    let listed = credentials.list(&ListParams::default()).await.expect("ApiCredentials can be listed");
    let planned = renewals.planned();
    let mut differing = 0;
    for credential in listed {
        let status = credential.status.clone().unwrap_or_default();
        let reported: Option<Timestamp> = status.renewal_time.map(|time| time.0);
        // One that is being renewed just now may be counted before and after.
        let close = status.token.is_some_and(|token| clock::now().duration_since(token.issued_time.0).as_secs() < 3);
        if !close
            && reported.is_some_and(|reported| reported > clock::now())
            && planned.get(&credential.name_any()) != reported.as_ref()
        {
            differing += 1;
        }
    }
    f64::from(differing)
}
