//! The source Secret: its owner's consent first, then its type, then its keys.

use k8s_openapi::api::core::v1::Secret;
use kube_core::ResourceExt as _;
use secrecy::{ExposeSecret, SecretString};

use crate::annotations;
use crate::object_key::version;
use crate::plan::{Plan, RequestPlan};
use crate::providers::{Login, QONTAK_PUBLIC_CLIENT_ID, QONTAK_PUBLIC_CLIENT_SECRET};
use crate::reason::{Reason, Refusal};

/// The values of a source Secret, checked.
pub struct SecretValues {
    /// The Secret's `uid/resourceVersion`.
    pub version: String,
    values: Vec<SecretString>,
}

impl SecretValues {
    /// SecretValues that come from no Secret, in the order of the fingerprint's source part.
    pub fn given(values: Vec<SecretString>) -> Self {
        Self { version: String::new(), values }
    }

    /// In the order of the fingerprint's source part.
    pub fn expose(&self) -> Vec<&str> {
        self.values.iter().map(ExposeSecret::expose_secret).collect()
    }

    /// What an exchange needs.
    pub fn inputs(&self, request: &RequestPlan) -> Option<Login> {
        match (request, self.values.as_slice()) {
            (RequestPlan::Welkin { endpoint, tenant, client_name, .. }, [secret]) => Some(Login::Welkin {
                endpoint: endpoint.clone(),
                tenant: tenant.clone(),
                client_name: client_name.clone(),
                secret: secret.clone(),
            }),
            (RequestPlan::Qontak { endpoint, .. }, [username, password, client_id, client_secret]) => {
                Some(Login::Qontak {
                    endpoint: endpoint.clone(),
                    username: username.clone(),
                    password: password.clone(),
                    client_id: client_id.clone(),
                    client_secret: client_secret.clone(),
                })
            }
            _ => None,
        }
    }
}

/// The largest value of a key, in bytes.
const LARGEST: usize = 4096;

/// Reads the values that an exchange needs.
///
/// # Errors
/// One of the source reasons, in this order: not found, consent, type, keys.
pub fn resolve(namespace: &str, plan: &Plan, secret: Option<&Secret>) -> Result<SecretValues, Refusal> {
    read(namespace, &plan.source, &plan.request, secret)
}

/// As [`resolve`], for a source of that name and a request that no credential asks for.
///
/// # Errors
/// As those of [`resolve`].
pub fn read(
    namespace: &str,
    source: &str,
    request: &RequestPlan,
    secret: Option<&Secret>,
) -> Result<SecretValues, Refusal> {
    let Some(secret) = secret else {
        return Err(Refusal::new(
            Reason::SourceSecretNotFound,
            format!("The source Secret {source:?} does not exist in the credential's namespace; create it."),
        ));
    };
    let label = request.provider().label();
    if secret.labels().get(annotations::SOURCE).is_none_or(|value| value != label) {
        return Err(Refusal::new(
            Reason::SourceNotPermitted,
            format!(
                "The source Secret does not permit its use for {}; its owner can: kubectl -n {namespace} label --overwrite secret {} {}={label}",
                request.provider(),
                source,
                annotations::SOURCE,
            ),
        ));
    }
    let type_ = secret.type_.as_deref().unwrap_or("Opaque");
    if secret.labels().contains_key(annotations::MANAGED) || is_forbidden_type(type_) {
        return Err(Reason::SourceTypeForbidden.into());
    }
    let values = match request {
        RequestPlan::Welkin { key, .. } => vec![required(secret, key)?],
        RequestPlan::Qontak { keys, .. } => vec![
            required(secret, &keys.username)?,
            required(secret, &keys.password)?,
            optional(secret, &keys.client_id, QONTAK_PUBLIC_CLIENT_ID)?,
            optional(secret, &keys.client_secret, QONTAK_PUBLIC_CLIENT_SECRET)?,
        ],
    };
    Ok(SecretValues { version: version(secret), values })
}

fn is_forbidden_type(type_: &str) -> bool {
    (type_.starts_with("kubernetes.io/") && type_ != "kubernetes.io/basic-auth")
        || type_.starts_with("bootstrap.kubernetes.io/")
        || type_.starts_with("helm.sh/")
}

fn required(secret: &Secret, key: &str) -> Result<SecretString, Refusal> {
    match secret.data.as_ref().and_then(|data| data.get(key)) {
        Some(bytes) => checked(key, &bytes.0),
        None => Err(Refusal::new(
            Reason::SourceKeyMissing,
            format!("The source Secret lacks the key {key:?}; add it, or name another key in spec.provider."),
        )),
    }
}

fn optional(secret: &Secret, key: &str, default: &str) -> Result<SecretString, Refusal> {
    match secret.data.as_ref().and_then(|data| data.get(key)) {
        Some(bytes) => checked(key, &bytes.0),
        None => Ok(SecretString::from(default.to_owned())),
    }
}

fn checked(key: &str, bytes: &[u8]) -> Result<SecretString, Refusal> {
    value(&format!("The source Secret's key {key:?}"), bytes)
}

/// A credential's text, wherever it comes from; `what` begins the sentence that refuses it.
///
/// # Errors
/// It is empty, too large, not UTF-8, or has whitespace at an end.
pub fn value(what: &str, bytes: &[u8]) -> Result<SecretString, Refusal> {
    let refuse = |reason: Reason, why: &str| Err(Refusal::new(reason, format!("{what} {why}")));
    if bytes.is_empty() {
        return refuse(Reason::SourceKeyEmpty, "is empty; write the value into it.");
    }
    if bytes.len() > LARGEST {
        return refuse(Reason::SourceTooLarge, "is larger than 4096 bytes; it cannot be the credential itself.");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refuse(Reason::SourceNotUtf8, "is not valid UTF-8; write the value as text.");
    };
    let edge = |character: char| character.is_ascii_whitespace();
    if text.starts_with(edge) || text.ends_with(edge) {
        return refuse(
            Reason::SourceHasWhitespace,
            "begins or ends with whitespace, often a trailing newline; write it without, for example with kubectl create secret generic --from-literal or printf.",
        );
    }
    Ok(SecretString::from(text.to_owned()))
}
