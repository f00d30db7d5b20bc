//! A failing provider does not affect others, and no endpoint gets requests faster than the configured rate.

use std::collections::BTreeSet;

use apicredential::api::Provider::{Qontak, Welkin};
use jiff::SignedDuration;

use crate::hostile::{self, each};
use crate::support::operator::Settings;
use crate::support::provider::{Client, MockProvider, Reply};
use crate::support::space::{self, Space, value};

const HANGING: usize = 200;
const OTHERS: usize = 50;
const CONCURRENCY: usize = 64;

#[tokio::test]
async fn two_hundred_credentials_of_a_hanging_provider_do_not_hold_up_fifty_of_another() {
    let (space, hanging, swift) = (Space::new().await, MockProvider::start(), MockProvider::start());
    let settings = Settings::new(&space, &hanging).endpoints(&[&hanging, &swift], &[]);
    // So long that none of the hanging requests ends before the others are done; then the provider releases all of
    // them.
    let settings = settings.flag("--provider-timeout", "30s").flag("--lease-duration", "80s");
    let settings = settings.flag("--provider-rate", "0").flag("--concurrency", &CONCURRENCY.to_string());
    let _operator = settings.flag("--retry-base", "1s").start().await;

    let stuck = names_and_clients("stuck", HANGING, |name| hanging.welkin(name));
    space.source_welkin("shared-source", hostile::FIRST).await;
    each(&stuck, async |(name, client)| {
        client.always(Reply::hang());
        let mut manifest = space::welkin(name, client, &hanging);
        manifest["spec"]["provider"]["welkin"]["secretRef"]["name"] = "shared-source".into();
        space.apply(&manifest).await;
    })
    .await;
    let full = async || (in_flight(&stuck) == CONCURRENCY / 4).then_some(());
    space.wait_for("a quarter of the slots hang", full).await;

    let free = names_and_clients("free", OTHERS, |name| swift.qontak(&format!("{}-{name}", hostile::USERNAME)));
    each(&free, async |(name, client)| hostile::credential(&space, &swift, client, Qontak, name).await).await;
    hostile::wait_for_all(&space, "the others are Ready", OTHERS, hostile::is_settled).await;
    assert_eq!(hanging.total(), CONCURRENCY / 4, "more than their share was in flight, or one had ended");
    assert_eq!(in_flight(&stuck), CONCURRENCY / 4, "one had ended before the others were done");
    assert_eq!(swift.total(), OTHERS, "one exchange each");

    for (_, client) in &stuck {
        client.lifetime(3600.0);
    }
    hostile::wait_for_all(&space, "all are Ready", HANGING + OTHERS, hostile::is_settled).await;
    let mut tokens = BTreeSet::new();
    for (name, client) in stuck.iter().chain(&free) {
        let secret = space.secret(&format!("{name}-token")).await.unwrap();
        let token = value(&secret, "token");
        assert_eq!(token, client.last_token(), "{name} holds another one's token");
        assert_eq!(client.tokens().len(), 1, "{name} was exchanged more than once");
        tokens.insert(token);
    }
    assert_eq!(tokens.len(), HANGING + OTHERS);
    space.assert_no_leaks(&hostile::sentinels()).await;
}

fn names_and_clients(stem: &str, count: usize, client: impl Fn(&str) -> Client) -> Vec<(String, Client)> {
    let names = (0..count).map(|number| format!("{stem}-{number:03}"));
    names.map(|name| (name.clone(), client(&name))).collect()
}

fn in_flight(clients: &[(String, Client)]) -> usize {
    clients.iter().map(|(_, client)| client.in_flight()).sum()
}

#[tokio::test]
async fn no_more_requests_than_the_burst_and_the_rate_allow_reach_an_endpoint() {
    const RATE: f64 = 2.0;
    const BURST: f64 = 2.0;
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let settings = hostile::patient(&space, &mock_provider).flag("--provider-rate", "2").flag("--provider-burst", "2");
    let clients = names_and_clients("a", 20, |name| hostile::client(&mock_provider, Welkin, name));
    each(&clients, async |(name, client)| hostile::credential(&space, &mock_provider, client, Welkin, name).await)
        .await;
    let _operator = settings.start().await;
    hostile::wait_for_all(&space, "every token", clients.len(), hostile::is_settled).await;
    let mut times: Vec<_> =
        clients.iter().flat_map(|(_, client)| client.requests()).map(|request| request.at).collect();
    times.sort();
    assert_eq!(times.len(), clients.len(), "one request each");
    // The limit applies to sending. A connection that is slow to open delays an arrival by this much.
    let slack = SignedDuration::from_secs(3);
    for (first, from) in times.iter().enumerate() {
        for (last, to) in times.iter().enumerate().skip(first) {
            let window = (to.duration_since(*from) + slack).as_secs_f64();
            let count = u32::try_from(last - first + 1).unwrap();
            assert!(f64::from(count) <= BURST + RATE * window, "{count} requests in {window} s: {times:?}");
        }
    }
}
