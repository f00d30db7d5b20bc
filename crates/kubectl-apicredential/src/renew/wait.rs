//! Waiting for the answer to a request.
//!
//! A watch of the ApiCredentials shows each change of a status. The Secret has the exact answer: it carries the text of the
//! request that its token answers, and is read when the status reports another token or a higher `revision`, which counts the exchanges that ended well. Users
//! who may not read it learn a success from `revision` alone, and everyone learns a failure from `lastHandledRenewRequest`.

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

/// A refusal that stands for so long after the request is the answer to it: the operator needs no more for a look.
const REFUSAL_GRACE: Duration = Duration::from_secs(10);

/// A request, and how things stood when it was made.
#[derive(Debug)]
pub(super) struct PendingRenewal {
    namespace: String,
    name: String,
    target: String,
    text: String,
    revision: i64,
    token: Option<TokenStatus>,
    /// The credential as the watch has shown it last.
    last: Option<ApiCredential>,
}

/// What the user sees of a target.
enum SecretObservation {
    /// The request that its token answers.
    AnsweredRequest(Option<String>),
    /// Nothing.
    Forbidden,
}

impl PendingRenewal {
    /// Of the credential as it was after the annotation was set.
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

    /// The answer, if there is one by now.
    fn evaluate_against(
        &self,
        credential: &ApiCredential,
        observation: &SecretObservation,
        waited: Duration,
    ) -> Option<RenewResult> {
        let status = status(credential);
        let is_renewed = match observation {
            SecretObservation::AnsweredRequest(text) => text.as_ref() == Some(&self.text),
            SecretObservation::Forbidden => status.revision.unwrap_or(0) > self.revision,
        };
        if is_renewed {
            return Some(self.result(RenewOutcome::Renewed, None, &renewed(credential, clock::now())));
        }
        if credential.spec.suspend {
            return Some(self.result(
                RenewOutcome::Waiting,
                Some("Suspended"),
                "it happens once spec.suspend is false.",
            ));
        }
        let failed_with =
            |outcome, condition: &Condition| self.result(outcome, Some(&condition.reason), &condition.message);
        if status.last_handled_renew_request.as_ref() == Some(&self.text) {
            return match condition(&status, "Renewed") {
                Some(failed) if failed.status == "False" => Some(failed_with(RenewOutcome::Failed, failed)),
                // Another try has come through since.
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

/// Waits for the results of all requests and reports each as soon as it is known. One watch serves all of them; it is
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
        // The user may have permissions for this name alone.
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
            Some(event) = events.next() => wait.observe(event).await?,
            () = sleep(next.saturating_sub(elapsed)) => wait.review().await?,
        }
    }
    Ok(wait.results)
}

/// What is waited for, and what is known by now.
struct RenewalWait<'a> {
    connection: &'a Connection,
    reporter: &'a RenewReporter<'a>,
    since: SuspendAwareInstant,
    pending_renewals: Vec<PendingRenewal>,
    /// Those that the list so far holds, by namespace and name, while the watch begins with a list.
    listed: Vec<(String, String)>,
    results: Vec<RenewResult>,
}

