//! Checks of the ApiCredentials: consent of the sources, allowed endpoints, overdue steps.

use apicredential::api::ApiCredential;
use apicredential::plan::{AllowLists, Plan};
use apicredential::providers::AllowedEndpoints;
use apicredential::reason::Reason;
use apicredential::source;
use apicredential_operator::cli::RunArgs;
use apicredential_operator::clock;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::CheckResult;
use crate::connection::{Connection, Lookup};
use crate::error::PluginError;
use crate::next_step::next_step;

/// The number of concurrent reads.
const PARALLEL: usize = 8;

/// `namespace/name`.
pub fn qualified_name(credential: &ApiCredential) -> String {
    format!("{}/{}", credential.namespace().unwrap_or_default(), credential.name_any())
}

/// Finds ApiCredentials whose source Secret does not exist or does not consent. Only metadata are read, never values.
pub async fn sources(connection: &Connection, credentials: &[ApiCredential]) -> Result<Vec<CheckResult>, PluginError> {
    const CHECK: &str = "sources";
    let reads = credentials.iter().map(|credential| source(connection, credential));
    let outcomes: Vec<_> = futures::stream::iter(reads).buffered(PARALLEL).collect().await;
    let (mut results, mut consenting, mut unreadable) = (Vec::new(), 0, 0);
    for (credential, outcome) in credentials.iter().zip(outcomes) {
        match outcome? {
            Lookup::Found(None) => consenting += 1,
            Lookup::Found(Some(message)) => {
                results.push(CheckResult::reported(CHECK, format!("{}: {message}", qualified_name(credential))));
            }
            Lookup::NotFound | Lookup::Forbidden => unreadable += 1,
        }
    }
    if unreadable > 0 {
        let message = format!("Sources not checked, because you have no permission to get the Secrets: {unreadable}.");
        results.push(CheckResult::warn(
            CHECK,
            message,
            "See the operator's conditions with: kubectl apicredential status NAME",
        ));
    }
    if consenting > 0 {
        results.insert(0, CheckResult::ok(CHECK, format!("Sources that exist and consent: {consenting}.")));
    }
    Ok(results)
}

/// The problem of a source Secret, as far as its metadata show it.
async fn source(connection: &Connection, credential: &ApiCredential) -> Result<Lookup<Option<String>>, PluginError> {
    let namespace = credential.namespace().unwrap_or_default();
    let plan = match Plan::parse(&credential.spec, &AllowLists::default()) {
        Ok(plan) => plan,
        Err(refusal) => return Ok(Lookup::Found(Some(refusal.message))),
    };
    let api = connection.namespaced::<Secret>(&namespace);
    let secret = match connection.request_optional(api.get_metadata(&plan.source)).await? {
        Lookup::Found(found) => Some(Secret { metadata: found.metadata, ..Secret::default() }),
        Lookup::NotFound => None,
        Lookup::Forbidden => return Ok(Lookup::Forbidden),
    };
    let refusal = source::resolve(&namespace, &plan, secret.as_ref()).err();
    // Metadata do not include the keys.
    let refusal = refusal.filter(|refusal| refusal.reason != Reason::SourceKeyMissing);
    Ok(Lookup::Found(refusal.map(|refusal| refusal.message)))
}

/// Finds ApiCredentials whose namespace or endpoint the operator's flags exclude.
pub fn endpoints(credentials: &[ApiCredential], run: Option<&RunArgs>) -> Vec<CheckResult> {
    const CHECK: &str = "endpoints";
    let Some(run) = run else {
        let message = "The operator's flags cannot be read, so the allowed endpoints are unknown.";
        return vec![CheckResult::warn(
            CHECK,
            message,
            "An ApiCredential with a forbidden endpoint has the reason EndpointNotAllowed.",
        )];
    };
    let watched: Vec<&str> = run.namespaces.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let allowed = AllowLists::of_endpoints(run.provider.allowed_endpoints.clone());
    let mut results = Vec::new();
    for credential in credentials {
        let namespace = credential.namespace().unwrap_or_default();
        if !watched.is_empty() && !watched.contains(&namespace.as_str()) {
            let message = format!(
                "{}: the operator does not watch this namespace, only {}.",
                qualified_name(credential),
                watched.join(", ")
            );
            results.push(CheckResult::fail(CHECK, message, "The operator's administrator can add it to --namespaces."));
        } else if let Ok(plan) = Plan::parse(&credential.spec, &allowed)
            && !plan.endpoint_allowed
        {
            let (endpoint, provider) = (plan.request.endpoint(), plan.request.provider());
            let message =
                format!("{}: the endpoint {endpoint} is not allowed for {provider}.", qualified_name(credential));
            results.push(CheckResult::fail(CHECK, message, Reason::EndpointNotAllowed.message()));
        }
    }
    if results.is_empty() {
        results.push(CheckResult::ok(CHECK, "All ApiCredentials here match --namespaces and --allowed-endpoints."));
    }
    results
}

/// Finds ApiCredentials that the operator allows now and would refuse with another list.
pub fn refused_by(list: &AllowedEndpoints, credentials: &[ApiCredential], run: Option<&RunArgs>) -> Vec<CheckResult> {
    const CHECK: &str = "allow-list";
    let now = run.map(|run| AllowLists::of_endpoints(run.provider.allowed_endpoints.clone()));
    let other = AllowLists::of_endpoints(list.clone());
    let is_allowed = |credential: &ApiCredential| {
        now.as_ref().is_none_or(|now| Plan::parse(&credential.spec, now).is_ok_and(|plan| plan.endpoint_allowed))
    };
    let mut results = Vec::new();
    for credential in credentials.iter().filter(|credential| is_allowed(credential)) {
        if let Ok(plan) = Plan::parse(&credential.spec, &other)
            && !plan.endpoint_allowed
        {
            let (endpoint, provider) = (plan.request.endpoint(), plan.request.provider());
            let message = format!(
                "{}: --allowed-endpoints {list} would refuse its endpoint {endpoint} for {provider}.",
                qualified_name(credential)
            );
            let remedy = "Add the endpoint to the list, or change spec.provider first.";
            results.push(CheckResult::warn(CHECK, message, remedy));
        }
    }
    if results.is_empty() {
        let message = format!("--allowed-endpoints {list} would refuse no ApiCredential here that is allowed now.");
        results.push(CheckResult::ok(CHECK, message));
    }
    results
}

/// Finds ApiCredentials with an overdue step.
pub fn progress(credentials: &[ApiCredential]) -> Vec<CheckResult> {
    const CHECK: &str = "progress";
    let now = clock::now();
    let overdue =
        credentials.iter().map(|credential| (credential, next_step(credential, now))).filter(|(_, next)| next.overdue);
    let overdue: Vec<CheckResult> = overdue
        .map(|(credential, next)| {
            let (what, _) = next.what.split_once(';').unwrap_or((&next.what, ""));
            let message = format!("{}: {what}.", qualified_name(credential));
            CheckResult::fail(
                CHECK,
                message,
                "No operator acts on it. See the checks operator, leader and endpoints above.",
            )
        })
        .collect();
    if overdue.is_empty() { vec![CheckResult::ok(CHECK, "Nothing is overdue.")] } else { overdue }
}
