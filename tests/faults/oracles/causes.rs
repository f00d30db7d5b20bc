//! Why a credential may ask for a token: what people did, each from when it was done until a stored token answers it.
//!
//! A deed is noted just before it is done. When it had taken effect is read off the versions, and so is which token
//! answers it: a token for an old password answers no change of the password.

use apicredential::schedule::{self, Expiry, Timings, TokenLifetime};
use jiff::Timestamp;
use serde_json::Value;

use super::records::{Credential, Records, annotation, decoded, fits, plan};
use crate::history::{Deed, Version, What};

/// The causes of one credential, by name: whoever creates it again goes on with the same Secret.
pub struct Causes<'a> {
    records: &'a Records<'a>,
    /// Every uid that bore the name.
    lives: &'a [&'a Credential<'a>],
    all: Vec<Cause<'a>>,
}

/// Something that asks for a token.
pub struct Cause<'a> {
    pub since: Timestamp,
    pub kind: Kind,
    /// The version that shows it; none if no version does.
    pub effect: Option<&'a Version>,
    /// When the first token was stored that answers it.
    pub answered: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Spec,
    Source,
    Target,
    Renew,
    Revoked,
}

impl Kind {
    /// Starts the attempts anew. Somebody who deletes a Secret, or a provider, gives no reason to try sooner.
    pub fn is_input(self) -> bool {
        !matches!(self, Self::Target | Self::Revoked)
    }
}

impl<'a> Causes<'a> {
    pub fn of(records: &'a Records<'a>, lives: &'a [&'a Credential<'a>]) -> Self {
        let mut causes = Self { records, lives, all: Vec::new() };
        causes.all = records.history.deeds.iter().filter_map(|deed| causes.cause(deed)).collect();
        causes
    }

