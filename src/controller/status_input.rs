//! What there is to report, from what was observed or, where nothing could be, from the last status.

use apicredential::api::{ApiCredential, ApiCredentialStatus, TargetStatus};
use apicredential::decide::{self, Source, SpecMatch, Target, TokenState};
use apicredential::revision::Revision;
use apicredential::schedule::{Expiry, Margin, TokenLifetime};
use apicredential::status::{CheckFinding, SourceFinding, StatusInput};
use apicredential::target::render::TokenRecord;
use kube::ResourceExt as _;

use super::attempt_history::is_of_last_attempt;
use super::cache::renew_request;
use super::observe::Observation;
use super::reconciliation::Reconciliation;
use crate::clock;

/// What there is to report of an observation.
pub(super) fn status_input(run: &Reconciliation, observation: &Observation) -> StatusInput {
    let facts = &observation.facts;
    let token = decide::token(facts);
    let life = token.filter(|token| token.spec_match == SpecMatch::Fits).map(|token| token.lifetime);
    let plan = run.plan.as_ref().ok();
    let capped = life.and_then(|life| life.seconds()).zip(plan).is_some_and(|(lifetime, plan)| {
        matches!(plan.renewal.margin, Margin::Seconds(_)) && plan.renewal.margin_of(lifetime).1
    });
    let record = observation.record.as_ref();
    StatusInput {
        token_state: decide::token_state(facts, clock::now()),
        issued_at: life.and(record).map(|record| record.issued_at),
        lifetime: life,
        renewal_time: token.and_then(|token| token.renewal),
        margin_capped: capped,
        metadata_not_allowed: plan.and_then(|plan| plan.target.metadata_not_allowed()),
        source: match &facts.source {
            Source::Unknown => SourceFinding::Unknown,
            Source::Unchanged | Source::Resolved { .. } => SourceFinding::Resolved,
            Source::Refused(refusal) => SourceFinding::Refused(refusal.clone()),
        },
        target_refusal: match &facts.target {
            Target::Refused(refusal) => Some(refusal.clone()),
            Target::Absent | Target::Ours { .. } => None,
        },
        check: match plan {
            Some(plan) if plan.verification.is_none() => CheckFinding::NotWanted,
            _ => CheckFinding::Unchanged,
        },
        written_despite_error: record.is_some_and(|record| is_of_last_attempt(record, run.status())),
        handled_request: answered_request(run, record),
        target: target_status(run, observation),
        ..nothing_observed(&run.credential)
    }
}

/// What the last status reports, where the target could not be read: the token in it is as good as before, unless the watch
/// does not show the Secret. Then it was deleted, or it has lost the label that the watch selects by, and only a read could tell.
pub(super) fn status_input_from_status(run: &Reconciliation) -> StatusInput {
    let is_there = run.snapshot.target.as_ref().is_some_and(|target| target.is_present);
    if !is_there && run.context.issuer.watch.is_healthy() {
        return nothing_observed(&run.credential);
    }
    from_status(&run.credential, run.status())
}

/// The current renew request, if the stored token answers it.
fn answered_request(run: &Reconciliation, record: Option<&TokenRecord>) -> Option<String> {
    let answered = record.and_then(|record| record.renew_request.clone());
    answered.filter(|answered| renew_request(&*run.credential).as_ref() == Some(answered))
}

/// The target to name in the status: of our write, or of a token that the status does not know yet.
fn target_status(run: &Reconciliation, observation: &Observation) -> Option<TargetStatus> {
    let (secret, record) = (observation.secret.as_ref()?, observation.record.as_ref()?);
    let revision = Revision::of(secret);
    let known = run.status().token.as_ref().map(|token| token.issued_time.0) == Some(record.issued_at);
    let is_ours = run.history.last_write.as_ref() == Some(&revision);
    (!known || is_ours).then(|| TargetStatus::new(secret.name_any(), &revision))
}

/// What a status reports, where nothing could be observed: the token in the Secret is as good as before.
pub(super) fn from_status(credential: &ApiCredential, status: &ApiCredentialStatus) -> StatusInput {
    let life = status.token.as_ref().map(|token| TokenLifetime {
        issued: token.issued_time.0,
        expiry: token.expiration_time.as_ref().map_or(Expiry::Never, |time| Expiry::At(time.0)),
    });
    let token_state = match life {
        Some(life) if life.expiry.is_over(clock::now()) => TokenState::Expired,
        Some(_) if status.is_ready() => TokenState::Valid,
        Some(life) if status.is_revoked(life.issued) => TokenState::Revoked,
        _ => TokenState::None,
    };
    StatusInput {
        token_state,
        issued_at: life.map(|life| life.issued),
        lifetime: life,
        renewal_time: status.renewal_time.as_ref().map(|time| time.0),
        ..nothing_observed(credential)
    }
}

/// What is known of an ApiCredential before anything was observed.
fn nothing_observed(credential: &ApiCredential) -> StatusInput {
    let generation = credential.metadata.generation.unwrap_or(0);
    StatusInput { suspended: credential.spec.suspend, ..StatusInput::unobserved(generation) }
}
