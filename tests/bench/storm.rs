//! A provider in trouble: it throttles all clients, it rejects some, or it hangs while another one works.

use std::time::{Duration, Instant};

use apicredential_operator::clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::figures::{Figures, Goal};
use super::fleet::{self, Member};
use super::settings::Settings;
use super::support::provider::{MockProvider, Reply};
use super::support::{random, reaper};
use super::witness::Witness;
use super::world::{World, lasting};

const THROTTLED: Duration = Duration::from_secs(60);
const BURST: f64 = 20.0;
/// The longest delay without a token is 60 × `--retry-base`.
const BACKOFF_CAP: f64 = 300.0;
/// The delay of a request on a busy machine: one that arrives late is closer to the next.
const LATE: f64 = 0.25;
/// Three of ten.
const REJECTED: [usize; 3] = [0, 3, 7];
const PROVIDER_TIMEOUT: &str = "5s";

/// All clients send requests at once, and all get 429 for a minute, without a Retry-After.
pub async fn throttled(n: usize, settings: &Settings) -> Figures {
    let rate = (n as f64 / 50.0).max(20.0);
    let mut world = World::with_fleet(n, Reply::error(429)).await;
    let witness = Witness::start(&world.client);
    world.start(&[("--provider-rate", &rate.to_string()), ("--provider-burst", &BURST.to_string())]);
    tokio::time::sleep(settings.scaled(THROTTLED)).await;
    let (before, recovered) = (world.mock_provider.total(), Instant::now());
    world.answer(&lasting(Duration::ZERO), 0..n);
    let done = witness.wait_long_for(n, Duration::from_secs_f64(BACKOFF_CAP * 2.0)).await;
    let times = arrivals(&world.mock_provider, 0..n);

    let mut figures = Figures::new("storm: 429 for a minute", n);
    figures.note("rate limit", rate, "/s");
    figures.note("requests while throttled", before as f64, "");
    figures.note("requests after", (world.mock_provider.total() - before) as f64, "");
    figures.count("requests above the rate", above_the_rate(&times, rate), Goal::Exactly(0.0));
    let converged = done.duration_since(recovered).as_secs_f64();
    let limit = BACKOFF_CAP + n as f64 / rate;
    figures.goal("time to converge after", converged, "s", Goal::AtMost(limit));
    figures
}

/// Three of ten get the response that their secret is wrong; then their sources are fixed.
pub async fn rejected(n: usize, settings: &Settings) -> Figures {
    let is_rejected = |number: &usize| REJECTED.contains(&(number % 10));
    let mut world = World::with_fleet(n, lasting(Duration::ZERO)).await;
    for number in (0..n).filter(is_rejected) {
        world.mock_provider.welkin(&Member(number).client_name()).accept("another");
    }
    let healthy = (0..n).filter(|number| !is_rejected(number)).count();
    let witness = Witness::start(&world.client);
    world.start(&[]);
    let well = witness.wait_for(healthy).await.duration_since(world.operator().began).as_secs_f64();
    tokio::time::sleep(settings.scaled(THROTTLED)).await;
    let refusals = arrivals(&world.mock_provider, (0..n).filter(is_rejected)).len();
    let exchanges = arrivals(&world.mock_provider, (0..n).filter(|number| !is_rejected(number))).len();

    let repaired = Instant::now();
    let client = world.client.clone();
    fleet::each(n, |member| {
        let (client, wrong) = (client.clone(), is_rejected(&member.0));
        async move {
            if wrong {
                let secrets: Api<Secret> = Api::namespaced(client, &member.namespace());
                let patch = Patch::Merge(json!({"stringData": {"secret": "another"}}));
                secrets
                    .patch(&member.source(), &PatchParams::default(), &patch)
                    .await
                    .expect("a source can be repaired");
            }
        }
    })
    .await;
    let done = witness.wait_for(n).await.duration_since(repaired).as_secs_f64();

    let mut figures = Figures::new("storm: three of ten rejected", n);
    figures.note("time until all healthy ones are Ready", well, "s");
    figures.count("exchanges per healthy one", exchanges as f64 / healthy as f64, Goal::Exactly(1.0));
    figures.note("requests per rejected one", refusals as f64 / (n - healthy) as f64, "");
    figures.note("time from the repair to all Ready", done, "s");
    figures
}

