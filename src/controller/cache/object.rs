//! One ApiCredential without its status.

use std::sync::Arc;

use apicredential::annotations::RENEW_REQUESTED_AT;
use apicredential::api::{ApiCredential, ApiCredentialSpec, ApiCredentialStatus};
use apicredential::object_key::Key;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use kube::core::PartialObjectMeta;

use super::arrival::DecodeResult;

/// An ApiCredential without its status and without the metadata that nobody uses. An `ObjectMeta` has room for 16 fields, so one
/// is made only when it is asked for.
#[derive(Clone, Debug)]
pub struct CachedObject(Arc<Fields>);

#[derive(Debug)]
struct Fields {
    uid: Box<str>,
    resource_version: Box<str>,
    generation: Option<i64>,
    created: Option<Timestamp>,
    deleted: Option<Timestamp>,
    renew_request: Option<Box<str>>,
    /// `None` if the object cannot be decoded; its metadata can.
    spec: Option<ApiCredentialSpec>,
}

impl CachedObject {
    /// Separates an object from its status.
    pub fn split(object: DecodeResult) -> (Self, Option<ApiCredentialStatus>) {
        match object.0 {
            Ok(ApiCredential { metadata, spec, status }) => {
                (Self::new(metadata, Some(spec)), status.map(|status| *status))
            }
            Err(invalid) => (Self::new(invalid.metadata, None), None),
        }
    }

    fn new(meta: ObjectMeta, spec: Option<ApiCredentialSpec>) -> Self {
        Self(Arc::new(Fields {
            renew_request: renew_request_of(&meta).map(Into::into),
            uid: meta.uid.unwrap_or_default().into(),
            resource_version: meta.resource_version.unwrap_or_default().into(),
            generation: meta.generation,
            created: meta.creation_timestamp.map(|time| time.0),
            deleted: meta.deletion_timestamp.map(|time| time.0),
            spec,
        }))
    }

    /// The ApiCredential of this name, without its status. `None` if it cannot be decoded.
    pub fn credential(&self, key: &Key) -> Option<ApiCredential> {
        let spec = self.0.spec.clone()?;
        Some(ApiCredential { metadata: self.metadata(key), spec, status: None })
    }

    /// A reference to the object of this name, for an event.
    pub fn reference(&self, key: &Key) -> PartialObjectMeta<ApiCredential> {
        PartialObjectMeta { types: None, metadata: self.metadata(key), _phantom: std::marker::PhantomData }
    }

    fn metadata(&self, key: &Key) -> ObjectMeta {
        let fields = &self.0;
        let request = fields.renew_request.as_deref().map(|text| (RENEW_REQUESTED_AT.to_owned(), text.to_owned()));
        ObjectMeta {
            name: Some(key.name().to_owned()),
            namespace: Some(key.namespace().to_owned()),
            uid: Some(fields.uid.to_string()),
            resource_version: Some(fields.resource_version.to_string()),
            generation: fields.generation,
            creation_timestamp: fields.created.map(Time),
            deletion_timestamp: fields.deleted.map(Time),
            annotations: request.map(|entry| [entry].into()),
            ..ObjectMeta::default()
        }
    }

    /// The uid.
    pub fn uid(&self) -> &str {
        &self.0.uid
    }

    /// The resourceVersion.
    pub fn resource_version(&self) -> &str {
        &self.0.resource_version
    }

    /// The resourceVersion as a number, if it is one.
    pub fn version(&self) -> Option<u64> {
        self.0.resource_version.parse().ok()
    }

    /// The generation of the spec.
    pub fn generation(&self) -> Option<i64> {
        self.0.generation
    }

    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.0.deleted.is_some()
    }

    /// The source Secret that the spec names; empty if there is none.
    pub fn source_name(&self) -> &str {
        self.0.spec.as_ref().and_then(|spec| spec.provider.source_name()).unwrap_or_default()
    }

    /// The target Secret that the spec names; empty if there is none.
    pub fn target_name(&self) -> &str {
        self.0.spec.as_ref().map_or("", |spec| &spec.target.name)
    }

    /// By creationTimestamp, then by uid.
    pub(super) fn age(&self) -> (Option<Timestamp>, &str) {
        (self.0.created, &self.0.uid)
    }

    /// Whether a reconcile has something new to see in it: a label or a status is nothing new.
    pub fn differs_from(&self, other: &Self) -> bool {
        let essence = |object: &Self| {
            let fields = &object.0;
            (fields.generation, fields.deleted.is_some(), fields.renew_request.clone())
        };
        essence(self) != essence(other)
    }
}

/// The longest renew request, in characters; a longer one is ignored.
const LONGEST_REQUEST: usize = 128;

/// The renew request of an ApiCredential, if it has one that counts.
pub fn renew_request(object: &impl Resource) -> Option<String> {
    renew_request_of(object.meta()).map(str::to_owned)
}

fn renew_request_of(meta: &ObjectMeta) -> Option<&str> {
    let text = meta.annotations.as_ref()?.get(RENEW_REQUESTED_AT)?;
    (!text.is_empty() && text.chars().count() <= LONGEST_REQUEST).then_some(text)
}
