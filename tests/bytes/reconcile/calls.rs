//! Checks what one reconcile wrote and published against the rules.

use apicredential::annotations;
use apicredential::api::validation::{BOUNDS, Bound};
use apicredential::api::{ApiCredential, ApiCredentialStatus, CreationPolicy};
use apicredential::reason::Reason;
use serde_json::{Map, Value};

use super::scene::{SENTINEL, encoded_sentinel};
use super::server::{Call, Server, What, is_key, is_name};
use super::{decoded, stage};

/// Checks everything that a reconcile of `object` has written, published and sent.
pub fn check(object: &Value, calls: &[Call], exchanges: u64, server: &Server) {
    let credential = decoded(object);
    let deleted = object["metadata"]["deletionTimestamp"].is_string();
    assert!(!deleted || (calls.is_empty() && exchanges == 0), "it is being deleted: {calls:#?}");
    let secrets: Vec<&Call> =
        calls.iter().filter(|call| matches!(call.what, What::Create | What::Patch | What::DryRun)).collect();
    let acts = exchanges > 0 || !secrets.is_empty();
    assert!(exchanges <= 1, "{exchanges} exchanges in one reconcile");
    match &credential {
        None => assert!(!acts, "it cannot be decoded"),
        Some(credential) => {
            assert!(!acts || !credential.spec.suspend, "it is suspended");
            assert!(!acts || is_sound(credential), "its spec is not sound: {}", object["spec"]);
            let target = server.with(|state| state.secrets.get(&credential.spec.target.name).cloned());
            let ours = target.as_ref().is_none_or(|target| is_ours(credential, target));
            assert!(exchanges == 0 || ours, "its target is not its own");
            secrets.iter().for_each(|call| write(credential, call));
        }
    }
    for call in calls {
        contains_no_secret(call);
        match call.what {
            What::Status => status(object, call),
            What::Event => event(&call.body),
            What::Create | What::Patch | What::DryRun => {}
        }
    }
}

/// Names and keys that an API server accepts, so that no request to a provider, or to a path, is in vain.
fn is_sound(credential: &ApiCredential) -> bool {
    let spec = &credential.spec;
    let keys = spec.target.data.iter().flatten().map(|(key, _)| key).chain([&spec.target.token_key]);
    let welkin = spec.provider.welkin.as_ref().map(|welkin| &welkin.secret_ref.name);
    let source = welkin.or(spec.provider.qontak.as_ref().map(|qontak| &qontak.secret_ref.name));
    is_name(&spec.target.name)
        && source.is_some_and(|source| is_name(source) && *source != spec.target.name)
        && keys.into_iter().all(|key| is_key(key))
}

