//! Which target Secrets are ours, and which of those can be written.

use serde_json::{Value, json};

use super::*;
use crate::plan::AllowLists;
use crate::schedule::{Expiry, later};

/// The ApiCredentials with these uids exist, the oldest one first. Each has its uid as its name, too.
struct Uids(&'static [&'static str]);

impl CredentialLookup for Uids {
    fn uid_exists(&self, _namespace: &str, _name: &str, uid: &str) -> bool {
        self.0.contains(&uid)
    }

    fn name_exists(&self, _namespace: &str, name: &str) -> bool {
        self.0.contains(&name)
    }

    fn is_oldest_for_target(&self, credential: &ApiCredential) -> bool {
        credential.metadata.uid.as_deref() == self.0.first().copied()
    }
}

const EXISTING: Uids = Uids(&["own", "other"]);

/// The ApiCredential `a` with the uid `own`, and its plan.
fn credential(policy: &str) -> (ApiCredential, Plan) {
    let credential: ApiCredential = serde_json::from_value(json!({
        "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential",
        "metadata": {"name": "a", "namespace": "ns", "uid": "own"},
        "spec": {
            "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "login"}}},
            "target": {"name": "a-token", "creationPolicy": policy},
        },
    }))
    .unwrap();
    let plan = Plan::parse(&credential.spec, &AllowLists::default()).unwrap();
    (credential, plan)
}

fn target_of(policy: &str, secret: Option<&Value>, existing: &Uids) -> Target {
    let (credential, plan) = credential(policy);
    target(&credential, &plan, secret.map(|secret| serde_json::from_value(secret.clone()).unwrap()), existing)
}

/// Why `a` cannot use this Secret; `None` if it is ours, or if `a` may create it.
fn refusal(policy: &str, secret: Option<&Value>, existing: &Uids) -> Option<Reason> {
    match target_of(policy, secret, existing) {
        Target::Refused(refusal) => Some(refusal.reason),
        Target::Absent | Target::Ours { .. } => None,
    }
}

/// Why a Secret that is ours cannot be written.
fn obstacle(policy: &str, secret: &Value) -> Option<Reason> {
    match target_of(policy, Some(secret), &EXISTING) {
        Target::Ours { blocked, .. } => blocked.map(|refusal| refusal.reason),
        Target::Absent | Target::Refused(_) => panic!("it is ours: {secret}"),
    }
}

fn reference(kind: &str, uid: &str, controller: bool) -> Value {
    json!({"apiVersion": "apicredential.io/v1alpha1", "kind": kind, "name": "a", "uid": uid, "controller": controller})
}

fn owned(reference: &Value) -> Value {
    json!({"metadata": {"name": "a-token", "ownerReferences": [reference]}})
}

/// A Secret whose owner permits these writes.
fn consenting(allow: &str) -> Value {
    json!({"metadata": {"name": "a-token", "annotations": {annotations::ALLOW: allow}}})
}

/// The same object with another value at this path.
fn with(secret: &Value, path: &str, value: Value) -> Value {
    let mut secret = secret.clone();
    let (parent, field) = path.rsplit_once('/').unwrap();
    secret.pointer_mut(parent).unwrap()[field] = value;
    secret
}

const DELETED: &str = "2026-01-01T00:00:00Z";

#[test]
fn of_several_that_name_an_absent_target_the_oldest_creates_it() {
    assert_eq!(refusal("Owner", None, &Uids(&["own", "other"])), None);
    assert_eq!(refusal("Owner", None, &Uids(&["other", "own"])), Some(Reason::TargetOwnedByOther));
    assert_eq!(refusal("Merge", None, &EXISTING), Some(Reason::TargetNotFound));
}

#[test]
fn a_secret_is_owned_by_uid_and_never_by_name() {
    let refusal = |reference: &Value| refusal("Owner", Some(&owned(reference)), &EXISTING);
    assert_eq!(refusal(&reference("ApiCredential", "own", true)), None);
    assert_eq!(refusal(&reference("ApiCredential", "other", true)), Some(Reason::TargetOwnedByOther));
    let deleted = refusal(&reference("ApiCredential", "of the one before", true));
    assert_eq!(deleted, Some(Reason::TargetTerminating), "the garbage collector will delete it");
    assert_eq!(refusal(&reference("ApiCredential", "own", false)), Some(Reason::TargetNotOwned));
    assert_eq!(refusal(&reference("Deployment", "own", true)), Some(Reason::TargetNotOwned));
    for (version, reason) in [
        ("apicredential.io/v1", None),
        ("other.example/v1alpha1", Some(Reason::TargetNotOwned)),
        ("apicredential.io.example/v1alpha1", Some(Reason::TargetNotOwned)),
        ("v1", Some(Reason::TargetNotOwned)),
    ] {
        let reference = with(&reference("ApiCredential", "own", true), "/apiVersion", json!(version));
        assert_eq!(refusal(&reference), reason, "{version}");
    }
}

