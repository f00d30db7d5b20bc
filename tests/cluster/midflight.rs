//! Changes while an exchange is in flight: the token is written where it is wanted, or discarded.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;

use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Client, MockProvider, Reply};
use crate::support::space::{self, Space, condition, value};

#[tokio::test]
async fn a_token_of_another_tenant_is_never_written() {
    let scene = Scene::in_flight().await;
    scene.space.patch("a", &json!({"spec": {"provider": {"welkin": {"tenant": "other"}}}})).await;
    scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    let tenants: Vec<String> = scene.client.requests().into_iter().map(|request| request.tenant).collect();
    assert_eq!(tenants, ["gh", "other"]);
    assert_eq!(scene.token().await, scene.client.last_token());
    assert_eq!(scene.secret_writes().await, ["create 201"]);
    assert_eq!(scene.client.max_in_flight(), 1);
}

#[tokio::test]
async fn a_change_of_the_rendering_alone_is_written_with_the_same_token() {
    let scene = Scene::in_flight().await;
    let change = json!({"renewal": {"renewBefore": "5m"}, "target": {"data": {"authorization": "Bearer {token}"}}});
    scene.space.patch("a", &json!({"spec": change})).await;
    scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    let secret = scene.space.secret("a-token").await.unwrap();
    let token = scene.client.last_token().unwrap();
    assert_eq!(value(&secret, "authorization"), Some(format!("Bearer {token}")));
    assert_eq!(scene.client.count(), 1);
    assert_eq!(scene.secret_writes().await, ["create 201"]);
}

#[tokio::test]
async fn nothing_is_written_for_an_apicredential_that_was_deleted() {
    let scene = Scene::in_flight().await;
    scene.space.delete("a").await;
    scene.answered().await;
    scene.another_becomes_ready().await;
    assert_eq!(scene.space.secret("a-token").await, None);
    assert_eq!(scene.client.count(), 1);
    assert_eq!(scene.secret_writes().await, [] as [&str; 0]);
    let series = format!(r#"apicredential_ready{{resource_namespace="{}",resource_name="a"}}"#, scene.space.name);
    assert_eq!(scene.operator.metric(&series).await, None);
}

#[tokio::test]
async fn nothing_is_reported_for_an_apicredential_deleted_while_its_exchange_failed() {
    let scene = Scene::in_flight_to(Reply::error(500).latency(LATENCY)).await;
    scene.space.delete("a").await;
    scene.answered().await;
    scene.another_becomes_ready().await;
    let reported = async || (scene.space.event_writes().await >= 1).then_some(());
    scene.space.wait_for("the event of b", reported).await;
    let audit = scene.space.audit().await.by("operator").without("leases");
    let about_a = audit.only(|call| call.is_write() && call.name.starts_with('a'));
    assert_eq!(about_a.calls(), [], "{audit}");
    assert_eq!((scene.space.event_writes().await, scene.client.count()), (1, 1));
}

#[tokio::test]
async fn a_recreated_apicredential_gets_a_token_of_its_own() {
    let scene = Scene::in_flight().await;
    scene.space.delete("a").await;
    scene.space.apply(&space::welkin("a", &scene.client, &scene.mock_provider)).await;
    scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!((scene.client.count(), scene.client.max_in_flight()), (2, 1));
    assert_eq!(scene.token().await, scene.client.last_token());
    assert_eq!(scene.secret_writes().await, ["create 201"]);
}

#[tokio::test]
async fn a_token_requested_before_a_suspension_is_written() {
    let scene = Scene::in_flight().await;
    scene.space.patch("a", &json!({"spec": {"suspend": true}})).await;
    scene.space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(scene.token().await, scene.client.last_token());
    assert_eq!(scene.client.count(), 1);
}

#[tokio::test]
async fn a_foreign_secret_with_the_name_of_the_target_is_not_changed() {
    let scene = Scene::in_flight().await;
    let foreign = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a-token"}, "stringData": {"token": "of a person"},
    });
    let foreign = scene.space.apply_secret(&foreign).await;
    let credential = scene.space.wait_condition("a", "Ready", "False/TargetNotOwned").await;
    assert_eq!(condition(&credential, "Stalled").as_deref(), Some("True/TargetNotOwned"));
    scene.another_becomes_ready().await;
    assert_eq!(scene.space.secret("a-token").await.unwrap(), foreign);
    assert_eq!(scene.client.count(), 1);
}

