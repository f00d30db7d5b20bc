//! N sources and N ApiCredentials, spread over some namespaces.

use std::sync::Arc;

use apicredential::api::ApiCredential;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::NamespaceResourceScope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::mode::{Mode, PinnedNames};

pub const NAMESPACES: usize = 20;
/// The namespace of the operator's lease.
pub const HOME: &str = "bench";
const CREATING: usize = 32;

/// One ApiCredential. Its names follow from its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member(pub usize);

impl Member {
    pub fn namespace(&self) -> String {
        format!("fleet-{:02}", self.0 % NAMESPACES)
    }

    pub fn name(&self) -> String {
        format!("welkin-{:05}", self.0)
    }

    pub fn source(&self) -> String {
        format!("{}-source", self.name())
    }

    pub fn target(&self) -> String {
        format!("{}-token", self.name())
    }

    pub fn client_name(&self) -> String {
        format!("CLIENT-{:05}", self.0)
    }

    /// As long as Welkin's are.
    pub fn secret(&self) -> String {
        format!("{:032}", self.0)
    }

    pub fn source_manifest(&self) -> Value {
        json!({
            "metadata": {"name": self.source(), "namespace": self.namespace(),
                "labels": {"apicredential.io/source": "welkin"}},
            "stringData": {"secret": self.secret()},
        })
    }

    pub fn manifest(&self, origin: &str) -> Value {
        json!({
            "apiVersion": "apicredential.io/v1alpha1",
            "kind": "ApiCredential",
            "metadata": {"name": self.name(), "namespace": self.namespace()},
            "spec": {
                "provider": {"type": "Welkin", "welkin": {
                    "tenant": "gh",
                    "clientName": self.client_name(),
                    "secretRef": {"name": self.source()},
                    "endpoint": origin,
                }},
                "target": {"name": self.target()},
            },
        })
    }

    pub async fn create(&self, client: &Client, origin: &str) {
        self.create_source(client).await;
        self.create_credential(client, origin).await;
    }

    pub async fn create_source(&self, client: &Client) -> Secret {
        let source: Secret = serde_json::from_value(self.source_manifest()).expect("a Secret");
        let secrets: Api<Secret> = Api::namespaced(client.clone(), &self.namespace());
        secrets.create(&PostParams::default(), &source).await.expect("a Secret can be created")
    }

    pub async fn create_credential(&self, client: &Client, origin: &str) -> ApiCredential {
        let credential: ApiCredential = serde_json::from_value(self.manifest(origin)).expect("an ApiCredential");
        let credentials: Api<ApiCredential> = Api::namespaced(client.clone(), &self.namespace());
        credentials.create(&PostParams::default(), &credential).await.expect("an ApiCredential can be created")
    }
}

/// The namespaces, once per control plane.
pub async fn namespaces(client: &Client) {
    let api: Api<Namespace> = Api::all(client.clone());
    let names = (0..NAMESPACES).map(|number| Member(number).namespace()).chain([HOME.to_owned()]);
    for name in names {
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).expect("a namespace");
        api.create(&PostParams::default(), &namespace).await.expect("a namespace can be created");
    }
    for object in Mode::Cluster.within(HOME, &PinnedNames::default()) {
        let created = match object["kind"].as_str() {
            Some("Role") => create_in_home::<Role>(client, &object).await.map(drop),
            _ => create_in_home::<RoleBinding>(client, &object).await.map(drop),
        };
        created.expect("the permissions on the lease can be granted");
    }
}

async fn create_in_home<K>(client: &Client, object: &Value) -> kube::Result<K>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let object: K = serde_json::from_value(object.clone()).expect("the rendering is of its kind");
    Api::namespaced(client.clone(), HOME).create(&PostParams::default(), &object).await
}

/// Creates the first N members. Those with an odd number use the last of the origins.
pub async fn create(client: &Client, n: usize, origins: &[&str]) {
    each(n, |member| {
        let origin = origins[(member.0 % 2).min(origins.len() - 1)];
        let (client, origin) = (client.clone(), origin.to_owned());
        async move { member.create(&client, &origin).await }
    })
    .await;
}

/// Runs an action for each member, some at a time.
pub async fn each<F>(n: usize, work: impl Fn(Member) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let tasks = futures::stream::iter((0..n).map(|number| tokio::spawn(work(Member(number)))));
    // Spawned when it is polled, so that no more than some run at a time.
    tasks.buffer_unordered(CREATING).for_each(|done| async { done.expect("the work on a member ends well") }).await;
}
