//! What the API server has now, turned into facts for the decision.

use apicredential::api::ApiCredential;
use apicredential::decide::{self, Attempts, Facts, Source, SpecMatch, Target, Token, Verification};
use apicredential::plan::Plan;
use apicredential::reason::{Reason, Refusal};
use apicredential::revision::Revision;
use apicredential::schedule::{self, Expiry, TokenLifetime};
use apicredential::source::{self, SecretValues};
use apicredential::target::ownership;
use apicredential::target::render::{StoredToken, TokenRecord, render};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use super::cache::renew_request;
use super::reconciliation::Reconciliation;
use crate::clock;
use crate::kube_api::{ApiError, READ};
use apicredential::next_reconcile::NextReconcile;

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
    /// Unless its watch shows that it is the one which the stored token was made from.
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

impl Reconciliation {
    /// Reads the target, and the source where the watch does not show that it is unchanged.
    pub(super) async fn observe(&mut self, reads: &mut Reads) -> Result<Observation, ObserveError> {
        let plan = match &self.plan {
            Ok(plan) => plan.clone(),
            Err(refusal) => return Ok(self.observe_invalid_spec(refusal.clone())),
        };
        let kube = &self.context.issuer.kube;
        let secret = match std::mem::take(&mut reads.target) {
            TargetRead::Known(secret) => Some(*secret),
            TargetRead::Live => {
                let read = kube.read_secret(self.key.namespace(), &plan.target.name, READ).await;
                read.map_err(|error| ObserveError { error, observation: None })?
            }
        };
        let target = ownership::target(&self.credential, &plan, secret, &self.context.issuer.watch.cache);
        if matches!(target, ownership::Target::Refused(_)) {
            return Ok(self.observation(&plan, target, Source::Unknown, None, reads.no_check_before));
        }
        match self.observe_source(&plan, &target, reads.source).await {
            Ok((source, values)) => Ok(self.observation(&plan, target, source, values, reads.no_check_before)),
            Err(error) => {
                let observation = self.observation(&plan, target, Source::Unknown, None, reads.no_check_before);
                Err(ObserveError { error, observation: Some(Box::new(observation)) })
            }
        }
    }

