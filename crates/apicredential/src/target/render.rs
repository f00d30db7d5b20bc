//! Renders a token and its annotations into the target Secret, and reads them back.
//!
//! [`render`] gives a [`Rendering`] of all our keys, labels and annotations, which becomes a new Secret or the patch of
//! an existing one. Everything else in the Secret stays as it is.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube_core::Resource as _;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use crate::annotations;
use crate::api::ApiCredential;
use crate::plan::Plan;
use crate::plan::metadata::is_reserved;
use crate::plan::template::Placeholder;
use crate::schedule::Expiry;
use crate::target::fingerprint::Fingerprint;

#[cfg(test)]
mod tests;

/// A token and the data that is stored with it in annotations of the target Secret.
#[derive(Clone, Debug)]
pub struct TokenRecord {
    /// The raw token.
    pub token: SecretString,
    /// When it was issued, in whole seconds.
    pub issued_at: Timestamp,
    /// When it expires, in whole seconds.
    pub expiry: Expiry,
    /// The `uid/resourceVersion` of the source Secret that it was issued with, or of a later one with the same values.
    pub source_version: String,
    /// The fingerprint of the spec that it was issued for, and of its times.
    pub fingerprint: Fingerprint,
    /// The renew request that it answers, if there was one.
    pub renew_request: Option<String>,
}

/// The value of the annotation `apicredential.io/expires-at`: RFC 3339, or `never`.
pub fn expiry_text(expiry: Expiry) -> String {
    match expiry {
        Expiry::At(time) => time.to_string(),
        Expiry::Never => "never".to_owned(),
    }
}

/// The token in a target Secret, before its fingerprint is checked.
pub enum StoredToken {
    /// There is no token.
    Missing,
    /// There is a token, but its annotations cannot be read, because another client changed them.
    Corrupt,
    /// The token and its annotations could be read.
    Intact(TokenRecord),
}

/// Reads the token in a target Secret.
pub fn read(secret: &Secret, plan: &Plan) -> StoredToken {
    let annotations = secret.metadata.annotations.as_ref();
    let text = |name| annotations.and_then(|annotations| annotations.get(name)).map(String::as_str);
    // The annotation names the key of the token first. spec.target.tokenKey may have changed since it was written.
    let key = text(annotations::KEYS).and_then(|keys| keys.split(',').next()).unwrap_or(&plan.target.token_key);
    let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else { return StoredToken::Missing };
    if text(annotations::ISSUED_AT).is_none() && text(annotations::FINGERPRINT).is_none() {
        // The operator did not write this key: it is a placeholder in a Merge target.
        return StoredToken::Missing;
    }
    let record = || {
        let issued_at = text(annotations::ISSUED_AT)?.parse().ok()?;
        let expiry = match text(annotations::EXPIRES_AT)? {
            "never" => Expiry::Never,
            time => Expiry::At(time.parse().ok()?),
        };
        if expiry.is_over(issued_at) {
            // The operator never writes this, and a status cannot hold a negative lifetime.
            return None;
        }
        Some(TokenRecord {
            token: SecretString::from(std::str::from_utf8(&bytes.0).ok()?),
            issued_at,
            expiry,
            source_version: text(annotations::SOURCE_VERSION).unwrap_or_default().to_owned(),
            fingerprint: Fingerprint::parse(text(annotations::FINGERPRINT)?)?,
            renew_request: text(annotations::RENEW_REQUEST).map(str::to_owned),
        })
    };
    record().map_or(StoredToken::Corrupt, StoredToken::Intact)
}

