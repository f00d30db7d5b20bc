//! `renew`: requests renewals by annotation, spread over time, and optionally waits for the results.

use std::time::Duration;

use apicredential::annotations;
use apicredential::api::ApiCredential;
use apicredential_operator::clock;
use apicredential_operator::flags::parse_duration;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use kube::api::{ListParams, Patch, PatchParams};
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use crate::connection::Connection;
use crate::error::{Exit, PluginError};
use crate::list_row::ListRow;
use crate::output::{DocumentFormat, Terminal, sanitize};
use crate::{durations, find, operator_flags};

mod wait;

/// The field manager of the annotation.
const MANAGER: &str = "kubectl-apicredential";

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["names", "selector", "all"]))]
pub struct Flags {
    /// The ApiCredentials
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// All ApiCredentials with these labels
    #[arg(long, short = 'l', value_name = "LABELS")]
    selector: Option<String>,
    /// All ApiCredentials in the namespace
    #[arg(long)]
    all: bool,
    /// With --all or -l: in all namespaces
    #[arg(long, short = 'A', conflicts_with = "names")]
    all_namespaces: bool,
    /// Spread the requests over this time [default: 0 for a few, else half the operator's default rate for one endpoint]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    spread: Option<Duration>,
    /// Wait for the results, at most this long after the last request [default: 2m]
    #[arg(long, value_name = "TIMEOUT", num_args = 0..=1, require_equals = true, default_missing_value = "2m")]
    #[arg(value_parser = parse_duration)]
    wait: Option<Duration>,
    /// Output format
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

/// The result for one ApiCredential.
#[derive(Debug, Serialize)]
struct RenewResult {
    namespace: String,
    name: String,
    #[serde(rename = "result")]
    outcome: RenewOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum RenewOutcome {
    /// The annotation is set. The command did not wait.
    Requested,
    Renewed,
    Failed,
    /// The request is still pending.
    Waiting,
}

pub async fn run(connection: &Connection, flags: &Flags, terminal: &Terminal) -> Result<Exit, PluginError> {
    let selected = flags.select(connection).await?;
    let spread = flags.spread.unwrap_or_else(|| default_spread(selected.len()));
    if selected.len() > 1 && !spread.is_zero() {
        let time = durations::format_duration(SignedDuration::try_from(spread).unwrap_or_default());
        terminal.note(&format!("Requesting the renewal of {} ApiCredentials, spread over {time}.", selected.len()));
    }
    let reporter = RenewReporter { flags, terminal };
    let mut results = Vec::new();
    let mut pending_renewals = Vec::new();
    let gap = spread / u32::try_from(selected.len().saturating_sub(1)).unwrap_or(u32::MAX).max(1);
    for (index, credential) in selected.iter().enumerate() {
        if index > 0 {
            sleep(gap).await;
        }
        let pending = wait::PendingRenewal::new(request_renewal(connection, credential).await?);
        match flags.wait {
            Some(_) => pending_renewals.push(pending),
            None => {
                results.push(reporter.report(pending.result(RenewOutcome::Requested, None, "renewal requested"))?);
            }
        }
    }
    if let Some(timeout) = flags.wait {
        results.extend(
            wait::wait_for_results(
                connection,
                &connection.scope(flags.all_namespaces),
                pending_renewals,
                timeout,
                &reporter,
            )
            .await?,
        );
    }
    if let Some(format) = flags.output {
        // Text output reports results as they arrive; a document is sorted.
        results.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        terminal.document(format, &results)?;
    }
    let succeeded =
        results.iter().all(|result| matches!(result.outcome, RenewOutcome::Requested | RenewOutcome::Renewed));
    Ok(if succeeded { Exit::Done } else { Exit::Failed })
}

impl Flags {
    async fn select(&self, connection: &Connection) -> Result<Vec<ApiCredential>, PluginError> {
        if !self.names.is_empty() {
            // All names are resolved before the first request, so that a wrong name changes nothing.
            let mut selected = Vec::new();
            for name in &self.names {
                selected.push(find::by_name(connection, name).await?);
            }
            return Ok(selected);
        }
        let mut parameters = ListParams::default();
        parameters.label_selector.clone_from(&self.selector);
        let api = connection.api::<ApiCredential>(&connection.scope(self.all_namespaces));
        let selected = connection.request(api.list(&parameters)).await?.items;
        if selected.is_empty() {
            let message = "No ApiCredential matches. List all of them with: kubectl apicredential list -A";
            return Err(PluginError::new(Exit::NotFound, message));
        }
        Ok(selected)
    }
}

/// As many requests as the operator's burst are sent at once. The others follow at half of its rate, which leaves room for
/// renewals that are due.
fn default_spread(count: usize) -> Duration {
    let Some(run) = operator_flags::defaults().filter(|run| run.provider_rate > 0.0) else { return Duration::ZERO };
    let beyond_burst = u32::try_from(count).unwrap_or(u32::MAX).saturating_sub(run.provider_burst);
    Duration::try_from_secs_f64(2.0 * f64::from(beyond_burst) / run.provider_rate).unwrap_or_default()
}

/// Sets the annotation to a new value, the current time.
async fn request_renewal(connection: &Connection, credential: &ApiCredential) -> Result<ApiCredential, PluginError> {
    let api = connection.namespaced::<ApiCredential>(&credential.namespace().unwrap_or_default());
    let annotations = json!({annotations::RENEW_REQUESTED_AT: clock::now().to_string()});
    // The UID makes the patch fail if the object was deleted and created again under the same name.
    let patch = json!({"metadata": {"uid": credential.uid(), "annotations": annotations}});
    let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    connection.request(api.patch(&credential.name_any(), &parameters, &Patch::Merge(&patch))).await
}

/// Prints each result as soon as it is known, unless the output is a document.
struct RenewReporter<'a> {
    flags: &'a Flags,
    terminal: &'a Terminal,
}

impl RenewReporter<'_> {
    fn report(&self, result: RenewResult) -> Result<RenewResult, PluginError> {
        if self.flags.output.is_none() {
            let reason = result.reason.as_deref().map(|reason| format!(", {reason}")).unwrap_or_default();
            let message = result.message.as_deref().unwrap_or_default();
            let text = match result.outcome {
                RenewOutcome::Requested | RenewOutcome::Renewed => message.to_owned(),
                RenewOutcome::Failed => format!("failed{reason}: {message}"),
                RenewOutcome::Waiting => format!("not renewed{reason}: {message}"),
            };
            let line = sanitize(&format!("{}/{}: {text}", result.namespace, result.name));
            self.terminal.print(&format!("{line}\n"))?;
        }
        Ok(result)
    }
}

/// `renewed, expires in 60m`.
fn renewed(credential: &ApiCredential, now: Timestamp) -> String {
    let expires = ListRow::new(credential).expires_in(now);
    match expires.as_str() {
        "" => "renewed".to_owned(),
        "never" => "renewed, never expires".to_owned(),
        time => format!("renewed, expires in {time}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_requests_are_sent_at_once_and_many_at_half_the_operators_rate() {
        let run = operator_flags::defaults().unwrap();
        let burst = usize::try_from(run.provider_burst).unwrap();
        assert_eq!(default_spread(burst), Duration::ZERO);
        let seconds = default_spread(burst + 100).as_secs_f64();
        assert!((100.0 / seconds - run.provider_rate / 2.0).abs() < 1e-6, "{seconds}");
    }
}
