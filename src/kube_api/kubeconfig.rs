//! Loads kubeconfigs by kubectl's rules: which files are read, how they are merged, and what their fields mean.
//!
//! kube-client reads single files and resolves relative paths as kubectl does. This module handles what kube-client does
//! differently: kube-client fails on a missing file in `KUBECONFIG`, treats an empty string as a value, connects without a login
//! when the selected user does not exist, and has other rules for proxies (see [`super::proxy`]).

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use http::Uri;
use kube::Config;
use kube::config::{AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedContext};

use super::proxy::{self, ProxyVariables};
use load_error::{config_error, read_error};

pub use load_error::{Files, LoadError};

mod load_error;

/// Keeps kube-client from reading proxy variables itself. It is never part of the result.
const UNUSED_PROXY: &str = "http://unused.invalid";

/// What a command line selects in the kubeconfig. `None` leaves the choice to the kubeconfig.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The only file that is read, in place of those in `KUBECONFIG`.
    pub file: Option<PathBuf>,
    /// A context, in place of the current one.
    pub context: Option<String>,
    /// A cluster, in place of the context's.
    pub cluster: Option<String>,
    /// A user, in place of the context's.
    pub user: Option<String>,
}

/// The environment variables that kubectl reads.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `KUBECONFIG`: a list of files.
    pub kubeconfig: OsString,
    /// `HOME`: the default file is `.kube/config` below it.
    pub home: OsString,
    /// The proxy variables; `None` ignores them.
    pub proxies: Option<ProxyVariables>,
}

impl Environment {
    /// The environment variables of this process.
    pub fn of_process() -> Self {
        Self { proxies: Some(ProxyVariables::of_process()), ..Self::of_process_without_proxies() }
    }

    /// The environment variables of this process without the proxy variables, which the operator ignores.
    pub fn of_process_without_proxies() -> Self {
        let read = |name| std::env::var_os(name).unwrap_or_default();
        Self { kubeconfig: read("KUBECONFIG"), home: read("HOME"), proxies: None }
    }

    /// The files to merge, without repetitions. Earlier files take precedence.
    fn files(&self) -> Vec<PathBuf> {
        if !self.kubeconfig.is_empty() {
            let mut known = HashSet::new();
            let listed = std::env::split_paths(&self.kubeconfig).filter(|path| !path.as_os_str().is_empty());
            return listed.filter(|path| known.insert(path.clone())).collect();
        }
        if self.home.is_empty() { Vec::new() } else { vec![Path::new(&self.home).join(".kube/config")] }
    }
}

/// Loads the configuration for the selected cluster and user, including the proxy for the API server.
///
/// # Errors
/// There is no kubeconfig, it does not contain what was selected, or something in it is missing or invalid.
pub async fn load(selection: &Selection, environment: &Environment) -> Result<Config, LoadError> {
    let Merged { mut kubeconfig, files } = read(selection, environment)?;
    let (context, name) = select(&mut kubeconfig, selection, &files)?;
    let found = kubeconfig.clusters.iter_mut().find(|it| it.name == name).and_then(|it| it.cluster.as_mut());
    let Some(cluster) = found else { return Err(LoadError::NoCluster { files, name }) };
    let server = cluster.server.as_deref().and_then(|server| server.parse::<Uri>().ok());
    let server = server.filter(|server| server.scheme().is_some() && server.host().is_some());
    let Some(server) = server else { return Err(LoadError::Server { files, cluster: name }) };
    let (proxy, in_kubeconfig) = match (&cluster.proxy_url, &environment.proxies) {
        (Some(url), _) => match proxy::parse(url) {
            Some(proxy) => (Some(proxy), true),
            None => return Err(LoadError::ProxyUrl { files, cluster: name }),
        },
        (None, Some(variables)) => (variables.proxy_for(&server)?, false),
        (None, None) => (None, false),
    };
    if !in_kubeconfig {
        cluster.proxy_url = Some(UNUSED_PROXY.to_owned());
    }
    let options = KubeConfigOptions { context, cluster: selection.cluster.clone(), user: selection.user.clone() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|error| config_error(error, files, name))?;
    config.proxy_url = proxy;
    if !in_kubeconfig && let Some(cluster) = config.auth_info.exec.as_mut().and_then(|exec| exec.cluster.as_mut()) {
        cluster.proxy_url = None;
    }
    check_files(&config.auth_info)?;
    Ok(config)
}

/// The proxy from the environment for an API server that no kubeconfig names, such as that of the pod's cluster.
///
/// # Errors
/// The value of the variable is not the URL of a proxy.
pub fn proxy_of(config: &Config, environment: &Environment) -> Result<Option<Uri>, LoadError> {
    let variables = environment.proxies.as_ref();
    Ok(variables.map(|variables| variables.proxy_for(&config.cluster_url)).transpose()?.flatten())
}

struct Merged {
    kubeconfig: Kubeconfig,
    /// The files that were read.
    files: Files,
}

