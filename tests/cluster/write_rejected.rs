//! The API server rejects our Secret, by quota or by a policy. At most one exchange is lost, and the operator recovers.

use http::Method;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::strict_api::{apply, send};
use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space, condition, value};

/// Forbids further Secrets. The status of the quota counts, whatever the controller reports as used.
async fn forbid_secrets(space: &Space) -> Api<ResourceQuota> {
    let quotas: Api<ResourceQuota> = Api::namespaced(space.client.clone(), &space.name);
    let hard = json!({"count/secrets": "0"});
    let quota = json!({"metadata": {"name": "secrets"}, "spec": {"hard": hard}});
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    let status = Patch::Merge(json!({"status": {"hard": hard, "used": {"count/secrets": "1"}}}));
    quotas.patch_status("secrets", &PatchParams::default(), &status).await.unwrap();
    // The API server's own view lags a little.
    let secret = json!({"metadata": {"name": "probe"}});
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    space
        .wait_for("the quota is in force", async || {
            let secret = serde_json::from_value(secret.clone()).unwrap();
            space.secrets.create(&dry, &secret).await.is_err().then_some(())
        })
        .await;
    quotas
}

async fn dry_runs(space: &Space) -> usize {
    space.audit().await.by("operator").to("secrets").only(|call| call.dry_run).calls().len()
}

/// Waits for more dry runs, each a chance to spend another exchange.
async fn more_dry_runs(space: &Space, count: usize) {
    let before = dry_runs(space).await;
    space.wait_for("more dry runs", async || (dry_runs(space).await >= before + count).then_some(())).await;
}

#[tokio::test]
async fn a_quota_costs_one_exchange_until_it_is_lifted_and_none_if_the_secret_was_there_before() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("a"));
    space.source_welkin("a-source", "any secret at all").await;
    let quotas = forbid_secrets(&space).await;
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.apply(&space::welkin("a", &client, &mock_provider)).await;
    space.wait_condition("a", "Ready", "False/TargetWriteRejected").await;
    more_dry_runs(&space, 4).await;
    assert_eq!(client.count(), 1);
    drop(quotas.delete("secrets", &DeleteParams::default()).await.unwrap());
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 2);

    forbid_secrets(&space).await;
    space.delete_secret("a-token").await;
    space.wait_condition("a", "Ready", "False/TargetWriteRejected").await;
    more_dry_runs(&space, 4).await;
    assert_eq!(client.count(), 2, "a dry run for the deleted Secret comes before any token request");
    drop(quotas.delete("secrets", &DeleteParams::default()).await.unwrap());
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 3);
    assert_eq!(value(&space.secret("a-token").await.unwrap(), "token"), client.last_token());
}

#[tokio::test]
async fn a_policy_that_rejects_the_write_costs_one_exchange_until_it_is_lifted() {
    let (space, mock_provider) = (Space::new().await, MockProvider::start());
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    let client = space.first_token("a", &mock_provider).await;
    let written = space.secret("a-token").await.unwrap();

    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": space.name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space.name}},
                "resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["secrets"],
                }],
            },
            "validations": [{"expression": "!object.metadata.name.endsWith('-token')", "message": "not today"}],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": space.name}, "spec": {"policyName": space.name, "validationActions": ["Deny"]},
    });
    for manifest in [&policy, &binding] {
        apply(&space.client, manifest, None).await.accepted();
    }
    let probe = Patch::Merge(json!({"metadata": {"labels": {"probe": "x"}}}));
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    space
        .wait_for("the policy is in force", async || {
            space.secrets.patch("a-token", &dry, &probe).await.is_err().then_some(())
        })
        .await;

    client.accept("the-second-secret");
    space.source_welkin("a-source", "the-second-secret").await;
    let reported = space.wait_condition("a", "Ready", "True/RenewalFailing").await;
    assert_eq!(condition(&reported, "Renewed").as_deref(), Some("False/TargetWriteRejected"));
    more_dry_runs(&space, 4).await;
    assert_eq!(client.count(), 2);
    assert_eq!(space.secret("a-token").await.unwrap(), written);

    let path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
    send(&space.client, Method::DELETE, &format!("{path}/{}", space.name), &[], None).await.accepted();
    send(
        &space.client,
        Method::DELETE,
        &format!("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{}", space.name),
        &[],
        None,
    )
    .await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 3);
    assert_eq!(value(&space.secret("a-token").await.unwrap(), "token"), client.last_token());
}
