//! Missing permissions, failing providers and idleness: no ApiCredential blocks another, and there are no hot loops.

use serde_json::json;

use crate::support::account::{operator_rules, operator_rules_without};
use crate::support::audit::Audit;
use crate::support::operator::Settings;
use crate::support::provider::{Client, MockProvider, Reply};
use crate::support::space::{self, Space, condition, value};

#[tokio::test]
async fn without_permission_to_watch_secrets_the_operator_works_with_reads() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let account = space.account("reader", &operator_rules_without("secrets", &["list", "watch"])).await;
    let settings = Settings::new(&space, &mock_provider).kubeconfig(&account.kubeconfig).quick();
    let operator = settings.flag("--resync", "2s").start().await;
    let client = add(&space, &mock_provider, "a").await;
    space.wait_ready("a").await;
    let reads = async || space.audit().await.by(&account.user).to("secrets").only(|call| call.name == "a-token");

    // Idle: a resync reads, and writes nothing.
    let quiet = reads().await.gets();
    space.wait_for("resyncs", async || (reads().await.gets() >= quiet + 3).then_some(())).await;
    assert_eq!(client.count(), 1);

    // A change of the source and a loss of the target are found with reads.
    space.source_welkin("a-source", "another secret").await;
    space.wait_for("the change is found", async || (client.count() == 2).then_some(())).await;
    let kept = async || {
        value(&space.secret("a-token").await?, "token").filter(|token| Some(token) == client.last_token().as_ref())
    };
    space.wait_for("its token is written", kept).await;
    space.secrets.delete("a-token", &kube::api::DeleteParams::default()).await.unwrap();
    space.wait_for("the target is back", kept).await;
    space.wait_ready("a").await;
    assert_eq!((client.count(), client.max_in_flight()), (3, 1));
    let audit = space.audit().await.by(&account.user);
    let watches = audit.to("secrets").only(|call| call.verb == "watch" || call.verb == "list");
    assert!(!watches.calls().is_empty() && watches.calls().iter().all(|call| call.code == 403), "{watches}");
    let statuses = audit.to("apicredentials/status");
    assert!(statuses.writes() <= 2 * 3, "{statuses}");
    assert!(operator.is_running());
    // Logged once for the sources and once for the targets, and shown as not watched rather than as broken.
    let reported =
        operator.log().iter().filter(|line| line["message"].to_string().contains("the permission to watch")).count();
    assert_eq!(reported, 2, "{}", operator.output());
    let shown = async || {
        let up = async |kind: &str| operator.metric(&format!("apicredential_watch_up{{kind=\"{kind}\"}}")).await;
        (up("TargetSecret").await.is_none() && up("ApiCredential").await == Some(1.0)).then_some(())
    };
    space.wait_for("what is watched is shown", shown).await;
}

#[tokio::test]
async fn a_namespace_that_may_not_be_read_does_not_block_another() {
    let (space, forbidden, mock_provider) = (Space::new().await, Space::new().await, MockProvider::start());
    let account = space.account("narrow", &operator_rules()).await;
    let namespaces = format!("{},{}", space.name, forbidden.name);
    let settings = Settings::new(&space, &mock_provider).kubeconfig(&account.kubeconfig).quick();
    let _operator = settings.flag("--namespaces", &namespaces).start().await;
    let client = add(&space, &mock_provider, "a").await;
    space.wait_ready("a").await;
    assert_eq!(client.count(), 1);
    // Once the permission is granted, it takes effect without a restart.
    let late = add(&forbidden, &mock_provider, "b").await;
    space.grant("narrow", &forbidden.name, &operator_rules()).await;
    forbidden.wait_ready("b").await;
    assert_eq!((client.count(), late.count()), (1, 1));
}

