//! When to reconcile next.

use std::time::Duration;

use jiff::Timestamp;

use crate::schedule;

/// When an ApiCredential is reconciled next if nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextReconcile {
    /// At this time; at once if it has passed.
    At(Timestamp),
    /// Only when something changes.
    OnChange,
}

impl NextReconcile {
    /// The earlier of both.
    #[must_use]
    pub fn or_earlier(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(one), Self::At(other)) => Self::At(one.min(other)),
            (Self::OnChange, next) | (next, Self::OnChange) => next,
        }
    }

    /// After this delay.
    pub fn after(now: Timestamp, delay: Duration) -> Self {
        Self::At(schedule::after(now, delay))
    }

    /// The time; `None` for [`NextReconcile::OnChange`].
    pub fn time(self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::OnChange => None,
        }
    }

    /// Whether nothing is due at `now`.
    pub fn is_after(self, now: Timestamp) -> bool {
        match self {
            Self::At(time) => time > now,
            Self::OnChange => true,
        }
    }
}

impl From<Option<Timestamp>> for NextReconcile {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Self::OnChange, Self::At)
    }
}
