//! Who is concerned by what, who comes first, and what "nothing changed" means.

use kube::core::DeserializeGuard;
use serde_json::json;

use super::*;

fn credential(name: &str, uid: &str, created: &str, target: &str) -> ApiCredential {
    serde_json::from_value(json!({
        "apiVersion": "apicredential.io/v1alpha1",
        "kind": "ApiCredential",
        "metadata": {
            "name": name, "namespace": "care", "uid": uid, "generation": 1, "creationTimestamp": created,
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

const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-01-01T00:00:01Z";

fn key(name: &str) -> Key {
    Key::new("care", name)
}

fn apply(index: &Index, credential: &ApiCredential) -> (bool, Vec<Key>) {
    index.apply_credential(&Key::of(credential), &DeserializeGuard(Ok(credential.clone())))
}

fn seen(version: &str) -> Seen {
    Seen { version: Version::from(version), present: true, origin: None }
}

#[test]
fn the_oldest_living_credential_comes_first_and_of_one_age_the_smaller_uid() {
    let index = Index::default();
    let (first, second, third) =
        (credential("c", "u2", EARLY, "t"), credential("a", "u3", EARLY, "t"), credential("b", "u1", LATE, "t"));
    for credential in [&third, &second, &first] {
        apply(&index, credential);
    }
    assert!(index.is_oldest_for_target(&first));
    assert!(!index.is_oldest_for_target(&second));
    assert!(!index.is_oldest_for_target(&third));

    let mut going = first;
    going.metadata.deletion_timestamp = going.metadata.creation_timestamp.clone();
    assert_eq!(apply(&index, &going), (true, vec![key("t")]), "its rivals hear of it");
    assert!(index.is_oldest_for_target(&second), "who is being deleted does not count");
    index.remove_credential(&key("a"));
    assert!(index.is_oldest_for_target(&third));
    assert!(index.is_oldest_for_target(&credential("x", "u9", LATE, "another")));
}

#[test]
fn a_credential_is_looked_at_for_a_new_spec_or_a_new_request_and_nothing_else() {
    let index = Index::default();
    let mut credential = credential("a", "u1", EARLY, "t");
    assert!(apply(&index, &credential).0);
    credential.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    credential.metadata.resource_version = Some("2".to_owned());
    assert!(!apply(&index, &credential).0, "a label");
    let mut ask = |text: String| {
        credential.metadata.annotations = Some([(annotations::RENEW_REQUESTED_AT.to_owned(), text)].into());
        apply(&index, &credential).0
    };
    assert!(ask("now".to_owned()));
    assert!(!ask("now".to_owned()), "the same text");
    assert!(ask("x".repeat(128)));
    assert!(ask("x".repeat(129)), "too long: as if it were gone");
    assert!(!ask(String::new()), "empty: no request, too");
    credential.metadata.annotations = None;
    credential.metadata.generation = Some(2);
    assert!(apply(&index, &credential).0, "another generation");
}

#[test]
fn never_seen_and_deleted_since_differ() {
    let index = Index::default();
    let credential = credential("a", "u1", EARLY, "t");
    apply(&index, &credential);
    let glance = || index.glance(&credential, "source", "t").imprint;
    let never = glance();
    assert!(index.see(false, &key("t"), seen("v1")));
    assert!(!index.see(false, &key("t"), seen("v1")), "a relist is no news");
    let there = glance();
    assert!(index.see_gone(false, &key("t")));
    let gone = glance();
    assert_ne!(never, there);
    assert_ne!(there, gone);
    assert_ne!(never, gone);
    index.remove_credential(&key("a"));
    assert_eq!(glance().target, never.target, "nobody asks for it any more");
}

#[test]
fn a_secret_wakes_those_that_name_it_as_what_it_is() {
    let index = Index::default();
    apply(&index, &credential("a", "u1", EARLY, "t"));
    apply(&index, &credential("b", "u2", EARLY, "s"));
    assert_eq!(index.credentials_of(true, &key("source")), [key("a"), key("b")]);
    assert_eq!(index.credentials_of(false, &key("t")), [key("a")]);
    assert!(index.credentials_of(true, &key("t")).is_empty());
    let elsewhere = Key::new("other", "t");
    assert!(index.credentials_of(false, &elsewhere).is_empty());
}

#[test]
fn one_credential_at_a_time_holds_a_target() {
    let index = Index::default();
    assert!(index.claim(&key("t"), "u1"));
    assert!(index.claim(&key("t"), "u1"), "its own claim");
    assert!(!index.claim(&key("t"), "u2"));
    assert!(index.claim(&key("other"), "u2"));
    index.release(&key("t"));
    assert!(index.claim(&key("t"), "u2"));
}

#[test]
fn who_lives_is_known_by_namespace() {
    let index = Index::default();
    apply(&index, &credential("a", "u1", EARLY, "t"));
    assert!(index.uid_lives("care", "a", "u1") && index.name_lives("care", "a") && index.knows(&key("a"), "u1"));
    assert!(
        !index.uid_lives("other", "a", "u1") && !index.uid_lives("care", "b", "u1") && !index.name_lives("other", "a")
    );
    assert!(!index.knows(&key("a"), "u2"), "another of the same name");
}
