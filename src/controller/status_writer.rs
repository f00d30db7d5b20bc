//! The status write and the event: only if there is something to report, and only while the lease is ours.

use std::sync::Arc;

use apicredential::api::ApiCredentialStatus;
use apicredential::object_key::Key;
use apicredential::reason::Refusal;
use apicredential::status::{self, CheckFinding, StatusInput};
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;

use super::cache::{CachedObject, VersionSource};
use super::context::Context;
use super::reconciliation::Reconciliation;
use super::status_input;
use crate::clock;
use crate::kube_api::ApiError;
use crate::metrics::CredentialGauges;

impl Reconciliation {
    /// Writes the status if it changed, and the event if there is one.
    pub(super) async fn write_status(&mut self, input: StatusInput) {
        if !self.context.issuer.watch.cache.is_live(&self.key, self.uid()) {
            // It was deleted meanwhile: nobody is left to read it.
            return;
        }
        let prior = self.status().clone();
        let now = clock::now_seconds();
        let next = status::status(&prior, &input, now).transitions_since(&self.snapshot.stored_status);
        self.context.metrics.set_credential(&self.key, CredentialGauges::of(&next, input.suspended));
        let event = status::event(&prior, &next, &input);
        let nothing_sent = input.attempt.is_none() && !matches!(input.check, CheckFinding::Made(_));
        if let Some(event) = event.as_ref().filter(|_| nothing_sent) {
            let (namespace, name) = (self.key.namespace(), self.key.name());
            tracing::info!(namespace, name, reason = %event.reason, "no exchange");
        }
        if next != prior || self.has_pending_status() {
            self.save(next, &input).await;
        } else {
            self.reported = Some(Arc::new(next));
        }
        if let Some(event) = event.filter(|_| self.context.issuer.leadership.may_write()) {
            self.context.issuer.kube.publish_event(&*self.credential, &event).await;
        }
    }

    async fn save(&mut self, next: ApiCredentialStatus, input: &StatusInput) {
        let pending_before = self.reported.clone().filter(|_| self.has_pending_status());
        // It counts from now on, written or not: a lost status must not cost an attempt.
        let next = Arc::new(next);
        self.reported = Some(Arc::clone(&next));
        let version = self.snapshot.object.meta().resource_version.clone().unwrap_or_default();
        match self.put(&version, &next).await {
            Err(ApiError::Conflict) => self.save_after_conflict(input, pending_before).await,
            Err(error) => self.note_rejected(error),
            Ok(()) => {}
        }
    }

    /// Somebody wrote in between. A label or an annotation changes nothing; another spec is for another reconcile. An attempt
    /// may be only in a status that could not be written before, `pending_before`.
    async fn save_after_conflict(&mut self, input: &StatusInput, pending_before: Option<Arc<ApiCredentialStatus>>) {
        let issuer = &self.context.issuer;
        let call = issuer.watch.cache.begin_call();
        let live = match issuer.kube.read_credential(self.key.namespace(), self.key.name()).await {
            Ok(Some(live))
                if live.uid().as_deref() == Some(self.uid()) && live.metadata.deletion_timestamp.is_none() =>
            {
                live
            }
            Ok(_) | Err(_) => return,
        };
        let version = live.resource_version().unwrap_or_default();
        let is_other_spec = live.metadata.generation != self.credential.metadata.generation;
        let stored = live.status.clone().unwrap_or_default();
        let effects = issuer.watch.cache.apply(&self.key, DeserializeGuard(Ok(live)), VersionSource::Reply(call));
        issuer.watch.enqueue_all(&effects);
        self.snapshot.stored_status = Arc::new(stored);
        let was_sent = input.attempt.is_some() || matches!(input.check, CheckFinding::Made(_));
        if is_other_spec && !was_sent {
            self.reported = pending_before;
            return;
        }
        let prior = pending_before.unwrap_or_else(|| Arc::clone(&self.snapshot.stored_status));
        // Two calls lie between the observation and this second attempt.
        let now = clock::now_seconds();
        let next = Arc::new(status::status(&prior, &input.as_of(now), now));
        self.reported = Some(Arc::clone(&next));
        if let Err(error) = self.put(&version, &next).await {
            self.note_rejected(error);
        }
    }

    /// Replaces the status of the object if it still has that resourceVersion.
    async fn put(&mut self, version: &str, status: &ApiCredentialStatus) -> Result<(), ApiError> {
        let issuer = &self.context.issuer;
        if !issuer.leadership.may_write() {
            return Err(ApiError::Unavailable);
        }
        let call = issuer.watch.cache.begin_call();
        let written = issuer.kube.replace_status(self.key.namespace(), self.key.name(), version, status).await?;
        let effects = issuer.watch.cache.apply(&self.key, written.clone(), VersionSource::Reply(call));
        issuer.watch.enqueue_all(&effects);
        let (object, stored) = CachedObject::split(written);
        self.snapshot.object = object;
        self.snapshot.stored_status = Arc::new(stored.unwrap_or_default());
        Ok(())
    }

    fn note_rejected(&self, error: ApiError) {
        let (namespace, name) = (self.key.namespace(), self.key.name());
        tracing::debug!(namespace, name, %error, "the status was not accepted");
    }
}

/// Reports on an ApiCredential that could not be observed at all: it cannot be decoded, or its reconcile panicked. Its last
/// status is read, because the cache may have none.
pub(super) async fn report_unobserved(key: &Key, object: &CachedObject, context: &Context, refusal: &Refusal) {
    let issuer = &context.issuer;
    issuer.watch.cache.forget_history(key);
    let Ok(Some((version, prior))) = issuer.kube.read_status(key.namespace(), key.name()).await else { return };
    let input = match object {
        // The token in the Secret is as good as before the panic.
        CachedObject::Decoded(credential) => status_input::from_status(credential, &prior),
        CachedObject::Undecodable(meta) => status_input::undecodable(meta.generation.unwrap_or(0)),
    }
    .refused(refusal.clone());
    let next = status::status(&prior, &input, clock::now_seconds());
    context.metrics.set_credential(key, CredentialGauges::of(&next, input.suspended));
    if next == prior || !issuer.leadership.may_write() {
        return;
    }
    match issuer.kube.replace_status(key.namespace(), key.name(), &version, &next).await {
        Ok(_) => {
            if let Some(event) = status::event(&prior, &next, &input) {
                issuer.kube.publish_event(&object.as_reference(), &event).await;
            }
        }
        Err(error) => {
            let (namespace, name) = (key.namespace(), key.name());
            tracing::debug!(namespace, name, %error, "the status was not accepted");
        }
    }
}
