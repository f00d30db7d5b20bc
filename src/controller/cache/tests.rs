//! Which events are changes, which version counts, and what is never brought back.

use apicredential::annotations::{RENEW_REQUESTED_AT, SOURCE_VERSION};
use apicredential::next_reconcile::NextReconcile;
use serde_json::{Value, json};

use super::*;
use crate::clock::SuspendAwareInstant;
use crate::controller::history::AttemptHistory;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;

mod rivals;

const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-01-01T00:00:01Z";

fn key(name: &str) -> Key {
    Key::new("care", name)
}

fn credential(name: &str, uid: &str, created: &str, target: &str) -> ApiCredential {
    serde_json::from_value(json!({
        "apiVersion": "apicredential.io/v1alpha1",
        "kind": "ApiCredential",
        "metadata": {
            "name": name, "namespace": "care", "uid": uid, "generation": 1, "creationTimestamp": created,
            "resourceVersion": "10",
        },
        "spec": {
            "provider": {"type": "Welkin", "welkin": {
                "tenant": "gh", "clientName": "client", "secretRef": {"name": "source"},
            }},
            "target": {"name": target},
        },
    }))
    .unwrap()
}

fn at_version(credential: &ApiCredential, version: &str) -> ApiCredential {
    let mut credential = credential.clone();
    credential.metadata.resource_version = Some(version.to_owned());
    credential
}

fn with_revision(credential: &ApiCredential, version: &str, revision: i64) -> ApiCredential {
    let status = ApiCredentialStatus { revision: Some(revision), ..ApiCredentialStatus::default() };
    ApiCredential { status: Some(Box::new(status)), ..at_version(credential, version) }
}

fn apply(cache: &Cache, credential: &ApiCredential, origin: VersionSource) -> Effects {
    cache.apply(&Key::of(credential), DeserializeGuard(Ok(credential.clone())), origin)
}

fn watched(cache: &Cache, credential: &ApiCredential) -> Effects {
    apply(cache, credential, VersionSource::Watch)
}

fn enqueued(keys: &[&str]) -> Effects {
    Effects { enqueue: keys.iter().map(|name| key(name)).collect(), deleted: None }
}

fn secret<K: serde::de::DeserializeOwned>(name: &str, uid: &str, version: &str, annotations: &Value) -> K {
    let metadata = json!({
        "name": name, "namespace": "care", "uid": uid, "resourceVersion": version, "annotations": annotations,
    });
    serde_json::from_value(json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})).unwrap()
}

fn target(version: &str) -> PartialObjectMeta<Secret> {
    secret("t", "s1", version, &json!({}))
}

fn written_target(version: &str) -> Secret {
    secret("t", "s1", version, &json!({}))
}

fn is_dirty(cache: &Cache, name: &str) -> bool {
    cache.snapshot(&key(name)).unwrap().is_dirty
}

fn record(cache: &Cache, name: &str) -> Option<SecretRecord> {
    cache.snapshot(&key(name)).unwrap().target
}

fn remember(is_settled: bool, revision: Option<i64>) -> Remember {
    let status = revision.map(|it| ApiCredentialStatus { revision: Some(it), ..ApiCredentialStatus::default() });
    Remember {
        began: SuspendAwareInstant::now(),
        next: NextReconcile::OnChange,
        is_settled,
        reported_status: status.map(Arc::new),
        history: AttemptHistory::default(),
    }
}

/// A reconcile, and what happens in the middle of it.
fn reconcile(cache: &Cache, name: &str, is_settled: bool, meanwhile: impl FnOnce()) {
    let mut snapshot = cache.snapshot(&key(name)).unwrap();
    cache.begin(&key(name), &mut snapshot);
    meanwhile();
    cache.finish(&key(name), &snapshot, remember(is_settled, None));
}

#[test]
fn a_new_spec_or_a_new_renew_request_is_a_change_and_a_label_is_none() {
    let cache = Cache::default();
    let mut credential = credential("a", "u1", EARLY, "t");
    assert_eq!(watched(&cache, &credential), enqueued(&["a"]));
    credential.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    credential.metadata.resource_version = Some("11".to_owned());
    assert_eq!(watched(&cache, &credential), enqueued(&[]), "a label");
    let mut request = |text: String| {
        credential.metadata.annotations = Some([(RENEW_REQUESTED_AT.to_owned(), text)].into());
        !watched(&cache, &credential).enqueue.is_empty()
    };
    assert!(request("now".to_owned()));
    assert!(!request("now".to_owned()), "the same text");
    assert!(request("x".repeat(128)));
    assert!(request("x".repeat(129)), "too long: as if it were gone");
    assert!(!request(String::new()), "empty: no request, either");
    credential.metadata.annotations = None;
    credential.metadata.generation = Some(2);
    assert_eq!(watched(&cache, &credential), enqueued(&["a"]), "another generation");
}

