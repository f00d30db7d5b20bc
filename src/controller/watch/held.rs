//! A credential as it is held between looks: small, because thousands are held and few are looked at.

use std::sync::Arc;

use apicredential::annotations;
use apicredential::api::ApiCredential;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

use super::DecodeResult;
use crate::controller::memory::number;
use crate::kube_api::pruned::Pruned;

/// What most credentials have in common, so that only the rest is stored: names, times, versions. What is not like it
/// costs more room and nothing else.
const TYPICAL: &[u8] = include_bytes!("held/typical.json");

/// A credential without what nobody asks for: labels, foreign annotations, managed fields, owners. Clones share it.
#[derive(Clone, Debug)]
pub struct Held {
    /// The object as compressed JSON; of one that cannot be decoded its metadata alone.
    packed: Arc<[u8]>,
    /// Its resourceVersion, if that is a number.
    pub version: Option<u64>,
}

impl Held {
    /// Packs a credential.
    pub fn of(object: &DecodeResult) -> Self {
        let metadata = asked_for(object.meta());
        let json = match &object.0 {
            Ok(credential) => {
                let (spec, status) = (credential.spec.clone(), credential.status.clone());
                serde_json::to_vec(&ApiCredential { metadata, spec, status })
            }
            Err(_undecodable) => serde_json::to_vec(&serde_json::json!({ "metadata": metadata })),
        };
        let version = number(object.meta().resource_version.as_deref());
        Self { packed: compress_prepend_size_with_dict(&json.unwrap_or_default(), TYPICAL).into(), version }
    }

    /// The credential as the watch delivered it.
    pub fn open(&self) -> DecodeResult {
        let json = decompress_size_prepended_with_dict(&self.packed, TYPICAL).unwrap_or_default();
        let nothing =
            |_| DeserializeGuard(Err(InvalidObject { error: String::new(), metadata: ObjectMeta::default() }));
        // What was packed can be read again.
        serde_json::from_slice(&json).map_or_else(nothing, |Pruned(guarded)| guarded)
    }

    /// Whether it is the very same, and not an equal one.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.packed, &other.packed)
    }
}

fn asked_for(meta: &ObjectMeta) -> ObjectMeta {
    let request = meta.annotations.as_ref().and_then(|all| all.get_key_value(annotations::RENEW_REQUESTED_AT));
    ObjectMeta {
        annotations: request.map(|(name, text)| [(name.clone(), text.clone())].into()),
        creation_timestamp: meta.creation_timestamp.clone(),
        deletion_timestamp: meta.deletion_timestamp.clone(),
        generation: meta.generation,
        resource_version: meta.resource_version.clone(),
        uid: meta.uid.clone(),
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn typical() -> Value {
        serde_json::from_slice(TYPICAL).unwrap()
    }

    fn guarded(value: Value) -> DecodeResult {
        DeserializeGuard(Ok(serde_json::from_value(value).unwrap()))
    }

    #[test]
    fn what_is_held_is_what_was_delivered_but_for_what_nobody_asks_for() {
        let mut value = typical();
        value["metadata"]["annotations"] = json!({annotations::RENEW_REQUESTED_AT: "now", "other": "x"});
        value["metadata"]["labels"] = json!({"team": "care"});
        value["spec"]["target"]["data"] = json!({"authorization": "Bearer {token}"});
        let opened = Held::of(&guarded(value.clone())).open().0.unwrap();
        value["metadata"]["annotations"] = json!({annotations::RENEW_REQUESTED_AT: "now"});
        value["metadata"].as_object_mut().unwrap().remove("labels");
        assert_eq!(json!(opened), json!(guarded(value).0.unwrap()));
    }

    #[test]
    fn one_that_cannot_be_decoded_keeps_its_metadata() {
        let metadata: ObjectMeta = serde_json::from_value(typical()["metadata"].clone()).unwrap();
        let invalid = InvalidObject { error: "quotes what it does not understand".to_owned(), metadata };
        let opened = Held::of(&DeserializeGuard(Err(invalid.clone()))).open().0.unwrap_err();
        assert_eq!(opened.metadata.uid, invalid.metadata.uid);
        assert_eq!(opened.metadata.generation, invalid.metadata.generation);
        assert_eq!(opened.error, "");
    }

    #[test]
    fn a_credential_like_the_others_takes_little_room() {
        let mut value = typical();
        for (field, text) in [("name", "another-name"), ("uid", "0f9d6a3e-1111-4222-8333-944455566677")] {
            value["metadata"][field] = json!(text);
        }
        value["metadata"]["resourceVersion"] = json!("987654");
        value["spec"]["target"]["name"] = json!("another-token");
        value["status"]["token"]["expirationTime"] = json!("2027-02-03T04:05:06Z");
        let packed = Held::of(&guarded(value.clone())).packed.len();
        assert!(packed < 400, "{packed} of {} bytes", value.to_string().len());
    }
}
