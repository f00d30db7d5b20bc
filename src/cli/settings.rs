//! The checked settings of the operator, and the checks of how flags fit together.

use std::net::SocketAddr;
use std::time::Duration;

use apicredential::plan::{AllowLists, AllowedTargetMetadata};
use apicredential::providers::AllowedEndpoints;
use apicredential::schedule::Timings;

use super::RunArgs;
use crate::flags::ProviderArgsError;
use crate::lease::{self, LONGEST_LEASE, LeaseSettings};
use crate::provider_client::transport::TransportFiles;
use crate::telemetry::LogFormat;

/// The file in which Kubernetes gives a pod the name of its namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Time reserved for writing a token after the provider's response: 5 s for a read, and the least time of a write.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// Half of it holds a token request of one second and [`WRITE_TIME`].
const SHORTEST_LEASE: Duration = Duration::from_secs(22);

/// The settings of the operator, after all checks.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The namespaces to watch. Empty means all.
    pub namespaces: Vec<String>,
    /// Requests to providers.
    pub provider: ProviderSettings,
    /// The labels and annotations that `spec.target.metadata` may set.
    pub allowed_target_metadata: AllowedTargetMetadata,
    /// ApiCredentials reconciled at the same time.
    pub concurrency: usize,
    /// Intervals and delays.
    pub timings: Timings,
    /// Leader election.
    pub lease: LeaseChoice,
    /// Address of the HTTP server for metrics.
    pub listen: SocketAddr,
    /// Address of the HTTP server for probes.
    pub health_listen: SocketAddr,
    /// Logging.
    pub log: LogSettings,
}

impl Settings {
    /// What a spec may name.
    pub fn allow_lists(&self) -> AllowLists {
        AllowLists {
            endpoints: self.provider.allowed_endpoints.clone(),
            target_metadata: self.allowed_target_metadata.clone(),
        }
    }
}

/// Requests to providers.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderSettings {
    /// The endpoints that an ApiCredential may use.
    pub allowed_endpoints: AllowedEndpoints,
    /// Extra CAs and the proxy.
    pub transport: TransportFiles,
    /// Timeout of one request.
    pub timeout: Duration,
    /// Requests per second to one endpoint; 0 means no limit.
    pub rate: f64,
    /// Requests to one endpoint at once before the rate applies; at least 1.
    pub burst: u32,
}

/// Leader election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseChoice {
    /// A token request and the Secret write that follows must finish within half of it, also without leader election.
    pub duration: Duration,
    /// The Lease for leader election; `None` if leader election is off.
    pub election: Option<LeaseSettings>,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The log format.
    pub format: LogFormat,
    /// The filter from `--log`.
    pub filter: String,
}

/// Why the flags are rejected. Each message names the flag and the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// An entry of `--namespaces` is not a valid namespace name.
    #[error(
        "--namespaces has the entry {0:?}, which is not a valid namespace name; list names of lower-case letters, digits and hyphens, separated by commas"
    )]
    Namespace(String),
    /// A value is not a valid object name.
    #[error(
        "{flag} is {value:?}, which is not a valid name; use lower-case letters, digits and hyphens, at most {limit} characters"
    )]
    Name {
        /// The flag.
        flag: &'static str,
        /// Its value.
        value: String,
        /// The greatest length in characters.
        limit: usize,
    },
    /// A number or a duration is out of bounds.
    #[error("{flag} is out of bounds; set it to {bounds}")]
    Bounds {
        /// The flag.
        flag: &'static str,
        /// The bounds, as text.
        bounds: &'static str,
    },
    /// A token request and its Secret write may not fit into half of the lease duration.
    #[error(
        "--provider-timeout plus 10s for writing the Secret exceeds half of --lease-duration; set --provider-timeout to at most {longest_timeout:?} or --lease-duration to at least {shortest_lease}s"
    )]
    LeaseTooShort {
        /// The greatest timeout for this lease duration.
        longest_timeout: Duration,
        /// The least lease duration for this timeout, in seconds.
        shortest_lease: u64,
    },
    /// The flags for providers are rejected.
    #[error(transparent)]
    Provider(#[from] ProviderArgsError),
    /// `--lease-namespace` is not set, and there is no pod whose namespace could be the default.
    #[error(
        "--lease-namespace is required outside of a pod; set it, or set --leader-election to false if there is a single replica"
    )]
    LeaseNamespace,
}

