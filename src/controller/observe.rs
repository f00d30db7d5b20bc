//! What the API server has now, turned into facts for the decision.

use apicredential::decide::{self, Attempts, Facts, Source, SpecMatch, Target, Token, Verification};
use apicredential::next_reconcile::NextReconcile;
use apicredential::plan::Plan;
use apicredential::reason::{Reason, Refusal};
use apicredential::revision::Revision;
use apicredential::schedule::{self, Expiry, TokenLifetime};
use apicredential::source::{self, SecretValues};
use apicredential::target::ownership;
use apicredential::target::render::{StoredToken, TokenRecord, render};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use super::attempt_history::{ChangedInputs, changed_inputs, unresolved_failure};
use super::cache::renew_request;
use super::check_history::verification;
use super::reconciliation::{Outcome, Reconciliation};
use super::source_history::{is_made_from, is_source_unchanged, revision_to_name};
use crate::clock;
use crate::kube_api::{ApiError, READ};

/// Where the target Secret comes from.
#[derive(Debug, Default)]
pub(super) enum TargetRead {
    /// It is read from the API server.
    #[default]
    Live,
    /// It was read, or returned by a write, in this reconcile.
    Known(Box<Secret>),
}

/// When the source Secret is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SourceRead {
    /// Unless its watch shows a revision with the values that the stored token was made from.
    #[default]
    IfChanged,
    /// In any case: an exchange needs its values.
    Always,
}

/// What the next observation reads.
#[derive(Debug, Default)]
pub(super) struct Reads {
    pub(super) target: TargetRead,
    pub(super) source: SourceRead,
    /// A check was made in this reconcile, or found no permit: the next one comes no sooner than this.
    pub(super) no_check_before: Option<Timestamp>,
}

impl Reads {
    /// The same, with a target that need not be read again. An absent one is read again.
    pub(super) fn with_target(self, secret: Option<Secret>) -> Self {
        let target = secret.map_or(TargetRead::Live, |secret| TargetRead::Known(Box::new(secret)));
        Self { target, ..self }
    }
}

/// What follows from a repair or a check.
pub(super) enum Step {
    /// The reconcile observes again, with these reads.
    ObserveAgain(Reads),
    /// The reconcile ends.
    End(Outcome),
}

/// What was observed.
pub(super) struct Observation {
    pub(super) facts: Facts,
    /// The target, if it is ours.
    pub(super) secret: Option<Secret>,
    /// The stored token, if it is intact.
    pub(super) record: Option<TokenRecord>,
    /// The source's values, if they were read.
    pub(super) values: Option<SecretValues>,
    /// Whether the counter of failed attempts starts anew with the next attempt.
    pub(super) counts_anew: bool,
}

impl Observation {
    /// When the stored token expires, if it has not.
    pub(super) fn expiry(&self) -> NextReconcile {
        let expiry = decide::token(&self.facts).and_then(|token| token.lifetime.expiry.time());
        expiry.filter(|time| *time > clock::now()).into()
    }
}

/// The API server did not let us read.
pub(super) struct ObserveError {
    pub(super) error: ApiError,
    /// What was seen of the target all the same, if it was the source that could not be read.
    pub(super) observation: Option<Box<Observation>>,
}

/// Reads the target, and the source where the watch does not show that it is unchanged.
pub(super) async fn observe(run: &mut Reconciliation, reads: &mut Reads) -> Result<Observation, ObserveError> {
    let plan = match &run.plan {
        Ok(plan) => plan.clone(),
        Err(refusal) => return Ok(observe_invalid_spec(run, refusal.clone())),
    };
    let kube = &run.context.issuer.kube;
    let secret = match std::mem::take(&mut reads.target) {
        TargetRead::Known(secret) => Some(*secret),
        TargetRead::Live => {
            let read = kube.read_secret(run.key.namespace(), &plan.target.name, READ).await;
            let mut secret = read.map_err(|error| ObserveError { error, observation: None })?;
            secret.iter_mut().for_each(|secret| plan.drop_unused_of_target(secret));
            secret
        }
    };
    let target = ownership::target(&run.credential, &plan, secret, &run.context.issuer.watch.cache);
    if matches!(target, ownership::Target::Refused(_)) {
        return Ok(observation_of(run, &plan, target, Source::Unknown, None, reads.no_check_before));
    }
    match observe_source(run, &plan, &target, reads.source).await {
        Ok((source, values)) => Ok(observation_of(run, &plan, target, source, values, reads.no_check_before)),
        Err(error) => {
            let observation = observation_of(run, &plan, target, Source::Unknown, None, reads.no_check_before);
            Err(ObserveError { error, observation: Some(Box::new(observation)) })
        }
    }
}

fn observe_invalid_spec(run: &Reconciliation, refusal: Refusal) -> Observation {
    let target = match refusal.reason {
        Reason::TargetIsSource => Target::Refused(refusal.clone()),
        _ => Target::Absent,
    };
    let facts = Facts {
        suspended: run.credential.spec.suspend,
        spec: Some(refusal),
        target,
        blocked: None,
        source: Source::Unknown,
        renew_requested: false,
        verification: Verification::default(),
        attempts: Attempts::default(),
    };
    Observation { facts, secret: None, record: None, values: None, counts_anew: false }
}