    fn observe_invalid_spec(&self, refusal: Refusal) -> Observation {
        let target = match refusal.reason {
            Reason::TargetIsSource => Target::Refused(refusal.clone()),
            _ => Target::Absent,
        };
        let facts = Facts {
            suspended: self.credential.spec.suspend,
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
        &mut self,
        plan: &Plan,
        target: &ownership::Target,
        read: SourceRead,
    ) -> Result<(Source, Option<SecretValues>), ApiError> {
        let record = match target {
            ownership::Target::Ours { stored: StoredToken::Intact(record), .. } => Some(record),
            _ => None,
        };
        if read == SourceRead::IfChanged && self.is_source_unchanged(record) {
            return Ok((Source::Unchanged, None));
        }
        let namespace = self.key.namespace();
        let secret = self.context.issuer.kube.read_secret(namespace, &plan.source, READ).await?;
        Ok(match source::resolve(namespace, plan, secret.as_ref()) {
            Err(refusal) => (Source::Refused(refusal), None),
            Ok(values) => {
                let changed = record.is_some_and(|record| !is_made_from(record, &values));
                if !changed {
                    self.history.source_read_for = self.credential.metadata.generation;
                }
                (Source::Resolved { changed }, Some(values))
            }
        })
    }

    /// Whether the watch shows the source that the token was made from, and this spec was known when it was read: which of
    /// its keys are used may have changed with the spec.
    fn is_source_unchanged(&self, record: Option<&TokenRecord>) -> bool {
        let source = self.snapshot.source.as_ref();
        let source = source.filter(|source| source.is_present && self.context.issuer.watch.is_healthy());
        let is_same = source
            .zip(record)
            .is_some_and(|(source, record)| source.revision == Revision::from(record.source_version.as_str()));
        is_same && self.history.source_read_for == self.credential.metadata.generation
    }

    /// The facts about a target and a source that were read.
    pub(super) fn observation(
        &mut self,
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
                self.history.target_known = true;
                let (token, record) = match found {
                    StoredToken::Missing => (None, None),
                    StoredToken::Corrupt => (Some(corrupt_token()), None),
                    StoredToken::Intact(record) => {
                        (Some(self.token(plan, &record, &Revision::of(&*secret))), Some(record))
                    }
                };
                let drift = record.as_ref().is_some_and(|record| differs(&self.credential, plan, record, &secret));
                (Target::Ours { token, drift }, Some(*secret), record)
            }
        };
        let renew_requested = self.is_renewal_requested(record.as_ref());
        let (fresh, anew) = self.are_inputs_new(plan, values.as_ref());
        let open = self.unresolved_failure(&target, record.as_ref());
        let verification = self.verification(plan, &target, record.as_ref(), no_check_before);
        let last_sent = self.status().last_attempt.as_ref().map(|attempt| attempt.time.0);
        let facts = Facts {
            suspended: self.credential.spec.suspend,
            spec: (!plan.endpoint_allowed).then(|| Reason::EndpointNotAllowed.into()),
            target,
            blocked,
            source,
            renew_requested,
            verification,
            attempts: Attempts { unresolved: open, inputs_changed: fresh, last_sent },
        };
        Observation { facts, secret, record, values, counts_anew: anew || renew_requested }
    }

    /// Whether a renew request waits that neither the stored token nor a failed attempt has answered.
    fn is_renewal_requested(&self, record: Option<&TokenRecord>) -> bool {
        let request = renew_request(&*self.credential);
        let answered = record.and_then(|record| record.renew_request.as_ref());
        request.is_some()
            && request.as_ref() != answered
            && request.as_ref() != self.status().last_handled_renew_request.as_ref()
    }

    fn token(&mut self, plan: &Plan, record: &TokenRecord, revision: &Revision) -> Token {
        let stored = TokenLifetime { issued: record.issued_at, expiry: record.expiry };
        let spec_known = self.status().observed_generation == self.credential.metadata.generation;
        let fit = ownership::spec_match(record, &plan.request, spec_known);
        let now = clock::now();
        let timings = self.context.settings.timings;
        if stored.issued <= now {
            let renewal = schedule::renewal_time(&stored, &plan.renewal, self.uid(), &timings);
            return Token { lifetime: stored, spec_match: fit, renewal };
        }
        // Issued in the future: one of the clocks is wrong, and no exchange would make that better.
        let first_seen = match self.history.ahead.as_deref().copied() {
            // Unless the clock was set back since.
            Some((issued, first_seen)) if issued == stored.issued && first_seen <= now => first_seen,
            _ => self.reported_since(revision, now).unwrap_or(clock::whole_seconds(now)),
        };
        self.history.ahead = Some(Box::new((stored.issued, first_seen)));
        let (life, due) = schedule::ahead_of_clock(&stored, first_seen, &plan.renewal, self.uid());
        let planned = schedule::renewal_time(&life, &plan.renewal, self.uid(), &timings);
        Token { lifetime: life, spec_match: fit, renewal: due.or(planned) }
    }

    /// From when the status counts the token in that revision of the target: a new term must not put its renewal off.
    fn reported_since(&self, revision: &Revision, now: Timestamp) -> Option<Timestamp> {
        let status = self.status();
        let same = status.target.as_ref().is_some_and(|target| target.version == revision.as_str());
        status.token.as_ref().filter(|_| same).map(|token| token.issued_time.0).filter(|since| *since <= now)
    }
}

/// Whether our part of the Secret is not what it should be.
fn differs(credential: &ApiCredential, plan: &Plan, record: &TokenRecord, secret: &Secret) -> bool {
    render(credential, plan, record).to_patch(secret).is_some()
}

/// A token whose times cannot be read: somebody changed them.
fn corrupt_token() -> Token {
    let life = TokenLifetime { issued: Timestamp::UNIX_EPOCH, expiry: Expiry::Never };
    Token { lifetime: life, spec_match: SpecMatch::Edited, renewal: None }
}

fn is_made_from(record: &TokenRecord, values: &SecretValues) -> bool {
    use apicredential::target::fingerprint;
    use secrecy::ExposeSecret as _;
    fingerprint::source_part(record.token.expose_secret(), &values.expose()) == record.fingerprint.source
}