#[test]
fn only_a_reconcile_that_settles_makes_clean_and_a_change_in_the_middle_of_it_is_not_lost() {
    let cache = Cache::default();
    watched(&cache, &credential("a", "u1", EARLY, "t"));
    assert!(is_dirty(&cache, "a"), "nothing was reconciled yet");
    reconcile(&cache, "a", true, || {});
    assert!(!is_dirty(&cache, "a"));
    reconcile(&cache, "a", false, || {});
    assert!(is_dirty(&cache, "a"), "it left something undone");
    reconcile(&cache, "a", true, || {});
    let mut panicked = cache.snapshot(&key("a")).unwrap();
    cache.begin(&key("a"), &mut panicked);
    assert!(is_dirty(&cache, "a"), "it never ended");
    reconcile(&cache, "a", true, || {
        cache.apply_secret(SecretRole::Target, &key("t"), &target("20"), VersionSource::Watch);
    });
    assert!(is_dirty(&cache, "a"), "the target changed after it was read");
}

#[test]
fn the_echo_of_our_own_write_is_no_change() {
    let cache = Cache::default();
    let credential = credential("a", "u1", EARLY, "t");
    watched(&cache, &credential);
    watched(&cache, &self::credential("b", "u2", EARLY, "t"));
    reconcile(&cache, "a", true, || {
        let call = cache.begin_call();
        let effects = cache.apply_target_reply(&key("a"), &written_target("20"), call);
        assert_eq!(effects, enqueued(&["b"]), "a rival learns of it");
        apply(&cache, &with_revision(&credential, "21", 1), VersionSource::Reply(call));
    });
    assert!(!is_dirty(&cache, "a"));
    assert_eq!(cache.apply_secret(SecretRole::Target, &key("t"), &target("20"), VersionSource::Watch), enqueued(&[]));
    assert_eq!(watched(&cache, &with_revision(&credential, "21", 1)), enqueued(&[]));
    assert!(!is_dirty(&cache, "a"));
}

#[test]
fn the_echo_of_our_own_write_is_no_change_either_if_it_is_faster_than_the_reply() {
    let cache = Cache::default();
    watched(&cache, &credential("a", "u1", EARLY, "t"));
    reconcile(&cache, "a", true, || {
        let call = cache.begin_call();
        cache.apply_secret(SecretRole::Target, &key("t"), &target("20"), VersionSource::Watch);
        assert_eq!(cache.apply_target_reply(&key("a"), &written_target("20"), call), enqueued(&[]));
    });
    assert!(!is_dirty(&cache, "a"));
    reconcile(&cache, "a", true, || {
        let call = cache.begin_call();
        cache.apply_secret(SecretRole::Target, &key("t"), &target("21"), VersionSource::Watch);
        cache.apply_secret(SecretRole::Target, &key("t"), &target("22"), VersionSource::Watch);
        cache.apply_target_reply(&key("a"), &written_target("22"), call);
    });
    assert!(is_dirty(&cache, "a"), "somebody else wrote before us");
    reconcile(&cache, "a", true, || {
        let call = cache.begin_call();
        cache.apply(&key("a"), DeserializeGuard(Ok(of_another_spec())), VersionSource::Watch);
        cache.apply_target_reply(&key("a"), &written_target("22"), call);
    });
    assert!(is_dirty(&cache, "a"), "a write that changed nothing takes no other change away");
}

fn of_another_spec() -> ApiCredential {
    let mut credential = at_version(&credential("a", "u1", EARLY, "t"), "30");
    credential.metadata.generation = Some(2);
    credential
}

#[test]
fn an_older_event_does_not_replace_what_we_wrote() {
    let cache = Cache::default();
    let credential = credential("a", "u1", EARLY, "t");
    watched(&cache, &credential);
    cache.apply_secret(SecretRole::Target, &key("t"), &target("15"), VersionSource::Watch);
    let call = cache.begin_call();
    cache.apply_target_reply(&key("a"), &written_target("20"), call);
    apply(&cache, &with_revision(&credential, "21", 2), VersionSource::Reply(call));
    reconcile(&cache, "a", true, || {});
    cache.apply_secret(SecretRole::Target, &key("t"), &target("18"), VersionSource::Watch);
    cache.remove_secret(SecretRole::Target, &key("t"), &secret("t", "s0", "16", &json!({})));
    watched(&cache, &with_revision(&credential, "19", 1));
    assert!(!is_dirty(&cache, "a"));
    assert_eq!(record(&cache, "a").unwrap().revision.as_str(), "s1/20");
    assert!(record(&cache, "a").unwrap().is_present, "the one that was deleted is another");
    assert_eq!(cache.snapshot(&key("a")).unwrap().stored_status.revision, Some(2));
}

