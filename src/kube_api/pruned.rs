//! Decodes objects without their `managedFields`. These are half of the text of an object, and the operator does not use them;
//! dropping them while decoding keeps large objects from filling the memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use apicredential::api::{ApiCredential, ApiCredentialSpec, ApiCredentialStatus};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// An object without its `managedFields`.
#[derive(Clone, Debug)]
pub struct Pruned<K>(pub K);

/// The fields of the metadata that the operator uses.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    name: Option<String>,
    namespace: Option<String>,
    owner_references: Option<Vec<OwnerReference>>,
    resource_version: Option<String>,
    uid: Option<String>,
}

/// The content of an event from a metadata watch, and what is kept of an object that cannot be decoded.
#[derive(Deserialize)]
struct OnlyMeta {
    #[serde(deserialize_with = "metadata")]
    metadata: ObjectMeta,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let meta = Meta::deserialize(deserializer)?;
    Ok(ObjectMeta {
        annotations: meta.annotations,
        creation_timestamp: meta.creation_timestamp,
        deletion_timestamp: meta.deletion_timestamp,
        generation: meta.generation,
        labels: meta.labels,
        name: meta.name,
        namespace: meta.namespace,
        owner_references: meta.owner_references,
        resource_version: meta.resource_version,
        uid: meta.uid,
        ..ObjectMeta::default()
    })
}

impl<'de> Deserialize<'de> for Pruned<ApiCredential> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            #[serde(deserialize_with = "metadata")]
            metadata: ObjectMeta,
            spec: ApiCredentialSpec,
            status: Option<ApiCredentialStatus>,
        }
        let Fields { metadata, spec, status } = Fields::deserialize(deserializer)?;
        Ok(Self(ApiCredential { metadata, spec, status }))
    }
}

impl<'de> Deserialize<'de> for Pruned<Secret> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields {
            #[serde(deserialize_with = "metadata")]
            metadata: ObjectMeta,
            data: Option<BTreeMap<String, ByteString>>,
            immutable: Option<bool>,
            #[serde(rename = "type")]
            type_: Option<String>,
        }
        let Fields { metadata, data, immutable, type_ } = Fields::deserialize(deserializer)?;
        Ok(Self(Secret { metadata, data, immutable, type_, ..Secret::default() }))
    }
}

impl<'de> Deserialize<'de> for Pruned<PartialObjectMeta<Secret>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let OnlyMeta { metadata } = OnlyMeta::deserialize(deserializer)?;
        Ok(Self(PartialObjectMeta { types: None, metadata, _phantom: PhantomData }))
    }
}

/// One that cannot be decoded must not stop the others.
impl<'de> Deserialize<'de> for Pruned<DeserializeGuard<ApiCredential>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Kept as text and not as a tree until it is known whether it can be decoded; kube's own guard builds two trees.
        let text = <Box<RawValue>>::deserialize(deserializer)?;
        let guarded = match serde_json::from_str::<Pruned<ApiCredential>>(text.get()) {
            Ok(Pruned(credential)) => Ok(credential),
            Err(_may_quote_the_object) => {
                let OnlyMeta { metadata } = serde_json::from_str(text.get()).map_err(serde::de::Error::custom)?;
                Err(InvalidObject { error: String::new(), metadata })
            }
        };
        Ok(Self(DeserializeGuard(guarded)))
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Pruned<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind(dt: &()) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &()) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &()) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &()) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(spec: &Value) -> Value {
        json!({
            "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential",
            "metadata": {
                "name": "gh", "namespace": "care", "uid": "u", "resourceVersion": "7", "generation": 2,
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-01T00:00:01Z",
                "labels": {"a": "b"}, "annotations": {"c": "d"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "x"}],
                "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
            },
            "spec": spec,
        })
    }

    fn read<K>(value: &Value) -> serde_json::Result<K>
    where
        Pruned<K>: for<'de> Deserialize<'de>,
    {
        serde_json::from_str(&value.to_string()).map(|Pruned(object)| object)
    }

    #[test]
    fn everything_except_the_managed_fields_is_decoded() {
        let spec = json!({
            "provider": {"type": "Welkin", "welkin":
                {"tenant": "gh", "clientName": "C", "secretRef": {"name": "s"}, "endpoint": "https://welkin.example"}},
            "target": {"name": "t"},
        });
        let mut value = object(&spec);
        let guarded: DeserializeGuard<ApiCredential> = read(&value).unwrap();
        let whole: ApiCredential = serde_json::from_value(value.clone()).unwrap();
        value["metadata"].as_object_mut().unwrap().remove("managedFields");
        let expected: ApiCredential = serde_json::from_value(value.clone()).unwrap();
        assert_ne!(json!(whole), json!(expected));
        assert_eq!(json!(guarded.0.unwrap()), json!(expected));
        assert_eq!(json!(read::<ApiCredential>(&value).unwrap()), json!(expected));
        let secret =
            json!({"metadata": value["metadata"], "data": {"token": "YQ=="}, "immutable": true, "type": "Opaque"});
        let expected: Secret = serde_json::from_value(secret.clone()).unwrap();
        assert_eq!(read::<Secret>(&secret).unwrap(), expected);
        assert_eq!(read::<PartialObjectMeta<Secret>>(&secret).unwrap().metadata, expected.metadata);
        assert!(Pruned::<PartialObjectMeta<Secret>>::metadata_api(), "a watch of Secrets requests only metadata");
    }

    #[test]
    fn of_an_object_that_cannot_be_decoded_only_the_metadata_is_kept() {
        let guarded: DeserializeGuard<ApiCredential> = read(&object(&json!({"provider": "a secret"}))).unwrap();
        let invalid = guarded.0.unwrap_err();
        assert_eq!((invalid.metadata.uid.as_deref(), invalid.error.as_str()), (Some("u"), ""));
        assert!(read::<DeserializeGuard<ApiCredential>>(&json!({"metadata": 7})).is_err());
    }

    #[test]
    fn a_watch_event_is_decoded() {
        // The API server writes the type first.
        let line = format!(r#"{{"type":"ADDED","object":{}}}"#, object(&json!({})));
        let event = serde_json::from_str::<kube::core::WatchEvent<Pruned<DeserializeGuard<ApiCredential>>>>(&line);
        assert!(matches!(event, Ok(kube::core::WatchEvent::Added(_))), "{event:?}");
    }
}
