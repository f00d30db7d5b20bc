//! The command line.

use clap::{Parser, Subcommand};

use crate::connection::ConnectionFlags;
use crate::{completion, create, doctor, list, renew, status};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and all is well
  1  a renewal failed or was not seen in time, doctor found a problem, or the API server refuses an object
  2  the command line is not understood
  3  there is no such object
  4  the cluster cannot be used: no kubeconfig, no answer, no right, or the definition is not installed";

/// See, renew and create the API tokens that apicredential-operator keeps, and find out why one is missing.
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
    /// List credentials: ready or not and why, when the token expires and when it is renewed
    List(list::Flags),
    /// Show everything about one credential: its Secrets, conditions with remedies, events, and what happens next
    Status(status::Flags),
    /// Ask the operator to renew tokens now
    Renew(renew::Flags),
    /// Look for what keeps tokens from being there: installation, rights, consent, endpoints, pods, clocks, network
    Doctor(doctor::Flags),
    /// Create a credential, or print its manifest
    Create(create::Flags),
    /// Print a script that completes command lines
    Completion(completion::Flags),
    /// RenewOutcome to kubectl's completion
    #[command(name = "__complete", hide = true)]
    Complete(completion::Words),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_of_all_commands_fit_together() {
        Args::command().debug_assert();
    }
}