async fn observe_source(
    run: &mut Reconciliation,
    plan: &Plan,
    target: &ownership::Target,
    read: SourceRead,
) -> Result<(Source, Option<SecretValues>), ApiError> {
    let record = match target {
        ownership::Target::Ours { stored: StoredToken::Intact(record), .. } => Some(record),
        _ => None,
    };
    if read == SourceRead::IfChanged && record.is_some_and(|record| is_source_unchanged(run, plan, record)) {
        return Ok((Source::Unchanged, None));
    }
    let namespace = run.key.namespace();
    let mut secret = run.context.issuer.kube.read_secret(namespace, &plan.source, READ).await?;
    secret.iter_mut().for_each(|secret| plan.drop_unused_of_source(secret));
    Ok(match source::resolve(namespace, plan, secret.as_ref()) {
        Err(refusal) => (Source::Refused(refusal), None),
        Ok(values) => {
            let changed = record.is_some_and(|record| !is_made_from(run, record, &values));
            (Source::Resolved { changed }, Some(values))
        }
    })
}

/// The facts about a target and a source that were read.
pub(super) fn observation_of(
    run: &mut Reconciliation,
    plan: &Plan,
    target: ownership::Target,
    source: Source,
    values: Option<SecretValues>,
    no_check_before: Option<Timestamp>,
) -> Observation {
    let mut blocked = None;
    let (target, secret, record) = match target {
        ownership::Target::Absent => (Target::Absent, None, None),
        ownership::Target::Refused(refusal) => (Target::Refused(refusal), None, None),
        ownership::Target::Ours { secret, stored: found, blocked: why } => {
            blocked = why;
            run.history.target_known = true;
            let (token, mut record) = match found {
                StoredToken::Missing => (None, None),
                StoredToken::Corrupt => (Some(corrupt_token()), None),
                StoredToken::Intact(record) => (Some(token(run, plan, &record, &Revision::of(&*secret))), Some(record)),
            };
            let repair = record.as_mut().map(|record| repair_time(run, plan, record, &secret));
            (Target::Ours { token, repair: repair.unwrap_or(NextReconcile::OnChange) }, Some(*secret), record)
        }
    };
    let renew_requested = is_renewal_requested(run, record.as_ref());
    let inputs = changed_inputs(run, plan, values.as_ref());
    let open = unresolved_failure(run, &target, record.as_ref());
    let verification = verification(run, plan, &target, record.as_ref(), no_check_before);
    let last_sent = run.status().last_attempt.as_ref().map(|attempt| attempt.time.0);
    let facts = Facts {
        suspended: run.credential.spec.suspend,
        spec: (!plan.endpoint_allowed).then(|| Reason::EndpointNotAllowed.into()),
        target,
        blocked,
        source,
        renew_requested,
        verification,
        attempts: Attempts { unresolved: open, inputs_changed: inputs != ChangedInputs::No, last_sent },
    };
    Observation { facts, secret, record, values, counts_anew: inputs == ChangedInputs::Yes || renew_requested }
}

/// Whether a renew request waits that neither the stored token nor a failed attempt has answered.
fn is_renewal_requested(run: &Reconciliation, record: Option<&TokenRecord>) -> bool {
    let request = renew_request(&*run.credential);
    let answered = record.and_then(|record| record.renew_request.as_ref());
    request.is_some()
        && request.as_ref() != answered
        && request.as_ref() != run.status().last_handled_renew_request.as_ref()
}

fn token(run: &mut Reconciliation, plan: &Plan, record: &TokenRecord, revision: &Revision) -> Token {
    let stored = TokenLifetime { issued: record.issued_at, expiry: record.expiry };
    let spec_known = run.status().observed_generation == run.credential.metadata.generation;
    let fit = ownership::spec_match(record, plan, spec_known);
    let now = clock::now();
    let timings = run.context.settings.timings;
    if stored.issued <= now {
        let renewal = schedule::renewal_time(&stored, &plan.renewal, run.uid(), &timings);
        return Token { lifetime: stored, spec_match: fit, renewal };
    }
    // Issued in the future: one of the clocks is wrong, and no exchange would make that better.
    let first_seen = match run.history.ahead.as_deref().copied() {
        // Unless the clock was set back since.
        Some((issued, first_seen)) if issued == stored.issued && first_seen <= now => first_seen,
        _ => reported_since(run, revision, now).unwrap_or(clock::whole_seconds(now)),
    };
    run.history.ahead = Some(Box::new((stored.issued, first_seen)));
    let (life, due) = schedule::ahead_of_clock(&stored, first_seen, &plan.renewal, run.uid());
    let planned = schedule::renewal_time(&life, &plan.renewal, run.uid(), &timings);
    Token { lifetime: life, spec_match: fit, renewal: due.or(planned) }
}

/// From when the status counts the token in that revision of the target: a new term must not put its renewal off.
fn reported_since(run: &Reconciliation, revision: &Revision, now: Timestamp) -> Option<Timestamp> {
    let status = run.status();
    let same = status.target.as_ref().is_some_and(|target| target.revision() == *revision);
    status.token.as_ref().filter(|_| same).map(|token| token.issued_time.0).filter(|since| *since <= now)
}

/// When our part of the Secret is written again: at once if it is not what it should be, or if it is time to name in it a
/// source Secret that was touched. The record then has that revision.
fn repair_time(run: &Reconciliation, plan: &Plan, record: &mut TokenRecord, secret: &Secret) -> NextReconcile {
    let now = clock::now();
    let naming = revision_to_name(run, record, now);
    if let Some((revision, _)) = naming.as_ref().filter(|(_, time)| *time <= now) {
        record.source_version = revision.to_string();
    }
    if render(&run.credential, plan, record).to_patch(secret).is_some() {
        return NextReconcile::At(now);
    }
    naming.map(|(_, time)| time).into()
}

/// A token whose times cannot be read: somebody changed them.
fn corrupt_token() -> Token {
    let life = TokenLifetime { issued: Timestamp::UNIX_EPOCH, expiry: Expiry::Never };
    Token { lifetime: life, spec_match: SpecMatch::Edited, renewal: None }
}
