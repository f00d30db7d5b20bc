//! The three calls on the lease, each with a deadline and each failure in one word.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::timeout;

/// Why a call on the lease did not succeed. The server's own text stays out of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseError {
    /// Somebody else wrote first: read again.
    Conflict,
    /// A right is missing.
    Forbidden,
    /// No answer in time: the outcome is unknown.
    Timeout,
    /// The connection failed, or the answer was not a lease.
    Unreachable,
    /// Another HTTP status.
    Refused(u16),
}

impl fmt::Display for LeaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("another process wrote it first"),
            Self::Forbidden => {
                f.write_str("the API server forbids it; grant get, create and update on leases.coordination.k8s.io")
            }
            Self::Timeout => f.write_str("the API server did not answer in time"),
            Self::Unreachable => f.write_str("the API server could not be reached"),
            Self::Refused(404) => f.write_str("its namespace does not exist; correct --lease-namespace"),
            Self::Refused(status) => write!(f, "the API server answered with status {status}"),
        }
    }
}

/// One named lease on the API server.
pub struct Store {
    api: Api<Lease>,
    name: String,
    deadline: Duration,
}

impl Store {
    /// The lease of that name; each call may take as long as `deadline`.
    pub fn new(client: Client, namespace: &str, name: String, deadline: Duration) -> Self {
        Self { api: Api::namespaced(client, namespace), name, deadline }
    }

    /// The lease as it is now (a consistent read), or none.
    pub async fn read(&self) -> Result<Option<Lease>, LeaseError> {
        within(self.deadline, self.api.get_opt(&self.name)).await
    }

    /// Creates the lease when it was never read, else replaces exactly the version that was read.
    pub async fn write(&self, lease: &Lease) -> Result<Lease, LeaseError> {
        let params = PostParams::default();
        if lease.metadata.resource_version.is_none() {
            return within(self.deadline, self.api.create(&params, lease)).await;
        }
        within(self.deadline, self.api.replace(&self.name, &params, lease)).await
    }
}

async fn within<T>(deadline: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, LeaseError> {
    match timeout(deadline, call).await {
        Ok(answer) => answer.map_err(|error| classify(&error)),
        Err(_) => Err(LeaseError::Timeout),
    }
}

fn classify(error: &kube::Error) -> LeaseError {
    match error {
        kube::Error::Api(status) => match status.code {
            409 => LeaseError::Conflict,
            401 | 403 => LeaseError::Forbidden,
            other => LeaseError::Refused(other),
        },
        _ => LeaseError::Unreachable,
    }
}
