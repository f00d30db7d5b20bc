//! A token → our part of the Secret. Pure.

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
use crate::api::{ApiCredential, CreationPolicy};
use crate::plan::template::Placeholder;
use crate::plan::{self, Plan};
use crate::schedule::Expiry;
use crate::target::fingerprint::Fingerprint;

#[cfg(test)]
mod tests;

/// A token together with everything that is stored beside it.
#[derive(Clone, Debug)]
pub struct TokenRecord {
    /// The raw token.
    pub token: SecretString,
    /// When it was issued, whole seconds.
    pub issued_at: Timestamp,
    /// When it ends, whole seconds.
    pub expiry: Expiry,
    /// The source Secret it was made from, `uid/resourceVersion`.
    pub source_version: String,
    /// What it belongs to.
    pub fingerprint: Fingerprint,
    /// The renew request that it answers.
    pub renew_request: Option<String>,
}

/// The annotation's text of an expiry.
pub fn expiry_text(expiry: Expiry) -> String {
    match expiry {
        Expiry::At(time) => time.to_string(),
        Expiry::Never => "never".to_owned(),
    }
}

/// What a Secret holds of ours.
pub enum Found {
    /// No token.
    Missing,
    /// A token, but what stands beside it cannot be read: somebody changed it.
    Broken,
    /// A token and what belongs to it; the fingerprint is not checked yet.
    Whole(TokenRecord),
}

/// Reads what a Secret holds of ours.
pub fn read(secret: &Secret, plan: &Plan) -> Found {
    let annotations = secret.metadata.annotations.as_ref();
    let text = |name| annotations.and_then(|annotations| annotations.get(name)).map(String::as_str);
    // The token lies under the first of `keys`: spec.target.tokenKey may have changed since.
    let key = text(annotations::KEYS).and_then(|keys| keys.split(',').next()).unwrap_or(&plan.target.token_key);
    let Some(bytes) = secret.data.as_ref().and_then(|data| data.get(key)) else { return Found::Missing };
    if text(annotations::ISSUED_AT).is_none() && text(annotations::FINGERPRINT).is_none() {
        // A key of that name, but never a token of ours: a Merge target's placeholder.
        return Found::Missing;
    }
    let whole = || {
        let issued_at = text(annotations::ISSUED_AT)?.parse().ok()?;
        let expiry = match text(annotations::EXPIRES_AT)? {
            "never" => Expiry::Never,
            time => Expiry::At(time.parse().ok()?),
        };
        if expiry.is_over(issued_at) {
            // Never written by us, even if the fingerprint fits; and no status can say a lifetime below zero.
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
    whole().map_or(Found::Broken, Found::Whole)
}

/// Our part of a Secret, as it should be.
pub struct Rendering {
    data: BTreeMap<String, Zeroizing<Vec<u8>>>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// Renders a token for a credential.
pub fn render(credential: &ApiCredential, plan: &Plan, record: &TokenRecord) -> Rendering {
    let issued_at = record.issued_at.to_string();
    let expires_at = expiry_text(record.expiry);
    let target = &plan.target;
    let mut data = BTreeMap::new();
    data.insert(target.token_key.clone(), Zeroizing::new(record.token.expose_secret().as_bytes().to_vec()));
    for (key, template) in &target.data {
        let filled = template.fill(|placeholder| match placeholder {
            Placeholder::Token => record.token.expose_secret(),
            Placeholder::TokenType => crate::providers::TOKEN_TYPE,
            Placeholder::ExpiresAt => &expires_at,
            Placeholder::IssuedAt => &issued_at,
            Placeholder::Provider => plan.request.provider().as_str(),
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
    /// A new Secret with this content, owned by the credential; `blockOwnerDeletion` stays absent, so that nothing
    /// ever waits for us.
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

    /// The JSON merge patch that makes our part of `current` like this, bound to exactly that version of it; none
    /// if nothing differs. Whatever is not ours is not mentioned, and so stays.
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
        // Somebody else may have written into our lists what we never set, such as his own consent.
        let set_once = |list| listed(list).into_iter().filter(|name| !plan::is_reserved(name)).collect::<Vec<_>>();
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

    /// Keys that exist in `current`, that we want, and that are neither ours nor named by the consent.
    pub fn taken_key(plan: &Plan, current: &Secret) -> Option<String> {
        if plan.target.policy == CreationPolicy::Owner {
            return None;
        }
        let annotations = current.metadata.annotations.as_ref();
        let text = |name| annotations.and_then(|annotations| annotations.get(name)).map_or("", String::as_str);
        let consented = text(annotations::ALLOW).split_once(':').map_or("", |(_, keys)| keys);
        let ours = || text(annotations::KEYS).split(',').chain(consented.split(',').map(str::trim));
        plan.target
            .keys()
            .filter(|key| current.data.as_ref().is_some_and(|data| data.contains_key(*key)))
            .find(|key| !ours().any(|own| own == *key))
            .map(str::to_owned)
    }
}

/// Entries to set, and null for entries that we wrote once and no longer want.
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
