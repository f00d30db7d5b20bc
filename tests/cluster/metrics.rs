//! The content of metrics and probes.

use std::time::Duration;

use apicredential_operator::clock;
use jiff::SignedDuration;
use serde_json::json;

use crate::fixture::{Scene, seconds};
use crate::support::provider::Reply;
use crate::support::space::{DEADLINE, poll};

#[tokio::test]
async fn the_series_report_what_happened_and_disappear_with_their_apicredential() {
    let scene = Scene::new().await;
    let operator = scene.operator().quick().flag("--retry-base", "5m").start().await;
    for probe in ["/livez", "/readyz"] {
        assert_eq!(operator.get(probe).await.map(|(status, _)| status), Some(200), "{probe}");
    }
    let (a, bad) = (scene.welkin_client("a").await, scene.welkin_client("bad").await);
    let user = scene.qontak_user("b").await;
    a.next(Reply::token().lifetime(12.0));
    bad.always(Reply::error(401));
    user.always(Reply::token().without_expiry());
    scene.apply_welkin("a", &a).await;
    scene.apply_welkin("bad", &bad).await;
    scene.apply_qontak("b").await;
    scene.space.wait_ready("b").await;
    scene.space.wait_condition("bad", "Ready", "False/CredentialsRejected").await;
    scene.space.wait_until("a", "renewed", |it| it.status.as_ref().unwrap().revision >= Some(2)).await;

    let of = |series: &str, name: &str| {
        format!("apicredential_{series}{{resource_namespace=\"{}\",resource_name=\"{name}\"}}", scene.space.name)
    };
    let expires = seconds(&scene.target("a").await, "expires-at");
    let series = [
        (format!("apicredential_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1),
        (r#"apicredential_exchanges_total{provider="Welkin",outcome="Issued"}"#.to_owned(), 2),
        (r#"apicredential_exchanges_total{provider="Welkin",outcome="CredentialsRejected"}"#.to_owned(), 1),
        (r#"apicredential_exchanges_total{provider="Qontak",outcome="Issued"}"#.to_owned(), 1),
        (r#"apicredential_exchange_duration_seconds_count{provider="Welkin"}"#.to_owned(), 3),
        (r#"apicredential_exchange_duration_seconds_count{provider="Qontak"}"#.to_owned(), 1),
        (r#"apicredential_renewals_total{provider="Welkin",cause="missing"}"#.to_owned(), 1),
        (r#"apicredential_renewals_total{provider="Welkin",cause="due"}"#.to_owned(), 1),
        (r#"apicredential_renewals_total{provider="Qontak",cause="missing"}"#.to_owned(), 1),
        ("apicredential_renewal_lateness_seconds_count".to_owned(), 1),
        (of("token_expiry_timestamp_seconds", "a"), expires),
        (of("ready", "a"), 1),
        (of("ready", "b"), 1),
        (of("ready", "bad"), 0),
        (of("token_issued_timestamp_seconds", "a"), seconds(&scene.target("a").await, "issued-at")),
        (of("consecutive_failures", "bad"), 1),
        (of("consecutive_failures", "a"), 0),
        (of("suspended", "a"), 0),
        (r#"apicredential_target_writes_total{operation="create",result="ok"}"#.to_owned(), 2),
        (r#"apicredential_target_writes_total{operation="patch",result="ok"}"#.to_owned(), 1),
        ("apicredential_throttle_wait_seconds_count".to_owned(), 4),
        ("apicredential_leader".to_owned(), 1),
    ];
    let text = operator.metrics().await;
    for (series, wanted) in series {
        let value = operator.metric(&series).await;
        assert!(
            value.is_some_and(|value| value.total_cmp(&f64::from(u32::try_from(wanted).unwrap())).is_eq()),
            "{series} {value:?}\n{text}"
        );
    }
    // No token, or one that never expires: no expiry.
    for name in ["b", "bad"] {
        assert_eq!(operator.metric(&of("token_expiry_timestamp_seconds", name)).await, None, "{name}");
    }

    for name in ["a", "b", "bad"] {
        scene.space.delete(name).await;
    }
    let gone = async || (!operator.metrics().await.contains("resource_namespace=")).then_some(());
    scene.space.wait_for("the series of the ApiCredential disappear", gone).await;
}

#[tokio::test]
async fn an_idle_leader_records_the_progress_of_its_loop() {
    let scene = Scene::new().await;
    let operator = scene.operator().patient().start().await;
    let ready = clock::now();
    // Becoming the leader counts as progress, and counts for 60 s.
    let past = async || {
        if let Some((status, _)) = operator.get("/livez").await {
            assert_eq!(status, 200);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        (clock::now().duration_since(ready) > SignedDuration::from_secs(65)).then_some(())
    };
    assert!(poll(2 * DEADLINE, past).await.is_some());
}

#[tokio::test]
async fn other_causes_are_counted_by_their_names() {
    let scene = Scene::new().await;
    let operator = scene.operator().patient().start().await;
    let client = scene.welkin_client("a").await;
    client.accept("another secret");
    scene.space.source_welkin("a-source", "another secret").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_ready("a").await;
    let other = scene.mock_provider.welkin(&scene.space.unique("other"));
    let counted = async |cause: &str| {
        let series = format!("apicredential_renewals_total{{provider=\"Welkin\",cause=\"{cause}\"}}");
        let once = async || (operator.metric(&series).await? >= 1.0).then_some(());
        scene.space.wait_for(&series, once).await;
    };
    client.accept("a third secret");
    scene.space.source_welkin("a-source", "a third secret").await;
    counted("source").await;
    scene.space.patch_secret("a-token", &json!({"stringData": {"token": "edited"}})).await;
    counted("edited").await;
    scene.space.patch("a", &json!({"spec": {"provider": {"welkin": {"clientName": other.name()}}}})).await;
    counted("spec").await;
    assert_eq!((client.count(), other.count()), (3, 1));
}
