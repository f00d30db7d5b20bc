//! Finds pods that keep a stale token. The kubelet updates a mounted volume when its Secret changes, but never a file
//! mounted by subPath or an environment variable.

use std::collections::BTreeMap;

use apicredential::api::ApiCredential;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::ResourceExt as _;
use kube::api::ListParams;

use super::{CheckResult, credentials::qualified_name};
use crate::connection::{Connection, Lookup, Scope};
use crate::error::PluginError;

const CHECK: &str = "pods";
const REMEDY: &str = "Mount the Secret as a volume without subPath, and reread the file. Until then, restart the pod after each renewal.";

/// One failure for each container that keeps a stale token.
pub async fn check(
    connection: &Connection,
    scope: &Scope,
    credentials: &[ApiCredential],
) -> Result<Vec<CheckResult>, PluginError> {
    let pods = match connection.request_optional(connection.api::<Pod>(scope).list(&ListParams::default())).await? {
        Lookup::Found(list) => list.items,
        // The permissions check reports this.
        Lookup::NotFound | Lookup::Forbidden => return Ok(Vec::new()),
    };
    let targets: BTreeMap<(String, &str), String> = credentials
        .iter()
        .map(|it| ((it.namespace().unwrap_or_default(), it.spec.target.name.as_str()), qualified_name(it)))
        .collect();
    let mut results = Vec::new();
    for pod in pods.iter().filter(|pod| is_running(pod)) {
        let namespace = pod.namespace().unwrap_or_default();
        let Some(spec) = &pod.spec else { continue };
        for StaleUse { secret, container, how } in stale_uses(spec) {
            if let Some(credential) = targets.get(&(namespace.clone(), secret)) {
                let pod = format!("{namespace}/{}", pod.name_any());
                let message = format!(
                    "{credential}: the pod {pod} never receives renewed tokens. Its container {container} takes {how} of the Secret {secret}."
                );
                results.push(CheckResult::fail(CHECK, message, REMEDY));
            }
        }
    }
    if results.is_empty() {
        results.push(CheckResult::ok(CHECK, "No pod here uses a target Secret by subPath or environment variable."));
    }
    Ok(results)
}

fn is_running(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !matches!(phase, Some("Succeeded" | "Failed"))
}

/// A use of a Secret that the kubelet never updates.
struct StaleUse<'a> {
    secret: &'a str,
    container: &'a str,
    /// The variable or the path, and the key.
    how: String,
}

fn stale_uses(spec: &PodSpec) -> Vec<StaleUse<'_>> {
    // An init container reads the current token and exits. With `restartPolicy: Always` it is a sidecar.
    let sidecars = spec.init_containers.iter().flatten().filter(|it| it.restart_policy.as_deref() == Some("Always"));
    spec.containers.iter().chain(sidecars).flat_map(|container| in_container(spec, container)).collect()
}

fn in_container<'a>(spec: &'a PodSpec, container: &'a Container) -> Vec<StaleUse<'a>> {
    let mut stale_uses = Vec::new();
    let mut add = |secret: &'a str, how: String| stale_uses.push(StaleUse { secret, container: &container.name, how });
    for variable in container.env.iter().flatten() {
        if let Some(key) = variable.value_from.as_ref().and_then(|from| from.secret_key_ref.as_ref()) {
            add(&key.name, format!("the variable {} from the key {}", variable.name, key.key));
        }
    }
    for from in container.env_from.iter().flatten() {
        if let Some(secret) = &from.secret_ref {
            add(&secret.name, "a variable from each key".to_owned());
        }
    }
    for mount in container.volume_mounts.iter().flatten() {
        let Some(path) = mount.sub_path.as_ref().or(mount.sub_path_expr.as_ref()).filter(|path| !path.is_empty())
        else {
            continue;
        };
        for secret in secrets_of(spec, &mount.name) {
            add(secret, format!("{} by subPath from the key {path}", mount.mount_path));
        }
    }
    stale_uses
}

/// The Secrets in a volume, including those in a projected volume.
fn secrets_of<'a>(spec: &'a PodSpec, volume: &str) -> Vec<&'a str> {
    let Some(volume) = spec.volumes.iter().flatten().find(|it| it.name == volume) else { return Vec::new() };
    let plain = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_deref());
    let projected = volume.projected.iter().flat_map(|it| it.sources.iter().flatten());
    let projected = projected.filter_map(|source| source.secret.as_ref().map(|secret| secret.name.as_str()));
    plain.into_iter().chain(projected).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_completed_pod_is_not_running() {
        let in_phase = |phase: &str| is_running(&serde_json::from_value(json!({"status": {"phase": phase}})).unwrap());
        let phases = ["Pending", "Running", "Succeeded", "Failed"].map(in_phase);
        assert_eq!(phases, [true, true, false, false]);
    }

    #[test]
    fn only_uses_that_the_kubelet_never_updates_are_found() {
        let spec = json!({
            "volumes": [
                {"name": "whole", "secret": {"secretName": "token"}},
                {"name": "mixed", "projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "token"}}]}},
            ],
            "initContainers": [
                {"name": "once", "envFrom": [{"secretRef": {"name": "token"}}]},
                {"name": "sidecar", "restartPolicy": "Always", "envFrom": [{"secretRef": {"name": "token"}}]},
            ],
            "containers": [{
                "name": "main",
                "env": [
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "authorization"}}},
                    {"name": "PLAIN", "value": "token"},
                ],
                "volumeMounts": [
                    {"name": "whole", "mountPath": "/var/run/token"},
                    {"name": "whole", "mountPath": "/etc/token", "subPath": "token"},
                    {"name": "mixed", "mountPath": "/etc/mixed", "subPathExpr": "$(KEY)"},
                ],
            }],
        });
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let found: Vec<String> =
            stale_uses(&spec).iter().map(|it| format!("{} {}: {}", it.container, it.secret, it.how)).collect();
        assert_eq!(
            found,
            [
                "main token: the variable TOKEN from the key authorization",
                "main token: /etc/token by subPath from the key token",
                "main token: /etc/mixed by subPath from the key $(KEY)",
                "sidecar token: a variable from each key",
            ]
        );
    }
}