#[test]
fn a_late_reply_brings_nothing_back() {
    let cache = Cache::default();
    let credential = credential("a", "u1", EARLY, "t");
    watched(&cache, &credential);
    let call = cache.begin_call();
    cache.apply_secret(SecretRole::Target, &key("t"), &target("20"), VersionSource::Watch);
    cache.remove_secret(SecretRole::Target, &key("t"), &target("25"));
    cache.apply_target_reply(&key("a"), &written_target("20"), call);
    assert!(!record(&cache, "a").unwrap().is_present, "deleted at 25");
    cache.apply_target_reply(&key("a"), &written_target("26"), call);
    assert!(record(&cache, "a").unwrap().is_present, "written after that");

    let call = cache.begin_call();
    let list = cache.begin_list();
    cache.remove_unlisted_secret(SecretRole::Target, &key("t"), list);
    cache.apply_target_reply(&key("a"), &written_target("30"), call);
    assert!(!record(&cache, "a").unwrap().is_present, "sent before the list that lacks it");

    cache.remove(&key("a"));
    assert_eq!(apply(&cache, &with_revision(&credential, "40", 1), VersionSource::Reply(call)), Effects::default());
    assert!(cache.snapshot(&key("a")).is_none());
    watched(&cache, &self::credential("a", "u2", LATE, "t"));
    apply(&cache, &with_revision(&credential, "41", 1), VersionSource::Reply(call));
    assert_eq!(cache.snapshot(&key("a")).unwrap().object.uid(), "u2", "the one of that name is another now");
    cache.remove(&key("a"));
    cache.apply_target_reply(&key("a"), &written_target("50"), cache.begin_call());
    assert_eq!(cache.named_by(SecretRole::Target, &key("t")), []);
}

#[test]
fn a_list_replaces_everything_but_what_was_written_since_it_began() {
    let cache = Cache::default();
    let credential = credential("a", "u1", EARLY, "t");
    watched(&cache, &credential);
    let list = cache.begin_list();
    let call = cache.begin_call();
    cache.apply_target_reply(&key("a"), &written_target("20"), call);
    apply(&cache, &with_revision(&credential, "21", 1), VersionSource::Reply(call));
    reconcile(&cache, "a", true, || {});
    cache.apply_secret(SecretRole::Target, &key("t"), &target("15"), VersionSource::List(list));
    cache.remove_unlisted_secret(SecretRole::Target, &key("t"), list);
    apply(&cache, &credential, VersionSource::List(list));
    assert!(!is_dirty(&cache, "a"), "the list was made before our writes");
    assert_eq!(record(&cache, "a").unwrap().revision.as_str(), "s1/20");
    let list = cache.begin_list();
    assert_eq!(cache.remove_unlisted_secret(SecretRole::Target, &key("t"), list), enqueued(&["a"]));
}

#[test]
fn a_list_of_older_data_drops_what_is_remembered() {
    let cache = Cache::default();
    let credential = credential("a", "u1", EARLY, "t");
    watched(&cache, &with_revision(&credential, "21", 5));
    reconcile(&cache, "a", true, || {});
    let list = cache.begin_list();
    assert_eq!(apply(&cache, &with_revision(&credential, "12", 3), VersionSource::List(list)), enqueued(&["a"]));
    let snapshot = cache.snapshot(&key("a")).unwrap();
    assert!(snapshot.is_dirty && snapshot.history.is_none() && snapshot.planned.is_none());
    assert_eq!(snapshot.stored_status.revision, Some(3));
}

#[test]
fn a_status_that_was_reported_is_pending_until_the_api_server_has_it_and_is_not_kept_twice() {
    let cache = Cache::default();
    let credential = credential("a", "u1", EARLY, "t");
    watched(&cache, &with_revision(&credential, "10", 1));
    let snapshot = cache.snapshot(&key("a")).unwrap();
    cache.finish(&key("a"), &snapshot, remember(true, Some(2)));
    assert!(cache.snapshot(&key("a")).unwrap().has_pending_status(), "it could not be written");
    apply(&cache, &with_revision(&credential, "11", 2), VersionSource::Reply(cache.begin_call()));
    let snapshot = cache.snapshot(&key("a")).unwrap();
    assert!(!snapshot.has_pending_status());
    assert!(Arc::ptr_eq(&snapshot.stored_status, snapshot.reported_status.as_ref().unwrap()));
    assert_eq!(watched(&cache, &with_revision(&credential, "12", 9)), enqueued(&[]), "somebody edits it");
    let snapshot = cache.snapshot(&key("a")).unwrap();
    assert!(snapshot.has_pending_status());
    assert_eq!(snapshot.reported_status.unwrap().revision, Some(2), "what was reported is not forgotten");
}

