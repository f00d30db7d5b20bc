//! The flags for requests to providers.

use std::path::PathBuf;
use std::time::Duration;

use apicredential::providers::AllowedEndpoints;

use super::parse_duration;
use crate::provider_client::transport::{ProxyOrigin, TransportError, TransportFiles};

/// Why the flags are rejected. Each message names the flag and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderArgsError {
    /// The timeout is too short or too long.
    #[error("--provider-timeout is out of bounds; set it to a duration from 100ms to 1h")]
    Timeout,
    /// There is a login for the proxy, but no proxy.
    #[error("--provider-proxy-credentials-file is set without --provider-proxy; set both or neither")]
    LoginWithoutProxy,
    /// `--provider-proxy` is not the origin of a proxy.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// The flags for requests to providers, each with its environment variable.
#[derive(Clone, Debug, clap::Args)]
pub struct ProviderArgs {
    /// Provider endpoints that an ApiCredential may use, as welkin=https://host,qontak=https://host. Replaces the default list
    #[arg(long, env = "APICREDENTIAL_ALLOWED_ENDPOINTS", hide_env_values = true, value_name = "LIST")]
    #[arg(default_value_t)]
    pub allowed_endpoints: AllowedEndpoints,

    /// PEM file with CA certificates to trust for providers in addition to the system's. The operator reads it again when it
    /// changes
    #[arg(long, env = "APICREDENTIAL_PROVIDER_CA_FILE", hide_env_values = true, value_name = "PATH")]
    pub provider_ca_file: Option<PathBuf>,

    /// HTTP proxy for requests to providers, as http://host:port or https://host:port. Variables such as HTTPS_PROXY are
    /// ignored
    #[arg(long, env = "APICREDENTIAL_PROVIDER_PROXY", hide_env_values = true, value_name = "ORIGIN")]
    pub provider_proxy: Option<String>,

    /// File with the login for --provider-proxy, one line user:password. The operator reads it again when it changes
    #[arg(long, env = "APICREDENTIAL_PROVIDER_PROXY_CREDENTIALS_FILE", hide_env_values = true, value_name = "PATH")]
    pub provider_proxy_credentials_file: Option<PathBuf>,

    /// Timeout of one request to a provider, from connecting to the last byte of the response, 100ms to 1h. In the operator
    /// also at most half of --lease-duration minus 10s
    #[arg(long, env = "APICREDENTIAL_PROVIDER_TIMEOUT", hide_env_values = true, value_name = "DURATION")]
    #[arg(default_value = "15s", value_parser = parse_duration)]
    pub provider_timeout: Duration,
}

impl ProviderArgs {
    /// Checks the flags, and returns the proxy and the paths of the files. It does not read the files.
    ///
    /// # Errors
    /// The timeout is out of bounds, the proxy is not an origin, or there is a login for a proxy but no proxy.
    pub fn transport_files(&self) -> Result<TransportFiles, ProviderArgsError> {
        let (shortest, longest) = (Duration::from_millis(100), Duration::from_secs(3600));
        if !(shortest..=longest).contains(&self.provider_timeout) {
            return Err(ProviderArgsError::Timeout);
        }
        let proxy = self.provider_proxy.as_deref().filter(|text| !text.is_empty());
        if proxy.is_none() && self.provider_proxy_credentials_file.is_some() {
            return Err(ProviderArgsError::LoginWithoutProxy);
        }
        Ok(TransportFiles {
            roots: self.provider_ca_file.clone(),
            proxy: proxy.map(ProxyOrigin::parse).transpose()?,
            proxy_login: self.provider_proxy_credentials_file.clone(),
        })
    }
}
