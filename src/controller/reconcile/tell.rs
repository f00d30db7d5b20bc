//! The status patch and the event: only if there is something to say, and only while the lease is ours.

use std::sync::Arc;

use apicredential::api::ApiCredentialStatus;
use apicredential::decide::TokenState;
use apicredential::object_key::Key;
use apicredential::reason::Refusal;
use apicredential::status::{self, CheckFinding, SourceFinding, StatusInput};
use kube::{Resource as _, ResourceExt as _};
use serde_json::json;

use super::Context;
use super::look::{Round, findings_from};
use crate::clock;
use crate::controller::watch::DecodeResult;
use crate::kube_api::ApiError;
use crate::metrics::CredentialGauges;

impl Round {
    /// Writes the status if it changed, and the event if there is one.
    pub(super) async fn tell(&mut self, findings: StatusInput) {
        if !self.context.courier.watch.index.lives(&self.key, &self.uid) {
            // It went while it was looked at: nobody is left to be told.
            return;
        }
        let prior = self.status();
        let now = clock::now_seconds();
        let next = status::status(&prior, &findings, now).transitions_since(&self.stored());
        let shown = CredentialGauges::of(&next, findings.suspended);
        self.context.operator.metrics.set_credential(&self.key, shown);
        let event = status::event(&prior, &next, &findings);
        let refused_here = findings.attempt.is_none() && !matches!(findings.check, CheckFinding::Made(_));
        if let Some(event) = event.as_ref().filter(|_| refused_here) {
            tracing::info!(
                namespace = self.key.namespace(),
                name = self.key.name(),
                reason = %event.reason,
                "no exchange"
            );
        }
        if next != prior || self.memory.status_unsaved {
            self.save(&prior, &next, &findings).await;
        } else {
            self.memory.status = Some(Arc::new(next));
        }
        if let Some(event) = event.filter(|_| self.context.courier.leadership.may_write()) {
            self.context.courier.cluster.publish(&*self.credential, &event).await;
        }
    }

    async fn save(&mut self, prior: &ApiCredentialStatus, next: &ApiCredentialStatus, findings: &StatusInput) {
        // Believed from now on, written or not: a lost status must not cost an attempt.
        let unsaved = std::mem::replace(&mut self.memory.status_unsaved, true);
        self.memory.status = Some(Arc::new(next.clone()));
        let seen = self.credential.resource_version().unwrap_or_default();
        let version = match &self.memory.resource_version {
            Some(known) if known.0 == seen => known.1.clone(),
            _ => seen.clone(),
        };
        let outcome = self.patch(&version, &[prior], next).await;
        if outcome == Err(ApiError::Conflict) {
            self.save_again(findings, unsaved.then_some(prior), &seen).await;
        } else {
            self.note_saved(outcome, seen);
        }
    }

    /// The status that everybody can read, which may be older than what we believe.
    fn stored(&self) -> ApiCredentialStatus {
        let lags = self.memory.status_lags(&self.credential);
        let saved = self.memory.saved.as_deref().filter(|_| lags).or(self.credential.status.as_ref());
        saved.cloned().unwrap_or_default()
    }

    /// Somebody wrote in between. A label or an annotation changes nothing; another spec is another look's matter. An
    /// attempt may be in what we believed before and could not write: only there.
    async fn save_again(&mut self, findings: &StatusInput, unsaved: Option<&ApiCredentialStatus>, seen: &str) {
        let courier = &self.context.courier;
        let live = match courier.cluster.credential(self.key.namespace(), self.key.name()).await {
            Ok(Some(live))
                if live.uid().as_deref() == Some(&self.uid) && live.metadata.deletion_timestamp.is_none() =>
            {
                live
            }
            Ok(_) => return,
            Err(_) => return self.glance_is_void(),
        };
        let sent = findings.attempt.is_some() || matches!(findings.check, CheckFinding::Made(_));
        if live.metadata.generation != self.credential.metadata.generation && !sent {
            self.memory.status_unsaved = unsaved.is_some();
            self.memory.status = unsaved.cloned().map(Arc::new);
            return self.glance_is_void();
        }
        let stored = live.status.clone().unwrap_or_default();
        let prior = unsaved.unwrap_or(&stored);
        // Two calls lie between what was found and this second try.
        let now = clock::now_seconds();
        let next = status::status(prior, &findings.as_of(now), now);
        self.memory.status = Some(Arc::new(next.clone()));
        let version = live.resource_version().unwrap_or_default();
        let outcome = self.patch(&version, &[prior, &stored], &next).await;
        self.note_saved(outcome, seen.to_owned());
    }

