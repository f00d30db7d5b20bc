//! Objects that our CRD would reject, as an older or an edited CRD may have accepted them: the code rejects them
//! again, reports it on the object, and reconciles the others.

use std::sync::Arc;

use apicredential::reason::Reason;
use http::Method;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::strict_api::{apply, create, send};
use crate::support::control_plane::{Content, ControlPlane};
use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::space::{self, Space};

/// A control plane of its own, whose CRD accepts any spec, because the CRD applies to all of it.
async fn loose() -> Arc<ControlPlane> {
    static CONTROL_PLANE: OnceCell<Arc<ControlPlane>> = OnceCell::const_new();
    let start = || async {
        let plane = ControlPlane::start(Content::Empty).await.expect("a control plane");
        let client = plane.client().await;
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/apicredentials.yaml");
        let text = std::fs::read_to_string(path).expect("the CRD");
        let mut crd: Value = serde_saphyr::from_str(&text).expect("the CRD is YAML");
        let version = &mut crd["spec"]["versions"][0];
        version.as_object_mut().expect("a version").remove("selectableFields");
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        version["schema"]["openAPIV3Schema"] =
            json!({"type": "object", "properties": {"spec": anything, "status": anything}});
        apply(&client, &crd, None).await.accepted();
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "operator"}],
        });
        apply(&client, &binding, None).await.accepted();
        Arc::new(plane)
    };
    Arc::clone(CONTROL_PLANE.get_or_init(start).await)
}

/// A namespace on it, once its CRD is served.
async fn loose_space() -> Space {
    let space = Space::on(loose().await).await;
    // A list, because a path that is not served yet looks like an object that does not exist.
    let one = ListParams::default().limit(1);
    let served = async || space.credentials.list_metadata(&one).await.ok().map(drop);
    space.wait_for("the CRD is served", served).await;
    space
}

async fn raw(space: &Space, name: &str) -> Value {
    let path = format!("/apis/apicredential.io/v1alpha1/namespaces/{}/apicredentials/{name}", space.name);
    send(&space.client, Method::GET, &path, &[], None).await.accepted()
}

fn ready(object: &Value) -> Option<Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready").cloned()
}

async fn refused(space: &Space, name: &str, reason: &str) -> Value {
    space
        .wait_for(&format!("{name} is refused as {reason}"), async || {
            let ready = ready(&raw(space, name).await)?;
            (ready["status"] == "False" && ready["reason"] == reason).then_some(ready)
        })
        .await
}

#[tokio::test]
async fn objects_that_cannot_be_decoded_are_reported_once_and_block_no_other() {
    let (space, mock_provider) = (loose_space().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("x"));
    let broken = |name: &str, edit: fn(&mut Value)| {
        let mut manifest = space::welkin(name, &client, &mock_provider);
        edit(&mut manifest["spec"]);
        manifest
    };
    let manifests = [
        broken("unknown-provider", |spec| spec["provider"]["type"] = json!("Acme")),
        broken("no-target", |spec| drop(spec.as_object_mut().unwrap().remove("target"))),
        broken("wrong-type", |spec| spec["suspend"] = json!("perhaps")),
    ];
    // Before the operator starts and while it runs.
    create(&space.client, &manifests[0], &space.name).await.accepted();
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    for manifest in &manifests[1..] {
        create(&space.client, manifest, &space.name).await.accepted();
    }
    let good = space.first_token("good", &mock_provider).await;
    let mut reported = Vec::new();
    for manifest in &manifests {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        reported.push((name, refused(&space, name, "InvalidSpec").await));
    }
    // A clock: an object that lacks its source is reconciled every 0.6 s, and these every second.
    space.apply(&space::welkin("clock", &client, &mock_provider)).await;
    space.wait_reads("clock-token", 6).await;
    for (name, before) in &reported {
        assert_eq!(before["message"], Reason::InvalidSpec.message(), "{name}: nothing of the object is repeated");
        assert_eq!(ready(&raw(&space, name).await).as_ref(), Some(before), "{name}: nothing moves");
        let audit = space.audit().await.by("operator").to("apicredentials/status");
        assert_eq!(audit.only(|call| call.name == *name).writes(), 1, "{name}: {audit}");
        let events = space.events_of(name).await;
        assert_eq!(events.len(), 1, "{name}: {events:?}");
        assert_eq!((events[0].0.as_str(), events[0].1.as_str()), ("Warning", "InvalidSpec"));
    }
    assert_eq!((client.count(), good.count()), (0, 1));

    // Once fixed, it is reconciled without a restart.
    space.source_welkin("wrong-type-source", "any secret at all").await;
    space.patch("wrong-type", &json!({"spec": {"suspend": null}})).await;
    space.wait_condition("wrong-type", "Ready", "True/TokenValid").await;
    assert_eq!(client.count(), 1);
}

