//! Logs: what may be said at all, what the user wants to hear of it, and in which shape.
//!
//! Two filters apply, and a line needs both. The user's (`--log`) is a wish. The other is a list of the targets that
//! were read line by line and found to print neither bodies nor headers; all others are silent, whatever the wish,
//! because a dependency may start to print a body in any release. Silent on purpose, among others:
//!
//! | target | what it would print |
//! |---|---|
//! | `kube_client::client` | response bodies (a Secret) on a parse error at *warn*, headers at trace, `Status` texts |
//! | `kube_client::config` | parse errors of a kubeconfig, which may quote it |
//! | `kube_runtime::watcher` | errors with `{:?}`: serde quotes the value that it did not expect, and a Secret's metadata holds what `kubectl apply` was given |
//! | `hyper`, `h2`, `rustls`, `reqwest`, `tower_http` | heads, frames, handshake records, URLs, errors of their peers |
//! | `axum` | rejected requests |
//!
//! Records of the `log` crate (reqwest's wire dumps) have no bridge to this subscriber at all.

use std::io;
use std::panic::{self, PanicHookInfo};

use clap::ValueEnum;
use tracing::{Subscriber, error};
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line
    Json,
    /// Plain text, one line per entry
    Text,
}

/// Why logging could not be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not a list of directives.
    #[error("--log is not a list of directives; use a level, or levels by target, such as `info` or `info,kube=debug`")]
    Filter,
    /// A process has one subscriber.
    #[error("logging was set up twice")]
    Twice,
}

/// Starts logging to standard error, and logs panics by their place, never by their text.
///
/// # Errors
/// `filter` is not a list of directives, or logging runs already.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let subscriber = subscriber(format, filter, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Twice)?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The message of a panic may quote what the code was working on, and that may be a token: only the place is logged.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    error!(location, thread = std::thread::current().name().unwrap_or_default(), "panic");
}

fn subscriber<W>(format: LogFormat, filter: &str, writer: W) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wish = EnvFilter::try_new(filter).map_err(|_| TelemetryError::Filter)?;
    Ok(tracing_subscriber::registry().with(lines(format, writer).with_filter(speakable().and(wish))))
}

fn lines<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).log_internal_errors(false);
    match format {
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Text => layer.with_ansi(false).boxed(),
    }
}

/// The targets that were read and may speak; the longest match counts.
fn speakable() -> Targets {
    Targets::new()
        .with_default(LevelFilter::OFF)
        // Our own: every field is a name, a reason or a time.
        .with_target("apicredential_operator", LevelFilter::TRACE)
        // Scheduling, backoff and shutdown; spans name the object and why it was queued.
        .with_target("kube_runtime", LevelFilter::TRACE)
        // Prints errors with {:?}, see above.
        .with_target("kube_runtime::watcher", LevelFilter::OFF)
        // Addresses of connections, for those who look for a network fault.
        .with_target("hyper_util::client::legacy::connect", LevelFilter::DEBUG)
}

#[cfg(test)]
#[path = "telemetry_test.rs"]
mod tests;
