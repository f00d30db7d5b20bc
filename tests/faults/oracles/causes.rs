//! Why an ApiCredential may request a token: what users did, each from that time until a stored token is its result.
//!
//! An intervention is recorded just before it happens. When it took effect is read from the versions, and so is which
//! token is its result: a token for an old password is not the result of a changed password.

use apicredential::schedule::{self, Expiry, Timings, TokenLifetime};
use jiff::Timestamp;
use serde_json::Value;

use super::records::{Credential, Records, annotation, decoded, fits, plan};
use crate::history::{Intervention, Version, What};

/// The causes of one ApiCredential, by name: one that is created again continues with the same Secret.
pub struct Causes<'a> {
    records: &'a Records<'a>,
    /// Every uid that had the name.
    incarnations: &'a [&'a Credential<'a>],
    all: Vec<Cause<'a>>,
}

/// A reason for a token request.
pub struct Cause<'a> {
    pub since: Timestamp,
    pub kind: Kind,
    /// The version that shows it; `None` if no version does.
    pub effect: Option<&'a Version>,
    /// When the first token was stored that is its result.
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
    /// Resets the attempts. The deletion of a Secret, or a provider's rejection, is no reason to retry sooner.
    pub fn is_input(self) -> bool {
        !matches!(self, Self::Target | Self::Revoked)
    }
}

impl<'a> Causes<'a> {
    pub fn of(records: &'a Records<'a>, incarnations: &'a [&'a Credential<'a>]) -> Self {
        let mut causes = Self { records, incarnations, all: Vec::new() };
        causes.all =
            records.history.interventions.iter().filter_map(|intervention| causes.cause(intervention)).collect();
        causes
    }

    pub fn iter(&self) -> impl Iterator<Item = &Cause<'a>> {
        self.all.iter()
    }

    /// The begin of each cause that no stored token had fulfilled by then, including the due renewal.
    pub fn open(&self, at: Timestamp) -> Vec<Timestamp> {
        let open = |cause: &&Cause<'_>| cause.since <= at && cause.answered.is_none_or(|answered| answered > at);
        self.all.iter().filter(open).map(|cause| cause.since).chain(self.due(at)).collect()
    }

    /// Whether a user changed what the exchange depends on, or requested one, in that time.
    pub fn inputs_between(&self, from: Timestamp, to: Timestamp) -> bool {
        self.all.iter().any(|cause| cause.kind.is_input() && cause.since > from && cause.since <= to)
    }

    /// Since when the stored token's renewal is due, if it is.
    pub fn due(&self, at: Timestamp) -> Option<Timestamp> {
        let (stored, timings) = (self.records.object_at("secrets", self.target(), at)?, &self.records.history.timings);
        let lifetime = lifetime(&stored.object)?;
        let resync = std::time::Duration::ZERO;
        let pace =
            Timings { retry_base: timings.retry_base, min_renewal_interval: timings.min_renewal_interval, resync };
        // The recorder may receive a new spec after the operator.
        let specs = self.incarnations.iter().flat_map(|incarnation| {
            let known = incarnation.versions().rfind(|it| !it.deleted && it.seen <= at);
            let soon = incarnation
                .versions()
                .filter(move |it| !it.deleted && it.seen > at && it.seen <= schedule::later(at, 1));
            known.into_iter().chain(soon).map(|version| (incarnation.uid, &version.object["spec"]))
        });
        let planned =
            specs.filter_map(|(uid, spec)| schedule::renewal_time(&lifetime, &plan(spec)?.renewal, uid, &pace));
        planned.chain(lifetime.expiry.time()).min().filter(|due| *due <= at)
    }

    pub fn target(&self) -> &'a str {
        self.incarnations[0].target()
    }

    fn cause(&self, intervention: &Intervention) -> Option<Cause<'a>> {
        let (credential, kind) = match &intervention.what {
            What::Spec { credential, request: true } => (credential, Kind::Spec),
            What::Source { credential } => (credential, Kind::Source),
            What::Target { credential } => (credential, Kind::Target),
            What::Renew { credential } => (credential, Kind::Renew),
            What::Revoked { credential } => (credential, Kind::Revoked),
            _ => return None,
        };
        if credential != self.incarnations[0].name {
            return None;
        }
        let mut cause =
            Cause { since: intervention.at, kind, effect: self.effect(kind, intervention.at), answered: None };
        let answers = self
            .tokens()
            .filter(|(stored, version, by)| *stored >= intervention.at && self.answers(&cause, version, *by));
        cause.answered = answers.map(|(stored, ..)| stored).min();
        Some(cause)
    }

    /// The first version that shows the change.
    fn effect(&self, kind: Kind, since: Timestamp) -> Option<&'a Version> {
        let (resource, name) = match kind {
            Kind::Spec | Kind::Renew => ("apicredentials", self.incarnations[0].name),
            Kind::Source => ("secrets", self.source_name()),
            Kind::Target => ("secrets", self.target()),
            // Only a request to the provider shows it.
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

    /// The versions of the target that a replica wrote, with when, and from which exchange.
    fn tokens(&self) -> impl Iterator<Item = (Timestamp, &'a Version, usize)> {
        let written = self.records.history.versions_of("secrets", self.target());
        let written = written.filter(|version| self.records.writer(version).is_some());
        written.filter_map(|version| Some((self.records.stored_at(version), version, self.records.made_by(version)?)))
    }

    /// Whether a stored token is the result of this cause.
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
        let provider =
            &self.incarnations[0].versions().next_back().expect("it has a version").object["spec"]["provider"];
        let block = if provider["type"] == "Qontak" { &provider["qontak"] } else { &provider["welkin"] };
        block["secretRef"]["name"].as_str().unwrap_or_default()
    }

    /// Without any fault: the causes that have no result although the run has converged.
    pub fn unanswered(&self, end: Timestamp) -> Vec<Kind> {
        let Some(stored) = self.records.object_at("secrets", self.target(), end) else { return vec![Kind::Target] };
        let by = self.records.made_by(stored);
        let is_open = |cause: &&Cause<'_>| cause.since <= end && cause.answered.is_none_or(|answered| answered > end);
        let missed = |kind| {
            let last = self.all.iter().rfind(|cause| cause.kind == kind && cause.since <= end);
            // Only the final state needs a result, and may have got it long before.
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

/// The times that are stored with a token.
pub fn lifetime(secret: &Value) -> Option<TokenLifetime> {
    let issued = annotation(secret, "issued-at").parse().ok()?;
    let expiry = match annotation(secret, "expires-at") {
        "never" => Expiry::Never,
        time => Expiry::At(time.parse().ok()?),
    };
    Some(TokenLifetime { issued, expiry })
}
