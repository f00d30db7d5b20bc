//! Clients for the API server that kube does not have: one for Secrets, which closes idle connections, and one for commands,
//! which supports proxies.
//!
//! The data that a connection carried last stays in its buffers, decrypted, until more data overwrites it or the connection
//! closes. The connections of watches and of the lease stay open, so they must not carry Secrets. A second client from kube
//! is not enough: hyper-util's pool closes idle connections only if it has a timer, and kube-client 5.0.0 does not set one.
//! The API server would close such a connection after 90 s.

use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use tower::{BoxError, ServiceBuilder};

/// The same as for providers. The pool checks at this interval, so a connection is closed within twice this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// A client without retries that closes idle connections. The caller sets timeouts. It does not support proxies.
///
/// # Errors
/// The certificates or the login in the configuration cannot be used.
pub fn for_secrets(config: &Config) -> kube::Result<Client> {
    with_connector(config, config.rustls_https_connector()?)
}

/// Such a client that uses [`Config::proxy_url`], for a command that a user runs. kube's own client supports proxies only with
/// a feature that also makes it read `NO_PROXY`, by other rules than kubectl's (see [`super::proxy`]).
///
/// # Errors
/// The certificates or the login in the configuration cannot be used.
pub fn for_command(config: &Config) -> kube::Result<Client> {
    let mut direct = HttpConnector::new();
    direct.enforce_http(false);
    direct.set_connect_timeout(config.connect_timeout);
    let Some((scheme, proxy)) = config.proxy_url.as_ref().and_then(|url| Some((url.scheme_str()?, intercept(url)?)))
    else {
        return with_connector(config, config.rustls_https_connector_with_connector(direct)?);
    };
    match scheme {
        "socks5" | "socks5h" => {
            let mut through = SocksV5::new(proxy.uri().clone(), direct);
            if let Some((user, password)) = proxy.raw_auth() {
                through = through.with_auth(user.to_owned(), password.to_owned());
            }
            with_connector(config, config.rustls_https_connector_with_connector(through)?)
        }
        // TLS to the proxy has the settings of TLS to the API server, as for kubectl.
        "https" => {
            let through = tunnel(&proxy, config.rustls_https_connector_with_connector(direct)?);
            with_connector(config, config.rustls_https_connector_with_connector(through)?)
        }
        _ => {
            let through = tunnel(&proxy, direct);
            with_connector(config, config.rustls_https_connector_with_connector(through)?)
        }
    }
}

/// Splits the URL of a proxy into its address and its login.
fn intercept(proxy: &Uri) -> Option<Intercept> {
    // Any host will do, because this matcher uses the same proxy for all hosts.
    Matcher::builder().all(proxy.to_string()).build().intercept(&Uri::from_static("https://api-server"))
}

fn tunnel<C>(proxy: &Intercept, connector: C) -> Tunnel<C> {
    let tunnel = Tunnel::new(proxy.uri().clone(), connector);
    match proxy.basic_auth() {
        Some(login) => tunnel.with_auth(login.clone()),
        None => tunnel,
    }
}

fn with_connector<C>(config: &Config, connector: C) -> kube::Result<Client>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let pool = legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(pool);
    Ok(ClientBuilder::new(service, config.default_namespace.clone()).build())
}
