//! The credentials: do their sources consent, may their endpoints be asked, does anything happen?

use apicredential::api::ApiCredential;
use apicredential::plan::Plan;
use apicredential::providers::AllowedEndpoints;
use apicredential::reason::Reason;
use apicredential::source;
use apicredential_operator::cli::RunArgs;
use apicredential_operator::clock;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::Finding;
use crate::connect::{Cluster, Seen};
use crate::failure::Failure;
use crate::next::next;

/// Reads at once.
const PARALLEL: usize = 8;

/// `namespace/name`.
pub fn called(credential: &ApiCredential) -> String {
    format!("{}/{}", credential.namespace().unwrap_or_default(), credential.name_any())
}

/// Which credentials have no source that consents. Only metadata are read: no value leaves the cluster for this.
pub async fn sources(cluster: &Cluster, credentials: &[ApiCredential]) -> Result<Vec<Finding>, Failure> {
    const CHECK: &str = "sources";
    let looks = credentials.iter().map(|credential| source(cluster, credential));
    let seen: Vec<_> = futures::stream::iter(looks).buffered(PARALLEL).collect().await;
    let (mut findings, mut fine, mut hidden) = (Vec::new(), 0, 0);
    for (credential, seen) in credentials.iter().zip(seen) {
        match seen? {
            Seen::There(None) => fine += 1,
            Seen::There(Some(message)) => {
                findings.push(Finding::told(CHECK, format!("{}: {message}", called(credential))));
            }
            Seen::Absent | Seen::Hidden => hidden += 1,
        }
    }
    if hidden > 0 {
        let message = format!("Sources not looked at, because you may not read Secrets there: {hidden}.");
        findings.push(Finding::warn(
            CHECK,
            message,
            "kubectl apicredential status shows what the operator says of them.",
        ));
    }
    if fine > 0 {
        findings.insert(0, Finding::ok(CHECK, format!("Sources that exist and consent: {fine}.")));
    }
    Ok(findings)
}

/// What is wrong with a source, as far as the metadata tell.
async fn source(cluster: &Cluster, credential: &ApiCredential) -> Result<Seen<Option<String>>, Failure> {
    let namespace = credential.namespace().unwrap_or_default();
    let plan = match Plan::parse(&credential.spec, &AllowedEndpoints::default()) {
        Ok(plan) => plan,
        Err(refusal) => return Ok(Seen::There(Some(refusal.message))),
    };
    let api = cluster.namespaced::<Secret>(&namespace);
    let secret = match cluster.look(api.get_metadata(&plan.source)).await? {
        Seen::There(found) => Some(Secret { metadata: found.metadata, ..Secret::default() }),
        Seen::Absent => None,
        Seen::Hidden => return Ok(Seen::Hidden),
    };
    let refusal = source::resolve(&namespace, &plan, secret.as_ref()).err();
    // Its keys were not asked for.
    let refusal = refusal.filter(|refusal| refusal.reason != Reason::SourceKeyMissing);
    Ok(Seen::There(refusal.map(|refusal| refusal.message)))
}

/// Which credentials the operator may not serve, by its flags.
pub fn endpoints(credentials: &[ApiCredential], run: Option<&RunArgs>) -> Vec<Finding> {
    const CHECK: &str = "endpoints";
    let Some(run) = run else {
        let message = "The operator's flags could not be read, so its list of allowed endpoints is not known.";
        return vec![Finding::warn(
            CHECK,
            message,
            "A credential that is refused for it has the reason EndpointNotAllowed.",
        )];
    };
    let served: Vec<&str> = run.namespaces.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let mut findings = Vec::new();
    for credential in credentials {
        let namespace = credential.namespace().unwrap_or_default();
        if !served.is_empty() && !served.contains(&namespace.as_str()) {
            let message = format!(
                "{}: the operator does not serve this namespace, only {}.",
                called(credential),
                served.join(", ")
            );
            findings.push(Finding::fail(CHECK, message, "Ask who runs the operator to add it to --namespaces."));
        } else if let Ok(plan) = Plan::parse(&credential.spec, &run.provider.allowed_endpoints)
            && !plan.endpoint_allowed
        {
            let (endpoint, provider) = (plan.request.endpoint(), plan.request.provider());
            let message = format!("{}: {endpoint} is not allowed for {provider}.", called(credential));
            findings.push(Finding::fail(CHECK, message, Reason::EndpointNotAllowed.message()));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            CHECK,
            "The operator may serve all credentials here, by its --namespaces and --allowed-endpoints.",
        ));
    }
    findings
}

/// For which credentials something is overdue.
pub fn progress(credentials: &[ApiCredential]) -> Vec<Finding> {
    const CHECK: &str = "progress";
    let now = clock::now();
    let late =
        credentials.iter().map(|credential| (credential, next(credential, now))).filter(|(_, next)| next.overdue);
    let late: Vec<Finding> = late
        .map(|(credential, next)| {
            let (what, _) = next.what.split_once(';').unwrap_or((&next.what, ""));
            let message = format!("{}: {what}.", called(credential));
            Finding::fail(
                CHECK,
                message,
                "No operator acts on it; see the checks operator, leader and endpoints above.",
            )
        })
        .collect();
    if late.is_empty() { vec![Finding::ok(CHECK, "Nothing is overdue.")] } else { late }
}
