//! What is written to the target Secret, what is read back, and what stays as it is.

use proptest::prelude::*;

use super::*;
use crate::api::ApiCredentialSpec;
use crate::plan::AllowLists;

const ISSUED: Timestamp = Timestamp::constant(1_700_000_000, 0);

fn credential(target: &Value) -> ApiCredential {
    let spec: ApiCredentialSpec = serde_json::from_value(json!({
        "provider": {"type": "Welkin", "welkin": {
            "tenant": "gh", "clientName": "client", "secretRef": {"name": "source"},
        }},
        "target": target,
    }))
    .unwrap();
    let mut credential = ApiCredential::new("a", spec);
    credential.metadata.namespace = Some("care".to_owned());
    credential.metadata.uid = Some("uid-of-a".to_owned());
    credential
}

fn allow_lists() -> AllowLists {
    AllowLists { target_metadata: "note,team".parse().unwrap(), ..AllowLists::default() }
}

fn plan(credential: &ApiCredential) -> Plan {
    Plan::parse(&credential.spec, &allow_lists()).unwrap()
}

fn record(token: &str) -> TokenRecord {
    TokenRecord {
        token: SecretString::from(token.to_owned()),
        issued_at: ISSUED,
        expiry: Expiry::At(crate::schedule::later(ISSUED, 3600)),
        source_version: "uid/7".to_owned(),
        fingerprint: Fingerprint::parse("v1:f").unwrap(),
        renew_request: None,
    }
}

/// The Secret after the API server has applied a JSON merge patch.
fn patched(secret: &Secret, patch: &Value) -> Secret {
    fn merge(into: &mut Value, patch: &Value) {
        let (Some(fields), true) = (patch.as_object(), into.is_object()) else { return *into = patch.clone() };
        for (name, value) in fields {
            if value.is_null() {
                into.as_object_mut().unwrap().remove(name);
            } else {
                merge(into.as_object_mut().unwrap().entry(name.clone()).or_insert_with(|| json!({})), value);
            }
        }
    }
    let mut object = serde_json::to_value(secret).unwrap();
    merge(&mut object, patch);
    serde_json::from_value(object).unwrap()
}

fn created(credential: &ApiCredential, record: &TokenRecord) -> Secret {
    let mut secret = render(credential, &plan(credential), record).to_new_secret(credential, "a-token");
    secret.metadata.uid = Some("uid-of-the-secret".to_owned());
    secret.metadata.resource_version = Some("41".to_owned());
    secret
}

fn text<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    secret.data.as_ref()?.get(key).map(|bytes| std::str::from_utf8(&bytes.0).unwrap())
}

#[test]
fn a_written_token_is_read_back_and_needs_no_patch() {
    let credential = credential(&json!({"name": "a-token", "data": {"header": "Bearer {token} until {expiresAt}"}}));
    let secret = created(&credential, &record("t0ken"));
    assert_eq!(text(&secret, "token"), Some("t0ken"));
    assert_eq!(text(&secret, "header"), Some("Bearer t0ken until 2023-11-14T23:13:20Z"));
    let StoredToken::Intact(read) = read(&secret, &plan(&credential)) else { panic!("it is intact") };
    assert_eq!(read.token.expose_secret(), "t0ken");
    assert_eq!((read.issued_at, read.expiry), (ISSUED, record("t0ken").expiry));
    assert_eq!(render(&credential, &plan(&credential), &read).to_patch(&secret), None);
}

#[test]
fn each_placeholder_of_the_provider_gets_its_own_value() {
    let credential = credential(&json!({"name": "a-token", "data": {"path": "{tenant}/{clientName}"}}));
    assert_eq!(text(&created(&credential, &record("t0ken")), "path"), Some("gh/client"));
}

#[test]
fn a_new_secret_is_opaque_and_owned_by_the_apicredential_without_blocking_its_deletion() {
    let credential = credential(&json!({"name": "a-token"}));
    let secret = render(&credential, &plan(&credential), &record("t0ken")).to_new_secret(&credential, "a-token");
    let written = serde_json::to_value(&secret).unwrap();
    assert_eq!(written["type"], "Opaque");
    assert_eq!((&written["metadata"]["name"], &written["metadata"]["namespace"]), (&json!("a-token"), &json!("care")));
    let owner = json!({
        "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential", "name": "a", "uid": "uid-of-a",
        "controller": true,
    });
    assert_eq!(written["metadata"]["ownerReferences"], json!([owner]));
}

#[test]
fn a_patch_names_its_version_and_only_what_differs() {
    let credential = credential(&json!({"name": "a-token"}));
    let secret = created(&credential, &record("old"));
    let patch = render(&credential, &plan(&credential), &record("new")).to_patch(&secret).unwrap();
    assert_eq!(
        patch,
        json!({
            "metadata": {"uid": "uid-of-the-secret", "resourceVersion": "41", "labels": {}, "annotations": {}},
            "data": {"token": BASE64_STANDARD.encode("new")},
        })
    );
}

