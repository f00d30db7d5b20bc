//! What can lose the outcome of an exchange, or the memory of an attempt. Each excuses one loss.

use std::time::Duration;

use jiff::Timestamp;

use super::causes::{Causes, Kind};
use super::records::{Credential, Records};
use crate::history::{Intervention, What};

/// How long an operator may take to end after SIGTERM.
const TO_THE_END: Duration = Duration::from_secs(20);

/// Those that have not been used up yet, by their end.
pub struct Excuses(Vec<Excuse>);

#[derive(Clone, Copy)]
struct Excuse {
    from: Timestamp,
    to: Timestamp,
    /// A replica was disturbed, and may have forgotten something; otherwise an exchange was overtaken by a change.
    disturbs: bool,
}

impl Excuses {
    /// Of one ApiCredential.
    pub fn of(records: &Records<'_>, incarnations: &[&Credential<'_>], causes: &Causes<'_>) -> Self {
        let numbers = 0..records.history.interventions.len();
        let mut all: Vec<Excuse> = numbers.filter_map(|number| disturbance(records, number)).collect();
        // From the intervention to its effect: a later exchange takes it into account.
        let changes = causes.iter().filter(|cause| cause.kind != Kind::Renew);
        let changes = changes.map(|cause| (cause.since, cause.effect.map_or(cause.since, |effect| effect.seen)));
        let deletions =
            records.history.interventions.iter().filter_map(|intervention| deletion(intervention, incarnations));
        all.extend(changes.chain(deletions).map(|(from, to)| Excuse { from, to, disturbs: false }));
        all.sort_by_key(|excuse| excuse.to);
        Self(all)
    }

    /// Uses up one for an outcome that was lost in this time. Returns whether there was one.
    pub fn take(&mut self, from: Timestamp, to: Timestamp) -> bool {
        self.take_if(|excuse| excuse.from <= to && from <= excuse.to)
    }

    /// Uses up one for a delay that was forgotten in this time.
    pub fn take_disturbance(&mut self, from: Timestamp, to: Timestamp) -> bool {
        self.take_if(|excuse| excuse.disturbs && excuse.from <= to && from <= excuse.to)
    }

    /// The one that ends first, so that the others are left for later losses.
    fn take_if(&mut self, fits: impl Fn(&Excuse) -> bool) -> bool {
        self.0.iter().position(fits).map(|place| self.0.remove(place)).is_some()
    }
}

/// A fault, or a disturbance of a replica, for as long as it lasts.
fn disturbance(records: &Records<'_>, number: usize) -> Option<Excuse> {
    let (history, Intervention { at: from, what }) = (records.history, &records.history.interventions[number]);
    let next = |what: What| {
        history.interventions[number..]
            .iter()
            .find(|intervention| intervention.what == what)
            .map(|intervention| intervention.at)
    };
    let to = match what {
        // It may be planned before it occurs, and a held renewal of the lease has its effect later.
        What::Fault { .. } => *from + history.timings.lease_duration,
        What::Terminated { replica } => {
            next(What::Ended { replica: *replica }).unwrap_or(Timestamp::MAX).min(*from + TO_THE_END)
        }
        // The end after SIGTERM is no event of its own.
        What::Ended { replica } if got_sigterm(&history.interventions[..number], *replica) => return None,
        What::Ended { .. } => *from,
        What::Paused { replica } => next(What::Resumed { replica: *replica }).unwrap_or(history.ended),
        _ => return None,
    };
    Some(Excuse { from: *from, to, disturbs: true })
}

/// Whether this replica got SIGTERM since its last start.
fn got_sigterm(before: &[Intervention], replica: usize) -> bool {
    let mut since = before.iter().rev().take_while(|intervention| intervention.what != What::Started { replica });
    since.any(|intervention| intervention.what == What::Terminated { replica })
}

/// The deletion of an ApiCredential, until it was visible.
fn deletion(intervention: &Intervention, incarnations: &[&Credential<'_>]) -> Option<(Timestamp, Timestamp)> {
    let own = matches!(&intervention.what, What::Deleted { credential } if credential == incarnations[0].name);
    let mut ends = incarnations
        .iter()
        .flat_map(|incarnation| incarnation.versions())
        .filter(|it| it.deleted && it.seen >= intervention.at);
    own.then(|| (intervention.at, ends.next().map_or(intervention.at, |end| end.seen)))
}
