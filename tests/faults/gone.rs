//! An ApiCredential that is deleted during its exchange, while the watches are silent about it: the operator learns it
//! from a live read, and does not request another token.

use std::time::Duration;

use crate::support::fault_proxy::{FaultProxy, Log};
use crate::support::operator::Settings;
use crate::support::provider::{MockProvider, Reply};
use crate::support::space::{self, Space};

/// In flight for long enough to be overtaken by the deletion.
const LATENCY: Duration = Duration::from_secs(3);

#[tokio::test]
async fn no_further_exchange_is_made_for_an_apicredential_that_a_live_read_has_not_found() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let log = Log::new(|_, _| {});
    let proxy = FaultProxy::start(&space.plane, &log, 0);
    let settings = Settings::new(&space, &mock_provider).flag("--retry-base", "250ms").kubeconfig(proxy.kubeconfig());
    let _operator = settings.start().await;

    let client = mock_provider.welkin(&space.unique("a"));
    client.next(Reply::token().latency(LATENCY));
    space.source_welkin("a-source", "a secret of a source").await;
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    space.wait_for("the exchange is in flight", async || (client.count() > 0).then_some(())).await;
    log.silence_watches(true);
    space.delete("a").await;

    // The first live read discards the token in flight. The others come before further exchanges, or, too late, after them.
    let found_gone = || log.calls().iter().filter(|call| call.kind() == LIVE_READ && call.status == Some(404)).count();
    space.wait_for("live reads that do not find it", async || (found_gone() >= 3).then_some(())).await;
    assert_eq!(client.count(), 1);
    assert!(log.calls().iter().all(|call| !(call.resource == "secrets" && call.is_write())), "a token was written");
}

const LIVE_READ: (&str, &str, &str) = ("get", "apicredentials", "a");
