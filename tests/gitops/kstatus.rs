//! What kstatus (sigs.k8s.io/cli-utils/pkg/kstatus), by which Flux, kpt and others evaluate any object, computes for each
//! state: the library itself, by the program in tests/tools/kstatus.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use apicredential::api::ApiCredentialStatus;
use serde_json::{Value, json};

use crate::states::{self, Expected};

/// The kstatus of each object.
fn compute(objects: &[&Value]) -> Vec<String> {
    let mut kstatus =
        Command::new(program()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("kstatus can be started");
    let input: String = objects.iter().map(|object| format!("{object}\n")).collect();
    let mut stdin = kstatus.stdin.take().unwrap();
    // Its answers are shorter than what a pipe holds, so it reads to the end.
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = kstatus.wait_with_output().unwrap();
    assert!(output.status.success(), "kstatus: {}; its message is above", output.status);
    let computed: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(computed.len(), objects.len());
    computed
}

/// Finds the program, or builds it once. The progress is on standard error.
fn program() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/build.sh");
    let output = Command::new(&script).arg("kstatus").stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{}: {}; its messages are above", script.display(), output.status);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn kstatus_sees_each_state_as_a_gitops_tool_should() {
    let states = states::all();
    let computed = compute(&states.iter().map(|state| &state.object).collect::<Vec<_>>());
    for (state, computed) in states.iter().zip(computed) {
        let expected = match state.expected {
            Expected::Usable => "Current",
            // kstatus knows no suspension. A missing token is not current because a user suspended it: what waits for
            // it must not start.
            Expected::Waiting | Expected::Suspended => "InProgress",
            Expected::Broken => "Failed",
            Expected::Leaving => "Terminating",
        };
        assert_eq!(computed, expected, "{}: {}", state.name, state.object["status"]);
    }
}

#[test]
fn without_the_default_status_kstatus_would_call_a_new_object_current() {
    let new = states::all().remove(0);
    assert_eq!(new.name, "new");
    let without = |field: &str| {
        let mut object = new.object.clone();
        object["status"].as_object_mut().unwrap().remove(field).unwrap();
        object
    };
    let mut emptied = new.object.clone();
    emptied["status"] = Value::Null;
    // Either part of the default is enough for kstatus; without both, which the CRD does not let happen, it is misled.
    let objects = [&new.object, &without("conditions"), &without("observedGeneration"), &emptied];
    assert_eq!(compute(&objects), ["InProgress", "InProgress", "InProgress", "Current"]);
}

#[test]
fn a_foreign_stalled_condition_fails_a_valid_token_until_the_operator_replaces_the_status() {
    let mut valid = states::all().into_iter().find(|state| state.name == "valid").unwrap().object;
    let before = valid.clone();
    let stalled = json!({
        "type": "Stalled", "status": "True", "reason": "Foreign", "message": "", "observedGeneration": 3,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    valid["status"]["conditions"].as_array_mut().unwrap().push(stalled);
    assert_eq!(compute(&[&before, &valid]), ["Current", "Failed"]);
    let status: ApiCredentialStatus = serde_json::from_value(valid["status"].clone()).unwrap();
    assert!(status.has_foreign_conditions(), "the operator notices it, and writes its own status again");
}

#[test]
fn reconciling_and_stalled_are_never_there_together_nor_beside_ready() {
    for state in states::all() {
        let conditions = state.object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_true = |type_: &str| conditions.iter().any(|it| it["type"] == type_ && it["status"] == "True");
        let abnormal = ["Reconciling", "Stalled"].map(is_true);
        assert_ne!(abnormal, [true, true], "{}", state.name);
        assert!(!(is_true("Ready") && abnormal != [false, false]), "{}", state.name);
        let is_initial = |it: &&Value| it["type"] == "Ready" && it["status"] == "Unknown";
        for condition in conditions.iter().filter(|it| !is_initial(it)) {
            assert_eq!(condition["observedGeneration"], json!(3), "{}", state.name);
        }
    }
}
