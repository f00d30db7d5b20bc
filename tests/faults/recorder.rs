//! Writes down every version of the Secrets and credentials of a namespace, past the gate.

use std::sync::{Arc, Mutex, PoisonError};

use apicredential_operator::clock;
use apicredential_operator::credential::ApiCredential;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, WatchEvent, WatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::history::Version;

/// What was recorded so far, and the watches that go on.
pub struct Recorder {
    versions: Arc<Mutex<Vec<Version>>>,
    watches: Vec<JoinHandle<()>>,
}

impl Recorder {
    /// Starts to watch a namespace that is still empty, so that no version is missed: a watch from the namespace's own
    /// beginning tells of each in order.
    pub async fn start(client: &Client, namespace: &str) -> Self {
        let versions = Arc::<Mutex<Vec<Version>>>::default();
        let watches = vec![
            tokio::spawn(record::<Secret>(client.clone(), namespace.to_owned(), "secrets", Arc::clone(&versions))),
            tokio::spawn(record::<ApiCredential>(
                client.clone(),
                namespace.to_owned(),
                "apicredentials",
                Arc::clone(&versions),
            )),
        ];
        Self { versions, watches }
    }

    /// All versions so far, in the order of their storing.
    pub fn versions(&self) -> Vec<Version> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Two watches bring them; the API server counts them in one sequence.
        versions.sort_by_key(|version| version.version);
        versions
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.watches.iter().for_each(JoinHandle::abort);
    }
}

/// Watches until it is dropped; a watch that ends is continued where it ended.
async fn record<K>(client: Client, namespace: String, resource: &'static str, versions: Arc<Mutex<Vec<Version>>>)
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    K: Clone + std::fmt::Debug + DeserializeOwned + Serialize + Send + 'static,
{
    let api: Api<K> = Api::namespaced(client, &namespace);
    let mut from =
        api.list_metadata(&Default::default()).await.expect("objects can be listed").metadata.resource_version;
    loop {
        let version = from.clone().unwrap_or_default();
        let mut watch = api.watch(&WatchParams::default(), &version).await.expect("objects can be watched").boxed();
        while let Some(Ok(event)) = watch.next().await {
            let (object, deleted) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
            };
            from = object.resource_version();
            versions.lock().unwrap_or_else(PoisonError::into_inner).push(Version {
                seen: clock::now(),
                resource: resource.to_owned(),
                name: object.name_any(),
                uid: object.uid().unwrap_or_default(),
                version: from.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default(),
                deleted,
                object: serde_json::to_value(&object).expect("an API object is JSON"),
            });
        }
    }
}
