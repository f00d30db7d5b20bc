//! Records every version of the Secrets and ApiCredentials of a namespace, without the fault proxy.

use std::sync::{Arc, Mutex, PoisonError};

use apicredential::api::ApiCredential;
use apicredential_operator::clock;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::history::Version;

/// The versions recorded so far, and the watches that continue.
pub struct Recorder {
    versions: Arc<Mutex<Vec<Version>>>,
    watches: Vec<JoinHandle<()>>,
}

impl Recorder {
    /// Starts to watch a namespace that is still empty, so that no version is missed: a watch from the namespace's own
    /// beginning delivers each in order.
    pub async fn start(client: &Client, namespace: &str) -> Self {
        let versions = Arc::<Mutex<Vec<Version>>>::default();
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let credentials: Api<ApiCredential> = Api::namespaced(client.clone(), namespace);
        // The beginning is requested here, and not by the tasks, because they may start late.
        let (first, second) = (beginning(&secrets).await, beginning(&credentials).await);
        let watches = vec![
            tokio::spawn(record(secrets, first, "secrets", Arc::clone(&versions))),
            tokio::spawn(record(credentials, second, "apicredentials", Arc::clone(&versions))),
        ];
        Self { versions, watches }
    }

    /// All versions so far, in the order in which they were stored.
    pub fn versions(&self) -> Vec<Version> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // They come from two watches; the API server counts them in one sequence.
        versions.sort_by_key(|version| version.version);
        versions
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.watches.iter().for_each(JoinHandle::abort);
    }
}

/// The resourceVersion of a list, from which a watch continues.
async fn beginning<K>(api: &Api<K>) -> String
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let list = api.list_metadata(&ListParams::default()).await.expect("objects can be listed");
    list.metadata.resource_version.unwrap_or_default()
}

/// Watches until it is dropped. A watch that ends is continued where it ended.
async fn record<K>(api: Api<K>, mut from: String, resource: &'static str, versions: Arc<Mutex<Vec<Version>>>)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Serialize + Send + 'static,
{
    loop {
        let mut watch = api.watch(&WatchParams::default(), &from).await.expect("objects can be watched").boxed();
        while let Some(Ok(event)) = watch.next().await {
            let (object, deleted) = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                WatchEvent::Deleted(object) => (object, true),
                WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
            };
            from = object.resource_version().unwrap_or_default();
            versions.lock().unwrap_or_else(PoisonError::into_inner).push(Version {
                seen: clock::now(),
                resource: resource.to_owned(),
                name: object.name_any(),
                uid: object.uid().unwrap_or_default(),
                version: from.parse().unwrap_or_default(),
                deleted,
                object: serde_json::to_value(&object).expect("an API object is JSON"),
            });
        }
    }
}
