//! The operator's allow-list: an endpoint that is not on it for this provider never gets a connection.

use std::time::Duration;

use serde_json::json;

use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space, condition};

#[tokio::test]
async fn an_endpoint_that_is_not_allowed_for_this_provider_gets_no_request() {
    let (space, mock_provider, other) = (Space::new().await, MockProvider::start(), MockProvider::start());
    let (client, user) = (mock_provider.welkin(&space.unique("w")), mock_provider.qontak(&space.unique("u")));
    space.source_welkin("w-source", "any secret at all").await;
    space.source_qontak("q-source", user.name(), "any secret at all").await;
    // The other endpoint is allowed to Qontak only, and it is the only one that Qontak may use.
    let allowed = format!("welkin={},qontak={}", mock_provider.origin(), other.origin());
    let _operator = Settings::new(&space, &mock_provider).eager().flag("--allowed-endpoints", &allowed).start().await;
    space.apply(&space::welkin("w", &client, &other)).await;
    space.apply(&space::qontak("q", &mock_provider)).await;
    // The default endpoint is not allowed either.
    let mut default = space::welkin("d", &client, &mock_provider);
    default["spec"]["provider"]["welkin"].as_object_mut().unwrap().remove("endpoint");
    space.source_welkin("d-source", "any secret at all").await;
    space.apply(&default).await;
    for name in ["w", "q", "d"] {
        let reported = space.wait_condition(name, "Ready", "False/EndpointNotAllowed").await;
        assert_eq!(condition(&reported, "Stalled").as_deref(), Some("True/EndpointNotAllowed"), "{name}");
        space.wait_reads(&format!("{name}-token"), 3).await;
        assert_eq!(space.events_of(name).await.len(), 1, "{name}");
    }
    for mock_provider in [&mock_provider, &other] {
        assert_eq!((mock_provider.total(), mock_provider.connections()), (0, 0));
    }

    space.patch("w", &json!({"spec": {"provider": {"welkin": {"endpoint": mock_provider.origin()}}}})).await;
    space.wait_condition("w", "Ready", "True/TokenValid").await;
    assert_eq!((client.count(), other.connections()), (1, 0));
}

#[tokio::test]
async fn an_endpoint_that_is_taken_off_the_list_leaves_the_token_ready_until_it_is_due() {
    let (space, mock_provider, other) = (Space::new().await, MockProvider::start(), MockProvider::start());
    let settings = Settings::new(&space, &mock_provider).patient().flag("--leader-election", "false");
    let operator = settings.start().await;
    let client = space.first_token("a", &mock_provider).await;
    operator.terminate(Duration::from_secs(30)).await;
    let allowed = format!("welkin={}", other.origin());
    let _operator = settings.flag("--allowed-endpoints", &allowed).start().await;
    let reported = space.wait_condition("a", "Ready", "True/RenewalFailing").await;
    assert_eq!(condition(&reported, "Renewed").as_deref(), Some("False/EndpointNotAllowed"));
    assert_eq!((client.count(), other.connections()), (1, 0));
}
