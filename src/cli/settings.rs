//! How the flags fit together.

use std::net::SocketAddr;
use std::time::Duration;

use apicredential::providers::AllowedEndpoints;
use apicredential::schedule::Timings;

use super::RunArgs;
use crate::flags::ProviderArgsError;
use crate::lease::{self, LONGEST_LEASE, LeaseSettings};
use crate::provider_client::transport::TransportFiles;
use crate::telemetry::LogFormat;

/// Where Kubernetes tells a pod its own namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// After the answer of a provider, its token needs this long to be written, retries of the write included.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// A leader writes until 15 s before the end of its lease and renews after a sixth of it: shorter leases leave it
/// no time for a second try.
const SHORTEST_LEASE: Duration = Duration::from_secs(22);

/// What the operator runs with: every value checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The namespaces to serve; empty: all.
    pub namespaces: Vec<String>,
    /// How providers are asked.
    pub provider: ProviderSettings,
    /// Credentials worked on at the same time.
    pub concurrency: usize,
    /// How often.
    pub pace: Timings,
    /// Who may write, and until when.
    pub lease: LeaseChoice,
    /// Where metrics and probes are answered.
    pub listen: SocketAddr,
    /// What is logged, and how.
    pub log: LogSettings,
}

/// How providers are asked.
#[derive(Clone, Debug, PartialEq)]
pub struct ProviderSettings {
    /// The origins that may be asked.
    pub allowed_endpoints: AllowedEndpoints,
    /// The way to them.
    pub route: TransportFiles,
    /// The deadline of one exchange.
    pub timeout: Duration,
    /// Exchanges per second and endpoint; 0: no limit.
    pub rate: f64,
    /// Exchanges at once before the rate applies; at least 1.
    pub burst: u32,
}

/// Who may write, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseChoice {
    /// Half of it bounds an exchange together with its write, also without election.
    pub duration: Duration,
    /// The lease to stand for; none: no election.
    pub election: Option<LeaseSettings>,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The shape of a line.
    pub format: LogFormat,
    /// The user's filter.
    pub filter: String,
}

/// Why the operator does not start. Every sentence names the flag and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgsError {
    /// A namespace that cannot exist.
    #[error(
        "--namespaces has the entry {0:?}, which is no namespace name; list names of lower-case letters, digits and hyphens, separated by commas"
    )]
    Namespace(String),
    /// A name that no object can have.
    #[error(
        "{flag} is {value:?}, which is no object name; use lower-case letters, digits and hyphens, at most {limit} characters"
    )]
    Name {
        /// The flag.
        flag: &'static str,
        /// What was given.
        value: String,
        /// How long it may be.
        limit: usize,
    },
    /// A number or a duration outside its bounds.
    #[error("{flag} is out of bounds; set it to {bounds}")]
    Bounds {
        /// The flag.
        flag: &'static str,
        /// What it may be.
        bounds: &'static str,
    },
    /// A token could arrive too late to be written.
    #[error(
        "--provider-timeout plus 10s for the write of the token exceeds half of --lease-duration, so a token could arrive too late to be written; lower --provider-timeout to at most {longest_timeout:?} or raise --lease-duration to at least {shortest_lease}s"
    )]
    LeaseTooShort {
        /// The longest timeout for this lease.
        longest_timeout: Duration,
        /// The shortest lease for this timeout, in seconds.
        shortest_lease: u64,
    },
    /// The provider flags do not fit together.
    #[error(transparent)]
    Provider(#[from] ProviderArgsError),
    /// Outside of a pod there is no default.
    #[error(
        "--lease-namespace is missing and this process does not run in a pod that tells its own; set it, or set --leader-election false for a single replica"
    )]
    LeaseNamespace,
}

impl RunArgs {
    /// The settings to run with.
    ///
    /// # Errors
    /// A value is out of bounds or contradicts another.
    pub fn check(self) -> Result<Settings, ArgsError> {
        self.check_in(|| std::fs::read_to_string(OWN_NAMESPACE).ok())
    }

    /// As [`RunArgs::check`], told where to find the pod's own namespace.
    pub(super) fn check_in(self, own_namespace: impl FnOnce() -> Option<String>) -> Result<Settings, ArgsError> {
        let route = self.reach.route()?;
        self.check_bounds()?;
        self.check_deadline()?;
        let election = self.leader_election.then(|| self.election(own_namespace)).transpose()?;
        Ok(Settings {
            namespaces: namespaces(&self.namespaces)?,
            provider: ProviderSettings {
                allowed_endpoints: self.reach.allowed_endpoints,
                route,
                timeout: self.reach.provider_timeout,
                rate: self.provider_rate,
                burst: self.provider_burst.max(1),
            },
            concurrency: self.concurrency,
            pace: Timings {
                resync: self.resync,
                retry_base: self.retry_base,
                min_renewal_interval: self.min_renewal_interval,
            },
            lease: LeaseChoice { duration: self.lease_duration, election },
            listen: self.listen,
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
        let needed = self.reach.provider_timeout + WRITE_TIME;
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

/// An RFC 1123 label, the shape of namespace names.
fn is_label(text: &str, limit: usize) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=limit).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
