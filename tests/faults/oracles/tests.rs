//! Each judge rejects a history that was forged for it, and lets an honest one pass.

use std::time::Duration;

use apicredential_operator::deliver::fingerprint;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Report, judge, plan};
use crate::history::{Deed, Exchange, History, Terms, Version, What};
use crate::support::gate::{Call, Told};

const UID: &str = "the-uid-of-a";
const SECRET_UID: &str = "the-uid-of-the-secret";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn spec() -> Value {
    json!({
        "provider": {"type": "Welkin", "welkin": {
            "tenant": "gh", "clientName": "client", "secretRef": {"name": "a-source", "key": "secret"},
            "endpoint": "https://localhost:1",
        }},
        "target": {"name": "a-token", "creationPolicy": "Owner", "tokenKey": "token"},
    })
}

/// The target with this token, as our own rendering would have it.
fn secret(version: u64, token: &str, issued: i64, expires: i64) -> Value {
    let (issued, expires) = (at(issued).to_string(), at(expires).to_string());
    let request = plan(&spec()).unwrap().request;
    let print = fingerprint::Fingerprint::new(token, &request, &issued, &expires, &["secret"]).to_text();
    json!({
        "metadata": {
            "name": "a-token", "uid": SECRET_UID, "resourceVersion": version.to_string(),
            "ownerReferences": [{"kind": "ApiCredential", "controller": true, "uid": UID}],
            "annotations": {
                "apicredential.io/keys": "token", "apicredential.io/issued-at": issued,
                "apicredential.io/expires-at": expires, "apicredential.io/fingerprint": print,
            },
        },
        "data": {"token": BASE64_STANDARD.encode(token)},
    })
}

fn call(second: i64, verb: &str, resource: &str, name: &str, body: Value, answer: Value) -> Call {
    Call {
        replica: 0,
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        dry_run: false,
        body,
        received: at(second),
        forwarded: Some(at(second)),
        committed: Some(at(second)),
        status: Some(if verb == "create" { 201 } else { 200 }),
        answer,
        told: Told::Truth,
        hung_up: false,
    }
}

fn version(resource: &str, name: &str, uid: &str, number: u64, object: Value) -> Version {
    Version {
        seen: at(0),
        resource: resource.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        version: number,
        deleted: false,
        object,
    }
}

fn exchange(second: i64, token: &str) -> Exchange {
    Exchange {
        at: at(second),
        client: "client".to_owned(),
        tenant: "gh".to_owned(),
        secret: "secret".to_owned(),
        status: Some(201),
        token: Some(token.to_owned()),
        expires: Some(at(second + 3600)),
        answered: true,
    }
}

fn status(second: i64, number: u64) -> Call {
    let condition = |type_: &str, reason: &str| json!({"type": type_, "status": "True", "reason": reason, "lastTransitionTime": at(1).to_string()});
    let conditions = [condition("Ready", "TokenValid"), condition("Renewed", "Issued")];
    let answer = json!({
        "metadata": {"name": "a", "uid": UID, "resourceVersion": number.to_string()},
        "spec": spec(), "status": {"conditions": conditions},
    });
    let body = json!({"metadata": {"uid": UID, "resourceVersion": "1"}});
    call(second, "patch", "apicredentials/status", "a", body, answer)
}

/// A first token at 0, told of at 1, and another one for a changed source at 100.
struct Forge {
    history: History,
}

impl Forge {
    fn honest() -> Self {
        let source = |second| Deed { at: at(second), what: What::Source { credential: "a".to_owned() } };
        let spec_deed = What::Spec { credential: "a".to_owned(), request: true };
        let credential = json!({"metadata": {"name": "a", "uid": UID}, "spec": spec()});
        let (first, second) = (secret(11, "first", 0, 3600), secret(20, "second", 100, 3700));
        let named = json!({"metadata": {"uid": SECRET_UID, "resourceVersion": "11"}});
        let calls = vec![
            call(0, "create", "secrets", "a-token", Value::Null, first.clone()),
            status(1, 12),
            call(100, "patch", "secrets", "a-token", named, second.clone()),
            status(101, 21),
        ];
        let versions = vec![
            version("apicredentials", "a", UID, 10, credential),
            version("secrets", "a-token", SECRET_UID, 11, first),
            version("secrets", "a-token", SECRET_UID, 20, second),
        ];
        Self {
            history: History {
                terms: Terms {
                    retry_base: Duration::from_millis(250),
                    min_renewal_interval: Duration::from_secs(1),
                    lease_duration: Duration::from_secs(22),
                    provider_rate: 1.0,
                    provider_burst: 3,
                },
                calls,
                versions,
                exchanges: vec![exchange(0, "first"), exchange(100, "second")],
                deeds: vec![source(-2), Deed { at: at(-1), what: spec_deed }, source(99)],
                ended: at(200),
            },
        }
    }

