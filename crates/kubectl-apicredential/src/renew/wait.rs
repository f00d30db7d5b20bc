//! Waits for the results of renewal requests.
//!
//! A watch of the ApiCredentials reports each change of a status. The exact result is in the target Secret: its annotation
//! names the request that its token answers. The Secret is read when the status has another token or a higher `revision`,
//! the count of successful token exchanges. The status has the request that was last answered, with a token or a failure, in
//! `lastHandledRenewRequest`, also for users who may not read the Secret.

use std::pin::pin;
use std::time::Duration;

use apicredential::annotations;
use apicredential::api::{ApiCredential, ApiCredentialStatus, TokenStatus};
use apicredential::reason::{Class, Reason};
use apicredential_operator::clock::{self, SuspendAwareInstant};
use apicredential_operator::kube_api::ErrorKind;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use tokio::time::sleep;

use super::{RenewOutcome, RenewReporter, RenewResult, renewed};
use crate::conditions::{condition, status};
use crate::connection::{Connection, Lookup, Scope};
use crate::error::{Exit, PluginError};
use crate::output::sanitize;

/// The operator reconciles within this time. A refusal that is older answers the request.
const REFUSAL_GRACE: Duration = Duration::from_secs(10);

/// A renewal request, and the status at the time of the request.
#[derive(Debug)]
pub(super) struct PendingRenewal {
    namespace: String,
    name: String,
    target: String,
    text: String,
    revision: i64,
    token: Option<TokenStatus>,
    /// The ApiCredential in the last event of the watch.
    last: Option<ApiCredential>,
}

/// What the target Secret shows.
enum SecretObservation {
    /// The request that its token answers, if any.
    AnsweredRequest(Option<String>),
    /// The user may not read the Secret.
    Forbidden,
}

impl PendingRenewal {
    /// `credential` is the object that the API server returned when the annotation was set.
    pub(super) fn new(credential: ApiCredential) -> Self {
        let ApiCredentialStatus { revision, token, .. } = status(&credential);
        Self {
            namespace: credential.namespace().unwrap_or_default(),
            name: credential.name_any(),
            text: credential.annotations().get(annotations::RENEW_REQUESTED_AT).cloned().unwrap_or_default(),
            revision: revision.unwrap_or(0),
            token,
            target: credential.spec.target.name,
            last: None,
        }
    }

    pub(super) fn result(&self, outcome: RenewOutcome, reason: Option<&str>, message: &str) -> RenewResult {
        RenewResult {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            outcome,
            reason: reason.map(str::to_owned),
            message: (!message.is_empty()).then(|| message.to_owned()),
        }
    }

    /// The result, if it is known.
    fn evaluate_against(
        &self,
        credential: &ApiCredential,
        observation: &SecretObservation,
        waited: Duration,
    ) -> Option<RenewResult> {
        let status = status(credential);
        let is_renewed = match observation {
            SecretObservation::AnsweredRequest(text) => text.as_ref() == Some(&self.text),
            SecretObservation::Forbidden => false,
        };
        if is_renewed {
            return Some(self.result(RenewOutcome::Renewed, None, &renewed(credential, clock::now())));
        }
        if credential.spec.suspend {
            return Some(self.result(
                RenewOutcome::Waiting,
                Some("Suspended"),
                "it stays pending until spec.suspend is false.",
            ));
        }
        let failed_with =
            |outcome, condition: &Condition| self.result(outcome, Some(&condition.reason), &condition.message);
        if status.last_handled_renew_request.as_ref() == Some(&self.text) {
            return match condition(&status, "Renewed") {
                Some(failed) if failed.status == "False" => Some(failed_with(RenewOutcome::Failed, failed)),
                _ => Some(self.result(RenewOutcome::Renewed, None, &renewed(credential, clock::now()))),
            };
        }
        let refused = ["Renewed", "Ready"].iter().find_map(|type_| {
            let condition = condition(&status, type_).filter(|condition| condition.status == "False")?;
            (Reason::parse(&condition.reason)?.class() == Class::Local).then_some(condition)
        });
        refused.filter(|_| waited >= REFUSAL_GRACE).map(|refused| failed_with(RenewOutcome::Waiting, refused))
    }
}

/// Waits for the results of all requests and reports each as soon as it is known. One watch serves all requests. It is
/// restarted when it breaks.
pub(super) async fn wait_for_results(
    connection: &Connection,
    scope: &Scope,
    pending_renewals: Vec<PendingRenewal>,
    timeout: Duration,
    reporter: &RenewReporter<'_>,
) -> Result<Vec<RenewResult>, PluginError> {
    let since = SuspendAwareInstant::now();
    let config = match &pending_renewals[..] {
        // The user may have permissions for this name only.
        [pending] => watcher::Config::default().fields(&format!("metadata.name={}", pending.name)),
        _ => watcher::Config::default(),
    };
    let mut events = pin!(watcher::watcher(connection.api::<ApiCredential>(scope), config).default_backoff());
    let mut wait =
        RenewalWait { connection, reporter, since, pending_renewals, listed: Vec::new(), results: Vec::new() };
    while !wait.pending_renewals.is_empty() {
        let elapsed = since.elapsed();
        if elapsed >= timeout {
            return wait.finish().await;
        }
        let next = if elapsed < REFUSAL_GRACE { REFUSAL_GRACE.min(timeout) } else { timeout };
        tokio::select! {
            Some(event) = events.next() => wait.handle_event(event).await?,
            () = sleep(next.saturating_sub(elapsed)) => wait.evaluate_all().await?,
        }
    }
    Ok(wait.results)
}

