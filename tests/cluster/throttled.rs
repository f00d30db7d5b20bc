//! 429 and similar: the length of the backoff, the requests that it applies to, and that a restart keeps it.

use std::time::Duration;

use apicredential::api::Provider::{Qontak, Welkin};
use apicredential_operator::clock;
use jiff::SignedDuration;

use crate::hostile::{self, FIRST, SECOND, THIRD};
use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Client, MockProvider, Reply};
use crate::support::space::{self, Space, value};

fn limited(status: u16, retry_after: Option<&str>) -> Reply {
    let reply = Reply::error_with(status, hostile::TOKEN, hostile::BODY);
    retry_after.map_or(reply.clone(), |value| reply.header("retry-after", value))
}

/// Status, Retry-After, and the bounds of the delay in seconds; each on an endpoint of its own, since all of it is
/// throttled.
fn pauses() -> Vec<(&'static str, Reply, (i64, i64))> {
    let date = |seconds| {
        let time = clock::now() + SignedDuration::from_secs(seconds);
        httpdate::fmt_http_date(std::time::SystemTime::from(time))
    };
    // A busy machine may be slow between the response and the count.
    let about = |seconds: i64| (seconds - 30, seconds + 30);
    // Like a transient failure: half of the base of 300 s, and its jitter.
    let unreadable = (150, 330);
    vec![
        ("seconds", limited(429, Some("600")), about(600)),
        ("date", limited(429, Some(&date(600))), (500, 630)),
        ("for-ages", limited(429, Some("99999999999999999999999")), about(900)),
        ("date-in-ages", limited(429, Some("Fri, 31 Dec 9999 23:59:59 GMT")), about(900)),
        ("negative", limited(429, Some("-1")), unreadable),
        ("float", limited(429, Some("1e9")), unreadable),
        ("word", limited(429, Some("soon")), unreadable),
        ("none", limited(429, None), unreadable),
        ("unavailable", limited(503, Some("600")), about(600)),
    ]
}

#[tokio::test]
async fn the_backoff_is_the_headers_time_within_its_bounds() {
    let space = Space::new().await;
    let rows: Vec<_> =
        pauses().into_iter().map(|(name, reply, bounds)| (name, reply, bounds, MockProvider::start())).collect();
    let mock_providers: Vec<&MockProvider> = rows.iter().map(|(.., mock_provider)| mock_provider).collect();
    let _operator = hostile::patient(&space, mock_providers[0]).endpoints(&mock_providers, &[]).start().await;
    for (name, reply, _, mock_provider) in &rows {
        let client = hostile::client(mock_provider, Qontak, name);
        client.always(reply.clone());
        hostile::credential(&space, mock_provider, &client, Qontak, name).await;
    }
    for (name, _, (least, most), mock_provider) in &rows {
        let credential = space.wait_condition(name, "Ready", "False/RateLimited").await;
        assert_eq!(space::condition(&credential, "Reconciling").as_deref(), Some("True/RateLimited"), "{name}");
        let (last, next) = hostile::last_and_next(&credential);
        let delay = next.as_second() - last.as_second();
        assert!((*least..=*most).contains(&delay), "{name}: the next attempt comes after {delay} s");
        assert_eq!(mock_provider.total(), 1, "{name}");
    }
    space.assert_no_leaks(&hostile::sentinels()).await;
}

#[tokio::test]
async fn a_backoff_of_zero_is_one_second_long() {
    let space = Space::new().await;
    let (zero, past) = (MockProvider::start(), MockProvider::start());
    let _operator = hostile::patient(&space, &zero).endpoints(&[&zero, &past], &[]).start().await;
    for (name, mock_provider, header) in [("zero", &zero, "0"), ("past", &past, "Sun, 06 Nov 1994 08:49:37 GMT")] {
        let client = hostile::client(mock_provider, Welkin, name);
        client.next(limited(429, Some(header)));
        hostile::credential(&space, mock_provider, &client, Welkin, name).await;
        // With a base of 5 min, only the time in the header can be this short.
        space.wait_condition(name, "Ready", "True/TokenValid").await;
        let times: Vec<_> = client.requests().into_iter().map(|request| request.at).collect();
        assert_eq!(times.len(), 2, "{name}");
        assert!(times[1].duration_since(times[0]) >= SignedDuration::from_secs(1), "{name}: {times:?}");
    }
}

/// The ApiCredentials of one endpoint and one of another, after the first endpoint was throttled.
struct Paused {
    space: Space,
    busy: MockProvider,
    free: MockProvider,
    clients: [Client; 4],
}

