//! I1.

use serde_json::{Value, json};

use super::forge::{Forge, TARGET, assert_broken, assert_kept, honest};
use crate::history::What;

fn owner(it: &mut Value) -> &mut Value {
    &mut it["metadata"]["ownerReferences"][0]["uid"]
}

#[test]
fn a_patch_that_does_not_name_its_version_is_noticed_even_if_it_failed() {
    for (name, status) in [("uid", 200), ("resourceVersion", 200), ("resourceVersion", 409)] {
        let mut it = honest();
        let patch = it.history.calls.iter_mut().rev().find(|call| call.verb == "patch" && call.name == TARGET).unwrap();
        patch.body["metadata"][name] = Value::Null;
        patch.status = Some(status);
        let report = it.checked();
        assert!(report.violations.iter().any(|it| it.starts_with("I1: ") && it.contains("does not name")), "{name}");
    }
    let mut it = honest();
    it.at(2900).writes_status(json!({"observedGeneration": 1}));
    it.last_call().body["metadata"]["resourceVersion"] = Value::Null;
    assert_broken(&it, "I1", "does not name");
}

#[test]
fn a_write_over_another_version_than_it_names_is_noticed() {
    let mut it = honest();
    // Another client labels the Secret between the read and the write, and the write takes effect all the same.
    it.at(2850).edits(|target| target["metadata"]["labels"]["foreign"] = "true".into());
    it.source("three").requests("fifth").stores("fifth");
    let before = it.history.versions.iter().rev().filter(|version| version.name == TARGET).nth(2).unwrap();
    let before = before.version.to_string();
    it.last_call().body["metadata"]["resourceVersion"] = before.into();
    assert_broken(&it, "I1", "another version");
}

#[test]
fn a_write_over_a_foreign_secret_is_noticed() {
    let mut it = honest();
    it.at(2850).edits(|target| *owner(target) = "another".into());
    it.source("three").requests("fifth").stores("fifth");
    assert_broken(&it, "I1", "not ours");
    // The owner's name alone proves nothing: this Secret was created for an earlier ApiCredential of that name.
    let mut it = Forge::new();
    it.syncs("first");
    it.history.versions.iter_mut().filter(|version| version.resource == "apicredentials").for_each(|version| {
        version.uid = "a-later-uid".into();
        version.object["metadata"]["uid"] = "a-later-uid".into();
    });
    let report = it.checked();
    assert!(report.violations.iter().any(|it| it.starts_with("I1: ") && it.contains("no ApiCredential requested it")));
}

#[test]
fn a_write_for_an_apicredential_that_was_deleted_long_before_is_noticed() {
    let mut it = honest();
    it.at(2850).did(What::Deleted { credential: "a".into() });
    let mut last = it.history.versions.iter().rev().find(|it| it.resource == "apicredentials").unwrap().clone();
    (last.deleted, last.version, last.seen) = (true, last.version + 1, it.history.interventions.last().unwrap().at);
    it.history.versions.push(last);
    let mut soon = it;
    let stored = soon.history.calls.len();
    soon.at(2851).edits(|target| target["metadata"]["labels"]["foreign"] = "true".into()).stores("fourth");
    assert!(soon.history.calls.len() > stored);
    assert_kept(&soon);
    soon.at(2870).edits(|target| target["metadata"]["labels"]["foreign"] = "false".into()).stores("fourth");
    assert_broken(&soon, "I1", "not ours");
}

#[test]
fn merge_writes_only_where_the_secret_consents_and_no_other_apicredential_writes() {
    let merged_with = |allow: &str, owner: Option<&str>, deleted: bool| {
        let mut it = Forge::new();
        it.credential["spec"]["target"]["creationPolicy"] = "Merge".into();
        let credentials = it.history.versions.iter_mut().filter(|version| version.resource == "apicredentials");
        credentials.for_each(|version| version.object["spec"]["target"]["creationPolicy"] = "Merge".into());
        it.target = Some(json!({"metadata": {"name": TARGET, "uid": "of-a-person", "annotations": {
            "apicredential.io/allow": allow, "apicredential.io/owner": owner,
        }}}));
        it.edits(|_| {});
        let mut other = it.history.versions.iter().find(|it| it.resource == "apicredentials").unwrap().clone();
        (other.name, other.uid) = ("b".into(), "the-uid-of-b".into());
        other.object["spec"]["target"]["name"] = "b-token".into();
        other.object["spec"]["provider"]["welkin"]["clientName"] = "client-of-b".into();
        other.deleted = deleted;
        it.history.versions.insert(0, other);
        it.reads().requests("first").stores("first");
        it
    };
    let merged = |allow: &str, owner: Option<&str>| merged_with(allow, owner, false);
    assert_kept(&merged("a", None));
    assert_kept(&merged("a:token", Some("a")));
    assert_kept(&merged("a", Some("nobody")));
    assert_kept(&merged_with("a", Some("b"), true));
    assert_broken(&merged("other", None), "I1", "not ours");
    assert_broken(&merged("a", Some("b")), "I1", "not ours");
}

#[test]
fn a_secret_that_is_created_over_another_or_for_no_apicredential_is_noticed() {
    let mut it = honest();
    it.at(2850).source("three").requests("fifth").stores("fifth");
    it.last_call().verb = "create".into();
    assert_broken(&it, "I1", "there was a Secret");
    let mut it = Forge::new();
    it.requests("first").stores("first");
    *owner(&mut it.last_call().answer) = "another".into();
    assert_broken(&it, "I1", "no ApiCredential requested");
    let mut it = Forge::new();
    it.requests("first").stores("first");
    it.last_call().answer["metadata"]["annotations"]["apicredential.io/owner-uid"] = "another".into();
    assert_broken(&it, "I1", "whose it is");
}

#[test]
fn a_request_outside_the_operators_scope_is_noticed_even_if_it_failed() {
    let strange = [
        ("delete", "secrets", TARGET),
        ("update", "secrets", TARGET),
        ("delete", "secrets", ""),
        ("patch", "apicredentials", "a"),
        ("update", "apicredentials/status", "a"),
        ("create", "configmaps", "b"),
    ];
    for (verb, resource, name) in strange {
        let mut it = honest();
        it.at(2850).call(verb, resource, name, Value::Null, Value::Null);
        assert_broken(&it, "I1", "no business");
        it.last_call().status = Some(403);
        assert_broken(&it, "I1", "no business");
    }
}