    /// The honest history with one lie in it.
    fn with(lie: impl FnOnce(&mut History)) -> Report {
        let mut forge = Self::honest();
        lie(&mut forge.history);
        judge(&forge.history)
    }
}

fn assert_only(report: &Report, promise: &str) {
    assert!(!report.violations.is_empty(), "nobody noticed: {promise}");
    let start = format!("{promise}: ");
    assert!(report.violations.iter().all(|violation| violation.starts_with(&start)), "{:#?}", report.violations);
}

#[test]
fn an_honest_history_passes_and_was_looked_at() {
    let report = Forge::with(|_| {});
    assert_eq!((report.violations, report.late_creates), (Vec::<String>::new(), 0));
    for promise in ["I1", "I2", "I3", "I4", "I5", "I7", "I8", "I9"] {
        assert!(report.looked_at.contains_key(promise), "{promise}");
    }
}

#[test]
fn a_write_without_a_version_over_another_one_or_over_a_foreign_secret_is_noticed() {
    assert_only(&Forge::with(|it| it.calls[2].body = json!({"metadata": {"uid": SECRET_UID}})), "I1");
    let other = json!({"metadata": {"uid": SECRET_UID, "resourceVersion": "9"}});
    assert_only(&Forge::with(|it| it.calls[2].body = other), "I1");
    let foreign = |it: &mut History| it.versions[1].object["metadata"]["ownerReferences"][0]["uid"] = json!("another");
    assert_only(&Forge::with(foreign), "I1");
    // By the owner's name and not by its uid: the credential was deleted and created again.
    let again = |it: &mut History| it.versions[0].uid = "a-later-uid".to_owned();
    assert!(Forge::with(again).violations.iter().any(|violation| violation.starts_with("I1: ")));
}

#[test]
fn a_write_that_the_operator_has_no_business_with_is_noticed() {
    let delete = call(50, "delete", "secrets", "a-token", Value::Null, Value::Null);
    assert_only(&Forge::with(|it| it.calls.push(delete)), "I1");
    let spec = call(50, "patch", "apicredentials", "a", Value::Null, Value::Null);
    assert_only(&Forge::with(|it| it.calls.push(spec)), "I1");
    assert_only(&Forge::with(|it| it.calls[1].body = Value::Null), "I1");
}

#[test]
fn an_exchange_without_a_cause_is_noticed() {
    assert_only(&Forge::with(|it| it.exchanges.insert(1, exchange(50, "first"))), "I2");
    assert_only(&Forge::with(|it| it.deeds.truncate(2)), "I2");
    // From the planned time on the renewal is a cause of its own.
    let due = Forge::with(|it| {
        it.exchanges.push(exchange(3000, "second"));
    });
    assert_eq!(due.violations, Vec::<String>::new());
}

#[test]
fn a_token_that_was_lost_without_a_reason_is_noticed() {
    let lose = |it: &mut History| it.exchanges.insert(1, exchange(99, "lost"));
    let unexcused = |it: &mut History| {
        lose(it);
        it.deeds.retain(|deed| deed.at != at(99));
        it.deeds.push(Deed { at: at(98), what: What::Target { credential: "a".to_owned() } });
    };
    assert_only(&Forge::with(unexcused), "I2");
    let excused = Forge::with(|it| {
        unexcused(it);
        it.deeds.push(Deed { at: at(99), what: What::Ended { replica: 0 } });
    });
    assert_eq!(excused.violations, Vec::<String>::new());
}

#[test]
fn another_try_before_its_time_is_noticed() {
    let failed = Exchange { status: Some(401), token: None, ..exchange(99, "") };
    assert_only(&Forge::with(|it| it.exchanges.insert(1, failed.clone())), "I2");
    let passing = Exchange { status: Some(500), ..failed };
    assert_eq!(Forge::with(|it| it.exchanges.insert(1, passing)).violations, Vec::<String>::new());
}

#[test]
fn an_older_token_after_a_newer_one_is_noticed_and_a_late_create_is_counted() {
    let older = secret(30, "first", 0, 3600);
    let named = json!({"metadata": {"uid": SECRET_UID, "resourceVersion": "20"}});
    let back = call(110, "patch", "secrets", "a-token", named, older.clone());
    let forged = Forge::with(|it| {
        it.calls.push(back);
        it.versions.push(version("secrets", "a-token", SECRET_UID, 30, older.clone()));
    });
    assert_only(&forged, "I3");
    let late = Forge::with(|it| {
        it.versions.push(Version { deleted: true, ..version("secrets", "a-token", SECRET_UID, 25, json!({})) });
        it.versions.push(version("secrets", "a-token", "later", 30, older.clone()));
        let mut create = call(90, "create", "secrets", "a-token", Value::Null, older);
        create.committed = Some(at(120));
        it.calls.push(create);
    });
    assert_eq!((late.violations, late.late_creates), (Vec::<String>::new(), 1));
}

