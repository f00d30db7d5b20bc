//! One look: what the API server says now, turned into facts.

use std::sync::Arc;

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use apicredential::decide::{Attempts, Facts, Source, SpecMatch, Target, Token, TokenState, Verification};
use apicredential::object_key::Key;
use apicredential::plan::Plan;
use apicredential::reason::{Reason, Refusal};
use apicredential::schedule::{self, Life};
use apicredential::source;
use apicredential::source::SecretValues;
use apicredential::status::{self, CheckFinding, SourceFinding, StatusInput};
use apicredential::target::fingerprint;
use apicredential::target::ownership;
use apicredential::target::render::{Found, TokenRecord, render};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::sight::Sight;
use super::{Context, seed};
use crate::clock::{self, SuspendAwareInstant};
use crate::controller::memory::{Remembered, number};
use crate::controller::watch::index::{Glance, source_name};
use crate::controller::watch::{Opened, Version};
use crate::kube_api::{ApiError, READ};

/// One look at one credential, from its begin to its end.
pub(super) struct Round {
    opened: Opened,
    pub(super) credential: Arc<ApiCredential>,
    pub(super) context: Arc<Context>,
    pub(super) key: Key,
    pub(super) uid: String,
    pub(super) glance: Glance,
    pub(super) memory: Remembered,
    /// The source has to be read even if the watch says that it is the same.
    pub(super) read_source: bool,
    /// It stands in the queue of an endpoint, or has been there.
    pub(super) queued: bool,
    /// The target as our own write left it.
    pub(super) fresh_target: Option<Secret>,
    /// A check was made in this look, or found no place: none before then.
    pub(super) no_check_before: Option<Timestamp>,
}

/// The API server did not let us look.
pub(super) struct Blind {
    pub(super) fault: ApiError,
    /// What was seen of the target all the same, if it was the source that could not be read.
    pub(super) sight: Option<Box<Sight>>,
}

impl Round {
    /// Begins a look, unless nothing changed and nothing is due: then, when something will be.
    pub(super) fn begin(opened: Opened, context: Arc<Context>) -> Result<Self, Timestamp> {
        let credential = Arc::clone(&opened.credential);
        let key = Key::of(&*credential);
        let uid = credential.uid().unwrap_or_default();
        let spec = &credential.spec;
        let watch = &context.courier.watch;
        let glance = watch.index.glance(&credential, source_name(&spec.provider), &spec.target.name);
        let stored = || watch.stored(&key, &opened);
        let recalled = context.memory.recall(&uid, stored).filter(|memory| !memory.is_of_a_later_world(&credential));
        let mut memory = recalled.unwrap_or_else(|| seed::seed(&credential, &glance, &context));
        memory.version = number(credential.metadata.resource_version.as_deref());
        // Said again, and not looked up: what was attempted must not depend on who edits a status.
        memory.status_unsaved |= memory.status_is_lost(&credential);
        if !memory.status_lags(&credential) {
            // The store has it.
            memory.saved = None;
            memory.resource_version = None;
        }
        if let Some(due) = memory.due
            && !memory.status_unsaved
            && due > clock::now()
            && !memory.looked.is_some_and(|mark| mark.is_set_back())
            && memory.is_unchanged(&glance)
            && watch.healthy()
        {
            context.memory.keep(&uid, memory, stored);
            // A resync finds out that nothing changed, and sends nothing.
            return Err(due.min(schedule::resync_time(clock::now(), &uid, &context.operator.pace)));
        }
        // The beginning, so that a clock that is set back in the middle of a look counts as set back after it.
        let memory = Remembered { glance: Some(glance.imprint), looked: Some(SuspendAwareInstant::now()), ..memory };
        Ok(Self {
            opened,
            credential,
            context,
            key,
            uid,
            glance,
            memory,
            read_source: false,
            queued: false,
            fresh_target: None,
            no_check_before: None,
        })
    }

    /// Keeps what was learnt for the next look.
    pub(super) fn end(&mut self, due: Timestamp) {
        if self.queued {
            // Its turn may come before anything else changes.
            self.glance_is_void();
        } else {
            // A place in a queue that this look did not ask for again is given back.
            self.memory.waits_since = None;
            self.context.gates.forget(&self.key);
        }
        self.memory.due = Some(due);
        let stored = || self.context.courier.watch.stored(&self.key, &self.opened);
        self.context.memory.keep(&self.uid, self.memory.clone(), stored);
        if !self.context.courier.watch.index.knows(&self.key, &self.uid) {
            // It went while it was looked at; nothing may stay behind.
            self.context.memory.forget(&self.uid);
            self.context.operator.metrics.remove_credential(&self.key);
        }
    }