impl Paused {
    async fn new(retry_after: &str) -> (Self, Settings, Operator) {
        let (space, busy, free) = (Space::new().await, MockProvider::start(), MockProvider::start());
        let settings = hostile::patient(&space, &busy).endpoints(&[&busy, &free], &[]);
        let operator = settings.start().await;
        let clients = [
            hostile::client(&busy, Welkin, "limited"),
            hostile::client(&busy, Welkin, "bystander"),
            hostile::client(&busy, Qontak, "late"),
            hostile::client(&free, Welkin, "free"),
        ];
        let paused = Self { space, busy, free, clients };
        let [limited_client, bystander, _, free_client] = &paused.clients;
        hostile::credential(&paused.space, &paused.busy, limited_client, Welkin, "limited").await;
        hostile::credential(&paused.space, &paused.busy, bystander, Welkin, "bystander").await;
        hostile::credential(&paused.space, &paused.free, free_client, Welkin, "free").await;
        hostile::wait_for_all(&paused.space, "the first tokens", 3, hostile::is_settled).await;
        let before = paused.space.secret("limited-token").await;
        limited_client.next(limited(429, Some(retry_after)));
        hostile::source(&paused.space, Welkin, "limited", SECOND).await;
        paused.space.wait_condition("limited", "Renewed", "False/RateLimited").await;
        assert_eq!(paused.space.secret("limited-token").await, before, "the valid token is not changed");
        (paused, settings, operator)
    }

    fn counts(&self) -> Vec<usize> {
        self.clients.iter().map(Client::count).collect()
    }

    /// A change on the free endpoint and a new ApiCredential there had an effect: earlier ones had their chance.
    async fn free_goes_on(&self, secret: &str, newcomer: &str) {
        hostile::source(&self.space, Welkin, "free", secret).await;
        let client = &self.clients[3];
        self.space
            .wait_for("the free endpoint's new token", async || {
                let sent = client.requests().last()?.secret.clone();
                let written = value(&self.space.secret("free-token").await?, "token");
                (sent == secret && written == client.last_token()).then_some(())
            })
            .await;
        let client = hostile::client(&self.free, Welkin, newcomer);
        hostile::credential(&self.space, &self.free, &client, Welkin, newcomer).await;
        self.space.wait_condition(newcomer, "Ready", "True/TokenValid").await;
    }
}

#[tokio::test]
async fn a_backoff_applies_to_the_whole_endpoint_and_no_other_also_after_a_restart() {
    let (paused, settings, operator) = Paused::new("600").await;
    let space = &paused.space;
    assert_eq!(paused.counts(), [2, 1, 0, 1]);
    // New values, values new again, and a new ApiCredential: none of them bypasses a backoff.
    hostile::source(space, Welkin, "bystander", SECOND).await;
    hostile::source(space, Welkin, "limited", THIRD).await;
    hostile::credential(space, &paused.busy, &paused.clients[2], Qontak, "late").await;
    paused.free_goes_on(SECOND, "newcomer").await;
    assert_eq!(paused.counts(), [2, 1, 0, 2]);

    operator.terminate(Duration::from_secs(25)).await;
    // One at a time: the first to be reconciled must not request before the one that knows of the backoff is
    // reconciled.
    let operator = settings.flag("--concurrency", "1").start().await;
    paused.free_goes_on(THIRD, "newcomer-after-the-restart").await;
    assert_eq!(paused.counts(), [2, 1, 0, 3], "the restart lost the backoff");
    for name in ["limited", "bystander"] {
        let ready = space::condition(&space.credential(name).await, "Ready").unwrap();
        assert!(ready.starts_with("True/"), "{name}: {ready}");
    }
    drop(operator);
    space.assert_no_leaks(&hostile::sentinels()).await;
}

#[tokio::test]
async fn when_the_backoff_ends_each_apicredential_sends_one_request() {
    let (paused, _settings, _operator) = Paused::new("30").await;
    hostile::source(&paused.space, Welkin, "bystander", SECOND).await;
    hostile::credential(&paused.space, &paused.busy, &paused.clients[2], Qontak, "late").await;
    // Its first token has settled it all the time.
    let second = |it: &_| hostile::status(it).revision == Some(2);
    paused.space.wait_until("bystander", "its second token", second).await;
    hostile::wait_for_all(&paused.space, "all tokens", 4, hostile::is_settled).await;
    let reported = paused.clients[0].requests()[1].at;
    for client in &paused.clients[..3] {
        let last = client.requests().last().unwrap().at;
        assert!(last.duration_since(reported) >= SignedDuration::from_secs(30), "{} did not wait", client.name());
    }
    assert_eq!(paused.counts(), [3, 2, 1, 1]);
    assert_eq!(paused.clients[2].requests()[0].secret, FIRST);
}
