//! The requests for the Lease: get, create and replace, each with a timeout and a classified error.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::timeout;

use crate::kube_api::UNAUTHORIZED;

/// Why a request failed. It contains no text from the API server, which could quote an object in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseError {
    /// Another process wrote the Lease after it was read. It has to be read again.
    Conflict,
    /// A permission is missing.
    Forbidden,
    /// The API server does not accept the login.
    Unauthorized,
    /// There was no response in time, so the outcome is unknown.
    Timeout,
    /// The connection failed, or the response was not a Lease.
    Unreachable,
    /// The response had another HTTP status.
    UnexpectedStatus(u16),
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("another process wrote it in the meantime"),
            Self::Forbidden => f.write_str(
                "the API server forbids the request; grant get, create and update on leases.coordination.k8s.io",
            ),
            Self::Unauthorized => f.write_str(UNAUTHORIZED),
            Self::Timeout => f.write_str("the API server did not answer in time"),
            Self::Unreachable => f.write_str("the connection to the API server failed"),
            Self::UnexpectedStatus(404) => f.write_str("its namespace does not exist; correct --lease-namespace"),
            Self::UnexpectedStatus(status) => write!(f, "the API server returned the HTTP status {status}"),
        }
    }
}

/// The Lease on the API server.
pub struct Store {
    api: Api<Lease>,
    name: String,
    timeout: Duration,
}

impl Store {
    /// The Lease with this name. `timeout` is that of each request.
    pub fn new(client: Client, namespace: &str, name: String, timeout: Duration) -> Self {
        Self { api: Api::namespaced(client, namespace), name, timeout }
    }

    /// Reads the current Lease, with a consistent read. `None` if it does not exist.
    pub async fn read(&self) -> Result<Option<Lease>, LeaseError> {
        within(self.timeout, self.api.get_opt(&self.name)).await
    }

    /// Creates the Lease if it has no resourceVersion, otherwise replaces exactly that version.
    pub async fn write(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        let params = PostParams::default();
        if lease.metadata.resource_version.is_none() {
            return within(self.timeout, self.api.create(&params, lease)).await;
        }
        within(self.timeout, self.api.replace(&self.name, &params, lease)).await
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
    match timeout(limit, call).await {
        Ok(result) => result.map_err(|error| classify(&error)),
        Err(_) => Err(LeaseError::Timeout),
    }
}

fn classify(error: &kube::Error) -> LeaseError {
    match error {
        kube::Error::Api(status) => match status.code {
            409 => LeaseError::Conflict,
            401 => LeaseError::Unauthorized,
            403 => LeaseError::Forbidden,
            other => LeaseError::UnexpectedStatus(other),
        },
        _ => LeaseError::Unreachable,
    }
}