/// Our keys, labels and annotations of a target Secret, as they should be.
pub struct Rendering {
    data: BTreeMap<String, Zeroizing<Vec<u8>>>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// Renders a token for an ApiCredential.
pub fn render(credential: &ApiCredential, plan: &Plan, record: &TokenRecord) -> Rendering {
    let issued_at = record.issued_at.to_string();
    let expires_at = expiry_text(record.expiry);
    let target = &plan.target;
    let of_provider = plan.request.placeholders();
    let mut data = BTreeMap::new();
    data.insert(target.token_key.clone(), Zeroizing::new(record.token.expose_secret().as_bytes().to_vec()));
    for (key, template) in &target.data {
        let filled = template.fill(|placeholder| match placeholder {
            Placeholder::Token => record.token.expose_secret(),
            Placeholder::TokenType => crate::providers::TOKEN_TYPE,
            Placeholder::ExpiresAt => &expires_at,
            Placeholder::IssuedAt => &issued_at,
            Placeholder::Provider => plan.request.provider().as_str(),
            Placeholder::OfProvider(name) => {
                of_provider.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
            }
        });
        data.insert(key.clone(), Zeroizing::new(filled.into_bytes()));
    }
    let mut annotations = target.annotations.clone();
    let mut write = |name: &str, text: String| annotations.insert(name.to_owned(), text);
    write(annotations::OWNER, credential.metadata.name.clone().unwrap_or_default());
    write(annotations::OWNER_UID, credential.metadata.uid.clone().unwrap_or_default());
    write(annotations::KEYS, target.keys().collect::<Vec<_>>().join(","));
    write(annotations::ISSUED_AT, issued_at);
    write(annotations::EXPIRES_AT, expires_at);
    write(annotations::SOURCE_VERSION, record.source_version.clone());
    write(annotations::FINGERPRINT, record.fingerprint.to_text());
    if let Some(request) = &record.renew_request {
        write(annotations::RENEW_REQUEST, request.clone());
    }
    for (name, wrote) in [(annotations::LABELS, &target.labels), (annotations::ANNOTATIONS, &target.annotations)] {
        if !wrote.is_empty() {
            write(name, wrote.keys().map(String::as_str).collect::<Vec<_>>().join(","));
        }
    }
    let mut labels = target.labels.clone();
    labels.insert(annotations::MANAGED.to_owned(), "true".to_owned());
    Rendering { data, labels, annotations }
}

impl Rendering {
    /// A new Secret with this content, owned by the ApiCredential. `blockOwnerDeletion` stays absent, so that the
    /// Secret never delays the deletion of the ApiCredential.
    pub fn to_new_secret(&self, credential: &ApiCredential, name: &str) -> Secret {
        Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: credential.metadata.namespace.clone(),
                labels: Some(self.labels.clone()),
                annotations: Some(self.annotations.clone()),
                owner_references: Some(vec![OwnerReference {
                    api_version: ApiCredential::api_version(&()).into_owned(),
                    kind: ApiCredential::kind(&()).into_owned(),
                    name: credential.metadata.name.clone().unwrap_or_default(),
                    uid: credential.metadata.uid.clone().unwrap_or_default(),
                    controller: Some(true),
                    block_owner_deletion: None,
                }]),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(self.data.iter().map(|(key, value)| (key.clone(), ByteString(value.to_vec()))).collect()),
            ..Secret::default()
        }
    }

    /// The JSON merge patch that gives `current` this content; `None` if nothing differs. It names the uid and the
    /// resourceVersion, so that the API server rejects it for any other version. What is not ours is not in the patch
    /// and stays.
    pub fn to_patch(&self, current: &Secret) -> Option<Value> {
        let meta = &current.metadata;
        let empty = BTreeMap::new();
        let annotations = meta.annotations.as_ref().unwrap_or(&empty);
        let listed = |name: &str| {
            let names = annotations.get(name).map_or("", String::as_str);
            names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };

        let mut data = Map::new();
        for (key, value) in &self.data {
            if current.data.as_ref().and_then(|data| data.get(key)).is_none_or(|found| found.0 != **value) {
                data.insert(key.clone(), json!(BASE64_STANDARD.encode(value)));
            }
        }
        for key in listed(annotations::KEYS) {
            if !self.data.contains_key(&key) && current.data.as_ref().is_some_and(|data| data.contains_key(&key)) {
                data.insert(key, Value::Null);
            }
        }
        // Somebody else may have written names into our lists that the operator never sets, such as the consent
        // annotation.
        let set_once = |list| listed(list).into_iter().filter(|name| !is_reserved(name)).collect::<Vec<_>>();
        let labels = difference(meta.labels.as_ref().unwrap_or(&empty), &self.labels, set_once(annotations::LABELS));
        let mut dropped = set_once(annotations::ANNOTATIONS);
        dropped.extend(annotations::OURS.iter().map(|name| (*name).to_owned()));
        let annotations = difference(annotations, &self.annotations, dropped);

        if data.is_empty() && labels.is_empty() && annotations.is_empty() {
            return None;
        }
        Some(json!({
            "metadata": {
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
                "labels": labels,
                "annotations": annotations,
            },
            "data": data,
        }))
    }
}

/// The entries to set, and null for the entries that the operator wrote before and that are no longer wanted.
fn difference(
    current: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
    written_before: Vec<String>,
) -> Map<String, Value> {
    let set = wanted.iter().filter(|(name, text)| current.get(*name) != Some(text));
    let mut changes: Map<String, Value> = set.map(|(name, text)| (name.clone(), json!(text))).collect();
    let removed = written_before.into_iter().filter(|name| !wanted.contains_key(name) && current.contains_key(name));
    changes.extend(removed.map(|name| (name, Value::Null)));
    changes
}
