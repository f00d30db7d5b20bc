//! Errors that end a command: a message with the remedy, and the exit code.

use std::process::ExitCode;

use apicredential::api::ApiCredential;
use apicredential_operator::kube_api::ErrorKind;
use apicredential_operator::terminal::sanitize;
use kube::Resource as _;
use kube::core::Status;

/// The exit codes; `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// A renewal failed or timed out, doctor found a problem, or the API server rejected an object.
    Failed,
    /// Invalid command line; clap exits with the same code.
    Usage,
    NotFound,
    /// The cluster cannot be used.
    Cluster,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Cluster => 4,
        })
    }
}

/// An error that ends a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginError {
    pub exit: Exit,
    /// What is wrong, which object, and what to do.
    pub message: String,
}

pub const NOT_INSTALLED: &str = "The CRD of ApiCredential is not installed in this cluster.";
pub const INSTALL: &str = "Install it with: kubectl apply -f crds/";

impl PluginError {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// An error of this machine or this program, not of the cluster.
    pub fn local(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Explains an error of the client. `api_server` describes the API server's address.
    pub fn from_kube(error: &kube::Error, api_server: &str) -> Self {
        match (ErrorKind::of(error), error) {
            (_, kube::Error::Api(status)) => Self::from_status(status),
            (ErrorKind::UnusableLogin, error) => {
                let reason = match error {
                    kube::Error::Auth(error) => error.to_string(),
                    error => error.to_string(),
                };
                Self::new(
                    Exit::Cluster,
                    format!(
                        "The login in the kubeconfig cannot be used: {reason}. Log in again, or select another --context or --user."
                    ),
                )
            }
            (ErrorKind::Undecodable, _) => Self::new(
                Exit::Cluster,
                "The API server's response cannot be decoded. The CRD may have another version; run kubectl apicredential doctor.",
            ),
            _ => Self::unreachable(api_server),
        }
    }

    /// Whether the CRD is missing.
    pub fn is_not_installed(&self) -> bool {
        self.message.starts_with(NOT_INSTALLED)
    }

    /// The API server did not respond.
    pub fn unreachable(api_server: &str) -> Self {
        let message = format!(
            "No response from the API server at {api_server}. Check the network, or select another cluster with --context or --kubeconfig."
        );
        Self::new(Exit::Cluster, message)
    }

    /// Explains a response with the status `Failure`.
    pub fn from_status(status: &Status) -> Self {
        let kind = status.details.as_ref().map_or("", |details| details.kind.as_str());
        let text = sanitize(status.message.trim_end_matches('.'));
        match ErrorKind::of_status(status) {
            ErrorKind::NotServed => Self::new(Exit::Cluster, format!("{NOT_INSTALLED} {INSTALL}")),
            ErrorKind::NotFound => Self::new(Exit::NotFound, format!("{text}.")),
            ErrorKind::Unauthenticated => Self::new(
                Exit::Cluster,
                "The API server rejects the login in the kubeconfig. Log in again, or select another --context or --user.",
            ),
            ErrorKind::Forbidden => Self::new(Exit::Cluster, format!("{text}. {}", remedy_for_forbidden(kind))),
            ErrorKind::AlreadyExists => {
                Self::new(Exit::Failed, format!("{text}. Choose another name, or change the object with kubectl edit."))
            }
            ErrorKind::Conflict | ErrorKind::Rejected | ErrorKind::NamespaceTerminating => {
                Self::new(Exit::Failed, format!("The API server rejects the object: {text}."))
            }
            ErrorKind::UnexpectedStatus
            | ErrorKind::UnusableLogin
            | ErrorKind::Undecodable
            | ErrorKind::Unavailable => Self::new(
                Exit::Cluster,
                format!(
                    "The API server returned status {}: {text}. Try again, or contact the cluster's administrator.",
                    status.code
                ),
            ),
        }
    }
}

/// For ApiCredentials, the installation adds permissions to the roles `view` and `edit`.
fn remedy_for_forbidden(kind: &str) -> &'static str {
    if kind == ApiCredential::plural(&()) {
        "The roles view (list, status) and edit (renew, create) include this permission: request a RoleBinding in this namespace, or select another --context."
    } else {
        "Request a role with this permission from an administrator, or select another --context."
    }
}

/// The names that are most similar to `name`, most similar first, at most three.
pub fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut ranked: Vec<(f64, &str)> = names
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(similarity, _)| *similarity > 0.8)
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    ranked.into_iter().take(3).map(|(_, known)| known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_are_suggested_most_similar_first() {
        let names = ["welkin", "welkin-eu", "qontak", "billing"];
        assert_eq!(similar("wellkin", names.into_iter()), ["welkin", "welkin-eu"]);
        assert_eq!(similar("zzz", names.into_iter()), [""; 0]);
    }

    #[test]
    fn a_missing_kind_is_distinguished_from_a_missing_object() {
        let kind = Status::failure("404 page not found", "x").with_code(404);
        assert!(PluginError::from_status(&kind).is_not_installed());
        let details = serde_json::from_value(serde_json::json!({"name": "a"})).unwrap();
        let object = Status { details: Some(details), ..kind };
        assert_eq!(PluginError::from_status(&object).exit, Exit::NotFound);
    }
}
