//! The source and the target Secret of an ApiCredential, checked with the operator's own rules. Values are never part of
//! the report.

use apicredential::annotations;
use apicredential::api::{ApiCredential, CreationPolicy};
use apicredential::plan::Plan;
use apicredential::reason::Reason;
use apicredential::revision::Revision;
use apicredential::source;
use apicredential::target::ownership::{self, CredentialLookup};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Resource as _, ResourceExt as _};
use serde::Serialize;

use super::Problem;
use crate::conditions;
use crate::connection::{Connection, Lookup};
use crate::error::PluginError;

/// The Secret that holds the login.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceReport {
    pub name: String,
    /// Whether the user may read the Secret. If not, the fields below say nothing.
    pub visible: bool,
    pub exists: bool,
    pub consents: bool,
    pub keys: Vec<KeyReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A key of the source.
#[derive(Debug, Serialize)]
pub struct KeyReport {
    pub name: String,
    pub present: bool,
}

/// The Secret that holds the token.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    pub name: String,
    pub creation_policy: CreationPolicy,
    /// Whether the user may read the Secret. If not, the fields below say nothing.
    pub visible: bool,
    pub exists: bool,
    pub ours: bool,
    /// As the annotation `apicredential.io/keys` lists them.
    pub keys: Vec<String>,
    /// How the Secret's metadata differ from what the operator wrote.
    pub drift: Vec<String>,
    #[serde(skip)]
    pub renew_request: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// Reads the source Secret. The read is not limited to metadata, because the report lists the keys.
pub async fn source(
    connection: &Connection,
    credential: &ApiCredential,
    plan: &Plan,
) -> Result<SourceReport, PluginError> {
    let namespace = credential.namespace().unwrap_or_default();
    let api = connection.namespaced::<Secret>(&namespace);
    let (visible, secret) = match connection.request_optional(api.get(&plan.source)).await? {
        Lookup::Found(secret) => (true, Some(secret)),
        Lookup::NotFound => (true, None),
        Lookup::Forbidden => (false, None),
    };
    let has = |key: &str| secret.as_ref().and_then(|it| it.data.as_ref()).is_some_and(|data| data.contains_key(key));
    let keys = plan.request.source_keys().into_iter();
    let keys = keys.map(|key| KeyReport { present: has(&key.name), name: key.name.clone() }).collect();
    let problem = visible.then(|| source::resolve(&namespace, plan, secret.as_ref()).err()).flatten();
    Ok(SourceReport {
        name: plan.source.clone(),
        visible,
        exists: secret.is_some(),
        consents: secret.is_some() && problem.as_ref().is_none_or(|it| it.reason != Reason::SourceNotPermitted),
        keys,
        problem: problem.map(Problem::from),
    })
}

/// Reads the target's metadata, and never the token.
pub async fn target(
    connection: &Connection,
    credential: &ApiCredential,
    plan: &Plan,
) -> Result<TargetReport, PluginError> {
    let namespace = credential.namespace().unwrap_or_default();
    let api = connection.namespaced::<Secret>(&namespace);
    let mut target = TargetReport {
        name: plan.target.name.clone(),
        creation_policy: plan.target.policy,
        visible: true,
        exists: false,
        ours: false,
        keys: Vec::new(),
        drift: Vec::new(),
        renew_request: None,
        problem: None,
    };
    let secret = match connection.request_optional(api.get_metadata(&plan.target.name)).await? {
        Lookup::Found(found) => Some(Secret { metadata: found.metadata, ..Secret::default() }),
        Lookup::NotFound => None,
        Lookup::Forbidden => {
            target.visible = false;
            return Ok(target);
        }
    };
    if let Some(secret) = &secret {
        target.exists = true;
        target.keys = keys(secret);
        target.renew_request = secret.annotations().get(annotations::RENEW_REQUEST).cloned();
    }
    let credentials_of_namespace = credentials_of_namespace(connection, credential).await?;
    match ownership::target(credential, plan, secret, &credentials_of_namespace) {
        ownership::Target::Absent => {}
        ownership::Target::Refused(refusal) => target.problem = Some(refusal.into()),
        ownership::Target::Ours { secret, blocked, .. } => {
            target.ours = true;
            target.problem = blocked.map(Problem::from);
            target.drift = drift(credential, plan, &secret);
        }
    }
    Ok(target)
}

fn keys(secret: &Secret) -> Vec<String> {
    let listed = secret.annotations().get(annotations::KEYS).map_or("", String::as_str);
    listed.split(',').filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

fn drift(credential: &ApiCredential, plan: &Plan, secret: &Secret) -> Vec<String> {
    let mut drift = Vec::new();
    let (written, wanted) = (keys(secret), plan.target.keys().collect::<Vec<_>>());
    if written != wanted {
        drift.push(format!(
            "the Secret has the keys {}, and the spec requires {}",
            written.join(","),
            wanted.join(",")
        ));
    }
    if secret.labels().get(annotations::MANAGED).is_none_or(|value| value != "true") {
        drift.push(format!("the label {} is missing", annotations::MANAGED));
    }
    let status = conditions::status(credential);
    if status.target.is_some_and(|target| target.revision() != Revision::of(secret)) {
        drift.push("the Secret was changed after the operator wrote it".to_owned());
    }
    drift
}

/// The ApiCredentials that may own the target; only this one if the user may not list the others.
async fn credentials_of_namespace(
    connection: &Connection,
    credential: &ApiCredential,
) -> Result<NamespaceCredentials, PluginError> {
    let api = connection.namespaced::<ApiCredential>(&credential.namespace().unwrap_or_default());
    match connection.request_optional(api.list(&ListParams::default())).await? {
        Lookup::Found(list) => Ok(NamespaceCredentials(list.items)),
        Lookup::NotFound | Lookup::Forbidden => Ok(NamespaceCredentials(vec![credential.clone()])),
    }
}

/// The ApiCredentials of one namespace.
struct NamespaceCredentials(Vec<ApiCredential>);

impl NamespaceCredentials {
    fn not_deleted(&self) -> impl Iterator<Item = &ApiCredential> {
        self.0.iter().filter(|it| it.metadata.deletion_timestamp.is_none())
    }
}

impl CredentialLookup for NamespaceCredentials {
    fn uid_exists(&self, _namespace: &str, _name: &str, uid: &str) -> bool {
        self.not_deleted().any(|it| it.uid().as_deref() == Some(uid))
    }

    fn name_exists(&self, _namespace: &str, name: &str) -> bool {
        self.not_deleted().any(|it| it.meta().name.as_deref() == Some(name))
    }

    fn is_oldest_for_target(&self, credential: &ApiCredential) -> bool {
        let age = |it: &ApiCredential| (it.creation_timestamp().map(|time| time.0), it.uid());
        let claimants = self.not_deleted().filter(|it| it.spec.target.name == credential.spec.target.name);
        claimants.map(age).min().is_none_or(|oldest| age(credential) <= oldest)
    }
}
