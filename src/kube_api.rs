//! Requests to the API server, each with a timeout and a classified error.

use std::time::Duration;

use apicredential::api::{ApiCredential, ApiCredentialStatus};
use apicredential::status::EventRecord;
use apicredential::target::write_guard::LONGEST_WRITE;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{GetParams, Patch, PatchParams, PostParams};
use kube::core::DeserializeGuard;
use kube::core::request::Request;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
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
pub mod reply;
mod webhook;

pub use error::{ApiError, ErrorKind, UNAUTHORIZED};
pub use webhook::{WebhookError, WebhookOutcome};

use events::Events;
use pruned::{Pruned, WithoutSpec};

/// The timeout of a read or a status write.
pub const READ: Duration = Duration::from_secs(10);
/// The timeout of a read between a token request and its write, and of an event.
pub const SHORT: Duration = Duration::from_secs(5);

/// The requests of the operator, except those for its watches and its lease.
#[derive(Clone)]
pub struct KubeApi {
    client: Client,
    /// The client for requests that carry Secrets, see [`client`].
    secrets: Client,
    events: Events,
    metrics: OperatorMetrics,
}

impl KubeApi {
    /// `secrets` is the client for Secrets, and `identity` the `reportingInstance` of events.
    pub fn new(client: Client, secrets: Client, identity: &str, metrics: OperatorMetrics) -> Self {
        let events = Events::new(client.clone(), identity);
        Self { client, secrets, events, metrics }
    }

    /// Reads a Secret. `None` if it does not exist.
    pub async fn read_secret(&self, namespace: &str, name: &str, limit: Duration) -> Result<Option<Secret>, ApiError> {
        read_secret(self.secrets.clone(), namespace, name, limit).await
    }

    /// Reads an ApiCredential. `None` if it does not exist.
    pub async fn read_credential(&self, namespace: &str, name: &str) -> Result<Option<ApiCredential>, ApiError> {
        let read = get(&self.client, ApiCredential::url_path(&(), Some(namespace)), name);
        Ok(with_timeout(SHORT, read).await?.map(|Pruned(credential)| credential))
    }

    /// Creates a Secret.
    pub async fn create_secret(&self, secret: &Secret, write: Write) -> Result<Secret, ApiError> {
        let namespace = secret.metadata.namespace.as_deref();
        let params = PostParams { dry_run: write.is_dry_run(), field_manager: None };
        let body = serde_json::to_vec(secret).map_err(|_| ApiError::Rejected)?;
        let request = Request::new(Secret::url_path(&(), namespace)).create(&params, body);
        self.write("create", request, write).await
    }

    /// Applies a merge patch to a Secret. The patch names the uid and the resourceVersion of the Secret that it is for.
    pub async fn patch_secret(
        &self,
        namespace: &str,
        name: &str,
        patch: &Value,
        write: Write,
    ) -> Result<Secret, ApiError> {
        let params = PatchParams { dry_run: write.is_dry_run(), ..PatchParams::default() };
        let request = Request::new(Secret::url_path(&(), Some(namespace))).patch(name, &params, &Patch::Merge(patch));
        self.write("patch", request, write).await
    }

    async fn write(
        &self,
        operation: &'static str,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
        write: Write,
    ) -> Result<Secret, ApiError> {
        let limit = write.limit();
        let request = request.map_err(|_| ApiError::Rejected)?;
        let request = with_server_timeout(request, limit).ok_or(ApiError::Rejected)?;
        let written =
            with_timeout(limit, reply::read(&self.secrets, request)).await.map(|Pruned::<Secret>(secret)| secret);
        if !write.is_dry_run() {
            self.metrics.target_written(operation, written.as_ref().err().map_or("ok", |error| error.label()));
        }
        written
    }

    /// Replaces the whole status if the object still has this resourceVersion, within `limit` and [`READ`]. Returns the object
    /// after the write.
    ///
    /// The JSON Patch replaces the resourceVersion with the same value, so that the API server rejects a stale write with 409.
    /// A server-side apply would keep conditions that others have written.
    ///
    /// # Errors
    /// `Conflict` if the object was written after this version.
    pub async fn replace_status(
        &self,
        namespace: &str,
        name: &str,
        resource_version: &str,
        status: &ApiCredentialStatus,
        limit: Duration,
    ) -> Result<DeserializeGuard<ApiCredential>, ApiError> {
        let patch = json!([
            {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version},
            {"op": "add", "path": "/status", "value": status},
        ]);
        let request = Request::new(ApiCredential::url_path(&(), Some(namespace)));
        let patch = serde_json::from_value(patch).map_err(|_| ApiError::Rejected)?;
        let request = request.patch_subresource("status", name, &PatchParams::default(), &Patch::<Value>::Json(patch));
        let request = request.map_err(|_| ApiError::Rejected)?;
        let Pruned(written) = with_timeout(limit.min(READ), reply::read(&self.client, request)).await?;
        Ok(written)
    }

    /// Reads the resourceVersion and the status of an ApiCredential whose spec cannot be decoded. `None` if it does not exist.
    pub async fn read_status(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(String, ApiCredentialStatus)>, ApiError> {
        let read = get(&self.client, ApiCredential::url_path(&(), Some(namespace)), name);
        Ok(with_timeout(READ, read).await?.map(WithoutSpec::version_and_status))
    }

    /// Publishes an event about an ApiCredential. An event that cannot be published is dropped.
    pub async fn publish_event(&self, credential: &impl Resource<DynamicType = ()>, event: &EventRecord) {
        let about = credential.object_ref(&());
        if let Ok(Err(error)) = timeout(SHORT, self.events.publish(event, &about)).await {
            tracing::debug!(error = %ApiError::of(&error), "an event could not be published");
        }
    }
}

/// Reads a Secret. `None` if it does not exist.
///
/// # Errors
/// The request failed, see [`ApiError`].
pub async fn read_secret(
    client: Client,
    namespace: &str,
    name: &str,
    limit: Duration,
) -> Result<Option<Secret>, ApiError> {
    let read = get(&client, Secret::url_path(&(), Some(namespace)), name);
    Ok(with_timeout(limit, read).await?.map(|Pruned(secret)| secret))
}

/// Reads an object. `None` if it does not exist.
async fn get<T: DeserializeOwned>(client: &Client, path: String, name: &str) -> kube::Result<Option<T>> {
    let request = Request::new(path).get(name, &GetParams::default()).map_err(kube::Error::BuildRequest)?;
    match reply::read(client, request).await {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn with_timeout<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ApiError> {
    match timeout(limit, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(ApiError::of(&error)),
        Err(_elapsed) => Err(ApiError::Unavailable),
    }
}

/// How the write of a Secret is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// The API server makes all checks and stores nothing.
    DryRun,
    /// The write has to end within this time.
    Within(Duration),
}

impl Write {
    fn is_dry_run(self) -> bool {
        self == Self::DryRun
    }

    fn limit(self) -> Duration {
        match self {
            Self::DryRun => LONGEST_WRITE,
            Self::Within(limit) => limit,
        }
    }
}

/// Adds the timeout to the query, so that the API server gives up at the same time as the operator and stores nothing later.
/// It takes zero for no timeout.
fn with_server_timeout(mut request: http::Request<Vec<u8>>, limit: Duration) -> Option<http::Request<Vec<u8>>> {
    let uri = request.uri().to_string();
    // kube's request builder ends some paths with a bare `?`.
    let separator = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    *request.uri_mut() = format!("{uri}{separator}timeout={}ms", limit.as_millis().max(1)).parse().ok()?;
    Some(request)
}
