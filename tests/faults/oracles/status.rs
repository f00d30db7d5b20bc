//! I5, and what of I9 is about words: what a status says is so, and is said in the words of the table.

use apicredential_operator::deliver::fingerprint;
use apicredential_operator::reason::Reason;
use jiff::Timestamp;
use serde_json::Value;

use super::writes::owner;
use super::{Report, annotation, named, plan, token};
use crate::history::History;
use crate::support::gate::{Call, Told};

pub fn judge(history: &History, report: &mut Report) {
    for (number, call) in history.calls.iter().enumerate() {
        if call.resource != "apicredentials/status" || !call.took_effect() {
            continue;
        }
        words(call, report);
        if condition(&call.answer, "Ready").is_some_and(|ready| ready["status"] == "True") {
            is_ready(call, &history.calls[..number], report);
        }
    }
    transitions(history, report);
}

fn condition<'a>(credential: &'a Value, type_: &str) -> Option<&'a Value> {
    credential["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
}

/// Ready is judged against the Secret that this replica last read or wrote, as it was truly told.
fn is_ready(call: &Call, earlier: &[Call], report: &mut Report) {
    let target = call.answer["spec"]["target"]["name"].as_str().unwrap_or_default();
    let heard = |it: &&Call| {
        it.replica == call.replica
            && it.resource == "secrets"
            && it.name == target
            && !it.dry_run
            && it.told == Told::Truth
            && (it.verb == "get" || it.took_effect())
    };
    let Some(last) = earlier.iter().rev().find(heard) else { return };
    report.look("I5");
    let mut wrong = |what: &str| report.violated("I5", format!("Ready, but {what}: {}", named(call)));
    if last.status != Some(200) && last.status != Some(201) {
        return wrong("there is no Secret");
    }
    if owner(&last.answer) != call.answer["metadata"]["uid"].as_str() && annotation(&last.answer, "allow").is_empty() {
        wrong("the Secret is not ours");
    }
    let ends: Option<Timestamp> = annotation(&last.answer, "expires-at").parse().ok();
    if ends.is_some_and(|ends| ends <= call.received) {
        wrong("the token had ended");
    }
    let (issued, expires) = (annotation(&last.answer, "issued-at"), annotation(&last.answer, "expires-at"));
    let fits = plan(&call.answer["spec"]).zip(token(&last.answer)).is_some_and(|(plan, token)| {
        let part = fingerprint::spec_part(&token, &plan.request, issued, expires);
        annotation(&last.answer, "fingerprint").split(':').nth(1) == Some(&part)
    });
    if !fits {
        wrong("the token is not the one that the spec asks for");
    }
}

/// Every reason is of the table, and what is passing is not stalled.
fn words(call: &Call, report: &mut Report) {
    report.look("I9");
    let status = &call.answer["status"];
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let reasons = conditions.map(|condition| &condition["reason"]).chain([&status["lastAttempt"]["reason"]]);
    for reason in reasons.filter_map(Value::as_str) {
        if Reason::parse(reason).is_none() {
            report.violated("I9", format!("the reason {reason:?} is not of the table: {}", named(call)));
        }
    }
    if condition(&call.answer, "Reconciling").is_some() && condition(&call.answer, "Stalled").is_some() {
        report.violated("I9", format!("reconciling and stalled at once: {}", named(call)));
    }
}

/// `lastTransitionTime` moves only with the status.
fn transitions(history: &History, report: &mut Report) {
    let versions: Vec<_> = history.versions.iter().filter(|version| version.resource == "apicredentials").collect();
    for pair in versions.windows(2).filter(|pair| pair[0].uid == pair[1].uid) {
        for type_ in ["Ready", "Renewed", "SourceResolved"] {
            let (Some(before), Some(after)) = (condition(&pair[0].object, type_), condition(&pair[1].object, type_))
            else {
                continue;
            };
            report.look("I9");
            let moved = before["lastTransitionTime"] != after["lastTransitionTime"];
            if moved && before["status"] == after["status"] {
                report.violated("I9", format!("{type_} of {} moved without a change", pair[0].name));
            }
        }
    }
}