/// Half of the fleet uses an endpoint that accepts requests and never responds. First a run in which it responds.
pub async fn hanging(n: usize, settings: &Settings) -> Figures {
    let healthy_only = half_hanging(n, &lasting(Duration::ZERO), settings).await;
    let beside = half_hanging(n, &Reply::hang(), settings).await;
    let mut figures = Figures::new("storm: one endpoint of two hangs", n);
    figures.note("time until the healthy half is Ready", beside.healthy, "s");
    figures.note("of that without the trouble", beside.healthy / healthy_only.healthy, "");
    figures.note("requests that hung", beside.hung as f64, "");
    figures.count("most in flight at the endpoint that hangs", beside.in_flight as f64, Goal::AtMost(16.0));
    figures.count("exchanges per healthy one", beside.exchanges as f64 / n.div_ceil(2) as f64, Goal::Exactly(1.0));
    figures.goal("time to converge after", beside.converged, "s", Goal::AtMost(BACKOFF_CAP));
    figures
}

struct Half {
    healthy: f64,
    hung: usize,
    in_flight: usize,
    exchanges: usize,
    converged: f64,
}

async fn half_hanging(n: usize, reply: &Reply, settings: &Settings) -> Half {
    let (mut world, other) = (World::empty(n).await, MockProvider::start());
    world.answer(&lasting(Duration::ZERO), (0..n).step_by(2));
    for number in (1..n).step_by(2) {
        other.welkin(&Member(number).client_name()).always(reply.clone());
    }
    let origins = [world.mock_provider.origin(), other.origin()];
    fleet::create(&world.client, n, &[&origins[0], &origins[1]]).await;
    let bundle = reaper::directory().join(format!("both-{}.pem", random::suffix()));
    std::fs::write(&bundle, format!("{}{}", world.mock_provider.ca_pem(), other.ca_pem())).expect("it can be written");
    let allowed = format!("welkin={},welkin={}", origins[0], origins[1]);
    let witness = Witness::start(&world.client);
    world.start(&[
        ("--provider-ca-file", &bundle.display().to_string()),
        ("--allowed-endpoints", &allowed),
        ("--provider-timeout", PROVIDER_TIMEOUT),
    ]);
    let evens: Vec<String> = (0..n).step_by(2).map(|number| Member(number).name()).collect();
    let healthy = witness.wait_for_these(&evens).await.duration_since(world.operator().began).as_secs_f64();
    tokio::time::sleep(settings.scaled(THROTTLED)).await;
    let (hung, in_flight) = (other.total(), in_flight_at_most(&arrivals(&other, (1..n).step_by(2))));
    let recovered = Instant::now();
    for number in (1..n).step_by(2) {
        other.welkin(&Member(number).client_name()).always(lasting(Duration::ZERO));
    }
    let done = witness.wait_long_for(n, Duration::from_secs_f64(BACKOFF_CAP * 2.0)).await;
    let exchanges = world.mock_provider.total();
    let converged = done.saturating_duration_since(recovered).as_secs_f64();
    Half { healthy, hung, in_flight, exchanges, converged }
}

/// The arrival times of the requests of these members, in order.
fn arrivals(mock_provider: &MockProvider, members: impl Iterator<Item = usize>) -> Vec<Timestamp> {
    let requests = members.flat_map(|number| mock_provider.welkin(&Member(number).client_name()).requests());
    let mut times: Vec<Timestamp> = requests.map(|request| request.at).collect();
    times.sort_unstable();
    times
}

/// By how many requests a bucket of the burst's size, drained at the rate, would have overflowed.
fn above_the_rate(times: &[Timestamp], rate: f64) -> f64 {
    let (mut level, mut highest) = (0.0_f64, 0.0_f64);
    for (place, time) in times.iter().enumerate() {
        let passed = place.checked_sub(1).map_or(0.0, |before| time.duration_since(times[before]).as_secs_f64());
        level = (level - passed * rate).max(0.0) + 1.0;
        highest = highest.max(level);
    }
    (highest - BURST - rate * LATE).max(0.0).ceil()
}

/// The largest number of arrivals within the time after which the operator gives each up.
fn in_flight_at_most(times: &[Timestamp]) -> usize {
    let window = jiff::SignedDuration::from_millis(4500);
    let within = |(place, time): (usize, &Timestamp)| {
        times[place..].iter().take_while(|other| other.duration_since(*time) < window).count()
    };
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(milliseconds: impl Iterator<Item = i64>) -> Vec<Timestamp> {
        milliseconds.map(|at| Timestamp::from_millisecond(at).expect("a time")).collect()
    }

    #[test]
    fn a_burst_and_then_the_rate_is_not_above_it_and_twice_the_rate_is() {
        let burst = || std::iter::repeat_n(0, BURST as usize);
        assert_eq!(above_the_rate(&times(burst().chain((1..400).map(|number| number * 50))), 20.0), 0.0);
        assert!(above_the_rate(&times(burst().chain((1..400).map(|number| number * 25))), 20.0) > 100.0);
    }

    #[test]
    fn requests_that_were_given_up_are_not_in_flight_with_later_ones() {
        assert_eq!(in_flight_at_most(&times([0, 10, 5_000, 5_010, 5_020].into_iter())), 3);
    }
}