#[tokio::test]
async fn a_status_that_could_not_be_written_is_written_later_without_an_exchange() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let account = space.account("mute", &operator_rules_without("apicredentials/status", &["patch"])).await;
    let settings = Settings::new(&space, &mock_provider).kubeconfig(&account.kubeconfig).quick();
    let _operator = settings.flag("--resync", "1h").start().await;
    let client = add(&space, &mock_provider, "a").await;
    let refused = async || {
        let audit = space.audit().await.by(&account.user).to("apicredentials/status");
        (audit.only(|call| call.code == 403).writes() >= 2).then_some(())
    };
    space.wait_for("the status is refused", refused).await;
    space.grant("mute", &space.name, &operator_rules()).await;
    let credential = space.wait_ready("a").await;
    assert_eq!(condition(&credential, "Renewed").as_deref(), Some("True/Issued"));
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn a_failing_attempt_costs_a_status_and_an_event_and_no_more() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).quick().flag("--retry-base", "200ms").start().await;
    let client = mock_provider.welkin(&space.unique("a"));
    client.always(Reply::error(503));
    add(&space, &mock_provider, "a").await;
    space.wait_for("five attempts", async || (client.count() >= 5).then_some(())).await;
    let audit = space.audit().await.by("operator").without("leases");
    let attempts = client.count();
    assert!(audit.writes() <= 2 * attempts, "{attempts} attempts: {audit}");
    assert!(audit.gets() <= 2 * attempts + 2, "{attempts} attempts: {audit}");
    assert_eq!(audit.to("secrets").writes(), 0, "{audit}");
}

#[tokio::test]
async fn an_idle_operator_sends_nothing_but_the_renewals_of_its_lease() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).quick().flag("--resync", "1s").start().await;
    let client = add(&space, &mock_provider, "a").await;
    space.wait_ready("a").await;
    let about_a = async || {
        let audit: Audit = space.audit().await.by("operator");
        audit.only(|call| call.name.starts_with("a-") || call.name == "a")
    };
    space.wait_event_writes(1).await;
    // Each of its watches has delivered a later event, so no earlier change is new to the operator.
    for name in ["a-source", "a-token"] {
        let reads = async || about_a().await.only(|call| call.verb == "get" && call.name == name).calls().len();
        let known = reads().await;
        space.patch_secret(name, &json!({"metadata": {"annotations": {"example.com/touched": "yes"}}})).await;
        space.wait_for(&format!("{name} is read again"), async || (reads().await > known).then_some(())).await;
    }
    // Another one has short-lived tokens. Meanwhile the first is reconciled again and again.
    let busy = mock_provider.welkin(&space.unique("busy"));
    busy.lifetime(6.0);
    add(&space, &mock_provider, "busy").await;
    space.wait_ready("busy").await;
    let before = about_a().await;
    space.wait_for("four tokens of the other", async || (busy.count() >= 4).then_some(())).await;
    let since = about_a().await.since(&before);
    assert_eq!(since.calls(), [], "{since}");
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn an_apicredential_that_waits_for_a_target_gets_it_when_the_older_one_is_deleted() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let [first, second] = ["first", "second"].map(|name| {
        let mut manifest = space::welkin(name, &mock_provider.welkin(&space.unique(name)), &mock_provider);
        manifest["spec"]["target"]["name"] = "shared".into();
        manifest
    });
    space.source_welkin("second-source", "a secret of a source").await;
    let _operator = Settings::new(&space, &mock_provider).patient().start().await;
    // The older one has no source, so the Secret that both name is never created and only the deletion of the older one
    // is an event.
    space.apply(&first).await;
    let first = space.wait_condition("first", "Ready", "False/SourceSecretNotFound").await;
    // Creation times are whole seconds. Within the same one, the uids decide.
    let next_second = first.metadata.creation_timestamp.unwrap().0 + std::time::Duration::from_secs(1);
    space.wait_for("another second", async || (jiff::Timestamp::now() > next_second).then_some(())).await;
    space.apply(&second).await;
    space.wait_condition("second", "Ready", "False/TargetOwnedByOther").await;
    let client = mock_provider.welkin(&space.unique("second"));
    assert_eq!(client.count(), 0);
    space.delete("first").await;
    space.wait_condition("second", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 1);
}

async fn add(space: &Space, mock_provider: &MockProvider, name: &str) -> Client {
    let client = mock_provider.welkin(&space.unique(name));
    space.source_welkin(&format!("{name}-source"), "a secret of a source").await;
    space.apply(&space::welkin(name, &client, mock_provider)).await;
    client
}
