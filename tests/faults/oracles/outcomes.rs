//! The outcome of an exchange, and the least delay until the next one.

use std::time::Duration;

use apicredential::schedule;
use jiff::Timestamp;

use super::causes::{Causes, lifetime};
use super::records::Records;
use crate::history::{Exchange, Timings};

/// The outcome of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its token was stored then.
    Stored(Timestamp),
    /// It brought no token.
    Failed(Class),
    /// A due renewal issued a token that is not valid for longer than the stored one; no further request before then.
    Kept(Timestamp),
    /// It issued a token that never was in any Secret.
    Lost,
}

/// The classes that a response can have, as far as its status shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Transient,
    Throttled,
    Unusable,
    Rejected,
}

/// After this many rejected attempts the next one waits for 720 times the base.
pub const TRIES: u32 = 5;
/// A new expiry must exceed the stored one by this many seconds.
const LEAST_EXTENSION: i64 = 5;

impl Class {
    /// Of an exchange that brought no token, or whose response did not arrive completely.
    pub fn of(exchange: &Exchange) -> Option<Self> {
        match exchange.status {
            _ if exchange.token.is_some() => (!exchange.answered).then_some(Self::Transient),
            None | Some(408 | 500..=502 | 504..) => Some(Self::Transient),
            // With or without a Retry-After, which is not recorded.
            Some(429 | 503) => Some(Self::Throttled),
            Some(400..=499) => Some(Self::Rejected),
            Some(_) => Some(Self::Unusable),
        }
    }

    /// The least delay after this many failures of this class in a row: half of the value in the table. Whether a token
    /// was valid is not considered, so that the lower of two caps counts.
    pub fn least_delay(self, failed: u32, timings: &Timings) -> Duration {
        let doubled = 1_u32 << failed.saturating_sub(1).min(16);
        let half = |multiple: u32| timings.retry_base * multiple / 2;
        match self {
            Self::Transient => half(doubled.min(24)),
            Self::Throttled => half(1).min(Duration::from_secs(1)),
            Self::Rejected if failed >= TRIES => half(720),
            Self::Unusable | Self::Rejected => half((12 * doubled).min(360)),
        }
    }
}

impl Outcome {
    /// Of the exchange with that number, among all.
    pub fn of(number: usize, records: &Records<'_>, causes: &Causes<'_>) -> Self {
        let versions = records.history.versions_of("secrets", causes.target());
        let mut own = versions.filter(|version| !version.deleted && records.made_by(version) == Some(number));
        if let Some(stored) = own.next() {
            return Self::Stored(records.stored_at(stored));
        }
        if let Some(class) = Class::of(&records.history.exchanges[number]) {
            return Self::Failed(class);
        }
        kept(number, records, causes).map_or(Self::Lost, Self::Kept)
    }
}

/// Whether the stored token is kept because the new one is not valid for longer, which only a due renewal can find.
/// Then it is requested again shortly before the stored one expires, when it expires, and then as after a transient
/// failure.
fn kept(number: usize, records: &Records<'_>, causes: &Causes<'_>) -> Option<Timestamp> {
    let (earlier, asked) = (&records.history.exchanges[..number], &records.history.exchanges[number]);
    let only_due = causes.due(asked.at).is_some() && causes.open(asked.at).len() == 1;
    let stored = lifetime(&records.object_at("secrets", causes.target(), asked.at)?.object).filter(|_| only_due)?;
    let same_bytes = earlier.iter().any(|earlier| earlier.token == asked.token);
    let ends = stored.expiry.time();
    let extends = match (ends, asked.expires) {
        (Some(ends), Some(new)) => new.as_second() >= ends.as_second() + LEAST_EXTENSION,
        (None, None) => !same_bytes,
        _ => true,
    };
    if extends && !same_bytes {
        return None;
    }
    let last_call = ends.zip(stored.seconds()).map(|(ends, seconds)| schedule::later(ends, -(seconds / 10).min(60)));
    let next = [last_call, ends].into_iter().flatten().find(|time| *time > asked.at);
    Some(next.unwrap_or_else(|| asked.at + Class::Transient.least_delay(1, &records.history.timings)))
}
