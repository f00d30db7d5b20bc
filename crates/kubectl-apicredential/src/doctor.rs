//! `doctor`: checks why tokens are missing, from the CRD down to the pods that use the tokens.

use apicredential::api::ApiCredential;
use apicredential::providers::AllowedEndpoints;
use kube::api::ListParams;
use serde::Serialize;

use crate::colour::{Colour, paint};
use crate::connection::{Connection, Lookup, Scope};
use crate::error::{Exit, PluginError};
use crate::output::{DocumentFormat, Terminal, sanitize};

mod access;
mod credentials;
mod install;
mod network;
mod pods;

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// Check the ApiCredentials of all namespaces
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Namespace of the operator
    #[arg(long, value_name = "NAME", default_value = "apicredential-operator")]
    operator_namespace: String,
    /// Name of the operator's Deployment
    #[arg(long, value_name = "NAME", default_value = "apicredential-operator")]
    operator_name: String,
    /// Do not connect to the providers
    #[arg(long)]
    offline: bool,
    /// Report which ApiCredentials the operator would refuse with this list of allowed endpoints, written as its flag
    #[arg(long, value_name = "LIST")]
    allowed_endpoints: Option<AllowedEndpoints>,
    /// PEM file with CA certificates to trust for providers, in addition to the system's, as for the operator
    #[arg(long, value_name = "PATH")]
    provider_ca_file: Option<std::path::PathBuf>,
    /// Output format
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

/// The severity of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No problem.
    Ok,
    /// A possible problem, or the check could not run.
    Warn,
    /// A workload has no token, or a stale one, because of this.
    Fail,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    level: Severity,
    check: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl CheckResult {
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { level: Severity::Ok, check, message: message.into(), remedy: None }
    }

    pub fn warn(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Severity::Warn, remedy: Some(remedy.into()), ..Self::ok(check, message) }
    }

    pub fn fail(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Severity::Fail, ..Self::warn(check, message, remedy) }
    }

    /// A failure with a message of the operator, which contains the remedy.
    pub fn reported(check: &'static str, message: impl Into<String>) -> Self {
        Self { level: Severity::Fail, ..Self::ok(check, message) }
    }
}

pub async fn run(connection: &Connection, flags: &Flags, terminal: &Terminal) -> Result<Exit, PluginError> {
    let results = run_checks(connection, flags).await?;
    match flags.output {
        Some(format) => terminal.document(format, &results)?,
        None => terminal.print(&render(&results, terminal))?,
    }
    let has_failure = results.iter().any(|result| result.level == Severity::Fail);
    Ok(if has_failure { Exit::Failed } else { Exit::Done })
}

async fn run_checks(connection: &Connection, flags: &Flags) -> Result<Vec<CheckResult>, PluginError> {
    // First, because every other check needs the API server.
    let clock = network::clock(connection).await?;
    let (is_installed, crd) = install::crd(connection).await?;
    let mut results = vec![crd];
    let (operator, run) = install::operator(connection, flags).await?;
    results.push(operator);
    results.push(install::leader(connection, flags, run.as_ref(), clock.ahead).await?);
    let scope = connection.scope(flags.all_namespaces);
    results.extend(access::permissions(connection, flags, &scope).await?);
    if is_installed {
        results.extend(check_credentials(connection, flags, run.as_ref(), &scope).await?);
    }
    results.push(clock.result);
    Ok(results)
}

/// The checks of the ApiCredentials themselves.
async fn check_credentials(
    connection: &Connection,
    flags: &Flags,
    run: Option<&apicredential_operator::cli::RunArgs>,
    scope: &Scope,
) -> Result<Vec<CheckResult>, PluginError> {
    let api = connection.api::<ApiCredential>(scope);
    let credentials = match connection.request_optional(api.list(&ListParams::default())).await? {
        Lookup::Found(list) => list.items,
        // The permissions check reports this.
        Lookup::NotFound | Lookup::Forbidden => return Ok(Vec::new()),
    };
    if credentials.is_empty() {
        let message = "There is no ApiCredential to check; check all namespaces with -A.";
        return Ok(vec![CheckResult::ok("credentials", message)]);
    }
    let mut results = credentials::sources(connection, &credentials).await?;
    results.extend(credentials::endpoints(&credentials, run));
    if let Some(list) = &flags.allowed_endpoints {
        results.extend(credentials::refused_by(list, &credentials, run));
    }
    results.extend(credentials::progress(&credentials));
    results.extend(pods::check(connection, scope, &credentials).await?);
    if !flags.offline {
        results.extend(network::providers(&credentials, run, flags.provider_ca_file.as_deref()).await?);
    }
    Ok(results)
}

fn render(results: &[CheckResult], terminal: &Terminal) -> String {
    let mut text = String::new();
    for result in results {
        let (label, colour) = match result.level {
            Severity::Ok => ("ok  ", Colour::Good),
            Severity::Warn => ("warn", Colour::Warning),
            Severity::Fail => ("fail", Colour::Bad),
        };
        let label = paint(label, terminal.colour(colour));
        text.push_str(&format!("{label}  {:<12}  {}\n", result.check, sanitize(&result.message)));
        if let Some(remedy) = &result.remedy {
            text.push_str(&format!("{:20}{}\n", "", sanitize(remedy)));
        }
    }
    text
}
