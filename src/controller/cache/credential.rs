//! The record of one ApiCredential.

use std::marker::PhantomData;
use std::sync::Arc;

use apicredential::annotations::RENEW_REQUESTED_AT;
use apicredential::api::{ApiCredential, ApiCredentialStatus};
use apicredential::next_reconcile::NextReconcile;
use apicredential::object_key::Key;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::PartialObjectMeta;

use super::arrival::{Arrival, DecodeResult};
use crate::clock::SuspendAwareInstant;
use crate::controller::history::AttemptHistory;

/// An ApiCredential without its status and without the metadata that nobody uses.
#[derive(Clone, Debug)]
pub enum CachedObject {
    /// It was decoded.
    Decoded(Arc<ApiCredential>),
    /// It cannot be decoded; its metadata can.
    Undecodable(Arc<ObjectMeta>),
}

impl CachedObject {
    /// Separates an object from its status.
    pub fn split(object: DecodeResult) -> (Self, Option<ApiCredentialStatus>) {
        match object.0 {
            Ok(ApiCredential { metadata, spec, status }) => {
                let credential = ApiCredential { metadata: used_metadata(metadata), spec, status: None };
                (Self::Decoded(Arc::new(credential)), status.map(|status| *status))
            }
            Err(invalid) => (Self::Undecodable(Arc::new(used_metadata(invalid.metadata))), None),
        }
    }

    /// The metadata.
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Decoded(credential) => &credential.metadata,
            Self::Undecodable(meta) => meta,
        }
    }

    /// A reference to it, for an event.
    pub fn as_reference(&self) -> PartialObjectMeta<ApiCredential> {
        PartialObjectMeta { types: None, metadata: self.meta().clone(), _phantom: PhantomData }
    }

    /// The uid.
    pub fn uid(&self) -> &str {
        self.meta().uid.as_deref().unwrap_or_default()
    }

    /// The resourceVersion as a number, if it is one.
    pub fn version(&self) -> Option<u64> {
        self.meta().resource_version.as_deref()?.parse().ok()
    }

    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.meta().deletion_timestamp.is_some()
    }

    /// The source Secret that the spec names, whether or not the rest of the spec is valid.
    pub fn source_name(&self) -> &str {
        match self {
            Self::Decoded(credential) => credential.spec.provider.source_name().unwrap_or_default(),
            Self::Undecodable(_) => "",
        }
    }

    /// The target Secret that the spec names.
    pub fn target_name(&self) -> &str {
        match self {
            Self::Decoded(credential) => &credential.spec.target.name,
            Self::Undecodable(_) => "",
        }
    }

    /// Whether a reconcile has something new to see in it: a label or a status is nothing new.
    pub fn differs_from(&self, other: &Self) -> bool {
        let essence = |object: &Self| {
            let meta = object.meta();
            (meta.generation, meta.deletion_timestamp.is_some(), renew_request_of(meta).map(str::to_owned))
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

/// What is planned for an ApiCredential.
pub(super) struct Plan {
    /// When the reconcile that planned it began, so that a clock that is set back in the middle of it is noticed after it.
    pub began: SuspendAwareInstant,
    pub next: NextReconcile,
}

pub(super) struct CredentialState {
    pub object: CachedObject,
    /// As the API server has it.
    pub stored_status: Arc<ApiCredentialStatus>,
    /// As the operator last reported it in this term; shared with `stored_status` while the API server has it.
    pub reported_status: Option<Arc<ApiCredentialStatus>>,
    pub source: Key,
    pub target: Key,
    pub changes: u64,
    pub handled: u64,
    /// How many lists had begun when our last reply arrived.
    pub written_in: u64,
    pub plan: Option<Plan>,
    pub history: Option<AttemptHistory>,
}

impl CredentialState {
    pub(super) fn new(key: &Key, object: CachedObject, status: Option<ApiCredentialStatus>) -> Self {
        Self {
            source: key.sibling(object.source_name()),
            target: key.sibling(object.target_name()),
            object,
            stored_status: Arc::new(status.unwrap_or_default()),
            reported_status: None,
            changes: 1,
            handled: 0,
            written_in: 0,
            plan: None,
            history: None,
        }
    }

    pub(super) fn arrival(&self, object: &CachedObject) -> Arrival {
        Arrival::compare(object.version(), self.object.version())
    }

    pub(super) fn arrival_in_list(&self, object: &CachedObject, list: u64) -> Arrival {
        Arrival::compare_listed(object.version(), self.object.version(), self.written_in >= list)
    }

    pub(super) fn set(&mut self, object: CachedObject, status: Option<ApiCredentialStatus>) {
        self.object = object;
        let status = status.unwrap_or_default();
        if status != *self.stored_status {
            self.stored_status = match &self.reported_status {
                Some(reported) if **reported == status => Arc::clone(reported),
                _ => Arc::new(status),
            };
        }
    }

    /// Keeps what was reported; one that the API server has is not kept twice.
    pub(super) fn report(&mut self, status: Option<Arc<ApiCredentialStatus>>) {
        let is_stored = status.as_ref().is_some_and(|status| **status == *self.stored_status);
        self.reported_status = if is_stored { Some(Arc::clone(&self.stored_status)) } else { status };
    }

    /// The next reconcile begins like the first one of a term.
    pub(super) fn forget(&mut self) {
        self.reported_status = None;
        self.plan = None;
        self.history = None;
        self.changes += 1;
    }
}

/// The metadata that the operator uses; everything else is dropped on arrival.
fn used_metadata(meta: ObjectMeta) -> ObjectMeta {
    let request = meta.annotations.and_then(|mut all| all.remove_entry(RENEW_REQUESTED_AT));
    ObjectMeta {
        annotations: request.map(|entry| [entry].into()),
        creation_timestamp: meta.creation_timestamp,
        deletion_timestamp: meta.deletion_timestamp,
        generation: meta.generation,
        resource_version: meta.resource_version,
        uid: meta.uid,
        name: meta.name,
        namespace: meta.namespace,
        ..ObjectMeta::default()
    }
}
