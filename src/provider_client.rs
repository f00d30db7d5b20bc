//! The HTTP client for providers, apart from the one for Kubernetes.
//!
//! **A request is sent at most once.** Read in the sources of reqwest 0.13.5, hyper-util 0.1.21 and hyper 1.12: reqwest's
//! own retries are turned off ([`reqwest::retry::never`]). hyper-util tries a request again on another connection only if
//! hyper hands it back, and reqwest cannot turn that off; but hyper's HTTP/1 client hands a request back only while it
//! still lies in the queue of a pooled connection that closed. Once taken from the queue, before its first byte is
//! written, every error ends the exchange. HTTP/2, where a refused stream could be sent again, is not compiled in and
//! excluded by ALPN; TLS early data, which can be replayed, is off by default.

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

mod request_error;
#[cfg(test)]
mod tests;
mod token_check;
pub mod transport;

pub use token_check::TokenCheck;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below the idle timeouts of common load balancers (60 s and more), so that we close first, not while we send.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_BODY: usize = 64 * 1024;
const USER_AGENT: &str = concat!("apicredential-operator/", env!("CARGO_PKG_VERSION"));

/// Sends exchanges.
#[derive(Clone, Debug)]
pub struct ProviderClient {
    /// Replaced when the way changes; what was sent by an older one ends on that.
    client: Arc<RwLock<Client>>,
    timeout: Duration,
    skews: Arc<Mutex<BTreeMap<Provider, i64>>>,
}

/// Why there is no client for providers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderClientError {
    /// `install_default` was not called.
    #[error("no TLS crypto provider is installed in this process")]
    NoCryptoProvider,
    /// The file is not what it should be.
    #[error("--provider-ca-file holds no readable PEM certificate; give a file of \"BEGIN CERTIFICATE\" blocks")]
    BadCertificates,
    /// The HTTP client does not take it.
    #[error("--provider-proxy cannot be used; give an http:// or https:// origin")]
    BadProxy,
    /// No roots, most likely.
    #[error("no TLS client could be set up; is there a system certificate store, such as /etc/ssl/certs?")]
    NoClient,
}

impl ProviderClient {
    /// A client that goes this way, trusts the system's roots beside the way's own, and gives each exchange this long in
    /// all.
    ///
    /// The system's roots are the files that OpenSSL would use (`/etc/ssl/certs`, or `SSL_CERT_FILE` and `SSL_CERT_DIR`).
    ///
    /// # Errors
    /// See [`ProviderClientError`]; the process needs a default [`CryptoProvider`] before.
    pub fn new(timeout: Duration, route: &Transport) -> Result<Self, ProviderClientError> {
        let client = Arc::new(RwLock::new(client(route)?));
        Ok(Self { client, timeout, skews: Arc::default() })
    }

    /// Goes another way from the next exchange on.
    ///
    /// # Errors
    /// There is no such way; the old one stays.
    pub fn set_transport(&self, route: &Transport) -> Result<(), ProviderClientError> {
        let new = client(route)?;
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// By how many seconds our clock was ahead of a provider's, by the Date of its last answer.
    pub fn skews(&self) -> BTreeMap<Provider, i64> {
        self.skews.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks once. Takes no longer than the timeout, whatever the provider does.
    ///
    /// # Errors
    /// The reason why there is no token.
    pub async fn exchange(&self, inputs: &Login) -> Result<Issued, ExchangeFailure> {
        let ask = inputs.build_request()?;
        let start = clock::SuspendAwareInstant::now();
        let issued_at = clock::now_seconds();
        let mut status = None;
        let whole = self.send_and_read(inputs, ask, issued_at, &mut status);
        let result = tokio::time::timeout(self.timeout, whole).await;
        let result = result.unwrap_or(Err(Reason::ProviderTimeout.into()));
        tracing::debug!(
            provider = inputs.provider().as_str(),
            status,
            reason = result.as_ref().err().map(|failure| failure.reason.as_str()),
            duration_seconds = start.elapsed().as_secs_f64(),
            "a provider was asked for a token"
        );
        result
    }

    async fn send_and_read(
        &self,
        inputs: &Login,
        ask: TokenRequest,
        issued_at: Timestamp,
        status: &mut Option<u16>,
    ) -> Result<Issued, ExchangeFailure> {
        let request = self.client().post(ask.url).headers(ask.headers).body(ask.body);
        let response = request.send().await.map_err(|error| request_error::reason(&error))?;
        *status = Some(response.status().as_u16());
        self.note_skew(inputs.provider(), response.headers());
        response::classify_response(response.status(), response.headers(), clock::now())?;
        let body = read_body(response).await?;
        Ok(inputs.parse_response(&body, issued_at)?)
    }

    /// The client that requests go by now.
    fn client(&self) -> Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The limit of one request in all.
    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn note_skew(&self, provider: Provider, headers: &HeaderMap) {
        if let Some(skew) = response::skew(headers, clock::now()) {
            self.skews.lock().unwrap_or_else(PoisonError::into_inner).insert(provider, skew);
        }
    }
}

fn client(route: &Transport) -> Result<Client, ProviderClientError> {
    // reqwest panics without one.
    if CryptoProvider::get_default().is_none() {
        return Err(ProviderClientError::NoCryptoProvider);
    }
    let roots = route.roots_pem().map(certificates).transpose()?.unwrap_or_default();
    // With roots of ours, an empty system store is no error; a certificate of ours that is none is.
    let error = if roots.is_empty() { ProviderClientError::NoClient } else { ProviderClientError::BadCertificates };
    let builder = protected(roots);
    let builder = match route.proxy() {
        None => builder,
        Some(proxy) => builder.proxy(proxy.map_err(|_| ProviderClientError::BadProxy)?),
    };
    builder.build().map_err(|_| error)
}

#[expect(clippy::disallowed_methods, reason = "the one client for providers, with every protection set")]
fn protected(extra_roots: Vec<Certificate>) -> ClientBuilder {
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

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, ProviderClientError> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(ProviderClientError::BadCertificates),
    }
}

/// Reads up to the limit, counted, whatever `Content-Length` says; dropping the rest closes the connection.
async fn read_body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, Reason> {
    // All of it at once, so that no growing buffer leaves a piece of the token behind.
    let mut body = Zeroizing::new(Vec::with_capacity(MAX_BODY));
    while let Some(chunk) = response.chunk().await.map_err(|error| request_error::reason(&error))? {
        if chunk.len() > MAX_BODY - body.len() {
            return Err(Reason::ResponseTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
