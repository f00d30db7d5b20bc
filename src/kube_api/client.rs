//! The client for Secrets, whose connections do not outlive their use.
//!
//! What a connection carried last stays in its buffers, decrypted, until more traffic covers it or the connection
//! closes. Watches and the lease keep theirs open for good, so no Secret may pass there. Nor would it be enough to give
//! Secrets a second client of kube's own make: hyper-util's pool closes an idle connection only if it has a timer, and
//! kube-client 5.0.0 gives it none; the API server would close it, after 90 s.

use std::time::Duration;

use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

/// As for providers. The pool looks this often, so that a connection is closed within twice this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// A client like kube's own, without retries, whose idle connections are closed. Timeouts are up to the caller.
///
/// # Errors
/// The configuration's certificates or credentials are not usable.
pub fn for_secrets(config: &Config) -> kube::Result<Client> {
    let pool = legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(config.rustls_https_connector()?);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(pool);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}
