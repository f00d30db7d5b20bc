//! `doctor`: what keeps tokens from being there, looked for from the crd down to the pods that use them.

use apicredential::api::ApiCredential;
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
    /// Look at the credentials of all namespaces
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
    /// PEM file with certificates to trust for providers, in addition to the system's, as the operator's flag of that name
    #[arg(long, value_name = "PATH")]
    provider_ca_file: Option<std::path::PathBuf>,
    /// Shape of the result
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Perhaps no fault, or it could not be looked at.
    Warn,
    /// Somebody gets no token, or no fresh one, because of it.
    Fail,
}

/// What a check has found.
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

    /// A sentence of the operator's, which holds its remedy.
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
    let fails = results.iter().any(|result| result.level == Severity::Fail);
    Ok(if fails { Exit::Failed } else { Exit::Done })
}

async fn run_checks(connection: &Connection, flags: &Flags) -> Result<Vec<CheckResult>, PluginError> {
    // First, because without an API server there is nothing to run_checks.
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

/// Everything about the credentials themselves.
async fn check_credentials(
    connection: &Connection,
    flags: &Flags,
    run: Option<&apicredential_operator::cli::RunArgs>,
    scope: &Scope,
) -> Result<Vec<CheckResult>, PluginError> {
    let api = connection.api::<ApiCredential>(scope);
    let credentials = match connection.request_optional(api.list(&ListParams::default())).await? {
        Lookup::Found(list) => list.items,
        // Said by the check of rights.
        Lookup::NotFound | Lookup::Forbidden => return Ok(Vec::new()),
    };
    if credentials.is_empty() {
        let message = "There is no ApiCredential here, so there is nothing to look at; -A looks into all namespaces.";
        return Ok(vec![CheckResult::ok("credentials", message)]);
    }
    let mut results = credentials::sources(connection, &credentials).await?;
    results.extend(credentials::endpoints(&credentials, run));
    results.extend(credentials::progress(&credentials));
    results.extend(pods::check(connection, scope, &credentials).await?);
    if !flags.offline {
        results.extend(network::providers(&credentials, flags.provider_ca_file.as_deref()).await?);
    }
    Ok(results)
}

fn render(results: &[CheckResult], terminal: &Terminal) -> String {
    let mut text = String::new();
    for result in results {
        let (word, colour) = match result.level {
            Severity::Ok => ("ok  ", Colour::Good),
            Severity::Warn => ("warn", Colour::Warning),
            Severity::Fail => ("fail", Colour::Bad),
        };
        let word = paint(word, terminal.colour(colour));
        text.push_str(&format!("{word}  {:<12}  {}\n", result.check, sanitize(&result.message)));
        if let Some(remedy) = &result.remedy {
            text.push_str(&format!("{:20}{}\n", "", sanitize(remedy)));
        }
    }
    text
}
