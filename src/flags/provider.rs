//! How providers are reached: the flags that `run` and `exchange` share.

use std::path::PathBuf;
use std::time::Duration;

use apicredential::providers::AllowedEndpoints;

use super::parse_duration;
use crate::provider_client::transport::{ProxyOrigin, TransportError, TransportFiles};

/// Why the provider flags cannot be used. Every sentence names the flag and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderArgsError {
    /// The timeout is too short or too long.
    #[error("--provider-timeout is out of bounds; set it to a duration from 100ms to 1h")]
    Timeout,
    /// A proxy login without a proxy.
    #[error("--provider-proxy-credentials-file is set without --provider-proxy; set both or none")]
    LoginWithoutProxy,
    /// The proxy is not an origin.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// The flags, each with its environment variable.
#[derive(Clone, Debug, clap::Args)]
pub struct ProviderArgs {
    /// Origins that may be asked for tokens, as welkin=https://host,qontak=https://host; replaces the whole default
    #[arg(long, env = "APICREDENTIAL_ALLOWED_ENDPOINTS", hide_env_values = true, value_name = "LIST")]
    #[arg(default_value_t)]
    pub allowed_endpoints: AllowedEndpoints,

    /// PEM file with certificates to trust for providers, in addition to the system's; read again when it changes
    #[arg(long, env = "APICREDENTIAL_PROVIDER_CA_FILE", hide_env_values = true, value_name = "PATH")]
    pub provider_ca_file: Option<PathBuf>,

    /// HTTP proxy by way of which providers are reached, as http://host:port; the environment's proxy variables are ignored
    #[arg(long, env = "APICREDENTIAL_PROVIDER_PROXY", hide_env_values = true, value_name = "ORIGIN")]
    pub provider_proxy: Option<String>,

    /// File with the proxy's login, one line user:password
    #[arg(long, env = "APICREDENTIAL_PROVIDER_PROXY_CREDENTIALS_FILE", hide_env_values = true, value_name = "PATH")]
    pub provider_proxy_credentials_file: Option<PathBuf>,

    /// Time for one exchange, from connecting to the last byte of the answer
    #[arg(long, env = "APICREDENTIAL_PROVIDER_TIMEOUT", hide_env_values = true, value_name = "DURATION")]
    #[arg(default_value = "15s", value_parser = parse_duration)]
    pub provider_timeout: Duration,
}

impl ProviderArgs {
    /// Where the parts of the way are found; nothing is read yet.
    ///
    /// # Errors
    /// The timeout is out of bounds, the proxy is no origin, or there is a login without a proxy.
    pub fn route(&self) -> Result<TransportFiles, ProviderArgsError> {
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
