//! What the user may do, and which command lacks what he may not.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use super::{CheckResult, Flags};
use crate::connection::{Connection, Scope};
use crate::error::PluginError;

const CHECK: &str = "permissions";

/// A right, and what it is for.
struct Permission {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    /// In the operator's namespace, not in the user's.
    in_operator_namespace: bool,
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
    permission("list", GROUP, "apicredentials", "list and doctor see no credential"),
    permission("patch", GROUP, "apicredentials", "renew does not work"),
    permission("create", GROUP, "apicredentials", "create works with --dry-run only"),
    permission("get", "", "secrets", "status and doctor see neither source nor target"),
    permission("list", "", "pods", "doctor cannot find pods that never see a renewal"),
    permission("list", "events.k8s.io", "events", "status shows no events"),
    Permission {
        in_operator_namespace: true,
        ..permission("get", "apps", "deployments", "doctor does not see whether the operator is up")
    },
    Permission {
        in_operator_namespace: true,
        ..permission("get", "coordination.k8s.io", "leases", "doctor does not see who leads")
    },
];

/// One finding for each right that is missing, or one that says that none is.
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
        let place =
            if namespace.is_empty() { "in all namespaces".to_owned() } else { format!("in the namespace {namespace}") };
        let message =
            format!("You may not {} {} {place}: {}.", permission.verb, permission.resource, permission.without);
        results.push(CheckResult::warn(CHECK, message, "Ask an administrator for the right, if you need it."));
    }
    if results.is_empty() {
        results.push(CheckResult::ok(CHECK, "You may do all that the commands of this plugin need."));
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
    #[expect(clippy::disallowed_methods, reason = "a review belongs to no namespace")]
    let api: Api<SelfSubjectAccessReview> = Api::all(connection.client.clone());
    let answer = connection.request(api.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use apicredential::api::ApiCredential;
    use kube::Resource as _;

    use super::*;

    #[test]
    fn the_rights_are_on_the_kind_that_the_operator_serves() {
        let permissions: Vec<&Permission> =
            PERMISSIONS.iter().filter(|permission| permission.resource == ApiCredential::plural(&())).collect();
        assert_eq!(permissions.len(), 4);
        assert!(permissions.iter().all(|permission| permission.group == ApiCredential::group(&())));
    }
}