/// The state of the wait.
struct RenewalWait<'a> {
    connection: &'a Connection,
    reporter: &'a RenewReporter<'a>,
    since: SuspendAwareInstant,
    pending_renewals: Vec<PendingRenewal>,
    /// The namespaces and names that the watch's initial list has returned so far.
    listed: Vec<(String, String)>,
    results: Vec<RenewResult>,
}

impl RenewalWait<'_> {
    async fn handle_event(&mut self, event: watcher::Result<Event<ApiCredential>>) -> Result<(), PluginError> {
        match event {
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(credential)) => {
                self.listed.push(key(&credential));
                self.update(credential).await?;
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.listed);
                let is_gone =
                    |pending: &PendingRenewal| !listed.iter().any(|(namespace, name)| pending.is(namespace, name));
                self.report_deleted(is_gone)?;
            }
            Ok(Event::Apply(credential)) => self.update(credential).await?,
            Ok(Event::Delete(credential)) => {
                let (namespace, name) = key(&credential);
                self.report_deleted(|pending| pending.is(&namespace, &name))?;
            }
            Err(error) => self.handle_error(&error)?,
        }
        Ok(())
    }

    /// Handles a new or changed ApiCredential.
    async fn update(&mut self, credential: ApiCredential) -> Result<(), PluginError> {
        let (namespace, name) = key(&credential);
        let Some(index) = self.pending_renewals.iter().position(|pending| pending.is(&namespace, &name)) else {
            return Ok(());
        };
        let pending = &mut self.pending_renewals[index];
        pending.last = Some(credential);
        if let Some(result) = pending.evaluate(self.connection, self.since.elapsed()).await? {
            self.pending_renewals.remove(index);
            self.results.push(self.reporter.report(result)?);
        }
        Ok(())
    }

    /// Evaluates all requests again after `REFUSAL_GRACE`.
    async fn evaluate_all(&mut self) -> Result<(), PluginError> {
        for pending in std::mem::take(&mut self.pending_renewals) {
            match pending.evaluate(self.connection, self.since.elapsed()).await? {
                Some(result) => self.results.push(self.reporter.report(result)?),
                None => self.pending_renewals.push(pending),
            }
        }
        Ok(())
    }

    fn report_deleted(&mut self, is_deleted: impl Fn(&PendingRenewal) -> bool) -> Result<(), PluginError> {
        for pending in std::mem::take(&mut self.pending_renewals) {
            if is_deleted(&pending) {
                self.results.push(self.reporter.report(pending.result(
                    RenewOutcome::Failed,
                    None,
                    "the ApiCredential was deleted.",
                ))?);
            } else {
                self.pending_renewals.push(pending);
            }
        }
        Ok(())
    }

    /// Ignores errors that a restart of the watch can solve, and returns the others.
    fn handle_error(&self, error: &watcher::Error) -> Result<(), PluginError> {
        let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
            return Ok(());
        };
        match ErrorKind::of(error) {
            ErrorKind::Unavailable | ErrorKind::UnexpectedStatus | ErrorKind::Conflict => Ok(()),
            ErrorKind::Forbidden => Err(self.forbidden(error)),
            _ => Err(self.connection.error(error)),
        }
    }

    fn forbidden(&self, error: &kube::Error) -> PluginError {
        let text = match error {
            kube::Error::Api(status) => sanitize(status.message.trim_end_matches('.')),
            _ => "The API server rejects the watch of ApiCredentials".to_owned(),
        };
        let command = match self.pending_renewals.first() {
            Some(pending) => format!("status {} -n {}", pending.name, pending.namespace),
            None => "list".to_owned(),
        };
        let message = format!(
            "{text}. --wait requires the permissions list and watch on apicredentials, which the role view includes: request a RoleBinding in this namespace. The renewal is still requested; see: kubectl apicredential {command}"
        );
        PluginError::new(Exit::Cluster, message)
    }

    /// Ends the wait after the timeout. Each Secret is read once more, because the status may be older or may be lost.
    async fn finish(mut self) -> Result<Vec<RenewResult>, PluginError> {
        for pending in std::mem::take(&mut self.pending_renewals) {
            let result = match check_once_more(self.connection, &pending, self.since.elapsed()).await? {
                Some(result) => result,
                None => {
                    let message = format!(
                        "no result within the timeout; the request stays pending. See: kubectl apicredential status {} -n {}",
                        pending.name, pending.namespace
                    );
                    pending.result(RenewOutcome::Waiting, None, &message)
                }
            };
            self.results.push(self.reporter.report(result)?);
        }
        Ok(self.results)
    }
}

