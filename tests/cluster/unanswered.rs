//! The API server does not answer reads for a while.

use crate::support::fault_proxy::{FaultProxy, Log};
use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::Space;

#[tokio::test]
async fn a_deleted_target_that_cannot_be_read_is_not_reported_as_valid() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let log = Log::new(|_, _| {});
    let proxy = FaultProxy::start(&space.plane, &log, 0);
    let _operator = Settings::new(&space, &mock_provider).eager().kubeconfig(proxy.kubeconfig()).start().await;
    let client = space.first_token("a", &mock_provider).await;

    // Only for Secrets, so that the status can be written. The watch goes on, and shows that the Secret is gone.
    log.refuse(&["secrets"], 504);
    space.secrets.delete("a-token", &Default::default()).await.unwrap();
    space.wait_condition("a", "Ready", "False/ApiUnavailable").await;
    log.accept();
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 2, "one exchange for the deleted target");
}
