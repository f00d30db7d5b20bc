//! The permissions that the user has, and what does not work without the missing ones.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use super::{CheckResult, Flags};
use crate::connection::{Connection, Scope};
use crate::error::PluginError;

const CHECK: &str = "permissions";

/// A permission that the plugin needs.
struct Permission {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    /// Whether it is needed in the operator's namespace instead of the user's.
    in_operator_namespace: bool,
    /// What does not work without it.
    without: &'static str,
}

const fn permission(
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    without: &'static str,
) -> Permission {
    Permission { verb, group, resource, in_operator_namespace: false, without }
}

const GROUP: &str = "apicredential.io";

const PERMISSIONS: [Permission; 9] = [
    permission("get", GROUP, "apicredentials", "status and renew do not work"),
    permission("list", GROUP, "apicredentials", "list and doctor do not work"),
    permission("patch", GROUP, "apicredentials", "renew does not work"),
    permission("create", GROUP, "apicredentials", "create works with --dry-run only"),
    permission("get", "", "secrets", "status and doctor cannot check the source and target Secrets"),
    permission("list", "", "pods", "doctor cannot find pods with a stale token"),
    permission("list", "events.k8s.io", "events", "status shows no events"),
    Permission {
        in_operator_namespace: true,
        ..permission("get", "apps", "deployments", "doctor cannot check whether the operator is available")
    },
    Permission {
        in_operator_namespace: true,
        ..permission("get", "coordination.k8s.io", "leases", "doctor cannot check which replica leads")
    },
];

/// One warning for each missing permission, or one result if none is missing.
pub async fn permissions(
    connection: &Connection,
    flags: &Flags,
    scope: &Scope,
) -> Result<Vec<CheckResult>, PluginError> {
    let own = match scope {
        Scope::All => "",
        Scope::Namespace(namespace) => namespace,
    };
    let mut results = Vec::new();
    for permission in &PERMISSIONS {
        let namespace = if permission.in_operator_namespace { &flags.operator_namespace } else { own };
        if is_allowed(connection, permission, namespace).await? {
            continue;
        }
        let scope =
            if namespace.is_empty() { "in all namespaces".to_owned() } else { format!("in the namespace {namespace}") };
        let message = format!(
            "You have no permission to {} {} {scope}: {}.",
            permission.verb, permission.resource, permission.without
        );
        results.push(CheckResult::warn(CHECK, message, "If you need it, request it from an administrator."));
    }
    if results.is_empty() {
        results.push(CheckResult::ok(CHECK, "You have all permissions that this plugin needs."));
    }
    Ok(results)
}

async fn is_allowed(connection: &Connection, permission: &Permission, namespace: &str) -> Result<bool, PluginError> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some(permission.verb.to_owned()),
                group: Some(permission.group.to_owned()),
                resource: Some(permission.resource.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    #[expect(clippy::disallowed_methods, reason = "a SelfSubjectAccessReview is cluster-scoped")]
    let api: Api<SelfSubjectAccessReview> = Api::all(connection.client.clone());
    let response = connection.request(api.create(&PostParams::default(), &review)).await?;
    Ok(response.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use apicredential::api::ApiCredential;
    use kube::Resource as _;

    use super::*;

    #[test]
    fn the_permissions_name_the_resource_of_the_crd() {
        let permissions: Vec<&Permission> =
            PERMISSIONS.iter().filter(|permission| permission.resource == ApiCredential::plural(&())).collect();
        assert_eq!(permissions.len(), 4);
        assert!(permissions.iter().all(|permission| permission.group == ApiCredential::group(&())));
    }
}