impl PendingRenewal {
    fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The result, if the last event and the Secret show it. The Secret is read only if the status has another token or a
    /// higher `revision`. After a change of leader, the status can have another token with the same `revision`.
    async fn evaluate(&self, connection: &Connection, waited: Duration) -> Result<Option<RenewResult>, PluginError> {
        let Some(credential) = &self.last else { return Ok(None) };
        let status = status(credential);
        let observation = if status.revision.unwrap_or(0) > self.revision || status.token != self.token {
            self.observe_secret(connection).await?
        } else {
            SecretObservation::AnsweredRequest(None)
        };
        Ok(self.evaluate_against(credential, &observation, waited))
    }

    /// Reads the target Secret's annotation.
    async fn observe_secret(&self, connection: &Connection) -> Result<SecretObservation, PluginError> {
        let secrets = connection.namespaced::<Secret>(&self.namespace);
        Ok(match connection.request_optional(secrets.get_metadata(&self.target)).await? {
            Lookup::Found(secret) => {
                SecretObservation::AnsweredRequest(secret.annotations().get(annotations::RENEW_REQUEST).cloned())
            }
            Lookup::NotFound => SecretObservation::AnsweredRequest(None),
            Lookup::Forbidden => SecretObservation::Forbidden,
        })
    }
}

fn key(credential: &ApiCredential) -> (String, String) {
    (credential.namespace().unwrap_or_default(), credential.name_any())
}

async fn check_once_more(
    connection: &Connection,
    pending: &PendingRenewal,
    waited: Duration,
) -> Result<Option<RenewResult>, PluginError> {
    let observation = pending.observe_secret(connection).await?;
    let api = connection.namespaced::<ApiCredential>(&pending.namespace);
    // Read after the Secret, because the operator writes the status after it.
    Ok(match connection.request_optional(api.get(&pending.name)).await? {
        Lookup::Found(credential) => pending.evaluate_against(&credential, &observation, waited),
        Lookup::NotFound | Lookup::Forbidden => {
            Some(pending.result(RenewOutcome::Failed, None, "the ApiCredential was deleted."))
        }
    })
}

#[cfg(test)]
mod requests_test;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn credential(status: &Value) -> ApiCredential {
        let spec = json!({
            "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "login"}}},
            "target": {"name": "a-token"},
        });
        let annotations = json!({annotations::RENEW_REQUESTED_AT: "this"});
        let metadata = json!({"name": "a", "namespace": "ns", "annotations": annotations});
        let object = json!({"metadata": metadata, "spec": spec, "status": status});
        let mut object = object;
        object["apiVersion"] = json!("apicredential.io/v1alpha1");
        object["kind"] = json!("ApiCredential");
        serde_json::from_value(object).unwrap()
    }

    fn renewed_is(status: &str, reason: &str) -> Value {
        json!([{"type": "Renewed", "status": status, "reason": reason, "message": "The message.", "lastTransitionTime": "2026-01-01T00:00:00Z"}])
    }

    fn outcome(status: &Value, observation: &SecretObservation, waited: u64) -> Option<RenewOutcome> {
        let pending = PendingRenewal::new(credential(&json!({"revision": 4})));
        pending
            .evaluate_against(&credential(status), observation, Duration::from_secs(waited))
            .map(|result| result.outcome)
    }

    #[test]
    fn the_secret_takes_precedence_over_the_revision() {
        let earlier = json!({"revision": 5});
        assert_eq!(
            outcome(&earlier, &SecretObservation::AnsweredRequest(Some("other".to_owned())), 1),
            None,
            "the result of an earlier exchange"
        );
        assert_eq!(outcome(&earlier, &SecretObservation::Forbidden, 1), None, "it may be of an exchange under way");
        let answered = json!({"revision": 5, "lastHandledRenewRequest": "this"});
        assert_eq!(outcome(&answered, &SecretObservation::Forbidden, 1), Some(RenewOutcome::Renewed));
        assert_eq!(
            outcome(&json!({"revision": 4}), &SecretObservation::AnsweredRequest(Some("this".to_owned())), 1),
            Some(RenewOutcome::Renewed)
        );
    }

    #[test]
    fn a_failed_attempt_is_the_result_if_it_was_made_for_this_request() {
        let failed = |text: &str| json!({"lastHandledRenewRequest": text, "conditions": renewed_is("False", "CredentialsRejected"), "revision": 4});
        assert_eq!(outcome(&failed("this"), &SecretObservation::Forbidden, 0), Some(RenewOutcome::Failed));
        assert_eq!(outcome(&failed("an earlier one"), &SecretObservation::Forbidden, 60), None);
    }

    #[test]
    fn a_refusal_is_the_result_once_the_operator_had_time_to_reconcile() {
        let refused = json!({"conditions": renewed_is("False", "SourceNotPermitted"), "revision": 4});
        assert_eq!(outcome(&refused, &SecretObservation::Forbidden, 1), None);
        assert_eq!(outcome(&refused, &SecretObservation::Forbidden, 10), Some(RenewOutcome::Waiting));
    }
}