impl RenewalWait<'_> {
    async fn observe(&mut self, event: watcher::Result<Event<ApiCredential>>) -> Result<(), PluginError> {
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
            Err(error) => self.handle(&error)?,
        }
        Ok(())
    }

    /// A credential has changed, or is seen for the first time.
    async fn update(&mut self, credential: ApiCredential) -> Result<(), PluginError> {
        let (namespace, name) = key(&credential);
        let Some(index) = self.pending_renewals.iter().position(|pending| pending.is(&namespace, &name)) else {
            return Ok(());
        };
        let pending = &mut self.pending_renewals[index];
        pending.last = Some(credential);
        if let Some(answer) = pending.evaluate(self.connection, self.since.elapsed()).await? {
            self.pending_renewals.remove(index);
            self.results.push(self.reporter.report(answer)?);
        }
        Ok(())
    }

    /// Nothing has changed, but time has passed: a refusal counts now.
    async fn review(&mut self) -> Result<(), PluginError> {
        for pending in std::mem::take(&mut self.pending_renewals) {
            match pending.evaluate(self.connection, self.since.elapsed()).await? {
                Some(answer) => self.results.push(self.reporter.report(answer)?),
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
                    "it was deleted.",
                ))?);
            } else {
                self.pending_renewals.push(pending);
            }
        }
        Ok(())
    }

    /// A broken watch is restarted, unless it cannot be started at all.
    fn handle(&self, error: &watcher::Error) -> Result<(), PluginError> {
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
            kube::Error::Api(status) => status.message.trim_end_matches('.'),
            _ => "The API server forbids to watch ApiCredentials",
        };
        let command = match self.pending_renewals.first() {
            Some(pending) => format!("status {} -n {}", pending.name, pending.namespace),
            None => "list".to_owned(),
        };
        let message = format!(
            "{text}. --wait needs the permissions list and watch on apicredentials, which the role view includes: ask an administrator for a RoleBinding in this namespace. The renewal is requested all the same. See: kubectl apicredential {command}"
        );
        PluginError::new(Exit::Cluster, message)
    }

    /// The time is up. Each Secret is read once more, because the status may lag behind it, or be lost.
    async fn finish(mut self) -> Result<Vec<RenewResult>, PluginError> {
        for pending in std::mem::take(&mut self.pending_renewals) {
            let answer = match final_check(self.connection, &pending, self.since.elapsed()).await? {
                Some(answer) => answer,
                None => {
                    let message = format!(
                        "there was no answer in time; the request stands. See: kubectl apicredential status {} -n {}",
                        pending.name, pending.namespace
                    );
                    pending.result(RenewOutcome::Waiting, None, &message)
                }
            };
            self.results.push(self.reporter.report(answer)?);
        }
        Ok(self.results)
    }
}

impl PendingRenewal {
    fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The answer by what the watch has shown. The Secret is read only if the status reports another token, or another
    /// exchange that ended well: a new leader that finds a token reports only the former.
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

    /// What the target Secret says.
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

async fn final_check(
    connection: &Connection,
    pending: &PendingRenewal,
    waited: Duration,
) -> Result<Option<RenewResult>, PluginError> {
    let observation = pending.observe_secret(connection).await?;
    let api = connection.namespaced::<ApiCredential>(&pending.namespace);
    // After the Secret: the status that tells of its token is written later, or not at all.
    Ok(match connection.request_optional(api.get(&pending.name)).await? {
        Lookup::Found(credential) => pending.evaluate_against(&credential, &observation, waited),
        Lookup::NotFound | Lookup::Forbidden => Some(pending.result(RenewOutcome::Failed, None, "it was deleted.")),
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
        json!([{"type": "Renewed", "status": status, "reason": reason, "message": "Why.", "lastTransitionTime": "2026-01-01T00:00:00Z"}])
    }

    fn answer(status: &Value, observation: &SecretObservation, waited: u64) -> Option<RenewOutcome> {
        let pending = PendingRenewal::new(credential(&json!({"revision": 4})));
        pending
            .evaluate_against(&credential(status), observation, Duration::from_secs(waited))
            .map(|result| result.outcome)
    }

    #[test]
    fn the_secret_is_believed_before_the_count_of_exchanges() {
        let earlier = json!({"revision": 5});
        assert_eq!(
            answer(&earlier, &SecretObservation::AnsweredRequest(Some("other".to_owned())), 1),
            None,
            "one that was under way"
        );
        assert_eq!(answer(&earlier, &SecretObservation::Forbidden, 1), Some(RenewOutcome::Renewed));
        assert_eq!(answer(&json!({"revision": 4}), &SecretObservation::Forbidden, 1), None);
        assert_eq!(
            answer(&json!({"revision": 4}), &SecretObservation::AnsweredRequest(Some("this".to_owned())), 1),
            Some(RenewOutcome::Renewed)
        );
    }

    #[test]
    fn a_failed_attempt_is_the_answer_if_it_was_made_for_this_request() {
        let failed = |text: &str| json!({"lastHandledRenewRequest": text, "conditions": renewed_is("False", "CredentialsRejected"), "revision": 4});
        assert_eq!(answer(&failed("this"), &SecretObservation::Forbidden, 0), Some(RenewOutcome::Failed));
        assert_eq!(answer(&failed("an earlier one"), &SecretObservation::Forbidden, 60), None);
    }

    #[test]
    fn a_refusal_is_the_answer_once_the_operator_had_time_to_look() {
        let refused = json!({"conditions": renewed_is("False", "SourceNotPermitted"), "revision": 4});
        assert_eq!(answer(&refused, &SecretObservation::Forbidden, 1), None);
        assert_eq!(answer(&refused, &SecretObservation::Forbidden, 10), Some(RenewOutcome::Waiting));
    }
}
