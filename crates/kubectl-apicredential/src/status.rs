//! `status`: a report on one ApiCredential, as a tree or a document.

use apicredential::annotations;
use apicredential::api::{ApiCredential, ApiCredentialStatus, LastAttempt, TokenStatus};
use apicredential::plan::{AllowLists, Plan};
use apicredential::reason::Reason;
use apicredential_operator::clock;
use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde::Serialize;

use crate::conditions;
use crate::connection::{Connection, Lookup, Scope};
use crate::error::{Exit, PluginError};
use crate::find;
use crate::next_step::{NextStep, next_step};
use crate::output::{DocumentFormat, Terminal};
use secrets::{SourceReport, TargetReport};

mod render;
mod secrets;

/// The number of events that are shown, newest last.
const SHOWN_EVENTS: usize = 5;

#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The ApiCredential
    name: String,
    /// Output format
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

/// The report on one ApiCredential.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusReport {
    namespace: String,
    name: String,
    provider: &'static str,
    suspended: bool,
    next: NextStep,
    generation: i64,
    observed_generation: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SourceReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<TargetReport>,
    /// Why the operator cannot act on the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    spec_problem: Option<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenStatus>,
    revision: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt: Option<LastAttempt>,
    failed_attempts: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    renew_request: Option<RenewRequest>,
    conditions: Vec<Condition>,
    /// The remedy for each unhealthy condition.
    remedies: Vec<Remedy>,
    /// The newest last; absent if the user may not list events.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<EventSummary>>,
}

/// A reason and its message, as the operator reports them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub reason: &'static str,
    pub message: String,
}

impl From<apicredential::reason::Refusal> for Problem {
    fn from(refusal: apicredential::reason::Refusal) -> Self {
        Self { reason: refusal.reason.as_str(), message: refusal.message }
    }
}

/// An unhealthy condition and its remedy.
#[derive(Debug, Serialize)]
struct Remedy {
    condition: String,
    reason: String,
    message: String,
}

/// The annotation that requests a renewal.
#[derive(Debug, Serialize)]
struct RenewRequest {
    text: String,
    /// Absent if only the target Secret has the answer and the user may not read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    handled: Option<bool>,
}

/// An event, with its repetitions counted.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventSummary {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    count: i32,
    #[serde(rename = "type")]
    type_: String,
    reason: String,
    note: String,
}

pub async fn run(connection: &Connection, flags: &Flags, terminal: &Terminal) -> Result<Exit, PluginError> {
    let credential = find::by_name(connection, &flags.name).await?;
    let now = clock::now();
    let report = report(connection, &credential, now).await?;
    match flags.output {
        Some(format) => terminal.document(format, &report)?,
        None => terminal.print(&render::tree(&report, now, terminal).render())?,
    }
    Ok(Exit::Done)
}

async fn report(
    connection: &Connection,
    credential: &ApiCredential,
    now: Timestamp,
) -> Result<StatusReport, PluginError> {
    let mut status = conditions::status(credential);
    // The condition of a new ApiCredential reports nothing yet.
    status.conditions.retain(|condition| !conditions::is_initial(condition));
    // The plugin does not know the operator's allow-list. The operator reports EndpointNotAllowed in a condition.
    let plan = Plan::parse(&credential.spec, &AllowLists::default());
    let (source, target, spec_problem) = match &plan {
        Ok(plan) => (
            Some(secrets::source(connection, credential, plan).await?),
            Some(secrets::target(connection, credential, plan).await?),
            None,
        ),
        Err(refusal) => (None, None, Some(refusal.clone().into())),
    };
    Ok(StatusReport {
        namespace: credential.namespace().unwrap_or_default(),
        name: credential.name_any(),
        provider: credential.spec.provider.type_.as_str(),
        suspended: credential.spec.suspend,
        next: next_step(credential, now),
        generation: credential.metadata.generation.unwrap_or_default(),
        observed_generation: status.observed_generation.unwrap_or(-1),
        renew_request: renew_request(credential, &status, target.as_ref()),
        source,
        target,
        spec_problem,
        remedies: remedies(&status.conditions),
        events: events(connection, credential).await?,
        token: status.token,
        revision: status.revision.unwrap_or(0),
        last_attempt: status.last_attempt,
        failed_attempts: status.failed_attempts.unwrap_or(0),
        conditions: status.conditions,
    })
}

fn renew_request(
    credential: &ApiCredential,
    status: &ApiCredentialStatus,
    target: Option<&TargetReport>,
) -> Option<RenewRequest> {
    let text = credential.annotations().get(annotations::RENEW_REQUESTED_AT)?.clone();
    let is_reported = status.last_handled_renew_request.as_ref() == Some(&text);
    let handled = match target {
        _ if is_reported => Some(true),
        Some(target) if target.visible => Some(target.renew_request.as_ref() == Some(&text)),
        _ => None,
    };
    Some(RenewRequest { text, handled })
}

/// One remedy for each distinct message: Ready, Renewed and Stalled often have the same one.
fn remedies(conditions: &[Condition]) -> Vec<Remedy> {
    let mut remedies: Vec<Remedy> = Vec::new();
    for condition in conditions.iter().filter(|condition| !conditions::is_healthy(condition)) {
        let known = Reason::parse(&condition.reason).map_or("", Reason::message);
        let message = if condition.message.is_empty() { known } else { &condition.message };
        if !message.is_empty() && remedies.iter().all(|remedy| remedy.message != message) {
            remedies.push(Remedy {
                condition: condition.type_.clone(),
                reason: condition.reason.clone(),
                message: message.to_owned(),
            });
        }
    }
    remedies
}

async fn events(connection: &Connection, credential: &ApiCredential) -> Result<Option<Vec<EventSummary>>, PluginError> {
    let scope = Scope::Namespace(credential.namespace().unwrap_or_default());
    let selector = format!("regarding.uid={}", credential.uid().unwrap_or_default());
    let listing = connection.api::<Event>(&scope);
    let listed = connection.request_optional(listing.list(&ListParams::default().fields(&selector))).await?;
    let Lookup::Found(list) = listed else { return Ok(None) };
    let mut events: Vec<EventSummary> = list.items.into_iter().map(EventSummary::new).collect();
    events.sort_by_key(|event| event.time);
    Ok(Some(events.split_off(events.len().saturating_sub(SHOWN_EVENTS))))
}

impl EventSummary {
    fn new(event: Event) -> Self {
        let last = event.series.as_ref().map(|series| series.last_observed_time.0);
        Self {
            time: last.or(event.event_time.map(|time| time.0)),
            count: event.series.map_or(1, |series| series.count),
            type_: event.type_.unwrap_or_default(),
            reason: event.reason.unwrap_or_default(),
            note: event.note.unwrap_or_default(),
        }
    }
}
