//! Why a kubeconfig cannot be loaded, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use kube::config::{KubeconfigError, LoadDataError};
use thiserror::Error;

use crate::kube_api::proxy::InvalidVariable;

/// A list of paths for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(pub(super) Vec<PathBuf>);

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, path) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index > 0 { ", " } else { "" }, path.display())?;
        }
        Ok(())
    }
}

/// Why the configuration cannot be loaded. [`LoadError::remedy`] returns the fix. Of the content of a file, only names are kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// Neither `KUBECONFIG` nor `HOME` names a file.
    #[error("no kubeconfig was found: neither KUBECONFIG nor HOME is set")]
    NoFile,
    /// No file in the list exists, or all are empty.
    #[error("no kubeconfig with content was found at {0}")]
    Missing(Files),
    /// A file cannot be opened, or is not text.
    #[error("the kubeconfig {} cannot be read ({kind})", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The kind of the error.
        kind: io::ErrorKind,
    },
    /// A file is not YAML, or has other fields than a kubeconfig.
    #[error("{} is not a valid kubeconfig{}", .path.display(), .line.map(|line| format!(" (line {line})")).unwrap_or_default())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, if it is known.
        line: Option<u64>,
    },
    /// `kind` or `apiVersion` of a file differ from the others'.
    #[error("the kubeconfigs {0} have different values of kind or apiVersion")]
    Mismatch(Files),
    /// No context is selected.
    #[error("the kubeconfig {0} has no current context")]
    NoCurrentContext(Files),
    /// The context does not exist.
    #[error("the kubeconfig {files} has no context {name:?}")]
    NoContext {
        /// The kubeconfigs that were read.
        files: Files,
        /// The context.
        name: String,
    },
    /// The cluster does not exist.
    #[error("the kubeconfig {files} has no cluster {name:?}")]
    NoCluster {
        /// The kubeconfigs that were read.
        files: Files,
        /// The cluster.
        name: String,
    },
    /// The user does not exist.
    #[error("the kubeconfig {files} has no user {name:?}")]
    NoUser {
        /// The kubeconfigs that were read.
        files: Files,
        /// The user.
        name: String,
    },
    /// The API server's URL is missing or invalid.
    #[error("the cluster {cluster:?} in the kubeconfig {files} has no valid URL in server")]
    Server {
        /// The kubeconfigs that were read.
        files: Files,
        /// The cluster.
        cluster: String,
    },
    /// A file that the kubeconfig refers to cannot be read.
    #[error("the file {} in {field} of the kubeconfig cannot be read ({kind})", .path.display())]
    File {
        /// The kubeconfig's field.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// The kind of the error.
        kind: io::ErrorKind,
    },
    /// A certificate is not in PEM format.
    #[error("{field} in the kubeconfig {files} is not a PEM certificate")]
    Certificate {
        /// The kubeconfigs that were read.
        files: Files,
        /// The kubeconfig's field.
        field: &'static str,
    },
    /// `proxy-url` is not the URL of a proxy.
    #[error("proxy-url of the cluster {cluster:?} in the kubeconfig {files} is not the URL of a proxy")]
    ProxyUrl {
        /// The kubeconfigs that were read.
        files: Files,
        /// The cluster.
        cluster: String,
    },
    /// An environment variable is not the URL of a proxy.
    #[error("the environment variable {0} is not the URL of a proxy")]
    ProxyVariable(&'static str),
}

impl LoadError {
    /// What to do, as the second half of a sentence. It refers to the flags `--kubeconfig` and `--context`.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoFile | Self::Missing(_) | Self::Unreadable { .. } => {
                "give the path of a kubeconfig with --kubeconfig or KUBECONFIG"
            }
            Self::Malformed { .. } | Self::Mismatch(_) | Self::Server { .. } | Self::Certificate { .. } => {
                "correct the kubeconfig"
            }
            Self::NoCurrentContext(_) => "choose a context with --context; kubectl config get-contexts lists them",
            Self::NoContext { .. } => "kubectl config get-contexts lists the contexts that exist",
            Self::NoCluster { .. } => "kubectl config get-clusters lists the clusters that exist",
            Self::NoUser { .. } => "kubectl config get-users lists the users that exist",
            Self::File { .. } => {
                "correct the path; a relative path starts at the folder of the kubeconfig that contains it"
            }
            Self::ProxyUrl { .. } | Self::ProxyVariable(_) => {
                "write it as http://host:port, https://host:port or socks5://host:port"
            }
        }
    }

    /// Whether there is no kubeconfig at all. In that case kubectl uses the service account of its pod.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::NoFile | Self::Missing(_))
    }
}

impl From<InvalidVariable> for LoadError {
    fn from(InvalidVariable(name): InvalidVariable) -> Self {
        Self::ProxyVariable(name)
    }
}

pub(super) fn read_error(error: KubeconfigError, path: &Path) -> LoadError {
    let path = path.to_owned();
    match error {
        KubeconfigError::ReadConfig(error, _) => LoadError::Unreadable { path, kind: error.kind() },
        KubeconfigError::Parse(error) => {
            let line = error.location().map(|location| location.line());
            LoadError::Malformed { path, line }
        }
        _ => LoadError::Malformed { path, line: None },
    }
}

pub(super) fn config_error(error: KubeconfigError, files: Files, cluster: String) -> LoadError {
    match error {
        KubeconfigError::LoadCertificateAuthority(LoadDataError::ReadFile(error, path)) => {
            LoadError::File { field: "certificate-authority", path, kind: error.kind() }
        }
        KubeconfigError::LoadCertificateAuthority(_) => {
            LoadError::Certificate { files, field: "certificate-authority-data" }
        }
        KubeconfigError::ParseCertificates(_) => LoadError::Certificate { files, field: "certificate-authority" },
        // All other causes were checked before.
        _ => LoadError::Server { files, cluster },
    }
}
