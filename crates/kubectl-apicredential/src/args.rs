//! The command line.

use clap::{Parser, Subcommand};

use crate::connection::ConnectionFlags;
use crate::{completion, create, doctor, list, renew, status};

const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  a renewal failed or timed out, doctor found a problem, or the API server rejected an object
  2  invalid command line
  3  the object does not exist
  4  the cluster cannot be used: no kubeconfig, no response, no permission, or the CRD is not installed";

/// Show, renew and create the API tokens that apicredential-operator manages, and find out why a token is missing.
#[derive(Debug, Parser)]
#[command(name = "kubectl-apicredential", bin_name = "kubectl apicredential", version)]
#[command(arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Args {
    #[command(flatten)]
    pub connect: ConnectionFlags,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List ApiCredentials: readiness and reason, when the token expires and when it is renewed
    List(list::Flags),
    /// Show one ApiCredential: its Secrets, conditions with remedies, events, and what happens next
    Status(status::Flags),
    /// Request the renewal of tokens now
    Renew(renew::Flags),
    /// Check why tokens are missing: installation, permissions, consent, endpoints, pods, clocks, network
    Doctor(doctor::Flags),
    /// Create an ApiCredential, or print its manifest
    Create(Box<create::Flags>),
    /// Print a shell completion script
    Completion(completion::Flags),
    /// Print completions for kubectl
    #[command(name = "__complete", hide = true)]
    Complete(completion::Words),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_of_all_commands_are_consistent() {
        Args::command().debug_assert();
    }
}