#[tokio::test]
async fn what_the_crd_rejects_the_code_rejects_again_before_any_request() {
    let (space, mock_provider) = (loose_space().await, MockProvider::start());
    let client = mock_provider.welkin(&space.unique("x"));
    let _operator = Settings::new(&space, &mock_provider).eager().start().await;
    space.source_welkin("source", "any secret at all").await;
    let segments = ["gh/x", "..", ".", "%2e%2e", "a?b", "a#b", "a b", "a\n", "\u{fc}", ""];
    let mut cases = Vec::new();
    for (number, segment) in segments.iter().enumerate() {
        for field in ["tenant", "clientName"] {
            let mut manifest = space::welkin(&format!("{}-{number}", field.to_lowercase()), &client, &mock_provider);
            manifest["spec"]["provider"]["welkin"][field] = json!(segment);
            cases.push((manifest, "InvalidSpec", field));
        }
    }
    let other = |name: &str, reason, says, edit: fn(&mut Value)| {
        let mut manifest = space::welkin(name, &client, &mock_provider);
        edit(&mut manifest["spec"]);
        (manifest, reason, says)
    };
    cases.extend([
        other("two-blocks", "InvalidSpec", "exactly the block", |spec| {
            spec["provider"]["qontak"] = json!({"secretRef": {"name": "source"}});
        }),
        other("wrong-block", "InvalidSpec", "exactly the block", |spec| spec["provider"]["type"] = json!("Qontak")),
        other("plain", "InvalidSpec", "endpoint", |spec| {
            spec["provider"]["welkin"]["endpoint"] = json!("http://localhost:1");
        }),
        other("with-path", "InvalidSpec", "endpoint", |spec| {
            let origin = spec["provider"]["welkin"]["endpoint"].as_str().unwrap_or_default().to_owned();
            spec["provider"]["welkin"]["endpoint"] = json!(format!("{origin}/path"));
        }),
        other("placeholder", "InvalidSpec", "placeholder", |spec| spec["target"]["data"] = json!({"a": "{secret}"})),
        other("reserved", "InvalidSpec", "reserved", |spec| {
            spec["target"]["metadata"] = json!({"labels": {"apicredential.io/managed": "no"}});
        }),
        other("release", "InvalidSpec", "Helm", |spec| spec["target"]["name"] = json!("sh.helm.release.v1.planted.v1")),
        other("too-eager", "InvalidSpec", "renewBefore", |spec| spec["renewal"] = json!({"renewBefore": "1s"})),
        other("same", "TargetIsSource", "spec.target.name", |spec| spec["target"]["name"] = json!("source")),
    ]);
    for (manifest, ..) in &mut cases {
        manifest["spec"]["provider"]["welkin"]["secretRef"]["name"] = json!("source");
        create(&space.client, manifest, &space.name).await.accepted();
    }
    for (manifest, reason, says) in &cases {
        let ready = refused(&space, manifest["metadata"]["name"].as_str().unwrap(), reason).await;
        let message = ready["message"].as_str().unwrap();
        assert!(message.contains(says), "{manifest}: {message}");
    }
    assert_eq!((mock_provider.total(), mock_provider.connections()), (0, 0));
    let audit = space.audit().await.by("operator").to("secrets");
    assert_eq!(audit.writes(), 0, "{audit}");
}