    pub fn iter(&self) -> impl Iterator<Item = &Cause<'a>> {
        self.all.iter()
    }

    /// Since when each cause lasts that no stored token had answered by then, the due renewal included.
    pub fn open(&self, at: Timestamp) -> Vec<Timestamp> {
        let open = |cause: &&Cause<'_>| cause.since <= at && cause.answered.is_none_or(|answered| answered > at);
        self.all.iter().filter(open).map(|cause| cause.since).chain(self.due(at)).collect()
    }

    /// Whether somebody changed what the exchange depends on, or asked for one, in that time.
    pub fn inputs_between(&self, from: Timestamp, to: Timestamp) -> bool {
        self.all.iter().any(|cause| cause.kind.is_input() && cause.since > from && cause.since <= to)
    }

    /// Since when the stored token's renewal is due, if it is.
    pub fn due(&self, at: Timestamp) -> Option<Timestamp> {
        let (stored, terms) = (self.records.standing("secrets", self.target(), at)?, &self.records.history.terms);
        let life = life(&stored.object)?;
        let resync = std::time::Duration::ZERO;
        let pace = Timings { retry_base: terms.retry_base, min_renewal_interval: terms.min_renewal_interval, resync };
        // The recorder may hear of a new spec after the operator.
        let specs = self.lives.iter().flat_map(|life| {
            let known = life.versions().rfind(|it| !it.deleted && it.seen <= at);
            let soon =
                life.versions().filter(move |it| !it.deleted && it.seen > at && it.seen <= schedule::later(at, 1));
            known.into_iter().chain(soon).map(|version| (life.uid, &version.object["spec"]))
        });
        let planned = specs.filter_map(|(uid, spec)| schedule::renewal_time(&life, &plan(spec)?.renewal, uid, &pace));
        planned.chain(life.expiry.time()).min().filter(|due| *due <= at)
    }

    pub fn target(&self) -> &'a str {
        self.lives[0].target()
    }

    fn cause(&self, deed: &Deed) -> Option<Cause<'a>> {
        let (credential, kind) = match &deed.what {
            What::Spec { credential, request: true } => (credential, Kind::Spec),
            What::Source { credential } => (credential, Kind::Source),
            What::Target { credential } => (credential, Kind::Target),
            What::Renew { credential } => (credential, Kind::Renew),
            What::Revoked { credential } => (credential, Kind::Revoked),
            _ => return None,
        };
        if credential != self.lives[0].name {
            return None;
        }
        let mut cause = Cause { since: deed.at, kind, effect: self.effect(kind, deed.at), answered: None };
        let answers =
            self.tokens().filter(|(stored, version, by)| *stored >= deed.at && self.answers(&cause, version, *by));
        cause.answered = answers.map(|(stored, ..)| stored).min();
        Some(cause)
    }

    /// The first version that shows what was done.
    fn effect(&self, kind: Kind, since: Timestamp) -> Option<&'a Version> {
        let (resource, name) = match kind {
            Kind::Spec | Kind::Renew => ("apicredentials", self.lives[0].name),
            Kind::Source => ("secrets", self.source_name()),
            Kind::Target => ("secrets", self.target()),
            // Nobody sees it but who asks the provider.
            Kind::Revoked => return None,
        };
        let mut before: Option<&Version> = None;
        self.records.history.versions_of(resource, name).find(|version| {
            let earlier = before.replace(version).filter(|earlier| !earlier.deleted && earlier.uid == version.uid);
            let differs =
                |what: &dyn Fn(&Value) -> Value| earlier.is_none_or(|it| what(&it.object) != what(&version.object));
            version.seen >= since
                && match kind {
                    Kind::Spec => !version.deleted && differs(&|it| it["metadata"]["generation"].clone()),
                    Kind::Renew => !version.deleted && differs(&|it| annotation(it, "renew-requested-at").into()),
                    Kind::Source => !version.deleted && differs(&|it| it["data"].clone()),
                    Kind::Target => self.records.writer(version).is_none(),
                    Kind::Revoked => false,
                }
        })
    }

    /// The versions of the target that a replica wrote, with when, and by which exchange.
    fn tokens(&self) -> impl Iterator<Item = (Timestamp, &'a Version, usize)> {
        let written = self.records.history.versions_of("secrets", self.target());
        let written = written.filter(|version| self.records.writer(version).is_some());
        written.filter_map(|version| Some((self.records.stored_at(version), version, self.records.made_by(version)?)))
    }

    /// Whether a stored token is what this cause asked for.
    fn answers(&self, cause: &Cause<'_>, stored: &Version, by: usize) -> bool {
        let exchange = &self.records.history.exchanges[by];
        let Some(effect) = cause.effect else { return exchange.at >= cause.since };
        match cause.kind {
            Kind::Target => stored.version > effect.version,
            Kind::Revoked => exchange.at >= cause.since,
            Kind::Renew => {
                annotation(&stored.object, "renew-request") == annotation(&effect.object, "renew-requested-at")
            }
            Kind::Spec => {
                exchange.token.as_ref().is_some_and(|token| fits(&stored.object, token, &effect.object["spec"]))
            }
            Kind::Source => {
                let same = self.records.history.versions_of("secrets", &effect.name);
                let mut since = same.filter(|version| version.version >= effect.version);
                since.any(|version| holds(&version.object, &exchange.secret))
            }
        }
    }

    fn source_name(&self) -> &'a str {
        let provider = &self.lives[0].versions().next_back().expect("it has a version").object["spec"]["provider"];
        let block = if provider["type"] == "Qontak" { &provider["qontak"] } else { &provider["welkin"] };
        block["secretRef"]["name"].as_str().unwrap_or_default()
    }

    /// Without any fault: what nobody got an answer to although all is well at the end.
    pub fn unanswered(&self, end: Timestamp) -> Vec<Kind> {
        let Some(stored) = self.records.standing("secrets", self.target(), end) else { return vec![Kind::Target] };
        let by = self.records.made_by(stored);
        let is_open = |cause: &&Cause<'_>| cause.since <= end && cause.answered.is_none_or(|answered| answered > end);
        let missed = |kind| {
            let last = self.all.iter().rfind(|cause| cause.kind == kind && cause.since <= end);
            // Only what it came to in the end has to be answered, and that may have been answered long before.
            last.filter(is_open).is_some_and(|cause| match (kind, cause.effect, by) {
                (Kind::Target, Some(effect), _) => effect.deleted,
                (_, _, Some(by)) => !self.answers(cause, stored, by),
                _ => true,
            })
        };
        [Kind::Spec, Kind::Source, Kind::Target, Kind::Renew, Kind::Revoked]
            .into_iter()
            .filter(|kind| missed(*kind))
            .collect()
    }
}

/// Whether one of a Secret's values is this text.
fn holds(secret: &Value, text: &str) -> bool {
    secret["data"].as_object().is_some_and(|data| data.values().any(|value| decoded(value).as_deref() == Some(text)))
}

/// A stored token's times, as they stand beside it.
pub fn life(secret: &Value) -> Option<TokenLifetime> {
    let issued = annotation(secret, "issued-at").parse().ok()?;
    let expiry = match annotation(secret, "expires-at") {
        "never" => Expiry::Never,
        time => Expiry::At(time.parse().ok()?),
    };
    Some(TokenLifetime { issued, expiry })
}
