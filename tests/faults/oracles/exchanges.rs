//! I2: every exchange has a cause, or is a retry that the table of classes allows, or follows one whose outcome was
//! lost; and without a fault every cause has its exchange.

use jiff::Timestamp;

use super::causes::Causes;
use super::excuses::Excuses;
use super::outcomes::{Class, Outcome};
use super::records::{CALL_TIMEOUT, Credential, Records};
use super::{Report, budget};
use crate::history::What;

pub fn check(records: &Records<'_>, report: &mut Report) {
    let credentials = records.credentials();
    let mut names: Vec<&str> = credentials.iter().map(|credential| credential.name).collect();
    names.sort_unstable();
    names.dedup();
    let mut known = vec![false; records.history.exchanges.len()];
    for name in names {
        let incarnations: Vec<&Credential<'_>> =
            credentials.iter().filter(|credential| credential.name == name).collect();
        let requests_as =
            |client: &str| incarnations.iter().any(|incarnation| records.requests_as(incarnation, client));
        let all = records.history.exchanges.iter().enumerate();
        let own: Vec<usize> = all.filter(|(_, it)| requests_as(&it.client)).map(|(number, _)| number).collect();
        own.iter().for_each(|number| known[*number] = true);
        let causes = Causes::of(records, &incarnations);
        budget::rejected(records, name, &own, &causes, report);
        let excuses = Excuses::of(records, &incarnations, &causes);
        Account { records, name, own, causes, excuses, failed: (None, 0) }.check(report);
    }
    for number in (0..known.len()).filter(|number| !known[*number]) {
        report.violated("I2", format!("exchange {number} is of no credential"));
    }
}

/// The exchanges of one ApiCredential.
struct Account<'a> {
    records: &'a Records<'a>,
    name: &'a str,
    /// Their numbers, in order.
    own: Vec<usize>,
    causes: Causes<'a>,
    excuses: Excuses,
    /// The failures of one class in a row, as far as the operator certainly remembers them.
    failed: (Option<Class>, u32),
}

impl Account<'_> {
    fn check(mut self, report: &mut Report) {
        for place in 0..self.own.len() {
            report.count("I2");
            let number = self.own[place];
            let mut wrong = self.lost(place);
            let open = self.causes.open(self.at(number));
            wrong = wrong.or(if open.is_empty() {
                Some("it has no cause")
            } else {
                place.checked_sub(1).and_then(|before| self.repeats(self.own[before], number, &open))
            });
            if let Some(wrong) = wrong {
                let at = self.at(number);
                report.violated("I2", format!("exchange {number}, of {} at {at}: {wrong}", self.name));
            }
            self.count(place);
        }
        self.every_cause_is_answered(report);
    }

    fn at(&self, number: usize) -> Timestamp {
        self.records.history.exchanges[number].at
    }

    fn outcome(&self, number: usize) -> Outcome {
        Outcome::of(number, self.records, &self.causes)
    }

    /// A token that never was in a Secret needs a reason between its exchange and the next one.
    fn lost(&mut self, place: usize) -> Option<&'static str> {
        let number = self.own[place];
        if self.outcome(number) != Outcome::Lost {
            return None;
        }
        let until = self.own.get(place + 1).map_or(self.records.history.ended, |next| self.at(*next));
        let excused = self.excuses.take(self.at(number), until);
        (!excused).then_some("its token never was in the Secret, and nothing explains that")
    }

    /// Why this request is too early, or not allowed at all.
    fn repeats(&mut self, before: usize, number: usize, open: &[Timestamp]) -> Option<&'static str> {
        let (asked, at) = (self.at(before), self.at(number));
        let timings = &self.records.history.timings;
        match self.outcome(before) {
            Outcome::Failed(class) => {
                let least = asked + class.least_delay(self.failed.1, timings);
                let allowed =
                    at >= least || self.causes.inputs_between(asked, at) || self.excuses.take_disturbance(asked, at);
                (!allowed).then_some("it comes sooner after a failure than its class allows")
            }
            Outcome::Kept(next) => {
                let allowed = at >= next || open.iter().any(|since| *since > asked);
                (!allowed).then_some("it comes too soon after a token that lived no longer")
            }
            // The reason for the loss is checked where it was lost.
            Outcome::Lost => None,
            Outcome::Stored(stored) if stored > at => {
                let allowed = self.excuses.take_disturbance(asked, at);
                (!allowed).then_some("another one was under way for the same cause")
            }
            Outcome::Stored(_) => {
                // It may have been in flight already when the cause came.
                let allowed = open.iter().any(|since| *since + CALL_TIMEOUT > asked);
                (!allowed).then_some("the token of the one before is for the same cause")
            }
        }
    }

    /// Counts failures in a row. A disturbed replica may have lost count.
    fn count(&mut self, place: usize) {
        let number = self.own[place];
        let since = place.checked_sub(1).map_or(self.at(number), |before| self.at(self.own[before]));
        let class = match self.outcome(number) {
            Outcome::Failed(class) => Some(class),
            _ => None,
        };
        let is_reset = self.causes.inputs_between(since, self.at(number))
            || self.records.is_disturbed(since, self.at(number))
            || class != self.failed.0;
        self.failed = (class, if is_reset { 1 } else { self.failed.1 + 1 });
    }

    /// Without a fault, there are as many exchanges as causes: fewer leave one without a result.
    fn every_cause_is_answered(&self, report: &mut Report) {
        let interventions = &self.records.history.interventions;
        let Some(end) = interventions
            .iter()
            .find(|intervention| intervention.what == What::Converged)
            .map(|intervention| intervention.at)
        else {
            return;
        };
        let reports_ready = self.records.object_at("apicredentials", self.name, end).is_some_and(|last| {
            let conditions = last.object["status"]["conditions"].as_array();
            let is_ready = conditions.into_iter().flatten().any(|it| it["type"] == "Ready" && it["status"] == "True");
            is_ready && last.object["spec"]["suspend"] != true
        });
        let faults = interventions
            .iter()
            .any(|intervention| intervention.what.disturbs() && !matches!(intervention.what, What::Started { .. }));
        if faults || !reports_ready {
            return;
        }
        for kind in self.causes.unanswered(end) {
            report.violated("I2", format!("a change of {}, {kind:?}, got no exchange", self.name));
        }
    }
}
