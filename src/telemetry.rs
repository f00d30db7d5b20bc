//! Logging: its format and its two filters.
//!
//! A log entry is written only if both filters allow it. The user sets one of them with `--log`. The other is a fixed list of
//! targets whose source was reviewed and logs neither bodies nor headers. All other targets are off, whatever `--log` says,
//! because a dependency may begin to log a body in any release. Among the targets that are off on purpose:
//!
//! | target | what it would log |
//! |---|---|
//! | `kube_client::client` | response bodies (a Secret) on a parse error at *warn*, headers at trace, texts of `Status` |
//! | `kube_client::config` | parse errors of a kubeconfig, which may quote it |
//! | `kube_runtime::watcher` | errors with `{:?}`: serde quotes the unexpected value, and the metadata of a Secret contains the object as passed to `kubectl apply` |
//! | `hyper`, `h2`, `rustls`, `reqwest`, `tower_http` | HTTP heads, frames, handshake records, URLs, errors from the other side |
//! | `axum` | rejected requests |
//!
//! Records of the `log` crate, such as reqwest's dumps of connections, do not reach this subscriber at all.

use std::io;
use std::panic::{self, PanicHookInfo};

use clap::ValueEnum;
use tracing::{Subscriber, error};
use tracing_subscriber::filter::{EnvFilter, FilterExt, LevelFilter, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The log format.
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
    /// The filter cannot be parsed.
    #[error("--log is not a valid filter; use a level, or levels per target, such as `info` or `info,kube=debug`")]
    Filter,
    /// Logging was started before.
    #[error("logging was started twice; report this as a bug")]
    Twice,
}

/// Starts logging to standard error. A panic is logged with its source location, without its message.
///
/// # Errors
/// `filter` cannot be parsed, or logging was started before.
pub fn init(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let subscriber = subscriber(format, filter, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Twice)?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The message of a panic may quote data, and that may be a token, so only the source location is logged.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    error!(
        location,
        thread = std::thread::current().name().unwrap_or_default(),
        "a thread panicked; report this as a bug"
    );
}

fn subscriber<W>(format: LogFormat, filter: &str, writer: W) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let user_filter = EnvFilter::try_new(filter).map_err(|_| TelemetryError::Filter)?;
    Ok(tracing_subscriber::registry().with(output(format, writer).with_filter(reviewed_targets().and(user_filter))))
}

fn output<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
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

/// The targets that were reviewed and may be logged. The longest match counts.
fn reviewed_targets() -> Targets {
    Targets::new()
        .with_default(LevelFilter::OFF)
        // The operator's own: every field is a name, a reason or a time.
        .with_target("apicredential_operator", LevelFilter::TRACE)
        // Scheduling, backoff and shutdown. Its spans name the object and the reason why it was enqueued.
        .with_target("kube_runtime", LevelFilter::TRACE)
        // It logs errors with {:?}, see the table above.
        .with_target("kube_runtime::watcher", LevelFilter::OFF)
        // Addresses of connections, for diagnosing network faults.
        .with_target("hyper_util::client::legacy::connect", LevelFilter::DEBUG)
}

#[cfg(test)]
#[path = "telemetry_test.rs"]
mod tests;
