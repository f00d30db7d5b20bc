//! The log: one line for each attempt, with fields that a program can rely on, and nothing when nothing happens.

use serde_json::Value;

use crate::fixture::Scene;
use crate::support::provider::Reply;

#[tokio::test]
async fn each_attempt_is_one_line_with_apicredential_provider_cause_reason_and_request() {
    let scene = Scene::new().await;
    let operator = scene.operator().flag("--retry-base", "60s").start().await;
    let (a, bad) = (scene.welkin_client("a").await, scene.welkin_client("bad").await);
    bad.always(Reply::error(401));
    scene.apply_welkin("a", &a).await;
    scene.apply_welkin("bad", &bad).await;
    let user = scene.qontak_user("b").await;
    scene.apply_qontak("b").await;
    for name in ["a", "b"] {
        scene.space.wait_ready(name).await;
    }
    scene.space.wait_condition("bad", "Ready", "False/CredentialsRejected").await;
    scene.request_renewal("a", "now").await;
    scene.wait_answered("a", "now").await;

    let logged = async || {
        let lines: Vec<Value> = operator.log().into_iter().filter(|line| line["request"].is_string()).collect();
        (lines.len() == 4).then_some(lines)
    };
    let mut lines = scene.space.wait_for("a line for each attempt", logged).await;
    assert_eq!(lines.len(), a.count() + bad.count() + user.count());
    let requests: std::collections::BTreeSet<String> = lines.iter().map(|line| line["request"].to_string()).collect();
    assert_eq!(requests.len(), 4, "each request has a name of its own");
    let fields = ["name", "provider", "cause", "reason", "level"];
    let mut reported: Vec<[String; 5]> =
        lines.iter_mut().map(|line| fields.map(|field| line[field].as_str().unwrap_or("").to_owned())).collect();
    reported.sort();
    let wanted = [
        ["a", "Welkin", "missing", "Issued", "INFO"],
        ["a", "Welkin", "requested", "Issued", "INFO"],
        ["b", "Qontak", "missing", "Issued", "INFO"],
        ["bad", "Welkin", "missing", "CredentialsRejected", "WARN"],
    ];
    assert_eq!(reported, wanted.map(|line| line.map(str::to_owned)));
    assert!(lines.iter().all(|line| line["namespace"] == scene.space.name && line["seconds"].is_number()), "{lines:?}");
}