#[test]
fn keys_and_names_that_are_no_longer_wanted_are_removed_and_those_of_others_stay() {
    let before = credential(&json!({
        "name": "a-token", "tokenKey": "first", "data": {"second": "{token}"},
        "metadata": {"labels": {"team": "care"}, "annotations": {"note": "x"}},
    }));
    let mut secret = created(&before, &TokenRecord { renew_request: Some("now".to_owned()), ..record("t") });
    secret.data.as_mut().unwrap().insert("theirs".to_owned(), ByteString(b"kept".to_vec()));
    secret.metadata.labels.as_mut().unwrap().insert("their/label".to_owned(), "kept".to_owned());
    let after = credential(&json!({"name": "a-token", "tokenKey": "third"}));
    let StoredToken::Intact(stored) = read(&secret, &plan(&after)) else { panic!("found under the first of its keys") };
    let stored = TokenRecord { renew_request: None, ..stored };
    let rendering = render(&after, &plan(&after), &stored);
    let secret = patched(&secret, &rendering.to_patch(&secret).unwrap());
    let keys: Vec<_> = secret.data.as_ref().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["theirs", "third"]);
    let labels: Vec<_> = secret.metadata.labels.as_ref().unwrap().keys().cloned().collect();
    assert_eq!(labels, [annotations::MANAGED, "their/label"]);
    let annotations = secret.metadata.annotations.as_ref().unwrap();
    for gone in ["note", annotations::LABELS, annotations::ANNOTATIONS, annotations::RENEW_REQUEST] {
        assert!(!annotations.contains_key(gone), "{gone}");
    }
    assert_eq!(rendering.to_patch(&secret), None, "one patch is enough");
}

#[test]
fn a_name_that_is_no_longer_allowed_is_removed_and_its_token_stays() {
    let credential = credential(&json!({
        "name": "a-token", "metadata": {"labels": {"team": "care"}, "annotations": {"note": "x"}},
    }));
    let secret = created(&credential, &record("t"));
    let narrower = AllowLists { target_metadata: "note".parse().unwrap(), ..AllowLists::default() };
    let plan = Plan::parse(&credential.spec, &narrower).unwrap();
    let patch = render(&credential, &plan, &record("t")).to_patch(&secret).unwrap();
    assert_eq!(patch["metadata"]["labels"], json!({"team": null}));
    assert_eq!(patch["metadata"]["annotations"], json!({annotations::LABELS: null}));
    assert_eq!(patch["data"], json!({}));
}

#[test]
fn a_reserved_name_in_our_lists_is_not_ours_to_remove() {
    let credential = credential(&json!({"name": "a-token"}));
    let mut secret = created(&credential, &record("t"));
    let lists =
        [(annotations::ALLOW, "a"), (annotations::ANNOTATIONS, "apicredential.io/allow,dropped"), ("dropped", "")];
    secret.metadata.annotations.as_mut().unwrap().extend(lists.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let patch = render(&credential, &plan(&credential), &record("t")).to_patch(&secret).unwrap();
    assert_eq!(patch["metadata"]["annotations"], json!({"dropped": null, annotations::ANNOTATIONS: null}));
}

#[test]
fn a_token_without_its_annotations_is_missing_or_corrupt() {
    let credential = credential(&json!({"name": "a-token"}));
    let plan = plan(&credential);
    let intact = created(&credential, &record("t"));
    let without = |names: &[&str]| {
        let mut secret = intact.clone();
        secret.metadata.annotations.as_mut().unwrap().retain(|name, _| !names.contains(&name.as_str()));
        secret
    };
    assert!(matches!(read(&Secret { data: None, ..intact.clone() }, &plan), StoredToken::Missing));
    assert!(matches!(read(&without(&[annotations::ISSUED_AT, annotations::FINGERPRINT]), &plan), StoredToken::Missing));
    for name in [annotations::ISSUED_AT, annotations::EXPIRES_AT, annotations::FINGERPRINT] {
        assert!(matches!(read(&without(&[name]), &plan), StoredToken::Corrupt), "{name}");
    }
    assert!(matches!(read(&without(&[annotations::KEYS, annotations::SOURCE_VERSION]), &plan), StoredToken::Intact(_)));
    let mut reversed = intact.clone();
    let expires_at = ISSUED.to_string();
    reversed.metadata.annotations.as_mut().unwrap().insert(annotations::EXPIRES_AT.to_owned(), expires_at);
    assert!(matches!(read(&reversed, &plan), StoredToken::Corrupt), "it expires when it is issued");
    let mut bytes = intact.clone();
    bytes.data.as_mut().unwrap().insert("token".to_owned(), ByteString(vec![0xff]));
    assert!(matches!(read(&bytes, &plan), StoredToken::Corrupt));
}

proptest! {
    #[test]
    fn one_patch_repairs_any_secret_and_leaves_what_is_not_ours(
        data in proptest::collection::btree_map("[a-z]{1,8}", proptest::collection::vec(any::<u8>(), 0..8), 0..6),
        keys in proptest::collection::vec("[a-z]{0,8}", 0..4),
        foreign in proptest::collection::btree_map("x-[a-z]{1,8}", "[ -~]{0,8}", 0..4),
    ) {
        let credential = credential(&json!({"name": "a-token", "data": {"header": "{token}"}}));
        let mut annotations = foreign.clone();
        annotations.insert(annotations::KEYS.to_owned(), keys.join(","));
        let secret = Secret {
            metadata: ObjectMeta { annotations: Some(annotations), labels: Some(foreign.clone()), ..ObjectMeta::default() },
            data: Some(data.iter().map(|(key, value)| (key.clone(), ByteString(value.clone()))).collect()),
            ..Secret::default()
        };
        let rendering = render(&credential, &plan(&credential), &record("t0ken"));
        let after = patched(&secret, &rendering.to_patch(&secret).unwrap());
        prop_assert_eq!(rendering.to_patch(&after), None);
        prop_assert_eq!(text(&after, "token"), Some("t0ken"));
        for (key, value) in data.iter().filter(|(key, _)| !keys.contains(key) && !["token", "header"].contains(&key.as_str())) {
            prop_assert_eq!(&after.data.as_ref().unwrap()[key].0, value, "{} is not ours", key);
        }
        for (name, value) in &foreign {
            prop_assert_eq!(&after.metadata.annotations.as_ref().unwrap()[name], value);
            prop_assert_eq!(&after.metadata.labels.as_ref().unwrap()[name], value);
        }
    }
}
