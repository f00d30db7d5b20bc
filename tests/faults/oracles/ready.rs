//! I5: Ready=True is reported only of a token that exists, is ours, is valid and matches the spec, as this replica last
//! saw it.

use jiff::Timestamp;
use serde_json::Value;

use super::records::{Credential, Records, annotation, fits};
use super::texts::condition;
use super::{Report, named};
use crate::history::What;
use crate::support::fault_proxy::{Call, ClientReply};

pub fn check(records: &Records<'_>, report: &mut Report) {
    let credentials = records.credentials();
    for (number, call) in records.history.calls.iter().enumerate() {
        if call.resource != "apicredentials/status" || !call.took_effect() || !reports_ready(call) {
            continue;
        }
        report.count("I5");
        let credential = credentials.iter().find(|it| call.answer["metadata"]["uid"] == *it.uid);
        let wrong = match credential {
            None => Some("there is no such credential"),
            Some(credential) => is_wrong(records, call, credential, &credentials),
        };
        if let Some(wrong) = wrong {
            report.violated("I5", format!("{}: Ready, but {wrong}", named(number, call)));
        }
    }
}

/// Whether the status has Ready=True after this write, whether written or left as it was.
fn reports_ready(call: &Call) -> bool {
    condition(&call.answer, "Ready").is_some_and(|ready| ready["status"] == "True")
}

fn is_wrong<'a>(
    records: &Records<'a>,
    call: &'a Call,
    credential: &Credential<'a>,
    others: &[Credential<'_>],
) -> Option<&'static str> {
    let Some(secret) = last_seen(records, call, credential) else { return Some("there is no Secret") };
    if !credential.owns(secret, others, call.received) {
        return Some("the Secret is not ours");
    }
    let Some(token) = token(records, secret) else { return Some("the Secret holds no token that was issued") };
    let ends: Option<Timestamp> = annotation(secret, "expires-at").parse().ok();
    if ends.is_some_and(|ends| ends <= call.received) {
        return Some("the token has ended");
    }
    // The status is about the spec whose generation it names; a later one may exist already.
    let observed = &call.answer["status"]["observedGeneration"];
    let spoken_of = credential.versions().find(|it| it.object["metadata"]["generation"] == *observed);
    let spec = spoken_of.map_or(&call.answer["spec"], |version| &version.object["spec"]);
    (!fits(secret, token, spec)).then_some("the token is not of the spec")
}

fn token<'a>(records: &Records<'a>, secret: &Value) -> Option<&'a str> {
    records.history.exchanges[records.token_in(secret)?].token.as_deref()
}

/// The Secret that this replica last read or wrote before, as it received it. One that has read nothing since its start
/// has to be right about the Secret that exists.
fn last_seen<'a>(records: &Records<'a>, call: &Call, credential: &Credential<'a>) -> Option<&'a Value> {
    let history = records.history;
    let started = history
        .interventions
        .iter()
        .filter(|intervention| intervention.what == What::Started { replica: call.replica });
    let started =
        started.map(|intervention| intervention.at).filter(|at| *at <= call.received).max().unwrap_or(Timestamp::MIN);
    let heard = |it: &&Call| {
        it.replica == call.replica
            && it.resource == "secrets"
            && it.name == credential.target()
            && it.reply == ClientReply::FromServer
            && it.received >= started
            && it.committed.is_some_and(|committed| committed <= call.received)
            && (it.took_effect() || it.verb == "get")
    };
    match history.calls.iter().filter(heard).max_by_key(|it| it.committed) {
        Some(last) => Some(&last.answer).filter(|_| last.status.is_some_and(|status| status < 300)),
        None => records.object_at("secrets", credential.target(), call.received).map(|version| &version.object),
    }
}
