//! I1: what a replica writes is its own, at the very version that it names.

use super::{Credential, Report, annotation, before, credentials, named, number_in};
use crate::history::{History, Version};
use crate::support::gate::Call;

pub fn judge(history: &History, report: &mut Report) {
    let credentials = credentials(history);
    for call in history.calls.iter().filter(|call| call.took_effect()) {
        match (call.resource.as_str(), call.verb.as_str()) {
            ("secrets", "create") => created(history, call, &credentials, report),
            ("secrets", "patch") => patched(history, call, &credentials, report),
            ("apicredentials/status", "patch") => {
                report.look("I1");
                if !names_its_version(call) {
                    report.violated("I1", format!("a status without uid and version: {}", named(call)));
                }
            }
            ("leases", "create" | "update") | ("events", "create" | "patch") => {}
            _ => report.violated("I1", format!("a write that the operator has no business with: {}", named(call))),
        }
    }
}

fn names_its_version(call: &Call) -> bool {
    let metadata = &call.body["metadata"];
    ["uid", "resourceVersion"].iter().all(|name| metadata[*name].as_str().is_some_and(|text| !text.is_empty()))
}

fn created(history: &History, call: &Call, credentials: &[Credential<'_>], report: &mut Report) {
    report.look("I1");
    let Some(number) = number_in(&call.answer) else { return };
    if before(history, &call.name, number).is_some() {
        report.violated("I1", format!("created over a Secret that was there: {}", named(call)));
    }
    let owner = owner(&call.answer);
    let ours = |it: &&Credential<'_>| Some(it.uid) == owner && it.target() == call.name && !it.is_merge();
    if credentials.iter().find(ours).is_none() {
        report.violated("I1", format!("created for nobody who asked for it: {}", named(call)));
    }
}

fn patched(history: &History, call: &Call, credentials: &[Credential<'_>], report: &mut Report) {
    report.look("I1");
    if !names_its_version(call) {
        report.violated("I1", format!("a write without uid and version: {}", named(call)));
    }
    let Some(number) = number_in(&call.answer) else { return };
    let (uid, over) = (call.body["metadata"]["uid"].as_str(), number_in(&call.body));
    if over == Some(number) {
        // It changed nothing.
        return;
    }
    let Some(found) = before(history, &call.name, number) else {
        return report.violated("I1", format!("a write over nothing: {}", named(call)));
    };
    if uid != Some(&found.uid) || over != Some(found.version) {
        report.violated("I1", format!("a write over another version than it names: {}", named(call)));
    }
    if !credentials.iter().any(|credential| is_ours(credential, found, history)) {
        report.violated("I1", format!("a write over a Secret that is not ours: {}", named(call)));
    }
}

/// Owner: by the controller reference's uid. Merge: by consent, and no other living credential writes it.
fn is_ours(credential: &Credential<'_>, found: &Version, history: &History) -> bool {
    if credential.target() != found.name {
        return false;
    }
    if !credential.is_merge() {
        return owner(&found.object) == Some(credential.uid);
    }
    let allowed = annotation(&found.object, "allow").split(':').next() == Some(credential.name);
    let writer = annotation(&found.object, "owner");
    let lives = |name: &str| {
        let last = history.versions_of("apicredentials", name).filter(|it| it.version < found.version).last();
        last.is_some_and(|it| !it.deleted)
    };
    allowed && (writer.is_empty() || writer == credential.name || !lives(writer))
}

/// The uid in the controller reference.
pub fn owner(secret: &serde_json::Value) -> Option<&str> {
    let references = secret["metadata"]["ownerReferences"].as_array()?;
    let controller = references.iter().find(|it| it["controller"] == true && it["kind"] == "ApiCredential");
    controller?["uid"].as_str()
}
