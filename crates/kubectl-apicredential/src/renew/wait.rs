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

use super::{Answer, RenewReporter, RenewResult, renewed};
use crate::connect::{Cluster, Scope, Seen};
use crate::failure::{Exit, Failure};
use crate::view::{condition, status};

/// A refusal that stands for so long after the request is the answer to it: the operator needs no more for a look.
const REFUSED_AFTER: Duration = Duration::from_secs(10);

/// A request, and how things stood when it was made.
#[derive(Debug)]
pub(super) struct Asked {
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
enum Sight {
    /// The request that its token answers.
    Request(Option<String>),
    /// Nothing.
    Hidden,
}

impl Asked {
    /// Of the credential as it was after the annotation was set.
    pub(super) fn of(credential: ApiCredential) -> Self {
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

    pub(super) fn told(&self, result: Answer, reason: Option<&str>, message: &str) -> RenewResult {
        RenewResult {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            result,
            reason: reason.map(str::to_owned),
            message: (!message.is_empty()).then(|| message.to_owned()),
        }
    }

    /// The answer, if there is one by now.
    fn answer(&self, credential: &ApiCredential, sight: &Sight, waited: Duration) -> Option<RenewResult> {
        let status = status(credential);
        let is_renewed = match sight {
            Sight::Request(text) => text.as_ref() == Some(&self.text),
            Sight::Hidden => status.revision.unwrap_or(0) > self.revision,
        };
        if is_renewed {
            return Some(self.told(Answer::Renewed, None, &renewed(credential, clock::now())));
        }
        if credential.spec.suspend {
            return Some(self.told(Answer::Waiting, Some("Suspended"), "it happens once spec.suspend is false."));
        }
        let tells = |result, condition: &Condition| self.told(result, Some(&condition.reason), &condition.message);
        if status.last_handled_renew_request.as_ref() == Some(&self.text) {
            return match condition(&status, "Renewed") {
                Some(failed) if failed.status == "False" => Some(tells(Answer::Failed, failed)),
                // Another try has come through since.
                _ => Some(self.told(Answer::Renewed, None, &renewed(credential, clock::now()))),
            };
        }
        let refused = ["Renewed", "Ready"].iter().find_map(|type_| {
            let condition = condition(&status, type_).filter(|condition| condition.status == "False")?;
            (Reason::parse(&condition.reason)?.class() == Class::Local).then_some(condition)
        });
        refused.filter(|_| waited >= REFUSED_AFTER).map(|refused| tells(Answer::Waiting, refused))
    }
}

/// Waits for the results of all requests and reports each as soon as it is known. One watch serves all of them; it is
/// restarted when it breaks.
pub(super) async fn answers(
    cluster: &Cluster,
    scope: &Scope,
    open: Vec<Asked>,
    timeout: Duration,
    teller: &RenewReporter<'_>,
) -> Result<Vec<RenewResult>, Failure> {
    let since = SuspendAwareInstant::now();
    let config = match &open[..] {
        // The user may have permissions for this name alone.
        [asked] => watcher::Config::default().fields(&format!("metadata.name={}", asked.name)),
        _ => watcher::Config::default(),
    };
    let mut events = pin!(watcher::watcher(cluster.api::<ApiCredential>(scope), config).default_backoff());
    let mut wait = Wait { cluster, teller, since, open, listed: Vec::new(), told: Vec::new() };
    while !wait.open.is_empty() {
        let elapsed = since.elapsed();
        if elapsed >= timeout {
            return wait.finish().await;
        }
        let next = if elapsed < REFUSED_AFTER { REFUSED_AFTER.min(timeout) } else { timeout };
        tokio::select! {
            Some(event) = events.next() => wait.observe(event).await?,
            () = sleep(next.saturating_sub(elapsed)) => wait.review().await?,
        }
    }
    Ok(wait.told)
}

/// What is waited for, and what is known by now.
struct Wait<'a> {
    cluster: &'a Cluster,
    teller: &'a RenewReporter<'a>,
    since: SuspendAwareInstant,
    open: Vec<Asked>,
    /// Those that the list so far holds, by namespace and name, while the watch begins with a list.
    listed: Vec<(String, String)>,
    told: Vec<RenewResult>,
}

impl Wait<'_> {
    async fn observe(&mut self, event: watcher::Result<Event<ApiCredential>>) -> Result<(), Failure> {
        match event {
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(credential)) => {
                self.listed.push(key(&credential));
                self.update(credential).await?;
            }
            Ok(Event::InitDone) => {
                let listed = std::mem::take(&mut self.listed);
                let is_gone = |asked: &Asked| !listed.iter().any(|(namespace, name)| asked.is(namespace, name));
                self.report_deleted(is_gone)?;
            }
            Ok(Event::Apply(credential)) => self.update(credential).await?,
            Ok(Event::Delete(credential)) => {
                let (namespace, name) = key(&credential);
                self.report_deleted(|asked| asked.is(&namespace, &name))?;
            }
            Err(error) => self.handle(&error)?,
        }
        Ok(())
    }

    /// A credential has changed, or is seen for the first time.
    async fn update(&mut self, credential: ApiCredential) -> Result<(), Failure> {
        let (namespace, name) = key(&credential);
        let Some(index) = self.open.iter().position(|asked| asked.is(&namespace, &name)) else { return Ok(()) };
        let asked = &mut self.open[index];
        asked.last = Some(credential);
        if let Some(answer) = asked.evaluate(self.cluster, self.since.elapsed()).await? {
            self.open.remove(index);
            self.told.push(self.teller.tell(answer)?);
        }
        Ok(())
    }

    /// Nothing has changed, but time has passed: a refusal counts now.
    async fn review(&mut self) -> Result<(), Failure> {
        for asked in std::mem::take(&mut self.open) {
            match asked.evaluate(self.cluster, self.since.elapsed()).await? {
                Some(answer) => self.told.push(self.teller.tell(answer)?),
                None => self.open.push(asked),
            }
        }
        Ok(())
    }

    fn report_deleted(&mut self, is_deleted: impl Fn(&Asked) -> bool) -> Result<(), Failure> {
        for asked in std::mem::take(&mut self.open) {
            if is_deleted(&asked) {
                self.told.push(self.teller.tell(asked.told(Answer::Failed, None, "it was deleted."))?);
            } else {
                self.open.push(asked);
            }
        }
        Ok(())
    }

    /// A broken watch is restarted, unless it cannot be started at all.
    fn handle(&self, error: &watcher::Error) -> Result<(), Failure> {
        let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
            return Ok(());
        };
        match ErrorKind::of(error) {
            ErrorKind::Unavailable | ErrorKind::UnexpectedStatus | ErrorKind::Conflict => Ok(()),
            ErrorKind::Forbidden => Err(self.forbidden(error)),
            _ => Err(self.cluster.failure(error)),
        }
    }

    fn forbidden(&self, error: &kube::Error) -> Failure {
        let text = match error {
            kube::Error::Api(status) => status.message.trim_end_matches('.'),
            _ => "The API server forbids to watch ApiCredentials",
        };
        let command = match self.open.first() {
            Some(asked) => format!("status {} -n {}", asked.name, asked.namespace),
            None => "list".to_owned(),
        };
        let message = format!(
            "{text}. --wait needs the permissions list and watch on apicredentials, which the role view includes: ask an administrator for a RoleBinding in this namespace. The renewal is requested all the same. See: kubectl apicredential {command}"
        );
        Failure::new(Exit::Cluster, message)
    }

    /// The time is up. Each Secret is read once more, because the status may lag behind it, or be lost.
    async fn finish(mut self) -> Result<Vec<RenewResult>, Failure> {
        for asked in std::mem::take(&mut self.open) {
            let answer = match look(self.cluster, &asked, self.since.elapsed()).await? {
                Some(answer) => answer,
                None => {
                    let message = format!(
                        "there was no answer in time; the request stands. See: kubectl apicredential status {} -n {}",
                        asked.name, asked.namespace
                    );
                    asked.told(Answer::Waiting, None, &message)
                }
            };
            self.told.push(self.teller.tell(answer)?);
        }
        Ok(self.told)
    }
}