#[test]
fn a_token_that_had_ended_when_it_was_written_is_noticed() {
    let late = |it: &mut History| {
        let dead = secret(20, "second", -100, 100);
        it.calls[2].answer = dead.clone();
        it.versions[2].object = dead;
        it.calls.truncate(3);
    };
    assert_only(&Forge::with(late), "I4");
}

#[test]
fn ready_without_a_secret_or_with_one_that_is_foreign_dead_or_unfit_is_noticed() {
    let absent = |it: &mut History| {
        let mut read = call(0, "get", "secrets", "a-token", Value::Null, Value::Null);
        read.status = Some(404);
        it.calls.insert(3, read);
    };
    assert_only(&Forge::with(absent), "I5");
    let read = |it: &mut History, secret: Value| {
        it.calls.insert(3, call(100, "get", "secrets", "a-token", Value::Null, secret));
    };
    let mut foreign = secret(20, "second", 100, 3700);
    foreign["metadata"]["ownerReferences"] = json!([]);
    assert_only(&Forge::with(|it| read(it, foreign)), "I5");
    assert_only(&Forge::with(|it| read(it, secret(20, "second", 0, 100))), "I5");
    let mut unfit = secret(20, "second", 100, 3700);
    unfit["data"]["token"] = json!(BASE64_STANDARD.encode("edited"));
    assert_only(&Forge::with(|it| read(it, unfit)), "I5");
}

#[test]
fn more_requests_than_the_rate_allows_are_noticed() {
    let many = |it: &mut History| {
        it.terms.provider_burst = 1;
        it.exchanges[1].at = at(0);
        it.exchanges.push(exchange(0, "second"));
        it.deeds[2].at = at(-1);
    };
    assert!(Forge::with(many).violations.iter().any(|violation| violation.starts_with("I7: ")));
}

#[test]
fn a_sixth_try_of_rejected_credentials_is_noticed() {
    let rejected = |second| Exchange { status: Some(401), token: None, ..exchange(second, "") };
    let hammer = |it: &mut History| {
        it.exchanges.truncate(1);
        it.exchanges.extend([100, 110, 130, 150, 170, 190].map(rejected));
    };
    assert_only(&Forge::with(hammer), "I7");
}

#[test]
fn a_token_beside_the_times_or_the_fingerprint_of_another_is_noticed() {
    let times = |it: &mut History| {
        let mut torn = secret(15, "first", 0, 3600);
        torn["metadata"]["annotations"]["apicredential.io/expires-at"] = json!(at(9999).to_string());
        it.versions.insert(2, version("secrets", "a-token", SECRET_UID, 15, torn));
        it.calls[2].body["metadata"]["resourceVersion"] = json!("15");
    };
    assert_only(&Forge::with(times), "I8");
    let print = |it: &mut History| {
        let first = it.versions[1].object["metadata"]["annotations"]["apicredential.io/fingerprint"].clone();
        it.versions[2].object["metadata"]["annotations"]["apicredential.io/fingerprint"] = first;
    };
    assert_only(&Forge::with(print), "I8");
}

#[test]
fn a_hot_loop_is_noticed() {
    let hot = |it: &mut History| (0..30).for_each(|number| it.calls.push(status(150, 40 + number)));
    assert_only(&Forge::with(hot), "I9");
}

#[test]
fn a_word_that_is_not_of_the_table_and_a_contradiction_are_noticed() {
    let word = |it: &mut History| it.calls[1].answer["status"]["conditions"][1]["reason"] = json!("Surprise");
    assert_only(&Forge::with(word), "I9");
    let both = |it: &mut History| {
        let conditions = it.calls[1].answer["status"]["conditions"].as_array_mut().unwrap();
        conditions.extend(["Reconciling", "Stalled"].map(|type_| json!({"type": type_, "reason": "Pending"})));
    };
    assert_only(&Forge::with(both), "I9");
}

#[test]
fn a_transition_time_that_moves_alone_is_noticed() {
    let moved = |it: &mut History| {
        let of = |second: i64| {
            let conditions = json!([{"type": "Ready", "status": "True", "lastTransitionTime": at(second).to_string()}]);
            json!({"spec": spec(), "status": {"conditions": conditions}})
        };
        it.versions.push(version("apicredentials", "a", UID, 31, of(1)));
        it.versions.push(version("apicredentials", "a", UID, 32, of(2)));
    };
    assert_only(&Forge::with(moved), "I9");
}