#[test]
fn never_seen_and_deleted_since_differ() {
    let cache = Cache::default();
    watched(&cache, &credential("a", "u1", EARLY, "t"));
    assert_eq!(record(&cache, "a"), None);
    let made_from = secret("t", "s1", "20", &json!({SOURCE_VERSION: "x/1"}));
    assert_eq!(cache.apply_secret(SecretRole::Target, &key("t"), &made_from, VersionSource::Watch), enqueued(&["a"]));
    assert_eq!(record(&cache, "a").unwrap().token_source, Some(Revision::from("x/1")));
    assert_eq!(
        cache.apply_secret(SecretRole::Target, &key("t"), &made_from, VersionSource::Watch),
        enqueued(&[]),
        "a relist"
    );
    assert_eq!(cache.remove_secret(SecretRole::Target, &key("t"), &target("21")), enqueued(&["a"]));
    assert!(!record(&cache, "a").unwrap().is_present);
    cache.remove(&key("a"));
    watched(&cache, &credential("a", "u2", LATE, "t"));
    assert_eq!(record(&cache, "a"), None, "nobody named it meanwhile");
}

#[test]
fn what_only_a_reply_has_shown_goes_with_the_last_that_names_it() {
    let cache = Cache::default();
    let shown_again = |cache: &Cache| {
        watched(cache, &credential("a", "u1", EARLY, "t"));
        let record = record(cache, "a");
        cache.remove(&key("a"));
        record
    };
    watched(&cache, &credential("a", "u1", EARLY, "t"));
    cache.apply_target_reply(&key("a"), &written_target("20"), cache.begin_call());
    cache.remove(&key("a"));
    assert_eq!(shown_again(&cache), None, "no watch would ever remove it");
    cache.apply_secret(SecretRole::Target, &key("t"), &target("20"), VersionSource::Watch);
    assert!(shown_again(&cache).is_some_and(|record| record.is_present), "a watch shows it");
}

#[test]
fn a_secret_is_a_change_for_those_that_name_it_as_what_it_is() {
    let cache = Cache::default();
    watched(&cache, &credential("a", "u1", EARLY, "t"));
    watched(&cache, &credential("b", "u2", EARLY, "s"));
    assert_eq!(cache.named_by(SecretRole::Source, &key("source")), [key("a"), key("b")]);
    assert_eq!(cache.named_by(SecretRole::Target, &key("t")), [key("a")]);
    assert_eq!(cache.named_by(SecretRole::Source, &key("t")), []);
    assert_eq!(cache.named_by(SecretRole::Target, &Key::new("other", "t")), []);
    let mut moved = credential("a", "u1", EARLY, "s");
    moved.metadata.generation = Some(2);
    watched(&cache, &moved);
    assert_eq!(cache.named_by(SecretRole::Target, &key("t")), []);
    assert_eq!(cache.named_by(SecretRole::Target, &key("s")), [key("a"), key("b")]);
}

#[test]
fn what_nobody_uses_is_dropped_and_what_cannot_be_decoded_keeps_its_metadata() {
    let cache = Cache::default();
    let mut object = credential("a", "u1", EARLY, "t");
    object.metadata.labels = Some([("team".to_owned(), "care".to_owned())].into());
    object.metadata.annotations =
        Some([(RENEW_REQUESTED_AT.to_owned(), "now".to_owned()), ("other".to_owned(), "x".to_owned())].into());
    watched(&cache, &object);
    let snapshot = cache.snapshot(&key("a")).unwrap();
    let cached = snapshot.object.credential(&key("a")).expect("it can be decoded");
    assert_eq!(cached.metadata.labels, None);
    assert_eq!(cached.metadata.annotations.as_ref().unwrap().len(), 1);
    assert_eq!(renew_request(&cached).as_deref(), Some("now"));
    let used = ObjectMeta { labels: None, annotations: cached.metadata.annotations.clone(), ..object.metadata.clone() };
    assert_eq!((cached.metadata, cached.spec), (used, object.spec));

    let invalid = kube::core::error_boundary::InvalidObject { error: "quotes".to_owned(), metadata: object.metadata };
    cache.apply(&key("a"), DeserializeGuard(Err(invalid)), VersionSource::Watch);
    let snapshot = cache.snapshot(&key("a")).unwrap();
    assert!(snapshot.object.credential(&key("a")).is_none());
    assert_eq!(snapshot.object.uid(), "u1");
}
