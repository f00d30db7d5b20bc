//! How the operator finds its cluster.

use kube::Config;

use crate::kube_api::kubeconfig::{self, Environment, Selection};

/// The configuration of the pod's service account, outside of a pod that of the kubeconfig. Proxy variables of the environment
/// are ignored.
pub(super) async fn cluster_config() -> Result<Config, String> {
    match Config::incluster() {
        Ok(config) => Ok(config),
        Err(_) => kubeconfig_without_proxy(&Environment::of_process_without_proxies()).await,
    }
}

async fn kubeconfig_without_proxy(environment: &Environment) -> Result<Config, String> {
    let config = kubeconfig::load(&Selection::default(), environment).await;
    let config = config.map_err(|error| {
        format!(
            "no cluster is configured: {error}; run in a pod with a service account, or set KUBECONFIG to a kubeconfig with a current context"
        )
    })?;
    if config.proxy_url.is_some() {
        let reason = "the kubeconfig's cluster has a proxy-url, which the operator does not support; connect to the API server directly";
        return Err(reason.to_owned());
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn config(cluster: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let text = format!(
            "current-context: a\ncontexts: [{{name: a, context: {{cluster: a}}}}]\nclusters: [{{name: a, cluster: {{{cluster}}}}}]\n"
        );
        std::fs::write(&path, text).unwrap();
        kubeconfig_without_proxy(&Environment { kubeconfig: path.into(), ..Environment::default() }).await
    }

    #[tokio::test]
    async fn a_kubeconfig_with_a_proxy_is_rejected_instead_of_connecting_without_the_proxy() {
        assert!(config("server: 'https://a.example'").await.is_ok());
        let proxied = config("server: 'https://a.example', proxy-url: 'http://proxy.example:3128'").await;
        assert!(proxied.unwrap_err().contains("proxy-url"));
        let none = config("").await.unwrap_err();
        assert!(none.starts_with("no cluster is configured: ") && none.contains("KUBECONFIG"), "{none}");
    }
}
