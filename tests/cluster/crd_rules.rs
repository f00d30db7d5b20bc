//! What the API server itself rejects, and what it adds: the CRD on a real server.

mod changes;
mod rows;

use apicredential::api::validation::{BOUNDS, Bound, RULES};
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use self::changes::{changed, qontak, target, valid, verification, welkin};
use self::rows::{rows, updates};
use crate::strict_api::{Response, apply, create, patch, send, try_create};
use crate::support::control_plane::shared;

#[tokio::test]
async fn each_rule_accepts_valid_manifests_and_rejects_invalid_ones_with_its_message() {
    let client = client_in("crd-rules").await;
    for row in rows() {
        assert!(!row.passes.is_empty() && !row.fails.is_empty(), "{}: both kinds are wanted", row.field);
        for change in row.passes {
            let answer = try_create(&client, &changed(&change), "crd-rules").await;
            assert!(answer.status.is_success(), "{}: {change} must pass: {:?}", row.field, answer.causes());
        }
        for change in row.fails {
            let answer = try_create(&client, &changed(&change), "crd-rules").await;
            assert_refused(&answer, row.field, row.message, &change);
        }
    }
}

#[tokio::test]
async fn immutable_fields_stay_and_the_rest_may_change() {
    let client = client_in("crd-updates").await;
    for (number, update) in updates().into_iter().enumerate() {
        let name = format!("update-{number}");
        create(&client, &changed(&json!({"metadata": {"name": name}})), "crd-updates").await.accepted();
        let path = format!("/apis/apicredential.io/v1alpha1/namespaces/crd-updates/apicredentials/{name}");
        patch(&client, &path, &update.passes).await.accepted();
        let answer = patch(&client, &path, &update.fails).await;
        assert_refused(&answer, update.field, update.message, &update.fails);
    }
}

#[test]
fn every_rule_of_the_crd_has_a_row() {
    let (rows, updates) = (rows(), updates());
    let covered: Vec<_> = rows.iter().map(|row| (row.field, row.message)).collect();
    let covered: Vec<_> = covered.into_iter().chain(updates.iter().map(|row| (row.field, row.message))).collect();
    let missing: Vec<_> =
        RULES.iter().map(|rule| (rule.field, rule.message)).filter(|rule| !covered.contains(rule)).collect();
    assert!(missing.is_empty(), "no row for {missing:#?}");
}

#[tokio::test]
async fn each_bound_holds_at_its_limit_and_not_beyond() {
    let client = client_in("crd-bounds").await;
    for (field, bound) in BOUNDS.iter().filter(|(field, _)| field.starts_with("spec.")) {
        let (passes, fails) = limits(field, bound);
        for value in passes {
            let change = change_of(field, value);
            let answer = try_create(&client, &changed(&change), "crd-bounds").await;
            assert!(answer.status.is_success(), "{field}: {change} must pass: {:?}", answer.causes());
        }
        for (value, message) in fails {
            let change = change_of(field, value);
            let answer = try_create(&client, &changed(&change), "crd-bounds").await;
            assert_refused(&answer, field, &message, &change);
        }
    }
}

#[tokio::test]
async fn unknown_values_and_missing_fields_are_rejected() {
    let client = client_in("crd-types").await;
    let types = r#"Unsupported value: "Acme": supported values: "Welkin", "Qontak""#;
    let policies = r#"Unsupported value: "Steal": supported values: "Owner", "Merge""#;
    let cases = [
        ("spec.provider.type", types, json!({"spec": {"provider": {"type": "Acme"}}})),
        ("spec.target.creationPolicy", policies, target(json!({"creationPolicy": "Steal"}))),
        ("spec", "Required value", json!({"spec": null})),
        ("spec.provider", "Required value", json!({"spec": {"provider": null}})),
        ("spec.provider.type", "Required value", json!({"spec": {"provider": {"type": null}}})),
        ("spec.provider.welkin.tenant", "Required value", welkin(json!({"tenant": null}))),
        ("spec.provider.welkin.clientName", "Required value", welkin(json!({"clientName": null}))),
        ("spec.provider.welkin.secretRef", "Required value", welkin(json!({"secretRef": null}))),
        ("spec.provider.welkin.secretRef.name", "Required value", welkin(json!({"secretRef": {"name": null}}))),
        ("spec.provider.qontak.secretRef", "Required value", qontak(json!({"secretRef": null}))),
        ("spec.provider.qontak.secretRef.name", "Required value", qontak(json!({"secretRef": {"name": null}}))),
        ("spec.target", "Required value", json!({"spec": {"target": null}})),
        ("spec.target.name", "Required value", target(json!({"name": null}))),
    ];
    for (field, message, change) in cases {
        let answer = try_create(&client, &changed(&change), "crd-types").await;
        assert_refused(&answer, field, message, &change);
    }
}

