//! Upgrades and restores: a definition that is older than the program, a roll, and objects that come back with new uids.

use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::life::Scene;
use crate::support::control_plane::{Content, ControlPlane};
use crate::support::provider::StandIn;
use crate::support::space::Space;

#[tokio::test]
async fn a_definition_that_is_older_than_the_program_is_told_of_and_served_all_the_same() {
    let plane = Arc::new(ControlPlane::start(Content::Installed).await.unwrap());
    let scene = Scene { space: Space::on(plane).await, stand_in: StandIn::start() };
    let definitions: Api<CustomResourceDefinition> = Api::all(scene.space.client.clone());
    let told = |operator: &crate::support::operator::Operator| {
        let lines = operator.log();
        lines.iter().filter_map(|line| line["missing"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let operator = scene.operator().start().await;
    scene.a_later_one_is_ready("before").await;
    assert_eq!(told(&operator), [""; 0], "the definition of today lacks nothing");
    assert!(operator.terminate(crate::support::space::DEADLINE).await.success());

    let mut older = serde_json::to_value(definitions.get("apicredentials.apicredential.io").await.unwrap()).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    older.pointer_mut(&format!("{spec}/target/properties")).unwrap().as_object_mut().unwrap().remove("data");
    older.pointer_mut(&format!("{spec}/target")).unwrap().as_object_mut().unwrap().remove("x-kubernetes-validations");
    older["metadata"] = json!({"name": "apicredentials.apicredential.io"});
    older.as_object_mut().unwrap().remove("status");
    let parameters = PatchParams::apply("an older release").force();
    definitions.delete("apicredentials.apicredential.io", &DeleteParams::default()).await.unwrap();
    let gone = async || definitions.get_opt("apicredentials.apicredential.io").await.unwrap().is_none().then_some(());
    scene.space.wait_for("the definition is gone", gone).await;
    definitions.patch("apicredentials.apicredential.io", &parameters, &Patch::Apply(&older)).await.unwrap();
    let served = async || scene.space.credentials.list(&Default::default()).await.ok().map(drop);
    scene.space.wait_for("the older definition is served", served).await;

    let operator = scene.operator().start().await;
    scene.a_later_one_is_ready("after").await;
    let warned = async || (told(&operator) == ["spec.target.data"]).then_some(());
    scene.space.wait_for("the operator says what is missing", warned).await;
}

#[tokio::test]
async fn a_roll_costs_no_exchange_and_no_write() {
    let scene = Scene::new().await;
    let old = scene.operator().start().await;
    let mut clients = Vec::new();
    for name in ["a", "b", "c"] {
        clients.push(scene.space.first_token(name, &scene.stand_in).await);
    }
    let before = scene.space.audit().await;
    let new = scene.operator().start().await;
    assert!(old.terminate(crate::support::space::DEADLINE).await.success());
    let leads = async || new.get("/readyz").await?.1.starts_with("leading").then_some(());
    scene.space.wait_for("the new one leads", leads).await;
    scene.a_later_one_is_ready("later").await;
    assert!(clients.iter().all(|client| client.count() == 1));
    let writes = scene.space.audit().await.since(&before).by("operator").without("leases");
    let about_old = writes.only(|call| call.is_write() && !call.name.starts_with("later"));
    assert!(about_old.calls().is_empty(), "{about_old}");
}

#[tokio::test]
async fn a_backup_that_is_restored_costs_each_credential_one_exchange_at_the_endpoints_rate() {
    let scene = Scene::new().await;
    let _operator = scene.operator().flag("--provider-rate", "10").flag("--provider-burst", "1").start().await;
    let names = ["a", "b", "c", "d", "e"];
    let mut clients = Vec::new();
    for name in names {
        clients.push(scene.space.first_token(name, &scene.stand_in).await);
    }
    let mut backup = Vec::new();
    for name in names {
        let credential = serde_json::to_value(scene.space.credential(name).await).unwrap();
        let target = serde_json::to_value(scene.target(name).await).unwrap();
        backup.push((name, restorable(credential), restorable(target)));
        scene.space.delete(name).await;
    }
    for name in names {
        let gone = async || scene.space.secret(&format!("{name}-token")).await.is_none().then_some(());
        scene.space.wait_for("the targets are gone", gone).await;
    }
    for (_, credential, target) in &backup {
        // As a backup tool does: the Secret comes with the owner that it had, who is no more.
        scene
            .space
            .secrets
            .create(&Default::default(), &serde_json::from_value(target.clone()).unwrap())
            .await
            .unwrap();
        let new = serde_json::from_value(credential.clone()).unwrap();
        scene.space.credentials.create(&Default::default(), &new).await.unwrap();
    }
    for (name, _, _) in &backup {
        // Ready with a token of the new object: of a Secret that it owns.
        let owned = async || {
            let credential = scene.space.credential(name).await;
            let target = scene.space.secret(&format!("{name}-token")).await?;
            let owner = target.metadata.owner_references?.into_iter().next()?.uid;
            (Some(owner) == credential.metadata.uid).then_some(())
        };
        scene.space.wait_for("its target is its own", owned).await;
        scene.space.wait_ready(name).await;
    }
    assert!(
        clients.iter().all(|client| client.count() == 2),
        "{:?}",
        clients.iter().map(|it| it.count()).collect::<Vec<_>>()
    );
}

/// Without what the API server sets.
fn restorable(mut object: Value) -> Value {
    for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
        object["metadata"].as_object_mut().unwrap().remove(field);
    }
    object
}
