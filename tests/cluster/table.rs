//! The columns of `kubectl get apicred`. The API server makes the table, so the test requests one as kubectl does.

use http::Method;
use serde_json::{Value, json};

use crate::fixture::Scene;
use crate::strict_api;
use crate::support::provider::Reply;

const TABLE: (&str, &str) = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");

#[tokio::test]
async fn the_columns_show_the_state_of_each_apicredential() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let (a, bad) = (scene.welkin_client("a").await, scene.welkin_client("bad").await);
    bad.always(Reply::error(401));
    scene.qontak_user("b").await.always(Reply::token().without_expiry());
    scene.apply_welkin("a", &a).await;
    scene.apply_qontak("b").await;
    scene.apply_welkin("bad", &bad).await;
    let ready = scene.space.wait_ready("a").await.status.unwrap();
    scene.space.wait_ready("b").await;
    scene.space.wait_condition("bad", "Ready", "False/CredentialsRejected").await;

    let path = format!("/apis/apicredential.io/v1alpha1/namespaces/{}/apicredentials", scene.space.name);
    let table = strict_api::send(&scene.space.client, Method::GET, &path, &[TABLE], None).await.accepted();
    let names = table["columnDefinitions"].as_array().unwrap().iter().map(|column| column["name"].clone());
    let names: Vec<Value> = names.collect();
    let wide = [
        "Name",
        "Provider",
        "Secret",
        "Ready",
        "Reason",
        "Expires",
        "Age",
        "Suspended",
        "Renewal",
        "Failed",
        "Message",
    ];
    assert_eq!(json!(names), json!(wide));
    let row = |number: usize| {
        let mut cells = table["rows"][number]["cells"].as_array().unwrap().clone();
        let message = cells.pop().unwrap();
        assert!(message.as_str().unwrap().ends_with('.'), "{message}");
        // The age.
        cells.remove(6);
        json!(cells)
    };
    let expires = json!(ready.token.unwrap().expiration_time);
    let renewal = json!(ready.renewal_time);
    assert_eq!(row(0), json!(["a", "Welkin", "a-token", "True", "TokenValid", expires, false, renewal, 0]));
    assert_eq!(row(1), json!(["b", "Qontak", "b-token", "True", "TokenValid", null, false, null, 0]));
    assert_eq!(row(2), json!(["bad", "Welkin", "bad-token", "False", "CredentialsRejected", null, false, null, 1]));
}
