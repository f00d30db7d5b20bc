//! A status that could not be written is not forgotten when the retry conflicts with another client's change.

use serde_json::json;

use crate::support::fault_proxy::{Act, Fault, FaultProxy, Log, Site, When};
use crate::support::operator::Settings;
use crate::support::provider::{MockProvider, Reply};
use crate::support::space::{self, Space};

/// Far longer than the test, so that no retry is due.
const LONG: &str = "5m";

#[tokio::test]
async fn an_attempt_not_yet_in_the_status_is_not_repeated_after_a_conflict() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let log = Log::new(|_, _| {});
    let proxy = FaultProxy::start(&space.plane, &log, 0);
    let at = |nth, act| Fault { site: status_of_a(nth), when: When::Before, act };
    log.arm(vec![at(1, Act::Answer(500)), at(2, Act::Answer(409))]);
    let settings = Settings::new(&space, &mock_provider).flag("--retry-base", LONG).kubeconfig(proxy.kubeconfig());
    let _operator = settings.start().await;

    let client = mock_provider.welkin(&space.unique("a"));
    client.always(Reply::error(503));
    space.source_welkin("a-source", "a secret of a source").await;
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    space.wait_for("the first try to write it", async || (!log.fired().is_empty()).then_some(())).await;

    // The edit enqueues the ApiCredential, if the late watch event of its source did not do so before. The second
    // attempt to write gets a conflict, and the third succeeds.
    let edit = json!({"spec": {"target": {"data": {"again": "{token}"}}}});
    space.patch("a", &edit).await;
    let reported = space.wait_condition("a", "Ready", "False/ProviderUnavailable").await;
    assert_eq!(log.fired().len(), 2);
    assert_eq!(reported.status.unwrap().failed_attempts, Some(1));
    assert_eq!(client.count(), 1);
}

fn status_of_a(nth: usize) -> Site {
    Site { verb: "patch".into(), resource: "apicredentials/status".into(), name: "a".into(), nth }
}