    /// What was seen must not count as seen: the next look has to look again.
    pub(super) fn glance_is_void(&mut self) {
        self.memory.glance = None;
    }

    /// The Secret after our own write: the store will say so later.
    pub(super) fn remember_write(&mut self, secret: &Secret) {
        self.memory.written = Some(Version::from(apicredential::object_key::version(secret).as_str()));
        self.memory.target_known = true;
        self.memory.failed_writes = 0;
        self.fresh_target = Some(secret.clone());
    }

    /// The status as it stands: ours, while the store lags behind our own write of it.
    pub(super) fn status(&self) -> ApiCredentialStatus {
        match &self.memory.status {
            Some(status) if self.memory.status_unsaved || self.memory.status_lags(&self.credential) => {
                (**status).clone()
            }
            _ => self.credential.status.clone().unwrap_or_default(),
        }
    }

    /// Looks at the target, and at the source where the watch does not vouch for it.
    pub(super) async fn look(&mut self) -> Result<Sight, Blind> {
        let plan = match Plan::parse(&self.credential.spec, &self.context.allowed) {
            Ok(plan) => plan,
            Err(refusal) => return Ok(self.without_plan(refusal)),
        };
        let namespace = self.key.namespace();
        let secret = match self.fresh_target.take() {
            Some(secret) => Some(secret),
            None => {
                let read = self.context.courier.cluster.secret(namespace, &plan.target.name, READ).await;
                read.map_err(|fault| Blind { fault, sight: None })?
            }
        };
        let target = ownership::target(&self.credential, &plan, secret, &self.context.courier.watch.index);
        if matches!(target, ownership::Target::Refused(_)) {
            return Ok(self.sight(plan, target, Source::Unknown, None));
        }
        match self.look_at_source(&plan, &target).await {
            Ok((source, values)) => Ok(self.sight(plan, target, source, values)),
            Err(fault) => {
                let sight = self.sight(plan, target, Source::Unknown, None);
                Err(Blind { fault, sight: Some(Box::new(sight)) })
            }
        }
    }

    fn without_plan(&self, refusal: Refusal) -> Sight {
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
        Sight { facts, plan: None, secret: None, record: None, values: None, counts_anew: false }
    }

    async fn look_at_source(
        &mut self,
        plan: &Plan,
        target: &ownership::Target,
    ) -> Result<(Source, Option<SecretValues>), ApiError> {
        let record = match target {
            ownership::Target::Ours { found: Found::Whole(record), .. } => Some(record),
            _ => None,
        };
        let seen = self.glance.source.as_ref().filter(|seen| seen.present && self.context.courier.watch.healthy());
        // Which of its keys are meant may have changed with the spec.
        let same_keys = self.memory.source_read == self.credential.metadata.generation;
        let vouched = seen
            .zip(record)
            .is_some_and(|(seen, record)| seen.version == Version::from(record.source_version.as_str()));
        if vouched && same_keys && !self.read_source {
            return Ok((Source::Unchanged, None));
        }
        let secret = self.context.courier.cluster.secret(self.key.namespace(), &plan.source, READ).await?;
        Ok(match source::resolve(self.key.namespace(), plan, secret.as_ref()) {
            Err(refusal) => (Source::Refused(refusal), None),
            Ok(values) => {
                let changed = record.is_some_and(|record| !is_made_from(record, &values));
                if !changed {
                    self.memory.source_read = self.credential.metadata.generation;
                }
                (Source::Resolved { changed }, Some(values))
            }
        })
    }

    pub(super) fn sight(
        &mut self,
        plan: Plan,
        target: ownership::Target,
        source: Source,
        values: Option<SecretValues>,
    ) -> Sight {
        let mut blocked = None;
        let (target, secret, record) = match target {
            ownership::Target::Absent => (Target::Absent, None, None),
            ownership::Target::Refused(refusal) => (Target::Refused(refusal), None, None),
            ownership::Target::Ours { secret, found, blocked: why } => {
                blocked = why;
                self.memory.target_known = true;
                let (token, record) = match found {
                    Found::Missing => (None, None),
                    Found::Broken => (Some(broken()), None),
                    Found::Whole(record) => {
                        (Some(self.token(&plan, &record, &apicredential::object_key::version(&*secret))), Some(record))
                    }
                };
                let drift = record
                    .as_ref()
                    .is_some_and(|record| render(&self.credential, &plan, record).to_patch(&secret).is_some());
                (Target::Ours { token, drift }, Some(*secret), record)
            }
        };
        let answered = record.as_ref().and_then(|record| record.renew_request.clone());
        let status = self.status();
        let request = self.glance.renew_request.as_ref();
        let renew_requested =
            request.is_some() && request != answered.as_ref() && request != status.last_handled_renew_request.as_ref();
        let (fresh, anew) = self.fresh(&plan, &status, values.as_ref());
        let open = self.open_failure(&status, &target, record.as_ref());
        let verification = self.verification(&plan, &target, record.as_ref(), &status);
        let facts = Facts {
            suspended: self.credential.spec.suspend,
            spec: (!plan.endpoint_allowed).then(|| Reason::EndpointNotAllowed.into()),
            target,
            blocked,
            source,
            renew_requested,
            verification,
            attempts: Attempts { open, fresh, last_sent: status.last_attempt.as_ref().map(|attempt| attempt.time.0) },
        };
        Sight { facts, plan: Some(plan), secret, record, values, counts_anew: anew || renew_requested }
    }

