//! The source Secret: the consent of its owner, then its type, then its keys.

use k8s_openapi::api::core::v1::Secret;
use kube_core::ResourceExt as _;
use secrecy::SecretString;

use crate::annotations;
use crate::plan::Plan;
use crate::providers::{Login, ProviderRequest, SourceKey};
use crate::reason::{Reason, Refusal};
use crate::revision::Revision;

mod characters;
mod consent;

pub use consent::needed_annotation;

/// The checked values of a source Secret.
pub struct SecretValues {
    /// The `uid/resourceVersion` of the Secret.
    pub version: String,
    /// The login with these values.
    pub login: Login,
}

impl SecretValues {
    /// The values in clear text, each after its name: what two logins are compared by.
    pub fn expose(&self) -> Vec<&str> {
        self.login.expose().into_iter().flat_map(|(name, value)| [name, value]).collect()
    }
}

/// The largest value of a key, in bytes.
pub(crate) const MAX_VALUE: usize = 4096;

/// Reads the values that a token request needs.
///
/// # Errors
/// One of the source reasons. They are checked in this order: not found, consent, type, keys.
pub fn resolve(namespace: &str, plan: &Plan, secret: Option<&Secret>) -> Result<SecretValues, Refusal> {
    read(namespace, &plan.source, &plan.request, secret)
}

/// Like [`resolve`], for a request and a source Secret that do not come from a plan.
///
/// # Errors
/// See [`resolve`].
pub fn read(
    namespace: &str,
    source: &str,
    request: &ProviderRequest,
    secret: Option<&Secret>,
) -> Result<SecretValues, Refusal> {
    let Some(secret) = secret else {
        return Err(Refusal::new(
            Reason::SourceSecretNotFound,
            format!("The source Secret {source:?} does not exist in the ApiCredential's namespace; create it."),
        ));
    };
    consent::check(namespace, source, request, secret)?;
    let type_ = secret.type_.as_deref().unwrap_or("Opaque");
    if secret.labels().contains_key(annotations::MANAGED) || is_forbidden_type(type_) {
        return Err(Reason::SourceTypeForbidden.into());
    }
    let login = request.login(|key| read_key(secret, key))?;
    Ok(SecretValues { version: Revision::of(secret).as_str().to_owned(), login })
}

fn is_forbidden_type(type_: &str) -> bool {
    (type_.starts_with("kubernetes.io/") && type_ != "kubernetes.io/basic-auth")
        || type_.starts_with("bootstrap.kubernetes.io/")
        || type_.starts_with("helm.sh/")
}

fn read_key(secret: &Secret, key: &SourceKey) -> Result<SecretString, Refusal> {
    let SourceKey { name, field } = key;
    match secret.data.as_ref().and_then(|data| data.get(name)) {
        Some(bytes) => check_value(&format!("The source Secret's key {name:?}"), &bytes.0),
        None => Err(Refusal::new(
            Reason::SourceKeyMissing,
            format!("The source Secret lacks the key {name:?}; add it, or name another key in {field}."),
        )),
    }
}

/// Checks one value of a login, from a Secret or from elsewhere. The message of the error begins with `what`.
///
/// # Errors
/// The value is empty, too large, not UTF-8, or begins or ends with a character that nobody sees.
pub fn check_value(what: &str, bytes: &[u8]) -> Result<SecretString, Refusal> {
    let refuse = |reason: Reason, why: &str| Err(Refusal::new(reason, format!("{what} {why}")));
    if bytes.is_empty() {
        return refuse(Reason::SourceKeyEmpty, "is empty; write the value into it.");
    }
    if bytes.len() > MAX_VALUE {
        return refuse(Reason::SourceTooLarge, "is larger than 4096 bytes; give only the value of the login.");
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return refuse(Reason::SourceNotUtf8, "is not valid UTF-8; write the value as text.");
    };
    if let Some(end) = characters::invisible_end(text) {
        return refuse(
            Reason::SourceHasWhitespace,
            &format!(
                "{end}; write the value without it, for example with kubectl create secret generic --from-literal or printf."
            ),
        );
    }
    Ok(SecretString::from(text.to_owned()))
}