impl Asked {
    fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The answer by what the watch has shown. The Secret is read only if the status reports another token, or another
    /// exchange that ended well: a new leader that finds a token reports only the former.
    async fn evaluate(&self, cluster: &Cluster, waited: Duration) -> Result<Option<RenewResult>, Failure> {
        let Some(credential) = &self.last else { return Ok(None) };
        let status = status(credential);
        let sight = if status.revision.unwrap_or(0) > self.revision || status.token != self.token {
            self.sight(cluster).await?
        } else {
            Sight::Request(None)
        };
        Ok(self.answer(credential, &sight, waited))
    }

    /// What the target Secret says.
    async fn sight(&self, cluster: &Cluster) -> Result<Sight, Failure> {
        let secrets = cluster.namespaced::<Secret>(&self.namespace);
        Ok(match cluster.look(secrets.get_metadata(&self.target)).await? {
            Seen::There(secret) => Sight::Request(secret.annotations().get(annotations::RENEW_REQUEST).cloned()),
            Seen::Absent => Sight::Request(None),
            Seen::Hidden => Sight::Hidden,
        })
    }
}

fn key(credential: &ApiCredential) -> (String, String) {
    (credential.namespace().unwrap_or_default(), credential.name_any())
}

async fn look(cluster: &Cluster, asked: &Asked, waited: Duration) -> Result<Option<RenewResult>, Failure> {
    let sight = asked.sight(cluster).await?;
    let api = cluster.namespaced::<ApiCredential>(&asked.namespace);
    // After the Secret: the status that tells of its token is written later, or not at all.
    Ok(match cluster.look(api.get(&asked.name)).await? {
        Seen::There(credential) => asked.answer(&credential, &sight, waited),
        Seen::Absent | Seen::Hidden => Some(asked.told(Answer::Failed, None, "it was deleted.")),
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

    fn answer(status: &Value, sight: &Sight, waited: u64) -> Option<Answer> {
        let asked = Asked::of(credential(&json!({"revision": 4})));
        asked.answer(&credential(status), sight, Duration::from_secs(waited)).map(|told| told.result)
    }

    #[test]
    fn the_secret_is_believed_before_the_count_of_exchanges() {
        let earlier = json!({"revision": 5});
        assert_eq!(answer(&earlier, &Sight::Request(Some("other".to_owned())), 1), None, "one that was under way");
        assert_eq!(answer(&earlier, &Sight::Hidden, 1), Some(Answer::Renewed));
        assert_eq!(answer(&json!({"revision": 4}), &Sight::Hidden, 1), None);
        assert_eq!(answer(&json!({"revision": 4}), &Sight::Request(Some("this".to_owned())), 1), Some(Answer::Renewed));
    }

    #[test]
    fn a_failed_attempt_is_the_answer_if_it_was_made_for_this_request() {
        let failed = |text: &str| json!({"lastHandledRenewRequest": text, "conditions": renewed_is("False", "CredentialsRejected"), "revision": 4});
        assert_eq!(answer(&failed("this"), &Sight::Hidden, 0), Some(Answer::Failed));
        assert_eq!(answer(&failed("an earlier one"), &Sight::Hidden, 60), None);
    }

    #[test]
    fn a_refusal_is_the_answer_once_the_operator_had_time_to_look() {
        let refused = json!({"conditions": renewed_is("False", "SourceNotPermitted"), "revision": 4});
        assert_eq!(answer(&refused, &Sight::Hidden, 1), None);
        assert_eq!(answer(&refused, &Sight::Hidden, 10), Some(Answer::Waiting));
    }
}
