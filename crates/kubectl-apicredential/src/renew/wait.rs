//! Waiting for the answer to a request.
//!
//! The Secret says it exactly: it carries the text of the request that its token answers. Whoever may not read it learns a
//! failure from `lastHandledRenewRequest`, and a success from `revision`, which counts the exchanges that ended well.

use std::time::Duration;

use apicredential::annotations;
use apicredential::api::ApiCredential;
use apicredential::reason::{Class, Reason};
use apicredential_operator::clock::{self, Mark};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use tokio::time::sleep;

use super::{Answer, Teller, Told, renewed};
use crate::connect::{Cluster, Seen};
use crate::failure::Failure;
use crate::view::{condition, status};

/// How often each is looked at.
const PACE: Duration = Duration::from_secs(1);
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
        Self {
            namespace: credential.namespace().unwrap_or_default(),
            name: credential.name_any(),
            text: credential.annotations().get(annotations::RENEW_REQUESTED_AT).cloned().unwrap_or_default(),
            revision: status(&credential).revision.unwrap_or(0),
            target: credential.spec.target.name,
        }
    }

    pub(super) fn told(&self, result: Answer, reason: Option<&str>, message: &str) -> Told {
        Told {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            result,
            reason: reason.map(str::to_owned),
            message: (!message.is_empty()).then(|| message.to_owned()),
        }
    }

    /// The answer, if there is one by now.
    fn answer(&self, credential: &ApiCredential, sight: &Sight, waited: Duration) -> Option<Told> {
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

/// Waits for all of them; each is told of as soon as it is known.
pub(super) async fn answers(
    cluster: &Cluster,
    mut open: Vec<Asked>,
    timeout: Duration,
    teller: &Teller<'_>,
) -> Result<Vec<Told>, Failure> {
    let (since, mut told) = (Mark::now(), Vec::new());
    loop {
        let mut still_open = Vec::new();
        for asked in open {
            match look(cluster, &asked, since.elapsed()).await? {
                Some(answer) => told.push(teller.tell(answer)?),
                None => still_open.push(asked),
            }
        }
        open = still_open;
        if open.is_empty() || since.elapsed() >= timeout {
            break;
        }
        sleep(PACE.min(timeout.saturating_sub(since.elapsed()))).await;
    }
    for asked in open {
        let message = format!(
            "there was no answer in time; the request stands. See: kubectl apicredential status {} -n {}",
            asked.name, asked.namespace
        );
        told.push(teller.tell(asked.told(Answer::Waiting, None, &message))?);
    }
    Ok(told)
}

async fn look(cluster: &Cluster, asked: &Asked, waited: Duration) -> Result<Option<Told>, Failure> {
    let api = cluster.namespaced::<ApiCredential>(&asked.namespace);
    let secrets = cluster.namespaced::<Secret>(&asked.namespace);
    let sight = match cluster.look(secrets.get_metadata(&asked.target)).await? {
        Seen::There(secret) => Sight::Request(secret.annotations().get(annotations::RENEW_REQUEST).cloned()),
        Seen::Absent => Sight::Request(None),
        Seen::Hidden => Sight::Hidden,
    };
    // After the Secret: the status that tells of its token is written later, or not at all.
    Ok(match cluster.look(api.get(&asked.name)).await? {
        Seen::There(credential) => asked.answer(&credential, &sight, waited),
        Seen::Absent | Seen::Hidden => Some(asked.told(Answer::Failed, None, "it was deleted.")),
    })
}

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
