//! What one look saw, and what there is to say of it.

use apicredential::api::TargetStatus;
use apicredential::decide::{self, Facts, Source, SpecMatch, Target};
use apicredential::plan::Plan;
use apicredential::schedule::Margin;
use apicredential::source::SecretValues;
use apicredential::status::{CheckFinding, SourceFinding, StatusInput};
use apicredential::target::render::TokenRecord;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::earlier::is_of_last_attempt;
use super::look::Round;
use crate::clock;
use crate::controller::watch::Version;

/// What one look saw.
pub(super) struct Sight {
    pub(super) facts: Facts,
    pub(super) plan: Option<Plan>,
    /// The target, if it is ours.
    pub(super) secret: Option<Secret>,
    /// The stored token, if it is whole.
    pub(super) record: Option<TokenRecord>,
    /// The source's values, if they were read.
    pub(super) values: Option<SecretValues>,
    /// Whether the attempts counter starts anew with the next attempt.
    pub(super) counts_anew: bool,
}

impl Sight {
    /// When the stored token ends; never is the far future.
    pub(super) fn expiry(&self) -> Timestamp {
        let expiry = decide::token(&self.facts).and_then(|token| token.life.expiry.time());
        expiry.filter(|time| *time > clock::now()).unwrap_or(Timestamp::MAX)
    }

    /// What there is to say of it.
    pub(super) fn findings(&self, round: &Round) -> StatusInput {
        let token = decide::token(&self.facts);
        let token_state = decide::token_state(&self.facts, clock::now());
        let life = token.filter(|token| token.fit == SpecMatch::Fits).map(|token| token.life);
        let policy = self.plan.as_ref().map(|plan| plan.renewal);
        let capped = life.and_then(|life| life.seconds()).zip(policy).is_some_and(|(lifetime, policy)| {
            matches!(policy.margin, Margin::Seconds(_)) && policy.margin_of(lifetime).1
        });
        StatusInput {
            generation: round.credential.metadata.generation.unwrap_or(0),
            provider: Some(round.credential.spec.provider.type_),
            token_state,
            issued: life.and(self.record.as_ref()).map(|record| record.issued_at),
            life,
            renewal: token.and_then(|token| token.renewal),
            margin_capped: capped,
            suspended: self.facts.suspended,
            source: match &self.facts.source {
                Source::Unknown => SourceFinding::Unknown,
                Source::Unchanged | Source::Resolved { .. } => SourceFinding::Resolved,
                Source::Refused(refusal) => SourceFinding::Refused(refusal.clone()),
            },
            target_refusal: match &self.facts.target {
                Target::Refused(refusal) => Some(refusal.clone()),
                Target::Absent | Target::Ours { .. } => None,
            },
            refusal: None,
            attempt: None,
            check: match &self.plan {
                Some(plan) if plan.verification.is_none() => CheckFinding::NotWanted,
                _ => CheckFinding::Unchanged,
            },
            delivered_after_all: self.record.as_ref().is_some_and(|record| is_of_last_attempt(record, &round.status())),
            target: self.target(round),
        }
    }

    /// The target to name in the status: of our write, or of a token that the status does not know yet.
    fn target(&self, round: &Round) -> Option<TargetStatus> {
        let (secret, record) = (self.secret.as_ref()?, self.record.as_ref()?);
        let version = apicredential::object_key::version(secret);
        let known = round.status().token.map(|token| token.issued_time.0) == Some(record.issued_at);
        (!known || round.memory.written == Some(Version::from(version.as_str())))
            .then(|| TargetStatus { name: secret.name_any(), version })
    }
}
