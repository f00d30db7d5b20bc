//! Is it installed, and is an operator at work?

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

/// Whether the definition is there, and as new as this program.
pub async fn crd(connection: &Connection) -> Result<(bool, CheckResult), PluginError> {
    const CHECK: &str = "definition";
    let version = format!("{}/{}", ApiCredential::group(&()), ApiCredential::version(&()));
    let request = http::Request::get(format!("/apis/{version}")).body(Vec::new());
    let request = request.map_err(|_| PluginError::local("a request cannot be built"))?;
    if !matches!(connection.request_optional(connection.client.request::<Value>(request)).await?, Lookup::Found(_)) {
        return Ok((false, CheckResult::fail(CHECK, NOT_INSTALLED, INSTALL)));
    }
    let missing = crd_drift::missing_fields(&connection.client).await;
    if missing.is_empty() {
        let message =
            format!("{version} is served, with every field that version {} knows.", env!("CARGO_PKG_VERSION"));
        return Ok((true, CheckResult::ok(CHECK, message)));
    }
    let message = format!(
        "{version} is served by an older definition: what is set in these fields is dropped: {}.",
        missing.join(", ")
    );
    Ok((true, CheckResult::fail(CHECK, message, "Apply the definition of this version: kubectl apply -f crds/")))
}

/// Whether the Deployment is up, and how it runs; nothing if that cannot be seen.
pub async fn operator(connection: &Connection, flags: &Flags) -> Result<(CheckResult, Option<RunArgs>), PluginError> {
    const CHECK: &str = "operator";
    let (namespace, name) = (&flags.operator_namespace, &flags.operator_name);
    let place = format!("{namespace}/{name}");
    let deployment = match connection.request_optional(connection.namespaced::<Deployment>(namespace).get(name)).await?
    {
        Lookup::Found(deployment) => deployment,
        Lookup::NotFound => {
            let remedy = "Install it with kubectl apply -f deploy/install.yaml, or say where it is with --operator-namespace and --operator-name.";
            return Ok((CheckResult::fail(CHECK, format!("There is no Deployment {place}."), remedy), None));
        }
        Lookup::Forbidden => {
            let remedy = "Ask who runs the operator, or say where it is with --operator-namespace and --operator-name.";
            let message =
                format!("You may not read the Deployment {place}, so it is not known whether the operator is up.");
            return Ok((CheckResult::warn(CHECK, message, remedy), None));
        }
    };
    let run = flags_of(&deployment);
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.unwrap_or_default();
    let available = status.available_replicas.unwrap_or(0);
    if available > 0 {
        return Ok((
            CheckResult::ok(CHECK, format!("The Deployment {place} is up: {available} of {wanted} available.")),
            run,
        ));
    }
    let conditions = status.conditions.unwrap_or_default();
    let why =
        conditions.into_iter().find(|condition| condition.status != "True").and_then(|condition| condition.message);
    let why = why.map(|why| format!(" Kubernetes says: {why}")).unwrap_or_default();
    let message = format!("The Deployment {place} is not up: 0 of {wanted} available.{why}");
    let remedy = format!(
        "See: kubectl -n {namespace} describe deployment {name}; kubectl -n {namespace} logs deployment/{name}"
    );
    Ok((CheckResult::fail(CHECK, message, remedy), run))
}

fn flags_of(deployment: &Deployment) -> Option<RunArgs> {
    let containers = &deployment.spec.as_ref()?.template.spec.as_ref()?.containers;
    let container: &Container = containers.iter().find(|it| it.name == "operator").or_else(|| containers.first())?;
    // What the image runs by itself.
    let arguments = container.args.clone().unwrap_or_else(|| vec!["run".to_owned()]);
    let variables = container.env.iter().flatten();
    let variables: Vec<(String, String)> =
        variables.filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?))).collect();
    operator_flags::run_args(&arguments, &variables)
}

/// Whether one replica holds the lease; `ahead` is how far this machine's clock is ahead of the cluster's.
pub async fn leader(
    connection: &Connection,
    flags: &Flags,
    run: Option<&RunArgs>,
    ahead: SignedDuration,
) -> Result<CheckResult, PluginError> {
    const CHECK: &str = "leader";
    if run.is_some_and(|run| !run.leader_election) {
        return Ok(CheckResult::ok(CHECK, "The operator runs without leader election, as a single replica may."));
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
                format!("No replica has ever led: there is no Lease {place}."),
                remedy,
            ));
        }
        Lookup::Forbidden => {
            let message = format!("You may not read the Lease {place}, so it is not known whether a replica leads.");
            return Ok(CheckResult::warn(CHECK, message, "Ask who runs the operator."));
        }
    };
    let now = clock::now().checked_sub(ahead).unwrap_or_else(|_| clock::now());
    let (Some(holder), Some(renewed)) = (lease.holder_identity.filter(|it| !it.is_empty()), lease.renew_time) else {
        return Ok(CheckResult::fail(CHECK, format!("No replica leads: the Lease {place} is not held."), remedy));
    };
    let age = durations::between(renewed.0, now);
    let limit = i64::from(lease.lease_duration_seconds.unwrap_or(0));
    if now.duration_since(renewed.0).as_secs() > limit {
        let message = format!(
            "The leader {holder} is silent: it renewed the Lease {place} {age} ago, and that counts for {limit}s."
        );
        return Ok(CheckResult::fail(CHECK, message, remedy));
    }
    Ok(CheckResult::ok(CHECK, format!("{holder} leads; it renewed the Lease {place} {age} ago.")))
}
