//! What can lose the outcome of an exchange, or the memory of an attempt. Each excuses one.

use std::time::Duration;

use jiff::Timestamp;

use super::causes::{Causes, Kind};
use super::records::{Credential, Records};
use crate::history::{Deed, What};

/// How long after SIGTERM an operator may be at it.
const TO_THE_END: Duration = Duration::from_secs(20);

/// What has not been used up yet, by its end.
pub struct Excuses(Vec<Excuse>);

#[derive(Clone, Copy)]
struct Excuse {
    from: Timestamp,
    to: Timestamp,
    /// A replica was disturbed, and may have forgotten something; else an exchange was overtaken by a change.
    disturbs: bool,
}

impl Excuses {
    /// Of one credential.
    pub fn of(records: &Records<'_>, lives: &[&Credential<'_>], causes: &Causes<'_>) -> Self {
        let numbers = 0..records.history.deeds.len();
        let mut all: Vec<Excuse> = numbers.filter_map(|number| disturbance(records, number)).collect();
        // From the deed to its effect: an exchange that comes after that knows of it.
        let changes = causes.iter().filter(|cause| cause.kind != Kind::Renew);
        let changes = changes.map(|cause| (cause.since, cause.effect.map_or(cause.since, |effect| effect.seen)));
        let deletions = records.history.deeds.iter().filter_map(|deed| deletion(deed, lives));
        all.extend(changes.chain(deletions).map(|(from, to)| Excuse { from, to, disturbs: false }));
        all.sort_by_key(|excuse| excuse.to);
        Self(all)
    }

    /// Uses up one for an outcome that was lost in this time. Whether there was one.
    pub fn take(&mut self, from: Timestamp, to: Timestamp) -> bool {
        self.take_if(|excuse| excuse.from <= to && from <= excuse.to)
    }

    /// Uses up one for a delay that was forgotten in this time.
    pub fn take_disturbance(&mut self, from: Timestamp, to: Timestamp) -> bool {
        self.take_if(|excuse| excuse.disturbs && excuse.from <= to && from <= excuse.to)
    }

    /// The one that ends first, so that the others are left for those who come later.
    fn take_if(&mut self, fits: impl Fn(&Excuse) -> bool) -> bool {
        self.0.iter().position(fits).map(|place| self.0.remove(place)).is_some()
    }
}

/// A fault, or what was done to a replica, for as long as it lasts.
fn disturbance(records: &Records<'_>, number: usize) -> Option<Excuse> {
    let (history, Deed { at: from, what }) = (records.history, &records.history.deeds[number]);
    let next = |what: What| history.deeds[number..].iter().find(|deed| deed.what == what).map(|deed| deed.at);
    let to = match what {
        // It may be planned before it comes, and a renewal of the lease that is held is missed later.
        What::Fault { .. } => *from + history.terms.lease_duration,
        What::Terminated { replica } => {
            next(What::Ended { replica: *replica }).unwrap_or(Timestamp::MAX).min(*from + TO_THE_END)
        }
        // The end of one that was told to end is no event of its own.
        What::Ended { replica } if got_sigterm(&history.deeds[..number], *replica) => return None,
        What::Ended { .. } => *from,
        What::Paused { replica } => next(What::Resumed { replica: *replica }).unwrap_or(history.ended),
        _ => return None,
    };
    Some(Excuse { from: *from, to, disturbs: true })
}

/// Whether this replica, since it was last started, was told to end.
fn got_sigterm(before: &[Deed], replica: usize) -> bool {
    let mut since = before.iter().rev().take_while(|deed| deed.what != What::Started { replica });
    since.any(|deed| deed.what == What::Terminated { replica })
}

/// The end of a credential, until it was seen.
fn deletion(deed: &Deed, lives: &[&Credential<'_>]) -> Option<(Timestamp, Timestamp)> {
    let own = matches!(&deed.what, What::Deleted { credential } if credential == lives[0].name);
    let mut ends = lives.iter().flat_map(|life| life.versions()).filter(|it| it.deleted && it.seen >= deed.at);
    own.then(|| (deed.at, ends.next().map_or(deed.at, |end| end.seen)))
}
