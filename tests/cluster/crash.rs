//! kill -9 at any moment: what was in flight is lost, and nothing else.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;

use crate::support::account::operator_rules_without;
use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Client, MockProvider, Reply};
use crate::support::space::{self, Space, condition, value};

/// The duration of an exchange in these tests. The kills come before, during and after the write that follows it.
const LATENCY: Duration = Duration::from_millis(60);

#[tokio::test]
async fn a_kill_during_the_first_sync_costs_at_most_the_exchange_in_flight() {
    let scene = Scene::new().await;
    let mut operator = scene.start().await;
    for round in 0..10_u64 {
        let name = format!("a{round}");
        let client = scene.client(&name);
        scene.space.source_welkin(&format!("{name}-source"), "a secret of a source").await;
        scene.space.apply(&space::welkin(&name, &client, &scene.mock_provider)).await;
        operator = scene.kill_after_request(operator, &client, 1, round).await;
        scene.space.wait_ready(&name).await;
        scene.assert_nothing_spent(&name, 0).await;
    }
    // None of the restarts changes what was complete.
    for round in 0..10 {
        scene.assert_nothing_spent(&format!("a{round}"), 0).await;
    }
    assert!(operator.is_running());
}

#[tokio::test]
async fn a_kill_during_a_renewal_costs_at_most_the_exchange_in_flight() {
    let scene = Scene::new().await;
    let mut operator = scene.start().await;
    for round in 0..5_u64 {
        let name = format!("a{round}");
        let client = scene.client(&name);
        scene.space.source_welkin(&format!("{name}-source"), "a secret of a source").await;
        scene.space.apply(&space::welkin(&name, &client, &scene.mock_provider)).await;
        scene.space.wait_ready(&name).await;
        let before = scene.token(&name).await;
        scene.space.source_welkin(&format!("{name}-source"), "another secret").await;
        operator = scene.kill_after_request(operator, &client, 2, 2 * round).await;
        let renewed = async || (scene.token(&name).await != before).then_some(());
        scene.space.wait_for("another token", renewed).await;
        scene.space.wait_condition(&name, "Ready", "True/TokenValid").await;
        scene.assert_nothing_spent(&name, 1).await;
    }
    for round in 0..5 {
        scene.assert_nothing_spent(&format!("a{round}"), 1).await;
    }
    assert!(operator.is_running());
}

#[tokio::test]
async fn a_token_whose_status_was_never_written_is_adopted() {
    let scene = Scene::new().await;
    let client = scene.client("a");
    let rules = operator_rules_without("apicredentials/status", &["patch"]);
    let mute = scene.space.account("mute", &rules).await;
    let operator = scene.settings().kubeconfig(&mute.kubeconfig).start().await;
    scene.space.source_welkin("a-source", "a secret of a source").await;
    scene.space.apply(&space::welkin("a", &client, &scene.mock_provider)).await;
    let written = scene.space.wait_for("the Secret is written", async || scene.space.secret("a-token").await).await;
    operator.kill();
    let _operator = scene.start().await;
    scene.space.wait_condition("a", "Renewed", "True/Adopted").await;
    scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(scene.space.secret("a-token").await.unwrap(), written);
    assert_eq!(client.count(), 1);
    let adopted =
        |(type_, reason, _): &(String, String, String)| (type_.as_str(), reason.as_str()) == ("Normal", "Adopted");
    let reported = async || scene.space.events_of("a").await.iter().any(adopted).then_some(());
    scene.space.wait_for("the event of the adoption", reported).await;
}

struct Scene {
    space: Space,
    mock_provider: MockProvider,
}

impl Scene {
    async fn new() -> Self {
        Self { space: Space::new().await, mock_provider: MockProvider::start() }
    }

    /// Without election: otherwise each start would wait for the lease of the killed operator.
    fn settings(&self) -> Settings {
        Settings::new(&self.space, &self.mock_provider).patient().flag("--leader-election", "false")
    }

    async fn start(&self) -> Operator {
        self.settings().start().await
    }

    fn client(&self, name: &str) -> Client {
        let client = self.mock_provider.welkin(&self.space.unique(name));
        client.always(Reply::token().latency(LATENCY));
        client
    }

    /// Kills the operator some time after the mock provider got a request, and starts another one.
    async fn kill_after_request(&self, operator: Operator, client: &Client, number: usize, step: u64) -> Operator {
        let arrived = async || (client.count() >= number).then_some(());
        self.space.wait_for("the request arrives", arrived).await;
        // The moment is what the test varies; each one is valid.
        tokio::time::sleep(Duration::from_millis(15 * step)).await;
        operator.kill();
        self.start().await
    }

    /// At most one exchange more than the tokens that were wanted, and that only if the first token was lost.
    async fn assert_nothing_spent(&self, name: &str, earlier: usize) {
        let (client, token) = (self.client(name), self.token(name).await);
        let place = client.requests().iter().position(|request| request.token == token);
        let place = place.expect("the Secret holds a token of this client");
        assert!(place <= earlier + 1, "{name}: {place}");
        assert_eq!(client.count(), place + 1, "{name}: no token was requested after the one that was kept");
        assert_eq!(client.max_in_flight(), 1, "{name}");
    }

    async fn token(&self, name: &str) -> Option<String> {
        let secret: Secret = self.space.secret(&format!("{name}-token")).await?;
        value(&secret, "token")
    }
}
