//! Least privilege from both sides, in each mode of the chart and under its own service account: no request that is
//! needed is forbidden, and every verb that is granted on every resource is used.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use apicredential::api::ApiCredential;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use serde_json::{Value, json};

use crate::helm::template;
use crate::install::apply_quietly;
use crate::support::control_plane::{self, Content, ControlPlane};
use crate::support::operator::Settings;
use crate::support::provider::{MockProvider, Reply};
use crate::support::space::{self, DEADLINE, Space};

/// What a role grants: a verb on a resource.
pub type Grant = (String, String);

#[tokio::test]
async fn in_all_namespaces_every_permission_is_used_and_none_is_missing() {
    prove("cluster", |_| Vec::new()).await;
}

#[tokio::test]
async fn in_named_namespaces_every_permission_is_used_and_none_is_missing() {
    prove("namespaced", |space| vec![format!("namespaces={{{}}}", space.name)]).await;
}

#[tokio::test]
async fn with_named_secrets_every_permission_is_used_and_no_list_of_secrets_is_needed() {
    let pinned = |space: &Space| {
        let namespace = format!("pinned[0].namespace={}", space.name);
        vec![namespace, "pinned[0].sources={a-source}".to_owned(), "pinned[0].targets={a-token}".to_owned()]
    };
    prove("pinned", pinned).await;
}

async fn prove(mode: &str, values: impl Fn(&Space) -> Vec<String>) {
    // An operator for all namespaces would reconcile the objects of every other test, too. And `list` is used only if the API
    // server does not stream lists.
    let plane = ControlPlane::start_with(Content::Installed, &["--feature-gates=WatchList=false"]).await.unwrap();
    let space = Space::on(Arc::new(plane)).await;
    let mock_provider = MockProvider::start();
    let name = format!("operator-of-{}", space.name);
    let mut arguments = vec!["--namespace".to_owned(), space.name.clone()];
    for value in [format!("mode={mode}"), format!("fullnameOverride={name}")].into_iter().chain(values(&space)) {
        arguments.extend(["--set".to_owned(), value]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let objects = template(&arguments).unwrap();
    for object in objects.iter().filter(|object| is_rbac_object(object, &name)) {
        apply_quietly(&space.client, "the rendering", object).await;
    }
    let kubeconfig = space.plane.kubeconfig_for_service_account(&space.name, &name).await;
    let permissions: Api<Lease> = Api::namespaced(control_plane::client(&kubeconfig).await, &space.name);
    space.wait_for("the permissions are in effect", async || permissions.get_opt(&name).await.ok().map(drop)).await;

    let deployment = objects.iter().find(|object| object["kind"] == "Deployment").unwrap();
    let flags = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array().unwrap();
    let settings = Settings::new(&space, &mock_provider).without_flag("--namespaces").kubeconfig(&kubeconfig).quick();
    let settings = flags
        .iter()
        .filter_map(|flag| flag.as_str()?.split_once('='))
        .fold(settings, |it, (flag, value)| it.flag(flag, value));
    let settings = settings.flag("--resync", "2s");
    let operator = settings.start().await;
    live(&space, &mock_provider, mode == "pinned").await;
    assert!(operator.terminate(DEADLINE).await.success());
    // A later operator finds a lease, and reads it.
    assert!(settings.start().await.terminate(DEADLINE).await.success());

    let user = format!("system:serviceaccount:{}:{name}", space.name);
    let granted = grants(&objects, &name);
    let unused = async || {
        let used = used(&space, &user);
        granted.iter().all(|grant| used.contains_key(grant)).then_some(used)
    };
    // A watch is logged when the server has noticed its end.
    let used = space::poll(DEADLINE, unused).await.unwrap_or_else(|| {
        let used = used(&space, &user);
        let idle: Vec<&Grant> = granted.iter().filter(|grant| !used.contains_key(grant)).collect();
        panic!("{mode}: granted and never used: {idle:?}")
    });
    for (grant, count) in granted.iter().map(|grant| (grant, used[grant])) {
        println!("permissions, {mode}: {:<8} {:<24} {count}", grant.0, grant.1);
    }
    let forbidden: Vec<Grant> = requests(&space, &user).into_iter().filter(|it| it.1 == 403).map(|it| it.0).collect();
    let expected = |grant: &Grant| mode == "pinned" && *grant == ("list".to_owned(), "secrets".to_owned());
    assert!(forbidden.iter().all(expected), "{mode}: forbidden: {forbidden:?}");
}

/// A first token, renewals, a rejection and its repair; a deleted target, unless the operator may not create it.
async fn live(space: &Space, mock_provider: &MockProvider, merge: bool) {
    let client = mock_provider.welkin(&space.unique("a"));
    client.lifetime(6.0);
    space.source_welkin("a-source", "any secret at all").await;
    let mut manifest = space::welkin("a", &client, mock_provider);
    if merge {
        manifest["spec"]["target"]["creationPolicy"] = json!("Merge");
        let target = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "a-token", "annotations": {"apicredential.io/allow": "a:token"}},
        });
        space.apply_secret(&target).await;
    }
    space.apply(&manifest).await;
    space.wait_ready("a").await;
    // The same warning several times is one event, patched.
    client.always(Reply::error(503));
    space.wait_until("a", "failed twice", |it| failures(it) >= 2).await;
    client.lifetime(6.0);
    let renewed =
        |count| move |it: &ApiCredential| it.status.as_ref().is_some_and(|status| status.revision >= Some(count));
    space.wait_until("a", "renewed twice", renewed(3)).await;
    space.patch_secret("a-source", &json!({"metadata": {"labels": {"apicredential.io/source": null}}})).await;
    space.wait_condition("a", "SourceResolved", "False/SourceNotPermitted").await;
    space.patch_secret("a-source", &json!({"metadata": {"labels": {"apicredential.io/source": "welkin"}}})).await;
    space.wait_condition("a", "SourceResolved", "True/SourceResolved").await;
    space.wait_ready("a").await;
    if !merge {
        space.delete_secret("a-token").await;
        space.wait_for("it is back", async || space.secret("a-token").await).await;
        space.wait_ready("a").await;
    }
}

