//! What the user may do, and which command lacks what he may not.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use super::{Finding, Flags};
use crate::connect::{Cluster, Scope};
use crate::failure::Failure;

const CHECK: &str = "permissions";

/// A right, and what it is for.
struct Right {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    /// In the operator's namespace, not in the user's.
    at_operator: bool,
    without: &'static str,
}

const fn right(verb: &'static str, group: &'static str, resource: &'static str, without: &'static str) -> Right {
    Right { verb, group, resource, at_operator: false, without }
}

const OURS: &str = "apicredential.io";

const RIGHTS: [Right; 9] = [
    right("get", OURS, "apicredentials", "status and renew do not work"),
    right("list", OURS, "apicredentials", "list and doctor see no credential"),
    right("patch", OURS, "apicredentials", "renew does not work"),
    right("create", OURS, "apicredentials", "create works with --dry-run only"),
    right("get", "", "secrets", "status and doctor see neither source nor target"),
    right("list", "", "pods", "doctor cannot find pods that never see a renewal"),
    right("list", "events.k8s.io", "events", "status shows no events"),
    Right {
        at_operator: true,
        ..right("get", "apps", "deployments", "doctor does not see whether the operator is up")
    },
    Right { at_operator: true, ..right("get", "coordination.k8s.io", "leases", "doctor does not see who leads") },
];

/// One finding for each right that is missing, or one that says that none is.
pub async fn rights(cluster: &Cluster, flags: &Flags, scope: &Scope) -> Result<Vec<Finding>, Failure> {
    let own = match scope {
        Scope::All => "",
        Scope::Namespace(namespace) => namespace,
    };
    let mut findings = Vec::new();
    for right in &RIGHTS {
        let namespace = if right.at_operator { &flags.operator_namespace } else { own };
        if may(cluster, right, namespace).await? {
            continue;
        }
        let place =
            if namespace.is_empty() { "in all namespaces".to_owned() } else { format!("in the namespace {namespace}") };
        let message = format!("You may not {} {} {place}: {}.", right.verb, right.resource, right.without);
        findings.push(Finding::warn(CHECK, message, "Ask an administrator for the right, if you need it."));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "You may do all that the commands of this plugin need."));
    }
    Ok(findings)
}

async fn may(cluster: &Cluster, right: &Right, namespace: &str) -> Result<bool, Failure> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some(right.verb.to_owned()),
                group: Some(right.group.to_owned()),
                resource: Some(right.resource.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    #[expect(clippy::disallowed_methods, reason = "a review belongs to no namespace")]
    let api: Api<SelfSubjectAccessReview> = Api::all(cluster.client.clone());
    let answer = cluster.ask(api.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use apicredential::api::ApiCredential;
    use kube::Resource as _;

    use super::*;

    #[test]
    fn the_rights_are_on_the_kind_that_the_operator_serves() {
        let ours: Vec<&Right> = RIGHTS.iter().filter(|right| right.resource == ApiCredential::plural(&())).collect();
        assert_eq!(ours.len(), 4);
        assert!(ours.iter().all(|right| right.group == ApiCredential::group(&())));
    }
}