#[tokio::test]
async fn a_foreign_key_that_is_added_to_the_target_stays_and_the_token_is_written() {
    let scene = Scene::ready().await;
    scene.client.next(Reply::token().latency(LATENCY));
    scene.space.source_welkin("a-source", "another secret").await;
    scene.arrived(2).await;
    scene.space.patch_secret("a-token", &json!({"stringData": {"foreign": "stays"}})).await;
    let wait = async || (scene.token().await == Some(scene.client.tokens().get(1)?.text.clone())).then_some(());
    scene.space.wait_for("the second token is written", wait).await;
    scene.space.wait_until("a", "reported", |it| it.status.as_ref().unwrap().revision == Some(2)).await;
    let secret = scene.space.secret("a-token").await.unwrap();
    assert_eq!(value(&secret, "foreign").as_deref(), Some("stays"));
    assert_eq!(scene.client.count(), 2);
    assert_eq!(scene.secret_writes().await, ["create 201", "patch 409", "patch 200"]);
}

#[tokio::test]
async fn a_target_that_is_deleted_is_created_again_with_the_token_in_flight() {
    let scene = Scene::ready().await;
    scene.client.next(Reply::token().latency(LATENCY));
    scene.space.source_welkin("a-source", "another secret").await;
    scene.arrived(2).await;
    let before = scene.space.secret("a-token").await.unwrap().uid();
    scene.space.secrets.delete("a-token", &kube::api::DeleteParams::default()).await.unwrap();
    let wait = async || Some(scene.space.secret("a-token").await?.uid() != before).filter(|new| *new);
    scene.space.wait_for("the target is back", wait).await;
    scene.another_becomes_ready().await;
    assert_eq!(scene.token().await, scene.client.last_token());
    assert_eq!(scene.client.count(), 2);
}

/// Long enough to change something meanwhile on a busy machine.
const LATENCY: Duration = Duration::from_secs(10);

/// One ApiCredential `a`, whose changes only the watch reports.
struct Scene {
    // Stopped before its namespace is deleted.
    operator: Operator,
    space: Space,
    mock_provider: MockProvider,
    client: Client,
}

impl Scene {
    async fn empty() -> Self {
        let (space, mock_provider) = (Space::new().await, MockProvider::start());
        let client = mock_provider.welkin(&space.unique("a"));
        space.source_welkin("a-source", "a secret of a source").await;
        // A short delay after a failed write, no resync.
        let settings = Settings::new(&space, &mock_provider).flag("--resync", "1h").flag("--retry-base", "1s");
        let operator = settings.start().await;
        Self { operator, space, mock_provider, client }
    }

    /// The first exchange of `a` is in flight.
    async fn in_flight() -> Self {
        Self::in_flight_to(Reply::token().latency(LATENCY)).await
    }

    /// The same, with this response to come.
    async fn in_flight_to(reply: Reply) -> Self {
        let scene = Self::empty().await;
        scene.client.next(reply);
        scene.space.apply(&space::welkin("a", &scene.client, &scene.mock_provider)).await;
        scene.arrived(1).await;
        scene
    }

    /// `a` has its first token.
    async fn ready() -> Self {
        let scene = Self::empty().await;
        scene.space.apply(&space::welkin("a", &scene.client, &scene.mock_provider)).await;
        scene.space.wait_ready("a").await;
        scene
    }

    async fn arrived(&self, number: usize) {
        let wait = async || (self.client.count() == number && self.client.in_flight() == 1).then_some(());
        self.space.wait_for("the request arrives", wait).await;
    }

    async fn answered(&self) {
        self.space.wait_for("the answer is sent", async || (self.client.in_flight() == 0).then_some(())).await;
    }

    /// The operator had the chance to do anything pending for `a`.
    async fn another_becomes_ready(&self) {
        self.space.source_welkin("b-source", "a secret of a source").await;
        let client = self.mock_provider.welkin(&self.space.unique("b"));
        self.space.apply(&space::welkin("b", &client, &self.mock_provider)).await;
        self.space.wait_ready("b").await;
    }

    async fn token(&self) -> Option<String> {
        value(&self.space.secret("a-token").await?, "token")
    }

    /// The operator's writes of the target, dry_runs aside.
    async fn secret_writes(&self) -> Vec<String> {
        let audit = self.space.audit().await.by("operator").to("secrets");
        let writes = audit.only(|call| call.is_write() && !call.dry_run && call.name == "a-token");
        writes.calls().iter().map(|call| format!("{} {}", call.verb, call.code)).collect()
    }
}
