//! The rules of kstatus (sigs.k8s.io/cli-utils/pkg/kstatus), by which Flux, kpt and others evaluate any object:
//! `checkGenericProperties`, then the Ready condition. No rule for a built-in kind applies to ours.

use serde_json::{Value, json};

use crate::states::{self, Expected};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    InProgress,
    Failed,
    Current,
    Terminating,
}

fn compute(object: &Value) -> Status {
    if object["metadata"]["deletionTimestamp"].as_str().is_some_and(|time| !time.is_empty()) {
        return Status::Terminating;
    }
    let (generation, observed) = (&object["metadata"]["generation"], &object["status"]["observedGeneration"]);
    if !generation.is_null() && !observed.is_null() && generation != observed {
        return Status::InProgress;
    }
    let conditions = object["status"]["conditions"].as_array();
    for condition in conditions.into_iter().flatten().filter(|condition| condition["status"] == "True") {
        match condition["type"].as_str() {
            Some("Reconciling") => return Status::InProgress,
            Some("Stalled") => return Status::Failed,
            _ => {}
        }
    }
    let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
    match ready.and_then(|condition| condition["status"].as_str()) {
        Some("False" | "Unknown") => Status::InProgress,
        _ => Status::Current,
    }
}

#[test]
fn kstatus_sees_each_state_as_a_gitops_tool_should() {
    for state in states::all() {
        let expected = match state.expected {
            Expected::Usable => Status::Current,
            // kstatus knows no suspension. A missing token is not current because a user suspended it: what waits for
            // it must not start.
            Expected::Waiting | Expected::Suspended => Status::InProgress,
            Expected::Broken => Status::Failed,
            Expected::Leaving => Status::Terminating,
        };
        assert_eq!(compute(&state.object), expected, "{}: {}", state.name, state.object["status"]);
    }
}

#[test]
fn without_the_default_status_kstatus_would_call_a_new_object_current() {
    let mut new = states::all().remove(0);
    assert_eq!((new.name.as_str(), compute(&new.object)), ("new", Status::InProgress));
    new.object["status"] = Value::Null;
    assert_eq!(compute(&new.object), Status::Current);
}

#[test]
fn reconciling_and_stalled_are_never_there_together_nor_beside_ready() {
    for state in states::all() {
        let conditions = state.object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_true = |type_: &str| conditions.iter().any(|it| it["type"] == type_ && it["status"] == "True");
        let abnormal = ["Reconciling", "Stalled"].map(is_true);
        assert_ne!(abnormal, [true, true], "{}", state.name);
        assert!(!(is_true("Ready") && abnormal != [false, false]), "{}", state.name);
        for condition in &conditions {
            assert_eq!(condition["observedGeneration"], json!(3), "{}", state.name);
        }
    }
}
