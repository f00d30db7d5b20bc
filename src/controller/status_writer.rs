//! The status write and the event: only if there is something to report, and only while the lease is ours.

use std::sync::Arc;

use apicredential::api::{ApiCredentialStatus, condition_type};
use apicredential::object_key::Key;
use apicredential::reason::Refusal;
use apicredential::status::{self, CheckFinding, StatusInput};
use kube::ResourceExt as _;
use kube::core::DeserializeGuard;

use super::cache::{CachedObject, VersionSource};
use super::context::Context;
use super::observe::Observation;
use super::reconciliation::Reconciliation;
use super::status_input::{self, status_input};
use crate::clock;
use crate::kube_api::ApiError;
use crate::metrics::CredentialGauges;

/// Writes the status of an observation.
pub(super) async fn report(run: &mut Reconciliation, observation: &Observation) {
    let input = status_input(run, observation);
    write_status(run, input).await;
}

/// Writes the status of an observation, with the reason why nothing more is done.
pub(super) async fn report_refusal(run: &mut Reconciliation, observation: &Observation, refusal: impl Into<Refusal>) {
    let input = status_input(run, observation).refused(refusal.into());
    write_status(run, input).await;
}

/// Writes the status if it changed, and the event if there is one.
pub(super) async fn write_status(run: &mut Reconciliation, input: StatusInput) {
    if !run.context.issuer.watch.cache.is_live(&run.key, run.uid()) {
        // It was deleted meanwhile: nobody is left to read it.
        return;
    }
    let prior = run.status().clone();
    let now = clock::now_seconds();
    let next = status::status(&prior, &input, now).transitions_since(&run.snapshot.stored_status);
    run.context.metrics.set_credential(&run.key, CredentialGauges::of(&next, input.suspended));
    let event = status::event(&prior, &next, &input);
    let event_of_metadata = status::event_of_metadata(&prior, &next, &input);
    let nothing_sent = input.attempt.is_none() && !matches!(input.check, CheckFinding::Made(_));
    if let Some(event) = event.as_ref().filter(|_| nothing_sent) {
        let (namespace, name) = (run.key.namespace(), run.key.name());
        tracing::info!(namespace, name, reason = %event.reason, "no exchange");
    }
    // Until the first attempt has ended, the status is the CRD's default, which the operator never writes.
    let is_default = next.condition(condition_type::READY).is_none();
    if (next != prior || run.has_pending_status()) && !is_default {
        save(run, next, &input).await;
    } else {
        run.reported = Some(Arc::new(next));
    }
    for event in [event, event_of_metadata].into_iter().flatten() {
        if run.context.issuer.leadership.may_write() {
            run.context.issuer.kube.publish_event(&*run.credential, &event).await;
        }
    }
}

async fn save(run: &mut Reconciliation, next: ApiCredentialStatus, input: &StatusInput) {
    let pending_before = run.reported.clone().filter(|_| run.has_pending_status());
    // It counts from now on, written or not: a lost status must not cost an attempt.
    let next = Arc::new(next);
    run.reported = Some(Arc::clone(&next));
    let version = run.snapshot.object.resource_version().to_owned();
    match put(run, &version, &next).await {
        Err(ApiError::Conflict) => save_after_conflict(run, input, pending_before).await,
        Err(error) => note_rejected(run, &error),
        Ok(()) => {}
    }
}

/// Somebody wrote in between. A label or an annotation changes nothing; another spec is for another reconcile. An attempt
/// may be only in a status that could not be written before, `pending_before`.
async fn save_after_conflict(
    run: &mut Reconciliation,
    input: &StatusInput,
    pending_before: Option<Arc<ApiCredentialStatus>>,
) {
    let issuer = &run.context.issuer;
    let call = issuer.watch.cache.begin_call();
    let live = match issuer.kube.read_credential(run.key.namespace(), run.key.name()).await {
        Ok(Some(live)) if live.uid().as_deref() == Some(run.uid()) && live.metadata.deletion_timestamp.is_none() => {
            live
        }
        Ok(_) | Err(_) => return,
    };
    let version = live.resource_version().unwrap_or_default();
    let is_other_spec = live.metadata.generation != run.credential.metadata.generation;
    let stored = live.status.clone().unwrap_or_default();
    let effects = issuer.watch.cache.apply(&run.key, DeserializeGuard(Ok(live)), VersionSource::Reply(call));
    issuer.watch.enqueue_all(&effects);
    run.snapshot.stored_status = Arc::new(*stored);
    let was_sent = input.attempt.is_some() || matches!(input.check, CheckFinding::Made(_));
    if is_other_spec && !was_sent {
        run.reported = pending_before;
        return;
    }
    let prior = pending_before.unwrap_or_else(|| Arc::clone(&run.snapshot.stored_status));
    // Two calls lie between the observation and this second attempt.
    let now = clock::now_seconds();
    let next = Arc::new(status::status(&prior, &input.as_of(now), now));
    run.reported = Some(Arc::clone(&next));
    if let Err(error) = put(run, &version, &next).await {
        note_rejected(run, &error);
    }
}

/// Replaces the status of the object if it still has that resourceVersion.
async fn put(run: &mut Reconciliation, version: &str, status: &ApiCredentialStatus) -> Result<(), ApiError> {
    let issuer = &run.context.issuer;
    if !issuer.leadership.may_write() {
        return Err(ApiError::Unavailable);
    }
    let call = issuer.watch.cache.begin_call();
    let limit = issuer.leadership.write_time();
    let written = issuer.kube.replace_status(run.key.namespace(), run.key.name(), version, status, limit).await?;
    let effects = issuer.watch.cache.apply(&run.key, written.clone(), VersionSource::Reply(call));
    issuer.watch.enqueue_all(&effects);
    let (object, stored) = CachedObject::split(written);
    run.snapshot.object = object;
    run.snapshot.stored_status = Arc::new(stored.unwrap_or_default());
    Ok(())
}

fn note_rejected(run: &Reconciliation, error: &ApiError) {
    let (namespace, name) = (run.key.namespace(), run.key.name());
    tracing::debug!(namespace, name, %error, "the status was not accepted");
}

/// Reports on an ApiCredential that could not be observed at all: it cannot be decoded, or its reconcile panicked. Its last
/// status is read, because the cache may have none.
pub(super) async fn report_unobserved(key: &Key, object: &CachedObject, context: &Context, refusal: &Refusal) {
    let issuer = &context.issuer;
    issuer.watch.cache.forget_history(key);
    let Ok(Some((version, prior))) = issuer.kube.read_status(key.namespace(), key.name()).await else { return };
    let input = match object.credential(key) {
        // The token in the Secret is as good as before the panic.
        Some(credential) => status_input::from_status(&credential, &prior),
        None => StatusInput::unobserved(object.generation().unwrap_or(0)),
    }
    .refused(refusal.clone());
    let next = status::status(&prior, &input, clock::now_seconds());
    context.metrics.set_credential(key, CredentialGauges::of(&next, input.suspended));
    if next == prior || !issuer.leadership.may_write() {
        return;
    }
    let limit = issuer.leadership.write_time();
    match issuer.kube.replace_status(key.namespace(), key.name(), &version, &next, limit).await {
        Ok(_) => {
            if let Some(event) = status::event(&prior, &next, &input) {
                issuer.kube.publish_event(&object.reference(key), &event).await;
            }
        }
        Err(error) => {
            let (namespace, name) = (key.namespace(), key.name());
            tracing::debug!(namespace, name, %error, "the status was not accepted");
        }
    }
}
