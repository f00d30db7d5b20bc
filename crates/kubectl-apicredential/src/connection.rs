//! The usual flags of kubectl, and the cluster they lead to.

use std::path::PathBuf;
use std::time::Duration;

use apicredential_operator::kube_api::kubeconfig::{self, Environment, LoadError, Selection};
use apicredential_operator::kube_api::{ErrorKind, client, proxy};
use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource};

use crate::error::{Exit, PluginError};

/// For one request where `--request-timeout` says nothing.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which cluster, as whom, and where in it: as kubectl has them.
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
    /// Namespace to work in [default: the context's]
    #[arg(long, short, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// User to impersonate
    #[arg(long = "as", global = true, value_name = "USER")]
    impersonate: Option<String>,
    /// Group to impersonate; may be given several times, and takes --as
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    impersonate_groups: Vec<String>,
    /// Time to wait for one answer of the API server, such as 5s; 0 is without limit [default: 30s]
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_timeout)]
    request_timeout: Option<Duration>,
}

/// As kubectl reads it: a duration, or a whole number of seconds.
fn parse_timeout(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => apicredential_operator::flags::parse_duration(text).map_err(|error| error.to_string()),
    }
}

/// One namespace, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one of that name.
    Namespace(String),
    /// All.
    All,
}

/// A cluster that can be asked.
pub struct Connection {
    pub client: Client,
    /// The namespace to work in.
    pub namespace: String,
    /// The API server's URL, and the proxy that leads there, for messages.
    api_server: String,
    limit: Option<Duration>,
}

impl ConnectionFlags {
    /// The namespace that the command line names.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Reads the kubeconfig; nothing is sent yet.
    pub async fn open(&self) -> Result<Connection, PluginError> {
        if !self.impersonate_groups.is_empty() && self.impersonate.is_none() {
            return Err(PluginError::new(Exit::Usage, "--as-group is given without --as; name the user, too."));
        }
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        if let Some(user) = &self.impersonate {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups = Some(self.impersonate_groups.clone());
        }
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let api_server = describe(&config);
        let client = client::for_command(&config).map_err(|error| PluginError::from_kube(&error, &api_server))?;
        let limit = self.request_timeout.unwrap_or(REQUEST_TIMEOUT);
        Ok(Connection { client, namespace, api_server, limit: (limit > Duration::ZERO).then_some(limit) })
    }

    async fn config(&self) -> Result<Config, PluginError> {
        let selection = Selection {
            file: self.kubeconfig.clone(),
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
        };
        let is_chosen = [&self.context, &self.cluster, &self.user].iter().any(|name| name.is_some());
        let environment = Environment::of_process();
        match kubeconfig::load(&selection, &environment).await {
            Ok(config) => Ok(config),
            // In a pod kubectl uses the service account if there is no kubeconfig.
            Err(error) if error.is_missing() && !is_chosen && self.kubeconfig.is_none() => {
                let mut config = Config::incluster().map_err(|_| refuse(&error))?;
                config.proxy_url = kubeconfig::proxy_of(&config, &environment).map_err(|error| refuse(&error))?;
                Ok(config)
            }
            Err(error) => Err(refuse(&error)),
        }
    }
}

fn refuse(error: &LoadError) -> PluginError {
    PluginError::new(Exit::Cluster, format!("No cluster is configured: {error}; {}.", error.remedy()))
}

fn describe(config: &Config) -> String {
    let url = config.cluster_url.to_string();
    let url = url.trim_end_matches('/');
    match &config.proxy_url {
        Some(proxy) => format!("{url} (through the proxy {})", proxy::origin(proxy)),
        None => url.to_owned(),
    }
}

impl Connection {
    /// One that is reached by this client, for tests.
    #[cfg(test)]
    pub fn of_client(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), api_server: "https://api-server".to_owned(), limit: None }
    }

    /// Where a command looks.
    pub fn scope(&self, all: bool) -> Scope {
        if all { Scope::All } else { Scope::Namespace(self.namespace.clone()) }
    }

    /// Objects of a kind there.
    #[expect(
        clippy::disallowed_methods,
        reason = "what `--all-namespaces` asks for; of Secrets nothing is ever listed"
    )]
    pub fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self, scope: &Scope) -> Api<K> {
        match scope {
            Scope::Namespace(namespace) => Api::namespaced(self.client.clone(), namespace),
            Scope::All => Api::all(self.client.clone()),
        }
    }

    /// Objects of a kind in one namespace.
    pub fn namespaced<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(&self, name: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), name)
    }

    /// What an error of the client means to the user.
    pub fn error(&self, error: &kube::Error) -> PluginError {
        PluginError::from_kube(error, &self.api_server)
    }

    /// One request, within the limit.
    pub async fn request<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, PluginError> {
        let answer = match self.limit {
            None => request.await,
            Some(limit) => {
                tokio::time::timeout(limit, request).await.map_err(|_| PluginError::unreachable(&self.api_server))?
            }
        };
        answer.map_err(|error| self.error(&error))
    }

    /// One request for something that may not be there, or not be for these eyes.
    pub async fn request_optional<T>(
        &self,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<Lookup<T>, PluginError> {
        let answer = match self.limit {
            None => request.await,
            Some(limit) => {
                tokio::time::timeout(limit, request).await.map_err(|_| PluginError::unreachable(&self.api_server))?
            }
        };
        let error = match answer {
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

/// What may be absent, or not for these eyes.
#[derive(Clone, Debug)]
pub enum Lookup<T> {
    /// It exists.
    Found(T),
    /// It does not exist.
    NotFound,
    /// The user may not look.
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