impl RunArgs {
    /// Checks the flags.
    ///
    /// # Errors
    /// A value is out of bounds, or two values do not fit together.
    pub fn check(self) -> Result<Settings, ArgsError> {
        self.check_with(|| std::fs::read_to_string(OWN_NAMESPACE).ok())
    }

    /// As [`RunArgs::check`], with the function that reads the pod's namespace as an argument.
    pub(super) fn check_with(self, own_namespace: impl FnOnce() -> Option<String>) -> Result<Settings, ArgsError> {
        let transport = self.provider.transport_files()?;
        self.check_bounds()?;
        self.check_deadline()?;
        let election = self.leader_election.then(|| self.election(own_namespace)).transpose()?;
        Ok(Settings {
            namespaces: namespaces(&self.namespaces)?,
            provider: ProviderSettings {
                allowed_endpoints: self.provider.allowed_endpoints,
                transport,
                timeout: self.provider.provider_timeout,
                rate: self.provider_rate,
                burst: self.provider_burst.max(1),
            },
            allowed_target_metadata: self.allowed_target_metadata,
            concurrency: self.concurrency,
            timings: Timings {
                resync: self.resync,
                retry_base: self.retry_base,
                min_renewal_interval: self.min_renewal_interval,
            },
            lease: LeaseChoice { duration: self.lease_duration, election },
            listen: self.listen,
            health_listen: self.health_listen,
            log: LogSettings { format: self.log_format, filter: self.log },
        })
    }

    fn check_bounds(&self) -> Result<(), ArgsError> {
        let lease = self.lease_duration;
        let rate = self.provider_rate;
        let (milli, second, hour) = (Duration::from_millis(1), Duration::from_secs(1), Duration::from_secs(3600));
        for (flag, fits, bounds) in [
            ("--provider-rate", rate.is_finite() && rate >= 0.0, "0 (no limit) or a positive number"),
            ("--provider-burst", self.provider_burst >= 1 || rate == 0.0, "1 or more, or --provider-rate to 0"),
            ("--concurrency", (1..=1000).contains(&self.concurrency), "a number from 1 to 1000"),
            ("--resync", (second..=24 * hour).contains(&self.resync), "a duration from 1s to 24h"),
            ("--retry-base", (milli..=600 * second).contains(&self.retry_base), "a duration from 1ms to 10m"),
            (
                "--min-renewal-interval",
                (second..=24 * hour).contains(&self.min_renewal_interval),
                "a duration from 1s to 24h",
            ),
            (
                "--lease-duration",
                (SHORTEST_LEASE..=LONGEST_LEASE).contains(&lease) && lease.subsec_nanos() == 0,
                "whole seconds from 22s to 1h",
            ),
        ] {
            if !fits {
                return Err(ArgsError::Bounds { flag, bounds });
            }
        }
        Ok(())
    }

    fn check_deadline(&self) -> Result<(), ArgsError> {
        let needed = self.provider.provider_timeout + WRITE_TIME;
        if needed <= self.lease_duration / 2 {
            return Ok(());
        }
        Err(ArgsError::LeaseTooShort {
            longest_timeout: (self.lease_duration / 2).saturating_sub(WRITE_TIME),
            shortest_lease: (needed * 2).as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
        })
    }

    fn election(&self, own_namespace: impl FnOnce() -> Option<String>) -> Result<LeaseSettings, ArgsError> {
        let own = || own_namespace().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let namespace = self.lease_namespace.clone().or_else(own).ok_or(ArgsError::LeaseNamespace)?;
        require_name("--lease-namespace", &namespace, 63)?;
        require_name("--lease-name", &self.lease_name, 63)?;
        let (name, duration) = (self.lease_name.clone(), self.lease_duration);
        Ok(LeaseSettings { namespace, name, identity: lease::identity(), duration })
    }
}

fn namespaces(list: &str) -> Result<Vec<String>, ArgsError> {
    if list.trim().is_empty() {
        return Ok(Vec::new());
    }
    let names = list
        .split(',')
        .map(str::trim)
        .map(|name| if is_label(name, 63) { Ok(name.to_owned()) } else { Err(ArgsError::Namespace(name.to_owned())) });
    let mut names = names.collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

fn require_name(flag: &'static str, value: &str, limit: usize) -> Result<(), ArgsError> {
    if is_label(value, limit) { Ok(()) } else { Err(ArgsError::Name { flag, value: value.to_owned(), limit }) }
}

/// Whether the text is an RFC 1123 label, as namespace names are.
fn is_label(text: &str, limit: usize) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=limit).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
