//! What `deploy/guard-rails/` rejects and accepts when it is enabled, and what the roles for users allow.

use std::collections::BTreeSet;

use http::Method;
use kube::Client;
use serde_json::{Value, json};

use crate::install::{NAMESPACE, installed, manifests};
use crate::strict_api::{JSON, Response, apply, collection, create, send};
use crate::support::space::{DEADLINE, Space, poll};

const NO_GET: &str = "an ApiCredential requires permission to get its source Secret qontak-login: \
                      request it in the namespace care";
const NO_CREATE: &str = "an ApiCredential requires permission to create Secrets, such as its target token: \
                         request it in the namespace care";
const NO_PATCH: &str = "an ApiCredential with creationPolicy Merge requires permission to patch its target Secret token: \
                        request it in the namespace care";

#[tokio::test]
async fn the_policy_lets_only_those_create_who_may_read_the_source_and_write_the_target() {
    let client = installed().await;
    let get = secrets("get", &["qontak-login"]);
    let (create, patch) = (secrets("create", &[]), secrets("patch", &["token"]));
    let other = secrets("get", &["another-login"]);
    for (user, permissions, owner, merge) in [
        ("nothing", vec![], Err(NO_GET), Err(NO_GET)),
        ("wrong-source", vec![&other, &create, &patch], Err(NO_GET), Err(NO_GET)),
        ("source-only", vec![&get], Err(NO_CREATE), Err(NO_PATCH)),
        ("target-only", vec![&create, &patch], Err(NO_GET), Err(NO_GET)),
        ("owner", vec![&get, &create], Ok(()), Err(NO_PATCH)),
        ("merger", vec![&get, &patch], Err(NO_CREATE), Ok(())),
        ("both", vec![&get, &create, &patch], Ok(()), Ok(())),
    ] {
        grant(&client, user, &permissions).await;
        for (policy, expected) in [("Owner", owner), ("Merge", merge)] {
            let request = async || attempt(&client, user, &qontak(policy)).await;
            until(&format!("{user}, {policy}: {expected:?}"), |answer| is(answer, expected), request).await;
        }
    }
}

#[tokio::test]
async fn the_policy_knows_the_source_of_either_provider() {
    let client = installed().await;
    grant(&client, "welkin-writer", &[&secrets("get", &["welkin-client"]), &secrets("create", &[])]).await;
    let mut welkin = qontak("Owner");
    let block = json!({"tenant": "gh", "clientName": "A", "secretRef": {"name": "welkin-client"}});
    welkin["spec"]["provider"] = json!({"type": "Welkin", "welkin": block});
    // The rejection comes first: it shows that the policy is in force.
    let theirs = async || attempt(&client, "welkin-writer", &qontak("Owner")).await;
    until("another's", |answer| is(answer, Err(NO_GET)), theirs).await;
    until("his own", accepted, async || attempt(&client, "welkin-writer", &welkin).await).await;
}

#[tokio::test]
async fn the_policy_checks_again_when_the_spec_changes_and_only_then() {
    let client = installed().await;
    let path = "/apis/apicredential.io/v1alpha1/namespaces/care/apicredentials/welkin?dryRun=All";
    let edit = async |user: &str, change: Value| {
        let headers = [("content-type", "application/merge-patch+json"), ("impersonate-user", user)];
        send(&client, Method::PATCH, path, &headers, Some(&change)).await
    };
    let source = |name: &str| json!({"spec": {"provider": {"welkin": {"secretRef": {"name": name}}}}});
    grant(&client, "editor", &[]).await;
    grant(&client, "keeper", &[&secrets("get", &["welkin-client"]), &secrets("create", &[])]).await;

    let no_get =
        |name: &str| format!("an ApiCredential requires permission to get its source Secret {name}: request it");
    let suspend = || json!({"spec": {"suspend": true}});
    let refused = |answer: &Response| is(answer, Err(&no_get("welkin-client")));
    until("no permission at all", refused, async || edit("editor", suspend()).await).await;
    edit("editor", json!({"metadata": {"labels": {"team": "care"}}})).await.accepted();

    until("all permissions", accepted, async || edit("keeper", suspend()).await).await;
    let answer = edit("keeper", source("not-his")).await;
    assert!(is(&answer, Err(&no_get("not-his"))), "{} {}", answer.status, answer.body);
}

#[tokio::test]
async fn the_quota_counts_apicredentials_and_a_deleted_one_makes_room() {
    let space = Space::new().await;
    let (file, client) = ("deploy/guard-rails/quota.yaml", space.client.clone());
    let quota = manifests(file).remove(0);
    let hard: usize = quota["spec"]["hard"]["count/apicredentials.apicredential.io"].as_str().unwrap().parse().unwrap();
    apply(&client, &quota, Some(&space.name)).await.accepted();
    let path = format!("/api/v1/namespaces/{}/resourcequotas/apicredentials", space.name);
    let used = async || {
        let quota = send(&client, Method::GET, &path, &[], None).await.body;
        quota["status"]["used"]["count/apicredentials.apicredential.io"].as_str()?.parse::<usize>().ok()
    };
    let add = async |number: usize| {
        let mut manifest = qontak("Owner");
        manifest["metadata"]["name"] = json!(format!("a-{number}"));
        create(&client, &manifest, &space.name).await
    };
    space.wait_for("there is a count", async || used().await.filter(|used| *used == 0)).await;
    // The admission plugin learns of it a little later, and counts nothing until then.
    space
        .wait_for("the quota counts", async || {
            add(0).await.accepted();
            if used().await == Some(1) {
                return Some(());
            }
            space.delete("a-0").await;
            None
        })
        .await;
    for number in 1..hard {
        add(number).await.accepted();
    }
    let refused = add(hard).await;
    let message = refused.body["message"].as_str().unwrap_or_default().to_owned();
    let expected = format!(
        "exceeded quota: apicredentials, requested: count/apicredentials.apicredential.io=1, \
         used: count/apicredentials.apicredential.io={hard}, limited: count/apicredentials.apicredential.io={hard}"
    );
    assert!(refused.status == 403 && message.ends_with(&expected), "{} {message}", refused.status);
    space.delete("a-0").await;
    space.wait_for("room for one more", async || accepted(&add(hard).await).then_some(())).await;
}

