//! The command line of the operator.
//!
//! clap parses each value; [`RunArgs::check`] checks bounds and how the values fit together. If either fails, the process
//! ends with exit code 2 before it connects to anything.

mod settings;

use std::net::SocketAddr;
use std::time::Duration;

use apicredential::plan::AllowedTargetMetadata;
use clap::{ArgAction, Parser, Subcommand};

use crate::exchange_cli::ExchangeArgs;
use crate::flags::{ProviderArgs, parse_duration};
use crate::telemetry::LogFormat;

pub use settings::{ArgsError, LeaseChoice, LogSettings, ProviderSettings, Settings};

/// Keeps Welkin and Qontak API tokens in Kubernetes Secrets valid.
#[derive(Debug, Parser)]
#[command(name = "apicredential-operator", version, arg_required_else_help = true)]
pub struct Args {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator. It connects to the cluster with the pod's service account, outside of a pod with the kubeconfig
    Run(RunArgs),
    /// Print the CustomResourceDefinition as YAML
    Crd,
    /// Run one token exchange manually and report the outcome. Nothing is written to the cluster
    Exchange(ExchangeArgs),
}

/// The flags of `run`. Each has an environment variable; the flag takes precedence.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Namespaces to watch, separated by commas. If empty, all namespaces are watched
    #[arg(long, env = "APICREDENTIAL_NAMESPACES", hide_env_values = true, value_name = "NAMES")]
    #[arg(default_value = "", hide_default_value = true)]
    pub namespaces: String,

    /// The flags for requests to providers.
    #[command(flatten)]
    pub provider: ProviderArgs,

    /// Labels and annotations that spec.target.metadata may set, by name, separated by commas. Others are left out. Replaces the
    /// default list
    #[arg(long, env = "APICREDENTIAL_ALLOWED_TARGET_METADATA", hide_env_values = true, value_name = "NAMES")]
    #[arg(default_value_t)]
    pub allowed_target_metadata: AllowedTargetMetadata,

    /// Average number of requests per second to one provider endpoint. 0 means no limit
    #[arg(long, env = "APICREDENTIAL_PROVIDER_RATE", hide_env_values = true, value_name = "NUMBER")]
    #[arg(default_value_t = 10.0)]
    pub provider_rate: f64,

    /// Requests that may be sent to one provider endpoint at once before --provider-rate applies, 1 or more
    #[arg(long, env = "APICREDENTIAL_PROVIDER_BURST", hide_env_values = true, value_name = "NUMBER")]
    #[arg(default_value_t = 20)]
    pub provider_burst: u32,

    /// ApiCredentials reconciled at the same time, 1 to 1000. At most a quarter of them send to one provider endpoint
    #[arg(long, env = "APICREDENTIAL_CONCURRENCY", hide_env_values = true, value_name = "NUMBER")]
    #[arg(default_value_t = 64)]
    pub concurrency: usize,

    /// Interval at which each ApiCredential is reconciled even if nothing changed, 1s to 24h. Such a reconcile sends no
    /// requests
    #[arg(long, env = "APICREDENTIAL_RESYNC", hide_env_values = true, value_name = "DURATION")]
    #[arg(default_value = "10m", value_parser = parse_duration)]
    pub resync: Duration,

    /// Delay before the first retry after a failure, 1ms to 10m. Later delays are multiples of it
    #[arg(long, env = "APICREDENTIAL_RETRY_BASE", hide_env_values = true, value_name = "DURATION")]
    #[arg(default_value = "5s", value_parser = parse_duration)]
    pub retry_base: Duration,

    /// Minimum time between issuing a token and renewing it, 1s to 24h
    #[arg(long, env = "APICREDENTIAL_MIN_RENEWAL_INTERVAL", hide_env_values = true, value_name = "DURATION")]
    #[arg(default_value = "30s", value_parser = parse_duration)]
    pub min_renewal_interval: Duration,

    /// Elect a leader among the replicas. Set it to false only if there is a single replica
    #[arg(long, env = "APICREDENTIAL_LEADER_ELECTION", hide_env_values = true, value_name = "BOOL")]
    #[arg(default_value_t = true, action = ArgAction::Set)]
    pub leader_election: bool,

    /// Name of the Lease for leader election, at most 63 characters
    #[arg(long, env = "APICREDENTIAL_LEASE_NAME", hide_env_values = true, value_name = "NAME")]
    #[arg(default_value = "apicredential-operator")]
    pub lease_name: String,

    /// Namespace of the Lease for leader election [default: the namespace of the pod]
    #[arg(long, env = "APICREDENTIAL_LEASE_NAMESPACE", hide_env_values = true, value_name = "NAME")]
    pub lease_namespace: Option<String>,

    /// Lease duration, whole seconds from 22s to 1h. A token request and the Secret write that follows must finish within
    /// half of it
    #[arg(long, env = "APICREDENTIAL_LEASE_DURATION", hide_env_values = true, value_name = "DURATION")]
    #[arg(default_value = "60s", value_parser = parse_duration)]
    pub lease_duration: Duration,

    /// Address that serves /metrics. With port 0 the system chooses a port, which is logged
    #[arg(long, env = "APICREDENTIAL_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    #[arg(default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Address that serves the probes /livez and /readyz. With port 0 the system chooses a port, which is logged
    #[arg(long, env = "APICREDENTIAL_HEALTH_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    #[arg(default_value = "0.0.0.0:8081")]
    pub health_listen: SocketAddr,

    /// Log format on standard error
    #[arg(long, env = "APICREDENTIAL_LOG_FORMAT", hide_env_values = true, value_name = "FORMAT")]
    #[arg(value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// Log level, or levels per target such as info,kube=debug. Bodies and headers of requests are never logged
    #[arg(long, env = "APICREDENTIAL_LOG", hide_env_values = true, value_name = "FILTER")]
    #[arg(default_value = "info,kube_runtime=warn")]
    pub log: String,
}

#[cfg(test)]
#[path = "cli/cli_test.rs"]
mod tests;
