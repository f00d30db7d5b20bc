//! I3 and I4: which token is written over which, and whether it is valid. The time when the fault proxy received the
//! write counts, for that is when it left the operator.

use jiff::Timestamp;

use super::records::{Records, annotation, version_in};
use super::{Report, named};
use crate::history::Version;
use crate::support::fault_proxy::Call;

pub fn check(records: &Records<'_>, report: &mut Report) {
    for (number, call) in records.history.calls.iter().enumerate() {
        if call.resource != "secrets" || !call.took_effect() {
            continue;
        }
        let Some(token) = records.token_in(&call.answer) else { continue };
        let write = Write { records, call, number, token };
        let late = write.never_goes_back(report);
        let late = write.is_valid(report) || late;
        report.late_creates += usize::from(late && call.verb == "create");
    }
}

/// A write that took effect, and the order of the token that it stored.
struct Write<'a> {
    records: &'a Records<'a>,
    call: &'a Call,
    number: usize,
    token: usize,
}

impl<'a> Write<'a> {
    /// Whether a newer token was stored while this one was in transit.
    fn never_goes_back(&self, report: &mut Report) -> bool {
        report.count("I3");
        let result = version_in(&self.call.answer).unwrap_or_default();
        let replaced = self.records.before(&self.call.name, result);
        let replaced = replaced.filter(|_| self.call.verb != "create").and_then(|it| self.records.token_in(&it.object));
        if replaced == Some(self.token) {
            // The same one once more, whichever client stored it.
            return false;
        }
        let newer = |it: &&Version| self.records.token_in(&it.object).is_some_and(|token| token > self.token);
        let newer = self.records.history.versions_of("secrets", &self.call.name).filter(newer);
        let newer: Vec<Timestamp> = newer.map(|version| self.records.stored_at(version)).collect();
        let before = newer.iter().any(|stored| *stored <= self.call.received);
        if before || replaced.is_some_and(|token| token > self.token) {
            let what = "it wrote the token of an older exchange after that of a newer one";
            report.violated("I3", format!("{}: {what}", named(self.number, self.call)));
            return false;
        }
        newer.iter().any(|stored| self.call.committed.is_some_and(|committed| *stored < committed))
    }

    /// Whether the token expired while it was in transit.
    fn is_valid(&self, report: &mut Report) -> bool {
        report.count("I4");
        // What the patch does not mention stays as it was, and so in the response.
        let ends = Some(annotation(&self.call.body, "expires-at")).filter(|text| !text.is_empty());
        let ends: Option<Timestamp> = ends.unwrap_or(annotation(&self.call.answer, "expires-at")).parse().ok();
        let Some(ends) = ends else { return false };
        if ends <= self.call.received {
            let what = format!("it wrote a token that had ended at {ends}");
            report.violated("I4", format!("{}: {what}", named(self.number, self.call)));
            return false;
        }
        self.call.committed.is_some_and(|committed| ends <= committed)
    }
}
