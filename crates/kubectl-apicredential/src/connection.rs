//! The connection flags of kubectl, and the connection to the API server that they select.

use std::path::PathBuf;
use std::time::Duration;

use apicredential_operator::kube_api::kubeconfig::{self, Environment, LoadError, Selection};
use apicredential_operator::kube_api::{ErrorKind, client, proxy};
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource};

use crate::error::{Exit, PluginError};

/// The default of `--request-timeout`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The flags that select the cluster, the user and the namespace. They work as in kubectl.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct ConnectionFlags {
    /// Path to the kubeconfig file [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// Name of the kubeconfig's context to use
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Name of the kubeconfig's cluster to use
    #[arg(long, global = true, value_name = "NAME")]
    cluster: Option<String>,
    /// Name of the kubeconfig's user to use
    #[arg(long, global = true, value_name = "NAME")]
    user: Option<String>,
    /// Namespace of the ApiCredentials [default: the context's]
    #[arg(long, short, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// User to impersonate
    #[arg(long = "as", global = true, value_name = "USER")]
    impersonate: Option<String>,
    /// Group to impersonate; can be repeated, and requires --as
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    impersonate_groups: Vec<String>,
    /// Timeout of one request to the API server, such as 5s; 0 disables it [default: 30s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_timeout)]
    request_timeout: Option<Duration>,
}

/// A duration or a whole number of seconds, as in kubectl.
fn parse_timeout(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => apicredential_operator::flags::parse_duration(text).map_err(|error| error.to_string()),
    }
}

/// The namespaces that a command reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    Namespace(String),
    All,
}

/// A connection to an API server, and the namespace that the command works in.
pub struct Connection {
    pub client: Client,
    pub namespace: String,
    /// The API server's URL, and the proxy if there is one, for messages.
    api_server: String,
    request_timeout: Option<Duration>,
}

impl ConnectionFlags {
    /// The value of `--namespace`.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Reads the kubeconfig and builds the client. Sends nothing yet.
    pub async fn open(&self) -> Result<Connection, PluginError> {
        if !self.impersonate_groups.is_empty() && self.impersonate.is_none() {
            return Err(PluginError::new(Exit::Usage, "--as-group requires --as; name the user as well."));
        }
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        if let Some(user) = &self.impersonate {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let api_server = describe_api_server(&config);
        let client = client::for_command(&config).map_err(|error| PluginError::from_kube(&error, &api_server))?;
        let timeout = self.request_timeout.unwrap_or(REQUEST_TIMEOUT);
        Ok(Connection { client, namespace, api_server, request_timeout: (timeout > Duration::ZERO).then_some(timeout) })
    }

    async fn config(&self) -> Result<Config, PluginError> {
        let selection = Selection {
            file: self.kubeconfig.clone(),
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let is_selected = [&self.context, &self.cluster, &self.user].iter().any(|name| name.is_some());
        let environment = Environment::of_process();
        match kubeconfig::load(&selection, &environment).await {
            Ok(config) => Ok(config),
            // Like kubectl in a pod without a kubeconfig: use the service account.
            Err(error) if error.is_missing() && !is_selected && self.kubeconfig.is_none() => {
                let mut config = Config::incluster().map_err(|_| configuration_error(&error))?;
                config.proxy_url =
                    kubeconfig::proxy_of(&config, &environment).map_err(|error| configuration_error(&error))?;
                Ok(config)
            }
            Err(error) => Err(configuration_error(&error)),
        }
    }
}

fn configuration_error(error: &LoadError) -> PluginError {
    PluginError::new(Exit::Cluster, format!("No cluster is configured: {error}; {}.", error.remedy()))
}

fn describe_api_server(config: &Config) -> String {
    let url = config.cluster_url.to_string();
    let url = url.trim_end_matches('/');
    match &config.proxy_url {
        Some(proxy) => format!("{url} (through the proxy {})", proxy::origin(proxy)),
        None => url.to_owned(),
    }
}

impl Connection {
    /// A connection through this client, for tests.
    #[cfg(test)]
    pub fn of_client(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            api_server: "https://api-server".to_owned(),
            request_timeout: None,
        }
    }

    /// All namespaces, or only the one that the command works in.
    pub fn scope(&self, all: bool) -> Scope {
        if all { Scope::All } else { Scope::Namespace(self.namespace.clone()) }
    }

    /// The API of a kind in these namespaces.
    #[expect(clippy::disallowed_methods, reason = "for `--all-namespaces`; Secrets are never listed")]
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self, scope: &Scope) -> Api<K> {
        match scope {
            Scope::Namespace(namespace) => Api::namespaced(self.client.clone(), namespace),
            Scope::All => Api::all(self.client.clone()),
        }
    }

    /// The API of a kind in one namespace.
    pub fn namespaced<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self, name: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), name)
    }

    /// Explains an error of the client to the user.
    pub fn error(&self, error: &kube::Error) -> PluginError {
        PluginError::from_kube(error, &self.api_server)
    }

    /// Sends one request within `--request-timeout`.
    pub async fn request<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, PluginError> {
        let response = match self.request_timeout {
            None => request.await,
            Some(timeout) => {
                tokio::time::timeout(timeout, request).await.map_err(|_| PluginError::unreachable(&self.api_server))?
            }
        };
        response.map_err(|error| self.error(&error))
    }

    /// Sends a request for an object that may not exist, or that the user may not read.
    pub async fn request_optional<T>(
        &self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<Lookup<T>, PluginError> {
        let response = match self.request_timeout {
            None => request.await,
            Some(timeout) => {
                tokio::time::timeout(timeout, request).await.map_err(|_| PluginError::unreachable(&self.api_server))?
            }
        };
        let error = match response {
            Ok(object) => return Ok(Lookup::Found(object)),
            Err(error) => error,
        };
        match ErrorKind::of(&error) {
            ErrorKind::NotFound | ErrorKind::NotServed => Ok(Lookup::NotFound),
            ErrorKind::Forbidden => Ok(Lookup::Forbidden),
            _ => Err(self.error(&error)),
        }
    }
}

/// The result of a read that may legitimately return no object.
#[derive(Clone, Debug)]
pub enum Lookup<T> {
    Found(T),
    NotFound,
    /// RBAC does not permit the user to read the object.
    Forbidden,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_a_duration_or_seconds_as_for_kubectl() {
        assert_eq!(parse_timeout("0"), Ok(Duration::ZERO));
        assert_eq!(parse_timeout("5"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_timeout("1m30s"), Ok(Duration::from_secs(90)));
        assert!(parse_timeout("soon").is_err());
    }
}
