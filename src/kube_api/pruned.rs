//! Decodes objects without the parts that the operator does not use: `managedFields`, which are half of the text of an object,
//! and labels and annotations of others, which may be most of the rest. Dropping them while decoding keeps large objects from
//! filling the memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use apicredential::annotations;
use apicredential::api::{ApiCredential, ApiCredentialSpec, ApiCredentialStatus, StoredStatus};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// An object without what the operator does not use.
#[derive(Clone, Debug)]
pub struct Pruned<K>(pub K);

/// The fields of a Secret's metadata that the operator uses. It also writes labels and annotations whose names others choose.
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

/// The fields of the metadata that the operator uses of an object that it does not write, or writes no metadata of.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnMeta {
    #[serde(default, deserialize_with = "our_names")]
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    generation: Option<i64>,
    #[serde(default, deserialize_with = "our_names")]
    labels: Option<BTreeMap<String, String>>,
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    uid: Option<String>,
}

/// The content of an event from a metadata watch, and what is kept of an object that cannot be decoded.
#[derive(Deserialize)]
struct OnlyMeta {
    #[serde(deserialize_with = "own_metadata")]
    metadata: ObjectMeta,
}

/// An ApiCredential whose spec is not decoded.
#[derive(Deserialize)]
pub struct WithoutSpec {
    #[serde(deserialize_with = "own_metadata")]
    metadata: ObjectMeta,
    #[serde(default)]
    status: Value,
}

impl WithoutSpec {
    /// The resourceVersion, and the status as far as it can be decoded.
    pub fn version_and_status(self) -> (String, ApiCredentialStatus) {
        let status = serde_json::from_value(self.status).unwrap_or_default();
        (self.metadata.resource_version.unwrap_or_default(), status)
    }
}

/// The entries of a map of labels or annotations that mean something to the operator.
fn our_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    struct OurNames;

    impl<'de> Visitor<'de> for OurNames {
        type Value = Option<BTreeMap<String, String>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of names, or null")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut ours = BTreeMap::new();
            while let Some(name) = map.next_key::<String>()? {
                if annotations::is_ours(&name) {
                    ours.insert(name, map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(Some(ours))
        }
    }

    deserializer.deserialize_any(OurNames)
}

fn own_metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let meta = OwnMeta::deserialize(deserializer)?;
    Ok(ObjectMeta {
        annotations: meta.annotations,
        creation_timestamp: meta.creation_timestamp,
        deletion_timestamp: meta.deletion_timestamp,
        generation: meta.generation,
        labels: meta.labels,
        name: meta.name,
        namespace: meta.namespace,
        resource_version: meta.resource_version,
        uid: meta.uid,
        ..ObjectMeta::default()
    })
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
            #[serde(deserialize_with = "own_metadata")]
            metadata: ObjectMeta,
            spec: ApiCredentialSpec,
            status: Option<StoredStatus>,
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
        let text = <&RawValue>::deserialize(deserializer)?;
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
                "labels": {"a": "b"}, "annotations": {"c": "d", "apicredential.io/renew-requested-at": "now"},
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
    fn everything_except_what_others_wrote_is_decoded() {
        let spec = json!({
            "provider": {"type": "Welkin", "welkin":
                {"tenant": "gh", "clientName": "C", "secretRef": {"name": "s"}, "endpoint": "https://welkin.example"}},
            "target": {"name": "t"},
        });
        let mut value = object(&spec);
        let guarded: DeserializeGuard<ApiCredential> = read(&value).unwrap();
        let whole: ApiCredential = serde_json::from_value(value.clone()).unwrap();
        value["metadata"].as_object_mut().unwrap().remove("managedFields");
        // The operator writes names of others into a Secret, too, and recognizes it by its owner.
        let secret =
            json!({"metadata": value["metadata"], "data": {"token": "YQ=="}, "immutable": true, "type": "Opaque"});
        let expected: Secret = serde_json::from_value(secret.clone()).unwrap();
        assert_eq!(read::<Secret>(&secret).unwrap(), expected);
        value["metadata"]["labels"] = json!({});
        value["metadata"]["annotations"].as_object_mut().unwrap().remove("c");
        value["metadata"].as_object_mut().unwrap().remove("ownerReferences");
        let expected: ApiCredential = serde_json::from_value(value.clone()).unwrap();
        assert_ne!(json!(whole), json!(expected));
        assert_eq!(json!(guarded.0.unwrap()), json!(expected));
        assert_eq!(json!(read::<ApiCredential>(&object(&spec)).unwrap()), json!(expected));
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
    fn without_labels_and_annotations_an_object_is_decoded_too() {
        for metadata in [json!({"uid": "u"}), json!({"uid": "u", "labels": null, "annotations": null})] {
            let secret = read::<PartialObjectMeta<Secret>>(&json!({"metadata": metadata})).unwrap();
            assert_eq!((secret.metadata.uid.as_deref(), secret.metadata.labels), (Some("u"), None));
        }
    }

    #[test]
    fn without_its_spec_an_object_has_its_version_and_its_status() {
        let mut value = object(&json!({"provider": 7}));
        value["status"] = json!({"observedGeneration": 2});
        let decoded = |value: &Value| serde_json::from_str::<WithoutSpec>(&value.to_string()).unwrap();
        let (version, status) = decoded(&value).version_and_status();
        assert_eq!((version.as_str(), status.observed_generation), ("7", Some(2)));
        value["status"] = json!({"observedGeneration": "two"});
        assert_eq!(decoded(&value).version_and_status().1, ApiCredentialStatus::default());
    }

    #[test]
    fn a_watch_event_is_decoded() {
        // The API server writes the type first.
        let line = format!(r#"{{"type":"ADDED","object":{}}}"#, object(&json!({})));
        let event = serde_json::from_str::<kube::core::WatchEvent<Pruned<DeserializeGuard<ApiCredential>>>>(&line);
        assert!(matches!(event, Ok(kube::core::WatchEvent::Added(_))), "{event:?}");
    }
}