    fn token(&mut self, plan: &Plan, record: &TokenRecord, version: &str) -> Token {
        let stored = Life { issued: record.issued_at, expiry: record.expiry };
        let spec_known = self.status().observed_generation == self.credential.metadata.generation;
        let fit = ownership::fit(record, &plan.request, spec_known);
        let now = clock::now();
        if stored.issued <= now {
            let renewal = schedule::renewal_time(&stored, &plan.renewal, &self.uid, &self.context.operator.pace);
            return Token { life: stored, fit, renewal };
        }
        // Issued in the future: one of the clocks is wrong, and no exchange would make that better.
        let first_seen = match self.memory.ahead.as_deref().copied() {
            // Unless the clock was set back since.
            Some((issued, first_seen)) if issued == stored.issued && first_seen <= now => first_seen,
            _ => self.told_since(version, now).unwrap_or(clock::whole_seconds(now)),
        };
        self.memory.ahead = Some(Box::new((stored.issued, first_seen)));
        let (life, due) = schedule::ahead_of_clock(&stored, first_seen, &plan.renewal, &self.uid);
        let planned = schedule::renewal_time(&life, &plan.renewal, &self.uid, &self.context.operator.pace);
        Token { life, fit, renewal: due.or(planned) }
    }

    /// From when the status counts the token in that version of the target: a new term must not put its renewal off.
    fn told_since(&self, version: &str, now: Timestamp) -> Option<Timestamp> {
        let status = self.status();
        let same = status.target.is_some_and(|target| target.version == version);
        status.token.filter(|_| same).map(|token| token.issued_time.0).filter(|since| *since <= now)
    }

    /// What the status said last, where the Secret could not be looked at.
    pub(super) fn findings_from_status(&self) -> StatusInput {
        findings_from(&self.credential, &self.status())
    }
}

/// What a status said last, where nothing could be looked at: the token in the Secret is none the worse for it.
pub(super) fn findings_from(credential: &ApiCredential, status: &ApiCredentialStatus) -> StatusInput {
    let token = status.token.as_ref();
    let life = token.map(|token| Life {
        issued: token.issued_time.0,
        expiry: token.expiration_time.as_ref().map_or(schedule::Expiry::Never, |time| schedule::Expiry::At(time.0)),
    });
    let token_state = match life {
        Some(life) if life.expiry.is_over(clock::now()) => TokenState::Expired,
        Some(_) if status::is_ready(status) => TokenState::Valid,
        Some(life) if status::is_revoked(status, life.issued) => TokenState::Revoked,
        _ => TokenState::None,
    };
    StatusInput {
        generation: credential.metadata.generation.unwrap_or(0),
        provider: Some(credential.spec.provider.type_),
        token_state,
        issued: life.map(|life| life.issued),
        life,
        renewal: status.renewal_time.as_ref().map(|time| time.0),
        margin_capped: false,
        suspended: credential.spec.suspend,
        source: SourceFinding::Unknown,
        target_refusal: None,
        refusal: None,
        attempt: None,
        check: CheckFinding::Unchanged,
        delivered_after_all: false,
        target: None,
    }
}

/// A token whose times cannot be read: somebody changed them.
fn broken() -> Token {
    let life = Life { issued: Timestamp::UNIX_EPOCH, expiry: schedule::Expiry::Never };
    Token { life, fit: SpecMatch::Edited, renewal: None }
}

fn is_made_from(record: &TokenRecord, values: &SecretValues) -> bool {
    use secrecy::ExposeSecret as _;
    fingerprint::source_part(record.token.expose_secret(), &values.expose()) == record.fingerprint.source
}
