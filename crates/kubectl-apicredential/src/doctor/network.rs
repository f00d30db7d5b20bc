//! Checks of the clocks, and of TLS connections from this machine to the providers. No request is sent to a provider.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apicredential::api::ApiCredential;
use apicredential::endpoint::Endpoint;
use apicredential::plan::{AllowLists, Plan};
use apicredential::reason::Reason;
use apicredential_operator::cli::RunArgs;
use apicredential_operator::clock as time;
use apicredential_operator::provider_client::ca_bundle::CaBundle;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::CheckResult;
use crate::connection::Connection;
use crate::durations;
use crate::error::{Exit, PluginError};

/// Smaller differences are not reported: the `Date` header has whole seconds, and the response takes time.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(5);
/// The number of connections at the same time.
const PARALLEL: usize = 4;
/// The same as the operator's.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// This machine's clock compared with the API server's.
pub struct ClockComparison {
    /// How far this machine is ahead; zero if the response has no `Date`.
    pub ahead: SignedDuration,
    pub result: CheckResult,
}

/// Compares this machine's clock with the `Date` header of a response.
pub async fn clock(connection: &Connection) -> Result<ClockComparison, PluginError> {
    const CHECK: &str = "clock";
    let request = http::Request::get("/version").body(Body::empty());
    let request = request.map_err(|_| PluginError::local("The request cannot be built; please report this."))?;
    let response = connection.request(connection.client.send(request)).await?;
    let now = time::now_seconds();
    let date = response.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let date =
        date.and_then(|date| httpdate::parse_http_date(date).ok()).and_then(|date| Timestamp::try_from(date).ok());
    let Some(date) = date else {
        let result = CheckResult::warn(
            CHECK,
            "The API server's response has no Date header, so the clocks were not compared.",
            "Compare the clocks manually.",
        );
        return Ok(ClockComparison { ahead: SignedDuration::ZERO, result });
    };
    let ahead = now.duration_since(date);
    if ahead.abs() <= TOLERANCE {
        let result = CheckResult::ok(CHECK, "This machine's clock agrees with the API server's.");
        return Ok(ClockComparison { ahead, result });
    }
    let direction = if ahead.is_positive() { "ahead of" } else { "behind" };
    let message =
        format!("This machine's clock is {} {direction} the API server's.", durations::format_duration(ahead.abs()));
    let remedy =
        "Synchronise it: the times that this plugin shows are off by that much. The operator uses its own clock.";
    Ok(ClockComparison { ahead, result: CheckResult::warn(CHECK, message, remedy) })
}

/// Connects to each endpoint that an ApiCredential names and the operator allows: who may create an ApiCredential must not
/// choose where the machines of other users connect to. If the operator's flags cannot be read, its defaults apply.
pub async fn providers(
    credentials: &[ApiCredential],
    run: Option<&RunArgs>,
    roots: Option<&Path>,
) -> Result<Vec<CheckResult>, PluginError> {
    const CHECK: &str = "providers";
    let roots = roots.map(read_roots).transpose()?.unwrap_or_default();
    let bad_block = |block: &usize| {
        let message = format!("Certificate {block} in --provider-ca-file is not valid and was not used.");
        CheckResult::warn(CHECK, message, "Correct or remove that block: the operator does not trust it either.")
    };
    let mut results: Vec<CheckResult> = roots.bad_blocks.iter().map(bad_block).collect();
    let connector = connector(roots.certificates)?;
    let endpoints = run.map(|run| run.provider.allowed_endpoints.clone()).unwrap_or_default();
    let allowed = AllowLists::of_endpoints(endpoints);
    let plans = credentials.iter().filter_map(|it| Plan::parse(&it.spec, &allowed).ok());
    let plans = plans.filter(|plan| plan.endpoint_allowed);
    let endpoints: BTreeSet<Endpoint> = plans.map(|plan| plan.request.endpoint().clone()).collect();
    let connector = &connector;
    let checks = endpoints.iter().map(|endpoint| async move {
        match handshake(endpoint, connector).await {
            Ok(()) => CheckResult::ok(CHECK, format!("{endpoint} is reachable from this machine, with a trusted certificate.")),
            Err(reason) => {
                let message = format!("{endpoint} is not reachable from this machine, {reason}: {}", reason.message());
                CheckResult::warn(CHECK, message, "The result in the cluster can differ; the operator reports it in the conditions. Skip this check with --offline.")
            }
        }
    });
    let mut checks = futures::stream::iter(checks).buffered(PARALLEL);
    while let Some(result) = checks.next().await {
        results.push(result);
    }
    Ok(results)
}

fn connector(extra: Vec<CertificateDer<'static>>) -> Result<TlsConnector, PluginError> {
    let tls_error = |_| PluginError::local("The TLS client cannot be set up; check the system's certificate store.");
    let provider = Arc::new(default_provider());
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(tls_error)?;
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(tls_error)?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Like the operator, requires at least one certificate.
fn read_roots(path: &Path) -> Result<CaBundle, PluginError> {
    let read = std::fs::read(path).ok().map(|pem| CaBundle::parse(&pem));
    read.filter(|bundle| !bundle.certificates.is_empty()).ok_or_else(|| {
        let message =
            format!("--provider-ca-file {} contains no valid PEM certificate; correct the path.", path.display());
        PluginError::new(Exit::Usage, message)
    })
}

/// Opens a TLS connection. The errors are the reasons that the operator reports.
async fn handshake(endpoint: &Endpoint, connector: &TlsConnector) -> Result<(), Reason> {
    let url: http::Uri = endpoint.as_str().parse().map_err(|_| Reason::InvalidSpec)?;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_u16().unwrap_or(443);
    let connect = async {
        let mut addresses = lookup_host((host.as_str(), port)).await.map_err(|_| Reason::DnsFailed)?.peekable();
        addresses.peek().ok_or(Reason::DnsFailed)?;
        for address in addresses {
            if let Ok(stream) = TcpStream::connect(address).await {
                return Ok(stream);
            }
        }
        Err(Reason::ConnectionFailed)
    };
    let stream = timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| Reason::ConnectionFailed)??;
    let name = ServerName::try_from(host.clone()).map_err(|_| Reason::InvalidSpec)?;
    let handshake =
        timeout(CONNECT_TIMEOUT, connector.connect(name, stream)).await.map_err(|_| Reason::ProviderTimeout)?;
    handshake.map(drop).map_err(|_| Reason::TlsFailed)
}

#[cfg(test)]
mod tests;