#[test]
fn a_secret_that_is_being_deleted_is_waited_for() {
    for (policy, secret) in [
        ("Owner", owned(&reference("ApiCredential", "own", true))),
        ("Owner", json!({"metadata": {"name": "a-token"}})),
        ("Merge", consenting("a")),
    ] {
        let deleted = with(&secret, "/metadata/deletionTimestamp", json!(DELETED));
        assert_eq!(refusal(policy, Some(&deleted), &EXISTING), Some(Reason::TargetTerminating), "{deleted}");
    }
}

#[test]
fn a_secret_to_merge_into_is_ours_by_consent_and_while_no_other_writes_it() {
    let refusal = |secret: &Value| refusal("Merge", Some(secret), &EXISTING);
    assert_eq!(refusal(&consenting("a")), None);
    assert_eq!(refusal(&consenting("b")), Some(Reason::TargetNotPermitted));
    assert_eq!(refusal(&json!({"metadata": {"name": "a-token"}})), Some(Reason::TargetNotPermitted));
    for (writer, reason) in [("a", None), ("other", Some(Reason::TargetOwnedByOther)), ("deleted long ago", None)] {
        let both = json!({annotations::ALLOW: "a", annotations::OWNER: writer});
        let written = with(&consenting("a"), "/metadata/annotations", both);
        assert_eq!(refusal(&written), reason, "{writer}");
    }
}

#[test]
fn what_cannot_be_written_is_still_ours() {
    let ours = owned(&reference("ApiCredential", "own", true));
    assert_eq!(obstacle("Owner", &ours), None);
    let source = with(&ours, "/metadata/labels", json!({annotations::SOURCE: "qontak"}));
    assert_eq!(obstacle("Owner", &source), Some(Reason::TargetIsSource));
    assert_eq!(obstacle("Owner", &with(&ours, "/immutable", json!(true))), Some(Reason::TargetImmutable));
    assert_eq!(obstacle("Owner", &with(&ours, "/immutable", json!(false))), None);
    assert_eq!(obstacle("Owner", &with(&ours, "/type", json!("Opaque"))), None);
    let other_type = with(&ours, "/type", json!("kubernetes.io/tls"));
    assert_eq!(obstacle("Owner", &other_type), Some(Reason::TargetTypeConflict));
}

#[test]
fn a_key_of_somebody_else_is_taken_unless_the_consent_names_it() {
    let token = json!({"token": "dGhlaXJz"});
    assert_eq!(obstacle("Merge", &consenting("a")), None);
    assert_eq!(obstacle("Merge", &with(&consenting("a"), "/data", token.clone())), Some(Reason::TargetKeyTaken));
    assert_eq!(obstacle("Merge", &with(&consenting("a:token"), "/data", token)), None);
    assert_eq!(obstacle("Merge", &consenting("a:bearer")), Some(Reason::TargetNotPermitted));
}

#[test]
fn a_token_fits_only_with_its_own_times_and_spec() {
    let (_, plan) = credential("Owner");
    let issued_at = jiff::Timestamp::constant(1_700_000_000, 0);
    let expiry = Expiry::At(later(issued_at, 3600));
    let fingerprint = Fingerprint::new("t0ken", &plan, &issued_at.to_string(), &render::expiry_text(expiry));
    let record = |token: &str, issued_at| TokenRecord {
        token: token.to_owned().into(),
        issued_at,
        expiry,
        source_version: "uid/7".to_owned(),
        fingerprint: fingerprint.clone(),
        renew_request: None,
    };
    assert!(fits(&record("t0ken", issued_at), &plan));
    assert!(!fits(&record("another", issued_at), &plan));
    assert!(!fits(&record("t0ken", later(issued_at, 1)), &plan));
    for (known, expected) in [(true, SpecMatch::Edited), (false, SpecMatch::OtherSpec)] {
        assert_eq!(spec_match(&record("another", issued_at), &plan, known), expected);
        assert_eq!(spec_match(&record("t0ken", issued_at), &plan, known), SpecMatch::Fits);
    }
}
