//! The API server is down for longer than the lease: the operator becomes a standby, and continues in the same process.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::support::control_plane::{Content, ControlPlane};
use crate::support::operator::{Operator, Settings};
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space};

/// From SIGTERM to the end of the process, as documented.
const STOPS_WITHIN: Duration = Duration::from_secs(20);
/// The lease of this test is 40 s.
const LONGER_THAN_THE_LEASE: Duration = Duration::from_secs(41);

#[tokio::test]
async fn after_an_outage_longer_than_the_lease_only_what_became_due_is_exchanged() {
    let plane = Arc::new(ControlPlane::start(Content::Installed).await.unwrap());
    let (space, mock_provider) = (Space::on(Arc::clone(&plane)).await, MockProvider::start());
    let [resting, due] = ["resting", "due"].map(|name| mock_provider.welkin(&space.unique(name)));
    due.lifetime(60.0);
    let settings = Settings::new(&space, &mock_provider).quick().flag("--resync", "1h");
    let operator = settings.flag("--lease-duration", "40s").flag("--provider-timeout", "10s").start().await;
    for client in [&resting, &due] {
        add(&space, &mock_provider, client.name().split('-').next().unwrap()).await;
    }
    space.wait_ready("resting").await;
    let planned = space.wait_ready("due").await.status.unwrap().renewal_time.unwrap().0;
    let lease = transitions(&space).await;
    due.lifetime(3600.0);

    plane.stop_api_server();
    let stopped = Timestamp::now();
    wait_for_text(&operator, "standing by").await;
    until(planned.max(stopped + LONGER_THAN_THE_LEASE)).await;
    assert_eq!((resting.count(), due.count()), (1, 1), "without an API server no token is requested");
    plane.start_api_server().await;
    wait_for_text(&operator, "leading").await;
    space.wait_until("due", "renewed", |due| due.status.as_ref().and_then(|status| status.revision) == Some(2)).await;
    space.wait_ready("due").await;
    add(&space, &mock_provider, "later").await;
    space.wait_ready("later").await;
    assert_eq!((resting.count(), due.count(), due.max_in_flight()), (1, 2, 1));
    assert_eq!(transitions(&space).await, lease, "no other candidate took the lease");

    // The same with a server that is up and silent.
    plane.pause_api_server();
    let paused = Timestamp::now();
    wait_for_text(&operator, "standing by").await;
    until(paused + LONGER_THAN_THE_LEASE).await;
    plane.resume_api_server();
    wait_for_text(&operator, "leading").await;
    add(&space, &mock_provider, "last").await;
    space.wait_ready("last").await;
    assert_eq!((resting.count(), due.count()), (1, 2));
    assert!(operator.is_running(), "one process went through all of it");

    // Terminated while the API server does not respond, the leader exits without releasing the lease.
    plane.pause_api_server();
    let ended = operator.terminate(STOPS_WITHIN).await;
    assert_eq!(ended.code(), Some(0), "{}", operator.output());
    plane.resume_api_server();
}

async fn until(time: Timestamp) {
    let passed = async || (Timestamp::now() > time).then_some(());
    space::poll(space::DEADLINE, passed).await.expect("it is soon");
}

async fn add(space: &Space, mock_provider: &MockProvider, name: &str) {
    space.source_welkin(&format!("{name}-source"), "a secret of a source").await;
    space.apply(&space::welkin(name, &mock_provider.welkin(&space.unique(name)), mock_provider)).await;
}

/// Waits for the beginning of the text of `/readyz`.
async fn wait_for_text(operator: &Operator, text: &str) {
    let probe = async || operator.get("/readyz").await?.1.starts_with(text).then_some(());
    let said = space::poll(space::DEADLINE, probe).await;
    assert!(said.is_some(), "/readyz never has {text:?}");
}

async fn transitions(space: &Space) -> Option<i32> {
    space.leases.get("apicredential-operator").await.unwrap().spec.unwrap().lease_transitions
}
