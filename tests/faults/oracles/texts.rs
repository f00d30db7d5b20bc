//! The part of I9 about texts: a status and an event contain only reasons of the table, and the conditions do not
//! contradict each other.

use apicredential::reason::Reason;
use serde_json::Value;

use super::records::Records;
use super::{Report, named};
use crate::support::fault_proxy::Call;

pub fn check(records: &Records<'_>, report: &mut Report) {
    for (number, call) in records.history.calls.iter().enumerate().filter(|(_, call)| call.is_write()) {
        let said = match call.resource.as_str() {
            "apicredentials/status" => conditions_of(&call.body["status"]),
            "events" => vec![&call.body["reason"]],
            _ => continue,
        };
        report.count("I9");
        let unknown = |reason: &&str| Reason::parse(reason).is_none();
        if said.iter().filter_map(|reason| reason.as_str()).any(|reason| unknown(&reason)) {
            report.violated("I9", format!("{}: it contains a reason that is not in the table", named(number, call)));
        }
        if contradicts(call) {
            report.violated("I9", format!("{}: it contains Reconciling and Stalled at once", named(number, call)));
        }
    }
    for credential in records.credentials() {
        let versions: Vec<_> = credential.versions().collect();
        for pair in versions.windows(2) {
            if let Some(type_) = moves_alone(&pair[0].object, &pair[1].object) {
                let which = format!("version {} of {}", pair[1].version, credential.name);
                report.violated("I9", format!("{which}: the lastTransitionTime of {type_} moved, its status did not"));
            }
        }
    }
}

/// A condition of an ApiCredential.
pub fn condition<'a>(credential: &'a Value, type_: &str) -> Option<&'a Value> {
    conditions(&credential["status"]).find(|condition| condition["type"] == type_)
}

fn conditions(status: &Value) -> impl Iterator<Item = &Value> {
    status["conditions"].as_array().into_iter().flatten()
}

fn conditions_of(status: &Value) -> Vec<&Value> {
    let attempt = &status["lastAttempt"]["reason"];
    conditions(status).map(|condition| &condition["reason"]).chain([attempt]).collect()
}

/// Of the patch, and of its result.
fn contradicts(call: &Call) -> bool {
    let is_true = |status: &Value, type_: &str| {
        conditions(status).any(|condition| condition["type"] == type_ && condition["status"] == "True")
    };
    let both = |status: &Value| is_true(status, "Reconciling") && is_true(status, "Stalled");
    both(&call.body["status"]) || both(&call.answer["status"])
}

/// The condition whose transition time moved although its status did not.
fn moves_alone<'a>(before: &Value, after: &'a Value) -> Option<&'a str> {
    conditions(&after["status"]).find_map(|now| {
        let type_ = now["type"].as_str()?;
        let then = condition(before, type_)?;
        let alone = then["status"] == now["status"] && then["lastTransitionTime"] != now["lastTransitionTime"];
        alone.then_some(type_)
    })
}
