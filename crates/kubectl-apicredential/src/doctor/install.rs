//! Checks of the installation: CRD, Deployment and leader.

use apicredential::api::ApiCredential;
use apicredential_operator::cli::RunArgs;
use apicredential_operator::clock;
use apicredential_operator::kube_api::crd_drift;
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Container;
use kube::Resource as _;
use serde_json::Value;

use super::{CheckResult, Flags};
use crate::connection::{Connection, Lookup};
use crate::error::{INSTALL, NOT_INSTALLED, PluginError};
use crate::{durations, operator_flags};

/// Whether the CRD is installed and has every field of this version.
pub async fn crd(connection: &Connection) -> Result<(bool, CheckResult), PluginError> {
    const CHECK: &str = "crd";
    let version = format!("{}/{}", ApiCredential::group(&()), ApiCredential::version(&()));
    let request = http::Request::get(format!("/apis/{version}")).body(Vec::new());
    let request = request.map_err(|_| PluginError::local("The request cannot be built; please report this."))?;
    if !matches!(connection.request_optional(connection.client.request::<Value>(request)).await?, Lookup::Found(_)) {
        return Ok((false, CheckResult::fail(CHECK, NOT_INSTALLED, INSTALL)));
    }
    let missing = crd_drift::missing_fields(&connection.client).await;
    if missing.is_empty() {
        let message = format!("{version} is installed, with every field of version {}.", env!("CARGO_PKG_VERSION"));
        return Ok((true, CheckResult::ok(CHECK, message)));
    }
    let message =
        format!("The CRD of {version} is outdated. The API server drops these fields: {}.", missing.join(", "));
    Ok((true, CheckResult::fail(CHECK, message, "Apply the CRD of this version: kubectl apply -f crds/")))
}

/// Whether the Deployment is available, and the flags of its operator, `None` if they cannot be read.
pub async fn operator(connection: &Connection, flags: &Flags) -> Result<(CheckResult, Option<RunArgs>), PluginError> {
    const CHECK: &str = "operator";
    let (namespace, name) = (&flags.operator_namespace, &flags.operator_name);
    let place = format!("{namespace}/{name}");
    let deployment = match connection.request_optional(connection.namespaced::<Deployment>(namespace).get(name)).await?
    {
        Lookup::Found(deployment) => deployment,
        Lookup::NotFound => {
            let remedy = "Install it, or set --operator-namespace and --operator-name. Install with: kubectl apply -f deploy/install.yaml";
            return Ok((CheckResult::fail(CHECK, format!("The Deployment {place} does not exist."), remedy), None));
        }
        Lookup::Forbidden => {
            let remedy = "Set --operator-namespace and --operator-name, or contact the operator's administrator.";
            let message = format!(
                "You have no permission to get the Deployment {place}. Whether the operator is available is unknown."
            );
            return Ok((CheckResult::warn(CHECK, message, remedy), None));
        }
    };
    let run = flags_of(&deployment);
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.unwrap_or_default();
    let available = status.available_replicas.unwrap_or(0);
    if available > 0 {
        return Ok((
            CheckResult::ok(CHECK, format!("The Deployment {place} is available: {available} of {wanted} replicas.")),
            run,
        ));
    }
    let conditions = status.conditions.unwrap_or_default();
    let cause =
        conditions.into_iter().find(|condition| condition.status != "True").and_then(|condition| condition.message);
    let cause = cause.map(|cause| format!(" Kubernetes reports: {cause}")).unwrap_or_default();
    let message = format!("The Deployment {place} is not available: 0 of {wanted} replicas.{cause}");
    let remedy = format!(
        "See: kubectl -n {namespace} describe deployment {name}; kubectl -n {namespace} logs deployment/{name}"
    );
    Ok((CheckResult::fail(CHECK, message, remedy), run))
}

fn flags_of(deployment: &Deployment) -> Option<RunArgs> {
    let containers = &deployment.spec.as_ref()?.template.spec.as_ref()?.containers;
    let container: &Container = containers.iter().find(|it| it.name == "operator").or_else(|| containers.first())?;
    // The default command of the image.
    let arguments = container.args.clone().unwrap_or_else(|| vec!["run".to_owned()]);
    let variables = container.env.iter().flatten();
    let variables: Vec<(String, String)> =
        variables.filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?))).collect();
    operator_flags::run_args(&arguments, &variables)
}

/// Whether a replica holds the lease. `ahead` is how far this machine's clock is ahead of the API server's.
pub async fn leader(
    connection: &Connection,
    flags: &Flags,
    run: Option<&RunArgs>,
    ahead: SignedDuration,
) -> Result<CheckResult, PluginError> {
    const CHECK: &str = "leader";
    if run.is_some_and(|run| !run.leader_election) {
        return Ok(CheckResult::ok(CHECK, "Leader election is disabled, which is correct for a single replica."));
    }
    let defaults = operator_flags::defaults();
    let name = run.or(defaults.as_ref()).map_or("apicredential-operator", |run| &run.lease_name);
    let namespace = run.and_then(|run| run.lease_namespace.as_deref()).unwrap_or(&flags.operator_namespace);
    let place = format!("{namespace}/{name}");
    let remedy = format!("See: kubectl -n {} logs deployment/{}", flags.operator_namespace, flags.operator_name);
    let lease = match connection.request_optional(connection.namespaced::<Lease>(namespace).get(name)).await? {
        Lookup::Found(lease) => lease.spec.unwrap_or_default(),
        Lookup::NotFound => {
            return Ok(CheckResult::fail(
                CHECK,
                format!("The Lease {place} does not exist: no replica has ever led."),
                remedy,
            ));
        }
        Lookup::Forbidden => {
            let message =
                format!("You have no permission to get the Lease {place}. Whether a replica leads is unknown.");
            return Ok(CheckResult::warn(CHECK, message, "Contact the operator's administrator."));
        }
    };
    let now = clock::now().checked_sub(ahead).unwrap_or_else(|_| clock::now());
    let (Some(holder), Some(renewed)) = (lease.holder_identity.filter(|it| !it.is_empty()), lease.renew_time) else {
        return Ok(CheckResult::fail(CHECK, format!("The Lease {place} has no holder: no replica leads."), remedy));
    };
    let age = durations::between(renewed.0, now);
    let limit = i64::from(lease.lease_duration_seconds.unwrap_or(0));
    if now.duration_since(renewed.0).as_secs() > limit {
        let message = format!("The Lease {place} has expired. {holder} renewed it {age} ago, and it lasts {limit}s.");
        return Ok(CheckResult::fail(CHECK, message, remedy));
    }
    Ok(CheckResult::ok(CHECK, format!("{holder} leads and renewed the Lease {place} {age} ago.")))
}