/// Reads and merges the files. Earlier files take precedence.
fn read(selection: &Selection, environment: &Environment) -> Result<Merged, LoadError> {
    let (searched, is_list) = match &selection.file {
        Some(file) => (vec![file.clone()], false),
        None => (environment.files(), true),
    };
    if searched.is_empty() {
        return Err(LoadError::NoFile);
    }
    let (mut merged, mut files) = (Kubeconfig::default(), Vec::new());
    for path in &searched {
        let next = match Kubeconfig::read_from(path) {
            Ok(next) => without_empty_values(next),
            Err(KubeconfigError::ReadConfig(error, _)) if is_list && error.kind() == io::ErrorKind::NotFound => {
                continue;
            }
            Err(error) => return Err(read_error(error, path)),
        };
        files.push(path.clone());
        merged = merged.merge(next).map_err(|_| LoadError::Mismatch(Files(files.clone())))?;
    }
    let is_empty = merged.current_context.is_none()
        && merged.contexts.is_empty()
        && merged.clusters.is_empty()
        && merged.auth_infos.is_empty();
    if is_empty {
        return Err(LoadError::Missing(Files(searched)));
    }
    Ok(Merged { kubeconfig: merged, files: Files(files) })
}

/// The context and the cluster to use. If a cluster is selected, no context is needed.
fn select(
    kubeconfig: &mut Kubeconfig,
    selection: &Selection,
    files: &Files,
) -> Result<(Option<String>, String), LoadError> {
    if let Some(name) = &selection.user
        && !kubeconfig.auth_infos.iter().any(|user| user.name == *name)
    {
        return Err(LoadError::NoUser { files: files.clone(), name: name.clone() });
    }
    let Some(name) = selection.context.clone().or_else(|| kubeconfig.current_context.clone()) else {
        let Some(cluster) = selection.cluster.clone() else {
            return Err(LoadError::NoCurrentContext(files.clone()));
        };
        let context = Context { cluster: cluster.clone(), user: selection.user.clone(), ..Context::default() };
        // A context with an empty name cannot be selected, so the name is free.
        kubeconfig.contexts.insert(0, NamedContext { context: Some(context), ..NamedContext::default() });
        return Ok((Some(String::new()), cluster));
    };
    let named = kubeconfig.contexts.iter().find(|context| context.name == name);
    let Some(context) = named.and_then(|named| named.context.as_ref()) else {
        return Err(LoadError::NoContext { files: files.clone(), name });
    };
    let cluster = selection.cluster.clone().unwrap_or_else(|| context.cluster.clone());
    Ok((Some(name), cluster))
}

/// Checks that the files of the user can be opened. kube-client reads them later and does not report which one is missing.
fn check_files(user: &AuthInfo) -> Result<(), LoadError> {
    for (field, path, is_unused) in [
        ("client-certificate", &user.client_certificate, user.client_certificate_data.is_some()),
        ("client-key", &user.client_key, user.client_key_data.is_some()),
        ("tokenFile", &user.token_file, user.token.is_some()),
    ] {
        if let Some(path) = path.as_ref().filter(|_| !is_unused)
            && let Err(error) = File::open(path)
        {
            return Err(LoadError::File { field, path: path.into(), kind: error.kind() });
        }
    }
    Ok(())
}

/// Removes empty strings. For kubectl an empty string is not a value, and `kubectl config unset current-context` leaves one.
fn without_empty_values(mut kubeconfig: Kubeconfig) -> Kubeconfig {
    unset_empty(&mut kubeconfig.current_context);
    for context in kubeconfig.contexts.iter_mut().filter_map(|it| it.context.as_mut()) {
        unset_empty(&mut context.namespace);
        unset_empty(&mut context.user);
    }
    for cluster in kubeconfig.clusters.iter_mut().filter_map(|it| it.cluster.as_mut()) {
        let Cluster { certificate_authority: ca, certificate_authority_data: data, proxy_url, tls_server_name, .. } =
            cluster;
        unset_empty_path(ca);
        for text in [data, proxy_url, tls_server_name] {
            unset_empty(text);
        }
    }
    for user in kubeconfig.auth_infos.iter_mut().filter_map(|it| it.auth_info.as_mut()) {
        unset_empty_path(&mut user.client_certificate);
        unset_empty_path(&mut user.client_key);
        unset_empty_path(&mut user.token_file);
        unset_empty(&mut user.client_certificate_data);
        unset_empty(&mut user.impersonate);
        unset_empty_secret(&mut user.client_key_data);
        unset_empty_secret(&mut user.token);
    }
    kubeconfig
}

fn unset_empty(text: &mut Option<String>) {
    text.take_if(|text| text.is_empty());
}

fn unset_empty_secret(secret: &mut Option<secrecy::SecretString>) {
    use secrecy::ExposeSecret as _;
    secret.take_if(|secret| secret.expose_secret().is_empty());
}

/// Removes an empty path, which kube-client has resolved to the folder of the kubeconfig.
fn unset_empty_path(path: &mut Option<String>) {
    path.take_if(|path| path.is_empty() || path.ends_with('/'));
}

#[cfg(test)]
mod tests;
