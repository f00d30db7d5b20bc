//! The consent of the owner of a source Secret: a label names the one provider that may receive values of the Secret, and
//! an annotation the keys.
//!
//! Without the annotation, only the provider's default names are permitted, each for its own purpose. So an author who may
//! not read the Secret cannot have another of its keys sent to the provider, nor the password sent as user name.

use k8s_openapi::api::core::v1::Secret;
use kube_core::ResourceExt as _;

use crate::annotations;
use crate::providers::{ProviderRequest, SourceKey};
use crate::reason::{Reason, Refusal};

/// Checks the consent to send the keys that a request uses to its provider.
///
/// # Errors
/// `SourceNotPermitted`, with the line that gives the consent.
pub(super) fn check(namespace: &str, source: &str, request: &ProviderRequest, secret: &Secret) -> Result<(), Refusal> {
    let provider = request.provider();
    if secret.labels().get(annotations::SOURCE).is_none_or(|value| value != provider.label()) {
        return Err(Refusal::new(
            Reason::SourceNotPermitted,
            format!(
                "The source Secret does not permit its use for {provider}; to permit it, run: kubectl -n {namespace} label --overwrite secret {source} {}={}",
                annotations::SOURCE,
                provider.label(),
            ),
        ));
    }
    let used = used_keys(request);
    let Some(key) = refused_key(secret, &used) else { return Ok(()) };
    Err(Refusal::limited_to_a_note(
        Reason::SourceNotPermitted,
        format!(
            "The source Secret does not permit the use of the key {key:?} for {provider}; name another key in spec.provider, or to permit it, run: kubectl -n {namespace} annotate --overwrite secret {source} {}={}",
            annotations::SOURCE_KEYS,
            list(&used),
        ),
    ))
}

/// The value of the annotation `apicredential.io/source-keys` that a request needs. `None` if it uses only keys with their
/// default names, for which no annotation is needed.
pub fn needed_annotation(request: &ProviderRequest) -> Option<String> {
    let used = used_keys(request);
    used.iter().any(|(key, default)| key.name != *default).then(|| list(&used))
}

/// The keys that a request uses, each with its default name.
fn used_keys(request: &ProviderRequest) -> Vec<(&SourceKey, &'static str)> {
    request.source_keys().into_iter().zip(request.provider().default_keys().iter().copied()).collect()
}

fn refused_key<'a>(secret: &Secret, used: &[(&'a SourceKey, &str)]) -> Option<&'a str> {
    let refused = match secret.annotations().get(annotations::SOURCE_KEYS) {
        Some(names) => {
            let permitted: Vec<&str> = names.split(',').map(str::trim).collect();
            used.iter().find(|(key, _)| !permitted.contains(&key.name.as_str()))
        }
        None => used.iter().find(|(key, default)| key.name != *default),
    };
    refused.map(|(key, _)| key.name.as_str())
}

fn list(used: &[(&SourceKey, &str)]) -> String {
    used.iter().map(|(key, _)| key.name.as_str()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn qontak(keys: &Value) -> ProviderRequest {
        let spec = json!({"type": "Qontak", "qontak": {"secretRef": {"name": "login"}, "keys": keys}});
        ProviderRequest::parse(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    /// The last word of the refusal for these keys of the spec, with that annotation.
    fn refused(keys: &Value, annotation: Option<&str>) -> Option<String> {
        let secret = json!({
            "metadata": {
                "labels": {annotations::SOURCE: "qontak"},
                "annotations": annotation.map(|text| json!({annotations::SOURCE_KEYS: text})),
            },
            "data": {"username": "", "password": "", "ca.key": ""},
        });
        let refusal = check("care", "login", &qontak(keys), &serde_json::from_value(secret).unwrap()).err()?;
        assert_eq!(refusal.reason, Reason::SourceNotPermitted);
        assert!(refusal.message.contains("kubectl -n care annotate --overwrite secret login"), "{}", refusal.message);
        refusal.message.split(' ').next_back().map(str::to_owned)
    }

    #[test]
    fn without_the_annotation_each_key_has_its_default_name_and_no_other() {
        let needs = |keys: &str| Some(format!("apicredential.io/source-keys={keys}"));
        assert_eq!(refused(&json!({}), None), None);
        assert_eq!(refused(&json!({"password": "ca.key"}), None), needs("username,ca.key"));
        // The password would be sent as user name, and end in the provider's log.
        let flipped = json!({"username": "password", "password": "username"});
        assert_eq!(refused(&flipped, None), needs("password,username"));
        // Whether the Secret has the key stays unknown without consent.
        assert_eq!(refused(&json!({"username": "user"}), None), needs("user,password"));
        // The keys of an OAuth client are used only if the spec names them.
        assert_eq!(refused(&json!({"clientId": "client_id", "clientSecret": "client_secret"}), None), None);
        let other = json!({"clientId": "client_id", "clientSecret": "ca.key"});
        assert_eq!(refused(&other, None), needs("username,password,client_id,ca.key"));
    }

    #[test]
    fn the_annotation_names_all_keys_that_are_used() {
        let other = json!({"username": "user"});
        assert_eq!(refused(&other, Some("user,password")), None);
        assert_eq!(refused(&other, Some(" password , user ,more")), None);
        for annotation in ["", "user", "user;password", "User,password", "username,password"] {
            assert!(refused(&other, Some(annotation)).is_some(), "{annotation}");
        }
        // With the annotation, the default names count no more than others.
        assert!(refused(&json!({}), Some("user,password")).is_some());
    }

    #[test]
    fn the_annotation_that_is_needed_is_one_that_permits() {
        assert_eq!(needed_annotation(&qontak(&json!({}))), None);
        let keys = json!({"username": "user", "password": "pass"});
        let annotation = needed_annotation(&qontak(&keys)).unwrap();
        assert_eq!(annotation, "user,pass");
        assert_eq!(refused(&keys, Some(&annotation)), None);
    }
}
