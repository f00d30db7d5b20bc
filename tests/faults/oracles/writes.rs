//! I1: a replica writes only its own objects, and only at the version that it names.

use serde_json::Value;

use super::records::{Credential, Records, annotation, owner, version_in};
use super::{Report, named};
use crate::support::fault_proxy::Call;

pub fn check(records: &Records<'_>, report: &mut Report) {
    let credentials = records.credentials();
    let wrote = |call: &Call| !matches!(call.verb.as_str(), "get" | "list" | "watch");
    for (number, call) in records.history.calls.iter().enumerate().filter(|(_, call)| wrote(call)) {
        report.count("I1");
        let wrong = match (call.resource.as_str(), call.verb.as_str()) {
            ("secrets", "create") if call.took_effect() => created(records, call, &credentials),
            ("secrets", "create") | ("leases", "create" | "update") | ("events", "create" | "patch") => None,
            // This includes a failed one, because it did not fail through the operator's care.
            ("secrets", "patch") if !(names(&call.body, "uid") && names(&call.body, "resourceVersion")) => {
                Some("it does not name the uid and the version that it is meant for")
            }
            // The API server ignores a uid in the patch of a status; another object has another version.
            ("apicredentials/status", "patch") if !names(&call.body, "resourceVersion") => {
                Some("it does not name the version that it is meant for")
            }
            ("secrets", "patch") if call.took_effect() => patched(records, call, &credentials),
            ("secrets" | "apicredentials/status", "patch") => None,
            _ => Some("the operator has no business with it"),
        };
        if let Some(wrong) = wrong {
            report.violated("I1", format!("{}: {wrong}", named(number, call)));
        }
    }
}

fn names(patch: &Value, field: &str) -> bool {
    patch["metadata"][field].as_str().is_some_and(|text| !text.is_empty())
}

fn created<'a>(records: &Records<'a>, call: &'a Call, credentials: &[Credential<'_>]) -> Option<&'static str> {
    let version = version_in(&call.answer)?;
    if records.before(&call.name, version).is_some() {
        return Some("there was a Secret of that name");
    }
    let asks = |it: &&Credential<'_>| {
        Some(it.uid) == owner(&call.answer)
            && it.target() == call.name
            && !it.is_merge()
            && it.versions().next().is_some_and(|first| first.version < version)
            && it.existed(call.received)
    };
    let Some(credential) = credentials.iter().find(asks) else { return Some("no ApiCredential requested it") };
    let named = annotation(&call.answer, "owner") == credential.name
        && annotation(&call.answer, "owner-uid") == credential.uid
        && call.answer["metadata"]["labels"]["apicredential.io/managed"] == "true";
    (!named).then_some("it does not say whose it is")
}

fn patched<'a>(records: &Records<'a>, call: &'a Call, credentials: &[Credential<'_>]) -> Option<&'static str> {
    let (result, meant) = (version_in(&call.answer)?, version_in(&call.body)?);
    // A patch that changes nothing returns the current version.
    let over = records.before(&call.name, if result == meant { result + 1 } else { result });
    let Some(found) = over else { return Some("there was no Secret of that name") };
    if found.version != meant || call.body["metadata"]["uid"] != *found.uid {
        return Some("it changed another version than it names");
    }
    let ours = |it: &Credential<'_>| {
        it.target() == call.name && it.existed(call.received) && it.owns(&found.object, credentials, call.received)
    };
    (!credentials.iter().any(ours)).then_some("the Secret was not ours")
}
