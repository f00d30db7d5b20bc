//! Why a command ends without its result: a sentence with the remedy, and the exit code.

use std::process::ExitCode;

use apicredential::api::ApiCredential;
use apicredential_operator::kube_api::ErrorKind;
use kube::Resource as _;
use kube::core::Status;

/// How the process ends; the table is in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done.
    Done,
    /// A renewal failed or was not seen in time; doctor found a problem.
    Failed,
    /// The command line is not understood; clap's own code, too.
    Usage,
    /// There is no such object.
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

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginError {
    /// How to end.
    pub exit: Exit,
    /// What is wrong, and what to do.
    pub message: String,
}

pub const NOT_INSTALLED: &str = "The cluster does not know ApiCredentials: their definition is not installed.";
pub const INSTALL: &str = "Install it with: kubectl apply -f crds/";

impl PluginError {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// This machine's fault.
    pub fn local(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// What an error of the client means to the user; `api_server` is where the API server is.
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
                        "The login in the kubeconfig cannot be used: {reason}. Log in again, or choose another --context or --user."
                    ),
                )
            }
            (ErrorKind::Undecodable, _) => Self::new(
                Exit::Cluster,
                "The API server answered with something that is no ApiCredential of this version; compare the versions with: kubectl apicredential doctor",
            ),
            _ => Self::unreachable(api_server),
        }
    }

    /// Whether it is the kind that the cluster lacks.
    pub fn is_not_installed(&self) -> bool {
        self.message.starts_with(NOT_INSTALLED)
    }

    /// No answer.
    pub fn unreachable(api_server: &str) -> Self {
        let message = format!(
            "The API server at {api_server} does not answer; check the network, or choose another one with --context or --kubeconfig."
        );
        Self::new(Exit::Cluster, message)
    }

    /// What a response that reports a failure means to the user.
    pub fn from_status(status: &Status) -> Self {
        let kind = status.details.as_ref().map_or("", |details| details.kind.as_str());
        let text = status.message.trim_end_matches('.');
        match ErrorKind::of_status(status) {
            ErrorKind::NotServed => Self::new(Exit::Cluster, format!("{NOT_INSTALLED} {INSTALL}")),
            ErrorKind::NotFound => Self::new(Exit::NotFound, format!("{text}.")),
            ErrorKind::Unauthenticated => Self::new(
                Exit::Cluster,
                "The API server does not accept the login; log in again, or choose another --context or --user.",
            ),
            ErrorKind::Forbidden => Self::new(Exit::Cluster, format!("{text}. {}", remedy_for_forbidden(kind))),
            ErrorKind::AlreadyExists => {
                Self::new(Exit::Failed, format!("{text}; choose another name, or change it with kubectl edit."))
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
                    "The API server answered with status {}: {text}. Try again, or ask its administrator.",
                    status.code
                ),
            ),
        }
    }
}

/// Roles that the installation brings, or Kubernetes has.
fn remedy_for_forbidden(kind: &str) -> &'static str {
    if kind == ApiCredential::plural(&()) {
        "The roles view (to look) and edit (to renew and create) include it: ask an administrator for a RoleBinding in this namespace, or choose another --context."
    } else {
        "Ask an administrator for a role that includes it, or choose another --context."
    }
}

/// The names that are spelt like the one that does not exist, nearest first, at most three.
pub fn similar<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(f64, &str)> =
        names.map(|known| (strsim::jaro_winkler(name, known), known)).filter(|(nearness, _)| *nearness > 0.8).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(3).map(|(_, known)| known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_alike_are_offered_nearest_first() {
        let names = ["welkin", "welkin-eu", "qontak", "billing"];
        assert_eq!(similar("wellkin", names.into_iter()), ["welkin", "welkin-eu"]);
        assert_eq!(similar("zzz", names.into_iter()), [""; 0]);
    }

    #[test]
    fn a_kind_that_is_not_found_is_not_an_object_that_is_not_found() {
        let kind = Status::failure("404 page not found", "x").with_code(404);
        assert!(PluginError::from_status(&kind).is_not_installed());
        let details = serde_json::from_value(serde_json::json!({"name": "a"})).unwrap();
        let object = Status { details: Some(details), ..kind };
        assert_eq!(PluginError::from_status(&object).exit, Exit::NotFound);
    }
}