#[tokio::test]
async fn view_edit_and_admin_grant_users_their_permissions_and_no_role_writes_a_status() {
    let client = installed().await;
    const READ: &[&str] = &["get", "list", "watch"];
    const WRITE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
    let verbs = |lists: &[&[&'static str]]| lists.concat().into_iter().collect::<BTreeSet<_>>();
    for (role, expected) in
        [("view", verbs(&[READ])), ("edit", verbs(&[READ, WRITE])), ("admin", verbs(&[READ, WRITE]))]
    {
        let group = format!("{role}-of-care");
        let binding = role_binding(&group, &json!({"kind": "ClusterRole", "name": role}), &[("Group", &group)]);
        apply(&client, &binding, Some(NAMESPACE)).await.accepted();
        let allowed = async |resource: &str| {
            let mut allowed = BTreeSet::new();
            for verb in [READ, WRITE].concat() {
                if may(&client, &group, verb, resource).await {
                    allowed.insert(verb);
                }
            }
            allowed
        };
        // The controller aggregates the rules of the labelled roles, and the authorizer learns of it, shortly after.
        let grown = poll(DEADLINE, async || (allowed("apicredentials").await == expected).then_some(())).await;
        assert!(grown.is_some(), "{role}: {:?} instead of {expected:?}", allowed("apicredentials").await);
        assert_eq!(allowed("apicredentials/status").await, BTreeSet::new(), "{role}");
    }
}

/// Whether a member of the group may do this in the namespace of the examples.
async fn may(client: &Client, group: &str, verb: &str, resource: &str) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {"user": "somebody", "groups": [group], "resourceAttributes": {
            "namespace": NAMESPACE, "verb": verb, "group": "apicredential.io",
            "resource": resource, "subresource": subresource,
        }},
    });
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer = send(client, Method::POST, path, &[JSON], Some(&review)).await.accepted();
    answer["status"]["allowed"] == true
}

/// A rule on Secrets, on these alone if any are named.
fn secrets(verb: &str, names: &[&str]) -> Value {
    let mut rule = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": [verb]});
    if !names.is_empty() {
        rule["resourceNames"] = json!(names);
    }
    rule
}

/// An ApiCredential in the namespace of the examples, as the policy sees it.
fn qontak(policy: &str) -> Value {
    json!({
        "apiVersion": "apicredential.io/v1alpha1",
        "kind": "ApiCredential",
        "metadata": {"name": "attempt"},
        "spec": {
            "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "qontak-login"}}},
            "target": {"name": "token", "creationPolicy": policy},
        },
    })
}

/// Creates an ApiCredential as this user, as a dry run.
async fn attempt(client: &Client, user: &str, manifest: &Value) -> Response {
    let path = format!("{}?dryRun=All", collection(manifest, Some(NAMESPACE)));
    send(client, Method::POST, &path, &[JSON, ("impersonate-user", user)], Some(manifest)).await
}

/// Repeats a request until the response is the expected one: roles and policies take effect shortly after their
/// creation.
async fn until(what: &str, expected: impl Fn(&Response) -> bool, request: impl AsyncFn() -> Response) {
    let answered = poll(DEADLINE, async || expected(&request().await).then_some(())).await;
    if answered.is_none() {
        let answer = request().await;
        panic!("{what}: still {} {}", answer.status, answer.body);
    }
}

fn accepted(answer: &Response) -> bool {
    answer.status.is_success()
}

/// Whether the request was accepted, or rejected with this text.
fn is(answer: &Response, expected: Result<(), &str>) -> bool {
    match expected {
        Ok(()) => accepted(answer),
        Err(text) => answer.status == 403 && answer.body["message"].as_str().is_some_and(|said| said.contains(text)),
    }
}

/// Gives a user all permissions on ApiCredentials, and these, in the namespace of the examples.
async fn grant(client: &Client, user: &str, permissions: &[&Value]) {
    let credentials = json!({"apiGroups": ["apicredential.io"], "resources": ["apicredentials"], "verbs": ["*"]});
    let rules: Vec<&Value> = [&credentials].into_iter().chain(permissions.iter().copied()).collect();
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": user}, "rules": rules,
    });
    let binding = role_binding(user, &json!({"kind": "Role", "name": user}), &[("User", user)]);
    for manifest in [role, binding] {
        apply(client, &manifest, Some(NAMESPACE)).await.accepted();
    }
}

fn role_binding(name: &str, role: &Value, subjects: &[(&str, &str)]) -> Value {
    let api_group = "rbac.authorization.k8s.io";
    let subject = |(kind, name): &(&str, &str)| json!({"apiGroup": api_group, "kind": kind, "name": name});
    json!({
        "apiVersion": format!("{api_group}/v1"),
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": api_group, "kind": role["kind"], "name": role["name"]},
        "subjects": subjects.iter().map(subject).collect::<Vec<_>>(),
    })
}
