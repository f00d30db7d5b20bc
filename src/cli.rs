//! The command line: what an administrator may set, and what is refused before anything starts.
//!
//! clap reads single values; [`RunArgs::check`] checks how they fit together. Both end with status 2.

mod settings;

use std::net::SocketAddr;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand};

use crate::exchange_cli::ExchangeArgs;
use crate::flags::{ProviderArgs, parse_duration};
use crate::telemetry::LogFormat;

pub use settings::{ArgsError, LeaseChoice, LogSettings, ProviderSettings, Settings};

/// Keeps Welkin and Qontak API tokens alive in Kubernetes Secrets.
#[derive(Debug, Parser)]
#[command(name = "apicredential-operator", version, arg_required_else_help = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "a process has one of them")]
pub enum Command {
    /// Run the operator; the cluster is found by the service account of the pod, else by KUBECONFIG
    Run(RunArgs),
    /// Print the CustomResourceDefinition as YAML
    Crd,
    /// Exchange credentials for a token once, by hand, and say what came of it; writes to no cluster
    Exchange(ExchangeArgs),
}

/// The flags of `run`, each with its environment variable; a flag wins over the variable.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Namespaces to serve, separated by commas; all of them if empty
    #[arg(long, env = "APICREDENTIAL_NAMESPACES", hide_env_values = true, value_name = "NAMES")]
    #[arg(default_value = "", hide_default_value = true)]
    pub namespaces: String,

    /// How providers are reached.
    #[command(flatten)]
    pub reach: ProviderArgs,

    /// Exchanges per second and endpoint in the long run; 0 is no limit
    #[arg(long, env = "APICREDENTIAL_PROVIDER_RATE", hide_env_values = true, value_name = "NUMBER")]
    #[arg(default_value_t = 10.0)]
    pub provider_rate: f64,

    /// Exchanges per endpoint that may come at once before the rate applies
    #[arg(long, env = "APICREDENTIAL_PROVIDER_BURST", hide_env_values = true, value_name = "NUMBER")]
    #[arg(default_value_t = 20)]
    pub provider_burst: u32,

    /// Credentials worked on at the same time, 1 to 1000
    #[arg(long, env = "APICREDENTIAL_CONCURRENCY", hide_env_values = true, value_name = "NUMBER")]
    #[arg(default_value_t = 64)]
    pub concurrency: usize,

    /// How often each credential is looked at although nothing happened; costs no request
    #[arg(long, env = "APICREDENTIAL_RESYNC", hide_env_values = true, value_name = "DURATION")]
    #[arg(default_value = "10m", value_parser = parse_duration)]
    pub resync: Duration,

    /// First delay after a failure; all retry delays are multiples of it
    #[arg(long, env = "APICREDENTIAL_RETRY_BASE", hide_env_values = true, value_name = "DURATION")]
    #[arg(default_value = "5s", value_parser = parse_duration)]
    pub retry_base: Duration,

    /// No token is renewed sooner than this after it was issued
    #[arg(long, env = "APICREDENTIAL_MIN_RENEWAL_INTERVAL", hide_env_values = true, value_name = "DURATION")]
    #[arg(default_value = "30s", value_parser = parse_duration)]
    pub min_renewal_interval: Duration,

    /// Whether replicas elect a leader; only a single replica may go without
    #[arg(long, env = "APICREDENTIAL_LEADER_ELECTION", hide_env_values = true, value_name = "BOOL")]
    #[arg(default_value_t = true, action = ArgAction::Set)]
    pub leader_election: bool,

    /// Name of the Lease that the leader holds
    #[arg(long, env = "APICREDENTIAL_LEASE_NAME", hide_env_values = true, value_name = "NAME")]
    #[arg(default_value = "apicredential-operator")]
    pub lease_name: String,

    /// Namespace of the Lease [default: the pod's own]
    #[arg(long, env = "APICREDENTIAL_LEASE_NAMESPACE", hide_env_values = true, value_name = "NAME")]
    pub lease_namespace: Option<String>,

    /// How long a silent leader is waited for; half of it bounds an exchange together with its write
    #[arg(long, env = "APICREDENTIAL_LEASE_DURATION", hide_env_values = true, value_name = "DURATION")]
    #[arg(default_value = "60s", value_parser = parse_duration)]
    pub lease_duration: Duration,

    /// Address for /metrics, /livez and /readyz; with port 0 the port that was found is logged
    #[arg(long, env = "APICREDENTIAL_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    #[arg(default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Shape of the log lines on standard error
    #[arg(long, env = "APICREDENTIAL_LOG_FORMAT", hide_env_values = true, value_name = "FORMAT")]
    #[arg(value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// What is logged: a level, or levels by target as in info,kube=debug; bodies and headers never are
    #[arg(long, env = "APICREDENTIAL_LOG", hide_env_values = true, value_name = "FILTER")]
    #[arg(default_value = "info,kube_runtime=warn")]
    pub log: String,
}

#[cfg(test)]
#[path = "cli/cli_test.rs"]
mod tests;
