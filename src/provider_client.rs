//! The HTTP client for providers. It shares nothing with the client for Kubernetes.
//!
//! **A request is sent at most once.** This follows from the source of reqwest 0.13.5, hyper-util 0.1.21 and hyper 1.12:
//!
//! - The retries of reqwest are off ([`reqwest::retry::never`]).
//! - hyper-util sends a request again on another connection only if hyper returns it unsent, and reqwest cannot turn that off.
//!   hyper's HTTP/1 client returns a request only while it is still in the queue of a pooled connection that closed. Once the
//!   request has left the queue, before its first byte is written, every error ends the token exchange.
//! - HTTP/2, in which a refused stream could be sent again, is not compiled in, and ALPN excludes it.
//! - TLS early data, which can be replayed, is off by default.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use apicredential::api::Provider;
use apicredential::providers::{ExchangeFailure, Issued, Login, TokenRequest, response};
use apicredential::reason::Reason;
use http::HeaderMap;
use jiff::Timestamp;
use reqwest::{Certificate, Client, ClientBuilder, Response, redirect, retry, tls};
use rustls::crypto::CryptoProvider;
use secrecy::zeroize::Zeroizing;

use crate::clock;
use transport::Transport;

pub mod ca_bundle;
mod request_error;
#[cfg(test)]
mod tests;
mod token_check;
pub mod transport;

pub use token_check::TokenCheck;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the idle timeouts of common load balancers (60 s and more), so that this side closes an idle connection first
/// and the other side does not close it while a request is sent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_BODY: usize = 64 * 1024;
const USER_AGENT: &str = concat!("apicredential-operator/", env!("CARGO_PKG_VERSION"));

/// Sends requests to providers. Clones share the connections.
#[derive(Clone, Debug)]
pub struct ProviderClient {
    /// Replaced when the transport changes. Requests that were sent with the old client finish with it. `None` if there is no
    /// CA left to trust.
    client: Arc<RwLock<Option<Client>>>,
    timeout: Duration,
    skews: Arc<Mutex<BTreeMap<Provider, i64>>>,
}

/// Why the client for providers cannot be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderClientError {
    /// `CryptoProvider::install_default` was not called.
    #[error("no TLS crypto provider is installed in this process; report this as a bug")]
    NoCryptoProvider,
    /// The HTTP client does not accept the proxy.
    #[error("--provider-proxy cannot be used; give an http:// or https:// origin")]
    BadProxy,
    /// There are no CA certificates, or TLS cannot be set up for another reason.
    #[error(
        "the TLS client for providers cannot be set up; install the system's CA certificates, such as in /etc/ssl/certs"
    )]
    NoClient,
}

impl ProviderClient {
    /// Creates a client. `timeout` limits a whole request, from connecting to the last byte of the response. The client trusts
    /// the system's CAs and those in `transport`.
    ///
    /// The system's CAs are the files that OpenSSL uses: `/etc/ssl/certs`, or `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    ///
    /// # Errors
    /// See [`ProviderClientError`]. The process must have installed a default [`CryptoProvider`] before.
    pub fn new(timeout: Duration, transport: &Transport) -> Result<Self, ProviderClientError> {
        let client = Arc::new(RwLock::new(Some(client(transport)?)));
        Ok(Self { client, timeout, skews: Arc::default() })
    }

    /// Uses another transport for all requests that follow.
    ///
    /// # Errors
    /// The transport cannot be used. Then no request is sent: what the old transport trusted may be what was withdrawn.
    pub fn set_transport(&self, transport: &Transport) -> Result<(), ProviderClientError> {
        let (new, result) = match client(transport) {
            Ok(new) => (Some(new), Ok(())),
            Err(error) => (None, Err(error)),
        };
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = new;
        result
    }

    /// By how many seconds the clock of this machine was ahead of that of each provider, by the Date header of its last
    /// response.
    pub fn skews(&self) -> BTreeMap<Provider, i64> {
        self.skews.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends one token request. It takes no longer than the timeout, whatever the provider does.
    ///
    /// # Errors
    /// The reason why there is no token.
    pub async fn exchange(&self, login: &Login) -> Result<Issued, ExchangeFailure> {
        let request = login.build_request()?;
        let start = clock::SuspendAwareInstant::now();
        let issued_at = clock::now_seconds();
        let mut status = None;
        let whole = self.send_and_read(login, request, issued_at, &mut status);
        let result = tokio::time::timeout(self.timeout, whole).await;
        let result = result.unwrap_or(Err(Reason::ProviderTimeout.into()));
        tracing::debug!(
            provider = login.provider().as_str(),
            status,
            reason = result.as_ref().err().map(|failure| failure.reason.as_str()),
            duration_seconds = start.elapsed().as_secs_f64(),
            "token request finished"
        );
        result
    }

    async fn send_and_read(
        &self,
        login: &Login,
        request: TokenRequest,
        issued_at: Timestamp,
        status: &mut Option<u16>,
    ) -> Result<Issued, ExchangeFailure> {
        let sending = self.client()?.post(request.url).headers(request.headers).body(request.body);
        let response = sending.send().await.map_err(|error| request_error::reason(&error))?;
        *status = Some(response.status().as_u16());
        self.note_skew(login.provider(), response.headers());
        response::classify_response(response.status(), response.headers(), clock::now())?;
        let body = read_body(response).await?;
        Ok(login.parse_response(&body, issued_at)?)
    }

    /// The client to use for a new request.
    fn client(&self) -> Result<Client, Reason> {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Reason::TlsFailed)
    }

    /// The timeout of a whole request.
    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn note_skew(&self, provider: Provider, headers: &HeaderMap) {
        if let Some(skew) = response::skew(headers, clock::now()) {
            self.skews.lock().unwrap_or_else(PoisonError::into_inner).insert(provider, skew);
        }
    }
}

fn client(transport: &Transport) -> Result<Client, ProviderClientError> {
    // reqwest panics without a crypto provider.
    if CryptoProvider::get_default().is_none() {
        return Err(ProviderClientError::NoCryptoProvider);
    }
    let roots: Result<Vec<_>, _> = transport.roots().iter().map(|root| Certificate::from_der(root)).collect();
    let builder = hardened_builder(roots.map_err(|_| ProviderClientError::NoClient)?);
    let builder = match transport.proxy() {
        None => builder,
        Some(proxy) => builder.proxy(proxy.map_err(|_| ProviderClientError::BadProxy)?),
    };
    builder.build().map_err(|_| ProviderClientError::NoClient)
}

#[expect(clippy::disallowed_methods, reason = "this is the only client for providers, with all protections")]
fn hardened_builder(extra_roots: Vec<Certificate>) -> ClientBuilder {
    Client::builder()
        .https_only(true)
        .tls_version_min(tls::Version::TLS_1_2)
        .tls_certs_merge(extra_roots)
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .referer(false)
        .connection_verbose(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(USER_AGENT)
}

/// Reads a body of at most 64 KiB, whatever `Content-Length` says. If it is longer, dropping the response closes the
/// connection.
async fn read_body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Reason> {
    // Allocated at its greatest size, because a buffer that grows leaves copies of a part of the token in memory.
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_BODY));
    while let Some(chunk) = response.chunk().await.map_err(|error| request_error::reason(&error))? {
        if chunk.len() > MAX_BODY - body.len() {
            return Err(Reason::ResponseTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
