//! `doctor`: what keeps tokens from being there, looked for from the definition down to the pods that use them.

use apicredential::api::ApiCredential;
use kube::api::ListParams;
use serde::Serialize;

use crate::colour::{Colour, paint};
use crate::connect::{Cluster, Scope, Seen};
use crate::failure::{Exit, Failure};
use crate::output::{Machine, Terminal, plain};

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
    output: Option<Machine>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Perhaps no fault, or it could not be looked at.
    Warn,
    /// Somebody gets no token, or no fresh one, because of it.
    Fail,
}

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    level: Level,
    check: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Ok, check, message: message.into(), remedy: None }
    }

    pub fn warn(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, remedy: Some(remedy.into()), ..Self::ok(check, message) }
    }

    pub fn fail(check: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(check, message, remedy) }
    }

    /// A sentence of the operator's, which holds its remedy.
    pub fn told(check: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::ok(check, message) }
    }
}

pub async fn run(cluster: &Cluster, flags: &Flags, terminal: &Terminal) -> Result<Exit, Failure> {
    let findings = examine(cluster, flags).await?;
    match flags.output {
        Some(machine) => terminal.document(machine, &findings)?,
        None => terminal.print(&people(&findings, terminal))?,
    }
    let fails = findings.iter().any(|finding| finding.level == Level::Fail);
    Ok(if fails { Exit::Failed } else { Exit::Done })
}

async fn examine(cluster: &Cluster, flags: &Flags) -> Result<Vec<Finding>, Failure> {
    // First, because without an API server there is nothing to examine.
    let clock = network::clock(cluster).await?;
    let (is_installed, definition) = install::definition(cluster).await?;
    let mut findings = vec![definition];
    let (operator, run) = install::operator(cluster, flags).await?;
    findings.push(operator);
    findings.push(install::leader(cluster, flags, run.as_ref(), clock.ahead).await?);
    let scope = cluster.scope(flags.all_namespaces);
    findings.extend(access::rights(cluster, flags, &scope).await?);
    if is_installed {
        findings.extend(at_work(cluster, flags, run.as_ref(), &scope).await?);
    }
    findings.push(clock.finding);
    Ok(findings)
}

/// Everything about the credentials themselves.
async fn at_work(
    cluster: &Cluster,
    flags: &Flags,
    run: Option<&apicredential_operator::cli::RunArgs>,
    scope: &Scope,
) -> Result<Vec<Finding>, Failure> {
    let api = cluster.api::<ApiCredential>(scope);
    let credentials = match cluster.look(api.list(&ListParams::default())).await? {
        Seen::There(list) => list.items,
        // Said by the check of rights.
        Seen::Absent | Seen::Hidden => return Ok(Vec::new()),
    };
    if credentials.is_empty() {
        let message = "There is no ApiCredential here, so there is nothing to look at; -A looks into all namespaces.";
        return Ok(vec![Finding::ok("credentials", message)]);
    }
    let mut findings = credentials::sources(cluster, &credentials).await?;
    findings.extend(credentials::endpoints(&credentials, run));
    findings.extend(credentials::progress(&credentials));
    findings.extend(pods::stale(cluster, scope, &credentials).await?);
    if !flags.offline {
        findings.extend(network::providers(&credentials, flags.provider_ca_file.as_deref()).await?);
    }
    Ok(findings)
}

fn people(findings: &[Finding], terminal: &Terminal) -> String {
    let mut text = String::new();
    for finding in findings {
        let (word, colour) = match finding.level {
            Level::Ok => ("ok  ", Colour::Good),
            Level::Warn => ("warn", Colour::Warning),
            Level::Fail => ("fail", Colour::Bad),
        };
        let word = paint(word, terminal.colour(colour));
        text.push_str(&format!("{word}  {:<12}  {}\n", finding.check, plain(&finding.message)));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("{:20}{}\n", "", plain(remedy)));
        }
    }
    text
}
