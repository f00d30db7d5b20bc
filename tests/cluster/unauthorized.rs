//! The API server does not accept the operator's login for a while: this is reported as what it is, and passes without a
//! restart.

use crate::support::fault_proxy::{FaultProxy, Log};
use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{Space, condition, message, value};

/// What both the log and the status call it.
const MESSAGE: &str = "he API server does not accept the operator's login";

#[tokio::test]
async fn a_login_that_is_not_accepted_for_a_while_is_reported_as_that_and_needs_no_restart() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let log = Log::new(|_, _| {});
    let proxy = FaultProxy::start(&space.plane, &log, 0);
    let settings = Settings::new(&space, &mock_provider).eager();
    let settings = settings.flag("--lease-duration", "24s").flag("--provider-timeout", "2s");
    let operator = settings.kubeconfig(proxy.kubeconfig()).start().await;
    let client = space.first_token("a", &mock_provider).await;

    // Only for Secrets, so that the status can be written.
    log.refuse(&["secrets"], 401);
    client.accept("the-second-secret");
    space.source_welkin("a-source", "the-second-secret").await;
    let reported = space.wait_condition("a", "Renewed", "False/Unauthorized").await;
    let text = message(&reported, "Renewed").unwrap();
    assert!(text.contains(MESSAGE) && !text.contains("ClusterRole"), "{text}");
    assert_eq!(condition(&reported, "Stalled"), None, "it passes without a person");
    log.accept();
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    let renewed = async || (value(&space.secret("a-token").await?, "token") == client.last_token()).then_some(());
    space.wait_for("the new token", renewed).await;
    assert_eq!(client.count(), 2);

    // For everything, until the lease is lost.
    log.refuse(&["apicredentials", "secrets", "leases", "events"], 401);
    log.cut_watches();
    let lost = async || operator.output().contains("lost leadership").then_some(());
    space.wait_for("the lease is lost", lost).await;
    let output = operator.output();
    let lines: Vec<&str> = output.lines().filter(|line| line.contains(MESSAGE)).collect();
    for about in ["a watch failed", "the Lease could not be read or written"] {
        assert!(lines.iter().any(|line| line.contains(about)), "{about}: {output}");
    }
    assert!(!output.contains("grant get, create and update"), "{output}");
    log.accept();
    client.accept("the-third-secret");
    space.source_welkin("a-source", "the-third-secret").await;
    space.wait_for("a third exchange", async || (client.count() == 3).then_some(())).await;
    space.wait_for("the new token", renewed).await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert!(operator.is_running());
    assert_eq!(client.count(), 3);
}