fn failures(credential: &ApiCredential) -> i32 {
    credential.status.as_ref().and_then(|status| status.failed_attempts).unwrap_or_default()
}

/// The account, its roles and their bindings, without the roles for users.
fn is_rbac_object(object: &Value, name: &str) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    let of_operator = object["metadata"]["name"].as_str().unwrap_or_default().starts_with(name);
    of_operator && ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"].contains(&kind)
}

pub fn grants(objects: &[Value], name: &str) -> Vec<Grant> {
    let roles = objects.iter().filter(|object| is_rbac_object(object, name) && object["rules"].is_array());
    let rules = roles.flat_map(|role| role["rules"].as_array().unwrap());
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut grants: Vec<Grant> = rules
        .flat_map(|rule| {
            let (verbs, resources) = (texts(&rule["verbs"]), texts(&rule["resources"]));
            verbs.into_iter().flat_map(move |verb| resources.clone().into_iter().map(move |it| (verb.clone(), it)))
        })
        .collect();
    grants.sort_by(|one, other| (&one.1, &one.0).cmp(&(&other.1, &other.0)));
    grants.dedup();
    grants
}

/// How often each verb succeeded on each resource.
fn used(space: &Space, user: &str) -> BTreeMap<Grant, usize> {
    let mut used = BTreeMap::new();
    for (grant, code) in requests(space, user) {
        if code < 400 {
            *used.entry(grant).or_insert(0) += 1;
        }
    }
    used
}

/// All requests of the account, in all namespaces.
fn requests(space: &Space, user: &str) -> Vec<(Grant, u64)> {
    let log = fs::read_to_string(space.plane.audit_log()).unwrap();
    let lines =
        log.lines().filter(|line| line.contains(user)).filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["user"]["username"] == user).map(|line| (needed_grant(&line), code(&line))).collect()
}

/// The permission that a line of the audit log required.
pub fn needed_grant(line: &Value) -> Grant {
    let about = &line["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let resource = match about["subresource"].as_str() {
        None => text(&about["resource"]),
        Some(part) => format!("{}/{part}", text(&about["resource"])),
    };
    (text(&line["verb"]), resource)
}

/// The status code of its response.
pub fn code(line: &Value) -> u64 {
    line["responseStatus"]["code"].as_u64().unwrap_or(0)
}