    async fn patch(
        &self,
        version: &str,
        before: &[&ApiCredentialStatus],
        next: &ApiCredentialStatus,
    ) -> Result<String, ApiError> {
        let courier = &self.context.courier;
        if !courier.leadership.may_write() {
            return Err(ApiError::Unavailable);
        }
        let stored = self.credential.status.clone().unwrap_or_default();
        let before: Vec<_> = before.iter().copied().chain([&stored]).collect();
        let patch = status_patch(&self.uid, version, &before, next);
        courier.cluster.patch_status(self.key.namespace(), self.key.name(), &patch).await
    }

    fn note_saved(&mut self, outcome: Result<String, ApiError>, seen: String) {
        match outcome {
            Ok(written) => {
                self.memory.status_unsaved = false;
                self.memory.saved.clone_from(&self.memory.status);
                self.memory.resource_version = Some(Box::new((seen, written)));
            }
            // Gone: nobody is left to be told.
            Err(ApiError::NotFound) => self.memory.status_unsaved = false,
            Err(fault) => {
                tracing::debug!(namespace = self.key.namespace(), name = self.key.name(), %fault, "the status was not accepted");
                self.glance_is_void();
            }
        }
    }
}

/// A JSON merge patch: what is no longer said is null, and the version it was made for is named.
fn status_patch(
    uid: &str,
    version: &str,
    before: &[&ApiCredentialStatus],
    next: &ApiCredentialStatus,
) -> serde_json::Value {
    let mut status = json!(next);
    for before in before {
        nullify(&mut status, &json!(before));
    }
    // Within the token, too: one that never expires may follow one that does, or one that could not be read.
    if let Some(token) = status.get_mut("token") {
        nullify(token, &json!({"expirationTime": null, "lifetimeSeconds": null}));
    }
    if let Some(verification) = status.get_mut("verification") {
        nullify(verification, &json!({"refusedTokens": null}));
    }
    json!({ "metadata": { "uid": uid, "resourceVersion": version }, "status": status })
}

/// Adds a null for each name of `before` that is not there any more.
fn nullify(object: &mut serde_json::Value, before: &serde_json::Value) {
    let Some((fields, before)) = object.as_object_mut().zip(before.as_object()) else { return };
    for name in before.keys() {
        fields.entry(name.clone()).or_insert(serde_json::Value::Null);
    }
}

/// Tells of a credential that could not be looked at at all: it cannot be decoded, or the look panicked. What was
/// said of it before is read, because the store has none of it.
pub(super) async fn refused(object: &DecodeResult, context: &Context, refusal: &Refusal) {
    let meta = object.meta();
    let key = Key::of(object);
    let uid = meta.uid.clone().unwrap_or_default();
    context.memory.forget(&uid);
    let courier = &context.courier;
    let Ok(Some((version, prior))) = courier.cluster.status(key.namespace(), key.name()).await else { return };
    let findings = match &object.0 {
        // The token in the Secret is none the worse for a panic.
        Ok(credential) => findings_from(credential, &prior),
        Err(_undecodable) => unreadable(meta.generation.unwrap_or(0)),
    }
    .refused(refusal.clone());
    let next = status::status(&prior, &findings, clock::now_seconds());
    let shown = CredentialGauges::of(&next, findings.suspended);
    context.operator.metrics.set_credential(&key, shown);
    if next == prior || !courier.leadership.may_write() {
        return;
    }
    let patch = status_patch(&uid, &version, &[&prior], &next);
    match courier.cluster.patch_status(key.namespace(), key.name(), &patch).await {
        Ok(_) => {
            if let Some(event) = status::event(&prior, &next, &findings) {
                courier.cluster.publish(object, &event).await;
            }
        }
        Err(fault) => {
            tracing::debug!(namespace = key.namespace(), name = key.name(), %fault, "the status was not accepted");
        }
    }
}

/// Of a credential that cannot be decoded, nothing is known.
fn unreadable(generation: i64) -> StatusInput {
    StatusInput {
        generation,
        provider: None,
        token_state: TokenState::None,
        issued: None,
        life: None,
        renewal: None,
        margin_capped: false,
        suspended: false,
        source: SourceFinding::Unknown,
        target_refusal: None,
        refusal: None,
        attempt: None,
        check: CheckFinding::Unchanged,
        delivered_after_all: false,
        target: None,
    }
}