#[tokio::test]
async fn no_field_refers_to_another_namespace() {
    let client = client_in("crd-namespace").await;
    let cases = [
        ("spec.target.namespace", target(json!({"namespace": "other"}))),
        ("spec.provider.welkin.secretRef.namespace", welkin(json!({"secretRef": {"namespace": "other"}}))),
        ("spec.provider.qontak.secretRef.namespace", qontak(json!({"secretRef": {"name": "a", "namespace": "other"}}))),
        ("spec.namespace", json!({"spec": {"namespace": "other"}})),
    ];
    for (field, change) in cases {
        let answer = try_create(&client, &changed(&change), "crd-namespace").await;
        let message = answer.body["message"].as_str().unwrap_or_default();
        assert!(message.contains(&format!("unknown field \"{field}\"")), "{change}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_new_object_has_its_defaults_and_the_status_of_one_not_yet_reconciled() {
    let client = client_in("crd-defaults").await;
    let created = create(&client, &changed(&json!({"spec": {"renewal": {"maxAge": null}}})), "crd-defaults").await;
    let created = created.accepted();
    let path = "/apis/apicredential.io/v1alpha1/namespaces/crd-defaults/apicredentials/a";
    let object = send(&client, Method::GET, path, &[], None).await.accepted();
    let ready = json!({
        "type": "Ready", "status": "Unknown", "reason": "Pending", "message": "Waiting for the operator.",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    });
    let initial = json!({"observedGeneration": -1, "conditions": [ready]});
    assert_eq!(object["status"], initial);
    // A status that somebody empties is like that of a new object.
    for emptied in [json!(null), json!({"observedGeneration": null, "conditions": null})] {
        let status = json!({"observedGeneration": 1, "conditions": [], "revision": 1});
        patch(&client, &format!("{path}/status"), &json!({"status": status})).await.accepted();
        patch(&client, &format!("{path}/status"), &json!({"status": {"revision": null}})).await.accepted();
        let emptied = patch(&client, &format!("{path}/status"), &json!({"status": emptied})).await.accepted();
        assert_eq!(emptied["status"], initial);
    }
    assert_eq!(object["spec"]["target"], json!({"name": "token", "tokenKey": "token", "creationPolicy": "Owner"}));
    assert_eq!(object["spec"]["provider"]["welkin"]["secretRef"], json!({"name": "welkin-client"}));
    assert_eq!(object["spec"]["provider"]["welkin"]["keys"], json!({"secret": "secret"}));
    assert_eq!(object["spec"]["suspend"], json!(false));
    assert_eq!(object["spec"]["renewal"], json!({}), "an explicit null is dropped");
    assert_eq!(created["spec"], object["spec"]);

    let mut other = changed(&qontak(json!({})));
    other["metadata"]["name"] = json!("b");
    let other = try_create(&client, &other, "crd-defaults").await.accepted();
    let keys = &other["spec"]["provider"]["qontak"]["keys"];
    assert_eq!(*keys, json!({"username": "username", "password": "password"}), "an optional key has no default");
}

#[tokio::test]
async fn credentials_are_found_by_provider_and_by_secret() {
    let client = client_in("crd-selectors").await;
    let with_name = |change: Value, name: &str| {
        let mut manifest = changed(&change);
        manifest["metadata"]["name"] = json!(name);
        manifest
    };
    create(&client, &with_name(json!({}), "welkin"), "crd-selectors").await.accepted();
    create(&client, &with_name(qontak(json!({})), "qontak"), "crd-selectors").await.accepted();
    create(&client, &with_name(target(json!({"name": "other"})), "other"), "crd-selectors").await.accepted();
    for (selector, expected) in [
        ("spec.provider.type=Welkin", vec!["other", "welkin"]),
        ("spec.provider.type=Qontak", vec!["qontak"]),
        ("spec.target.name=token", vec!["qontak", "welkin"]),
        ("spec.provider.type=Welkin,spec.target.name=token", vec!["welkin"]),
    ] {
        let path = "/apis/apicredential.io/v1alpha1/namespaces/crd-selectors/apicredentials";
        let list = send(&client, Method::GET, &format!("{path}?fieldSelector={selector}"), &[], None).await.accepted();
        let names = list["items"].as_array().expect("a list").iter().map(|item| item["metadata"]["name"].clone());
        assert_eq!(names.collect::<Vec<_>>(), expected, "{selector}");
    }
}

#[tokio::test]
async fn kubectl_get_shows_the_columns() {
    let client = client_in("crd-columns").await;
    create(&client, &valid(), "crd-columns").await.accepted();
    let path = "/apis/apicredential.io/v1alpha1/namespaces/crd-columns/apicredentials";
    let as_table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let new = send(&client, Method::GET, path, &as_table, None).await.accepted();
    let cells = new["rows"][0]["cells"].as_array().expect("cells");
    assert_eq!(cells[3..5], [json!("Unknown"), json!("Pending")], "before the first attempt");
    let condition = |type_: &str, status: &str, reason: &str| {
        json!({
            "type": type_, "status": status, "reason": reason, "message": format!("About {type_}."),
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
        })
    };
    let status = json!({"status": {
        "observedGeneration": 1,
        "conditions": [condition("Renewed", "False", "RateLimited"), condition("Ready", "True", "RenewalFailing")],
        "token": {
            "issuedTime": "2026-01-01T00:00:00Z", "expirationTime": "2026-01-01T01:00:00Z", "lifetimeSeconds": 3600,
            "type": "Bearer",
        },
        "renewalTime": "2026-01-01T00:40:00Z",
        "failedAttempts": 2,
    }});
    patch(&client, &format!("{path}/a/status"), &status).await.accepted();

    let table = send(&client, Method::GET, path, &as_table, None).await.accepted();
    let columns = table["columnDefinitions"].as_array().expect("columns");
    let names = |wide: bool| {
        let columns = columns.iter().filter(|column| (column["priority"] == 1) == wide);
        columns.map(|column| column["name"].as_str().unwrap_or_default().to_uppercase()).collect::<Vec<_>>()
    };
    assert_eq!(names(false), ["NAME", "PROVIDER", "SECRET", "READY", "REASON", "EXPIRES", "AGE"]);
    assert_eq!(names(true), ["SUSPENDED", "RENEWAL", "FAILED", "MESSAGE"]);
    let mut cells = table["rows"][0]["cells"].as_array().expect("cells").clone();
    assert!(cells.remove(6).is_string(), "the age");
    let expected = json!([
        "a",
        "Welkin",
        "token",
        "True",
        "RenewalFailing",
        "2026-01-01T01:00:00Z",
        false,
        "2026-01-01T00:40:00Z",
        2,
        "About Ready.",
    ]);
    assert_eq!(Value::Array(cells), expected);
}

#[tokio::test]
async fn a_condition_exists_once_per_type() {
    let client = client_in("crd-conditions").await;
    create(&client, &valid(), "crd-conditions").await.accepted();
    let ready = json!({
        "type": "Ready", "status": "True", "reason": "TokenValid", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    let path = "/apis/apicredential.io/v1alpha1/namespaces/crd-conditions/apicredentials/a/status";
    let twice = json!({"status": {"conditions": [ready, ready]}});
    let answer = patch(&client, path, &twice).await;
    assert_refused(&answer, "status.conditions.*", "Duplicate value", &twice);
    let mut maybe = ready.clone();
    maybe["status"] = json!("Maybe");
    let maybe = json!({"status": {"conditions": [maybe]}});
    let answer = patch(&client, path, &maybe).await;
    assert_refused(&answer, "status.conditions.*.status", r#"Unsupported value: "Maybe""#, &maybe);
    patch(&client, path, &json!({"status": {"conditions": [ready]}})).await.accepted();
}

/// The values at the limit, and those beyond it with the message of the rejection.
fn limits(field: &str, bound: &Bound) -> (Vec<Value>, Vec<(Value, String)>) {
    let text = |length: i64| "a".repeat(usize::try_from(length).expect("a length"));
    match *bound {
        Bound::Text(_, most) => {
            let longest = match field.rsplit('.').next() {
                Some("renewBefore" | "maxAge" | "assumedLifetime" | "interval") => "99999h99999m99999s".to_owned(),
                Some("endpoint") => format!("https://{}:65535", text(253)),
                _ => text(most),
            };
            let too_long = format!("Too long: may not be more than {most} bytes");
            (
                vec![json!(longest)],
                vec![(json!(format!("{longest}a")), too_long), (json!(""), "Invalid value".to_owned())],
            )
        }
        Bound::Entries(entries, characters) => {
            let map = |entries: i64| (0..entries).map(|number| (format!("k{number}"), json!("x"))).collect();
            let (full, overfull): (Value, Value) = (Value::Object(map(entries)), Value::Object(map(entries + 1)));
            let too_many = format!("Too many: {}: must have at most {entries} items", entries + 1);
            (vec![full, json!({"k": text(characters)})], vec![(overfull, too_many)])
        }
        Bound::Range(least, most) => {
            let low = format!("should be greater than or equal to {least}");
            let high = format!("should be less than or equal to {most}");
            (vec![json!(least), json!(most)], vec![(json!(least - 1), low), (json!(most + 1), high)])
        }
        Bound::Items(_) | Bound::AtLeast(_) => panic!("{field}: no such bound in the spec yet"),
    }
}

/// The change that gives a field a value.
fn change_of(field: &str, value: Value) -> Value {
    let below = |path: &str, value: Value| path.rsplit('.').fold(value, |value, name| json!({name: value}));
    if let Some(path) = field.strip_prefix("spec.verification.") {
        return verification(below(path, value));
    }
    match field.strip_prefix("spec.provider.qontak.") {
        // Each of the two requires the other.
        Some("keys.clientId") => qontak(json!({"keys": {"clientId": value, "clientSecret": "b"}})),
        Some("keys.clientSecret") => qontak(json!({"keys": {"clientId": "b", "clientSecret": value}})),
        Some(path) => qontak(below(path, value)),
        None => below(field, value),
    }
}

/// One of the causes of a rejection names the field (`*` stands for any key or index) and has the message.
fn assert_refused(answer: &Response, field: &str, message: &str, change: &Value) {
    let causes = answer.causes();
    let named = causes.iter().any(|(path, text)| generic(path) == field && text.contains(message));
    assert!(
        named,
        "{change} must be refused with\n  {field}: {message}\nbut {} {causes:#?}\n{}",
        answer.status, answer.body
    );
}

/// `spec.target.data[a.b]` → `spec.target.data.*`; the object itself, `<nil>`, is the empty path.
fn generic(path: &str) -> String {
    let Some((before, rest)) = path.split_once('[') else { return path.replace("<nil>", "") };
    let after = rest.rsplit_once(']').map_or("", |(_, after)| after);
    format!("{before}.*{after}")
}

async fn client_in(namespace: &str) -> Client {
    let client = shared().client().await;
    let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    apply(&client, &manifest, None).await.accepted();
    client
}