/// The rule of ownership, implemented a second time.
fn is_ours(credential: &ApiCredential, secret: &Value) -> bool {
    let meta = &secret["metadata"];
    match credential.spec.target.creation_policy {
        CreationPolicy::Owner => meta["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|reference| reference["uid"] == stage::UID && reference["controller"] == true),
        CreationPolicy::Merge => {
            let allow = meta["annotations"][annotations::ALLOW].as_str().unwrap_or_default();
            allow.split(':').next().is_some_and(|name| name.trim() == "a")
        }
    }
}

/// Whether the consent of a Merge target covers the key.
fn is_permitted(secret: &Value, key: &str) -> bool {
    let annotation = |name: &str| secret["metadata"]["annotations"][name].as_str().unwrap_or_default();
    let names = |list: &str| list.split(',').any(|name| name.trim() == key);
    match annotation(annotations::ALLOW).split_once(':') {
        Some((_, keys)) => names(keys),
        None => key == "token" && (secret["data"][key].is_null() || names(annotation(annotations::KEYS))),
    }
}

fn write(credential: &ApiCredential, call: &Call) {
    if call.before.is_null() {
        assert_eq!(credential.spec.target.creation_policy, CreationPolicy::Owner, "Merge creates nothing");
        return;
    }
    assert!(is_ours(credential, &call.before), "a write to a Secret that is not ours: {call:#?}");
    assert_ne!(call.before["immutable"], true, "it is immutable");
    let (before, patch) = (&call.before["metadata"], &call.body["metadata"]);
    assert_eq!((&patch["uid"], &patch["resourceVersion"]), (&before["uid"], &before["resourceVersion"]));
    only(&call.body, &["metadata", "data"]);
    only(patch, &["uid", "resourceVersion", "labels", "annotations"]);

    let listed = |name: &str| {
        let text = before["annotations"][name].as_str().unwrap_or_default();
        text.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let target = &credential.spec.target;
    let wanted = target.metadata.clone().unwrap_or_default();
    let mut keys = listed(annotations::KEYS);
    keys.push(target.token_key.clone());
    keys.extend(target.data.iter().flatten().map(|(key, _)| key.clone()));
    if target.creation_policy == CreationPolicy::Merge {
        for (key, _) in call.body["data"].as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            assert!(is_permitted(&call.before, key), "a key without consent: {key}: {call:#?}");
        }
    }
    let mut labels = listed(annotations::LABELS);
    labels.push(annotations::MANAGED.to_owned());
    let allowed = |name: &String| super::METADATA.contains(&name.as_str());
    labels.extend(wanted.labels.into_iter().flatten().map(|(name, _)| name).filter(allowed));
    let mut annotations = listed(annotations::ANNOTATIONS);
    annotations.extend(annotations::OURS.map(str::to_owned));
    annotations.extend(wanted.annotations.into_iter().flatten().map(|(name, _)| name).filter(allowed));
    // No user can have requested others under these names, whatever a list contains.
    let reserved = |name: &str| name.split('/').next().is_some_and(|prefix| prefix.ends_with("apicredential.io"));
    labels.retain(|name| name == annotations::MANAGED || !reserved(name));
    annotations.retain(|name| annotations::OURS.contains(&name.as_str()) || !reserved(name));
    for (changes, ours) in
        [(&call.body["data"], keys), (&patch["labels"], labels), (&patch["annotations"], annotations)]
    {
        let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
        only(changes, &ours);
    }
}

fn only(object: &Value, names: &[&str]) {
    for name in object.as_object().into_iter().flat_map(Map::keys) {
        assert!(names.contains(&name.as_str()), "{name:?} is not ours; ours are {names:?}");
    }
}

fn contains_no_secret(call: &Call) {
    let mut body = call.body.clone();
    if matches!(call.what, What::Create | What::Patch | What::DryRun) {
        body["data"] = Value::Null;
    }
    let text = body.to_string();
    assert!(!text.contains(SENTINEL) && !text.contains(&encoded_sentinel()), "a secret shows: {text}");
}

/// The limits of events.k8s.io/v1.
fn event(body: &Value) {
    if let Some(note) = body["note"].as_str() {
        assert!(note.len() <= 1024, "a note of {} bytes", note.len());
    }
    let reason = body["reason"].as_str().unwrap_or_default();
    assert!(Reason::parse(reason).is_some(), "an event of reason {reason:?}");
}

fn status(object: &Value, call: &Call) {
    assert!(call.accepted, "the status is refused: {call:#?}");
    let before = &call.before["status"];
    let after = call.body["status"].clone();
    // Conditions that cannot be decoded are lost.
    let read: ApiCredentialStatus = serde_json::from_value(before.clone()).unwrap_or_default();
    let was = if read.conditions.is_empty() { &[] } else { conditions(before) };
    let is = conditions(&after);
    let has = |type_: &str| is.iter().any(|condition| condition["type"] == type_);
    assert!(has("Ready"), "Ready is missing: {after}");
    assert!(!(has("Reconciling") && has("Stalled")), "both Reconciling and Stalled: {after}");
    assert_eq!(after["observedGeneration"], object["metadata"]["generation"]);
    for condition in is {
        let mut earlier = was.iter().filter(|earlier| earlier["type"] == condition["type"]);
        let known = ["Ready", "Renewed", "SourceResolved", "Reconciling", "Stalled"];
        assert!(known.iter().any(|known| condition["type"] == *known), "{condition}");
        assert_eq!(condition["observedGeneration"], object["metadata"]["generation"], "{condition}");
        let transient = condition["type"] == "Reconciling" || condition["type"] == "Stalled";
        assert!(!transient || condition["status"] == "True", "{condition}");
        let (before, more) = (earlier.next(), earlier.next());
        let reason = condition["reason"].as_str().unwrap_or_default();
        let kept = before.is_some_and(|before| before["reason"] == reason);
        assert!(kept || Reason::parse(reason).is_some(), "a reason that is in no table: {condition}");
        assert!(kept || reason != "UnexpectedPanic", "the reconcile has panicked: {after}");
        if let (Some(before), None) = (before, more) {
            let stood = before["status"] == condition["status"];
            let since = before["lastTransitionTime"] == condition["lastTransitionTime"];
            assert!(!stood || since, "lastTransitionTime moved though the status did not: {before} {condition}");
        }
    }
    if within_bounds(before) {
        assert!(within_bounds(&after), "the CRD rejects this status: {after}");
    }
}

fn conditions(status: &Value) -> &[Value] {
    status["conditions"].as_array().map_or(&[], Vec::as_slice)
}

/// Whether the CRD accepts a status.
fn within_bounds(status: &Value) -> bool {
    let bounds = BOUNDS.iter().filter_map(|(field, bound)| Some((field.strip_prefix("status.")?, bound)));
    bounds.into_iter().all(|(field, bound)| at(status, field).into_iter().all(|value| is_within(value, bound)))
}

fn at<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    path.split('.').fold(vec![value], |values, part| {
        let below = |value: &'a Value| match (part, value) {
            ("*", Value::Array(items)) => items.iter().collect(),
            (name, Value::Object(fields)) => fields.get(name).into_iter().collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        values.into_iter().flat_map(below).collect()
    })
}

fn is_within(value: &Value, bound: &Bound) -> bool {
    let size = |text: &str| i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    match (bound, value) {
        (Bound::Text(least, most), Value::String(text)) => (*least..=*most).contains(&size(text)),
        (Bound::Items(most), Value::Array(items)) => i64::try_from(items.len()).is_ok_and(|items| items <= *most),
        (Bound::AtLeast(least), number) => number.as_i64().is_some_and(|number| number >= *least),
        (Bound::Range(least, most), number) => number.as_i64().is_some_and(|n| (*least..=*most).contains(&n)),
        _ => false,
    }
}
