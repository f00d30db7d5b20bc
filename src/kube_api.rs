//! Calls to the API server: each one bounded in time, each failure sorted into what it means for us.

use std::time::Duration;

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use apicredential::status::EventRecord;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::DeserializeGuard;
use kube::core::request::Request;
use kube::{Client, Resource};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::metrics::OperatorMetrics;

pub mod client;
pub mod crd_drift;
mod error;
mod events;
pub mod kubeconfig;
pub mod proxy;
pub mod pruned;

pub use error::{ApiError, ErrorKind};

use events::Events;
use pruned::Pruned;

/// Limit of a read or a status write.
pub const READ: Duration = Duration::from_secs(10);
pub use apicredential::target::write_guard::WRITE_TIMEOUT as WRITE;

/// The calls that the operator makes, beside its watches and its lease.
#[derive(Clone)]
pub struct KubeApi {
    client: Client,
    /// Whatever holds a secret or a token goes this way, see [`client`].
    secrets: Client,
    events: Events,
    machine: OperatorMetrics,
}

impl KubeApi {
    /// With the client for Secrets, the name that events carry, and who counts.
    pub fn new(client: Client, secrets: Client, identity: &str, machine: OperatorMetrics) -> Self {
        let events = Events::new(client.clone(), identity);
        Self { client, secrets, events, machine }
    }

    /// A Secret as it is now; none if it does not exist.
    pub async fn secret(&self, namespace: &str, name: &str, limit: Duration) -> Result<Option<Secret>, ApiError> {
        read_secret(self.secrets.clone(), namespace, name, limit).await
    }

    /// A credential as it is now; none if it does not exist or cannot be read any more.
    pub async fn credential(&self, namespace: &str, name: &str) -> Result<Option<ApiCredential>, ApiError> {
        let api: Api<Pruned<ApiCredential>> = Api::namespaced(self.client.clone(), namespace);
        Ok(bounded(WRITE, api.get_opt(name)).await?.map(|Pruned(credential)| credential))
    }

    /// Creates a Secret; dry means that the API server checks everything and stores nothing.
    pub async fn create_secret(&self, secret: &Secret, dry: bool) -> Result<Secret, ApiError> {
        let namespace = secret.metadata.namespace.as_deref();
        let params = PostParams { dry_run: dry, field_manager: None };
        let body = serde_json::to_vec(secret).map_err(|_| ApiError::Rejected)?;
        let request = Request::new(Secret::url_path(&(), namespace)).create(&params, body);
        self.write("create", request, dry).await
    }

    /// Merges a patch, which names the uid and the resourceVersion that it is meant for, into a Secret.
    pub async fn patch_secret(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
        dry: bool,
    ) -> Result<Secret, ApiError> {
        let params = PatchParams { dry_run: dry, ..PatchParams::default() };
        let request = Request::new(Secret::url_path(&(), Some(namespace))).patch(name, &params, &Patch::Merge(patch));
        self.write("patch", request, dry).await
    }

    async fn write(
        &self,
        operation: &'static str,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        dry: bool,
    ) -> Result<Secret, ApiError> {
        let request = request.map_err(|_| ApiError::Rejected)?;
        let request = with_server_timeout(request).ok_or(ApiError::Rejected)?;
        let written =
            bounded(WRITE, self.secrets.request::<Pruned<Secret>>(request)).await.map(|Pruned(secret)| secret);
        if !dry {
            self.machine.wrote(operation, written.as_ref().err().map_or("ok", |fault| fault.label()));
        }
        written
    }

    /// Replaces a status as a whole, if the object still has this resourceVersion. Returns the object after the write.
    ///
    /// A JSON Patch: to replace the resourceVersion by the same one makes a stale write fail with 409. A server-side apply
    /// would leave conditions of others in the status.
    ///
    /// # Errors
    /// `Conflict` if somebody wrote since that version.
    pub async fn replace_status(
        &self,
        namespace: &str,
        name: &str,
        resource_version: &str,
        status: &ApiCredentialStatus,
    ) -> Result<DeserializeGuard<ApiCredential>, ApiError> {
        let patch = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/status", "value": status},
        ]);
        let request = Request::new(ApiCredential::url_path(&(), Some(namespace)));
        let patch = serde_json::from_value(patch).map_err(|_| ApiError::Rejected)?;
        let request = request.patch_subresource("status", name, &PatchParams::default(), &Patch::<Value>::Json(patch));
        let request = request.map_err(|_| ApiError::Rejected)?;
        let written = bounded(READ, self.client.request::<Pruned<DeserializeGuard<ApiCredential>>>(request)).await?;
        Ok(written.0)
    }

    /// What was said of a credential that cannot be decoded, and its resourceVersion.
    pub async fn status(&self, namespace: &str, name: &str) -> Result<Option<(String, ApiCredentialStatus)>, ApiError> {
        let Some(found) = bounded(READ, self.untyped(namespace).get_opt(name)).await? else { return Ok(None) };
        let status = found.data.get("status").cloned().unwrap_or_default();
        let version = found.metadata.resource_version.unwrap_or_default();
        Ok(Some((version, serde_json::from_value(status).unwrap_or_default())))
    }

    /// Credentials whatever their spec looks like.
    fn untyped(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<ApiCredential>(&()))
    }

    /// Publishes an event about a credential; losing one is no failure.
    pub async fn publish(&self, credential: &impl Resource<DynamicType = ()>, event: &EventRecord) {
        let about = credential.object_ref(&());
        if let Ok(Err(error)) = timeout(WRITE, self.events.publish(event, &about)).await {
            tracing::debug!(fault = %ApiError::of(&error), "an event was not accepted");
        }
    }
}

/// A Secret as it is now, read by this client; none if it does not exist.
///
/// # Errors
/// The API server did not answer, or refuses.
pub async fn read_secret(
    client: Client,
    namespace: &str,
    name: &str,
    limit: Duration,
) -> Result<Option<Secret>, ApiError> {
    let api: Api<Pruned<Secret>> = Api::namespaced(client, namespace);
    Ok(bounded(limit, api.get_opt(name)).await?.map(|Pruned(secret)| secret))
}

async fn bounded<T>(limit: Duration, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ApiError> {
    match timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ApiError::of(&error)),
        Err(_elapsed) => Err(ApiError::Unavailable),
    }
}

/// Adds `timeout=5s` to the query: the API server gives up when we do, so that nothing commits much later.
fn with_server_timeout(mut request: http::Request<Vec<u8>>) -> Option<http::Request<Vec<u8>>> {
    let uri = request.uri().to_string();
    // kube's request builder ends some paths with a bare `?`.
    let joint = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    *request.uri_mut() = format!("{uri}{joint}timeout={}s", WRITE.as_secs()).parse().ok()?;
    Some(request)
}
