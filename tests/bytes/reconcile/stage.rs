//! Turns a scene into objects that an API server could hold.

use apicredential::annotations;
use apicredential::api::{ApiCredential, ApiCredentialStatus, CreationPolicy};
use apicredential::plan::Plan;
use apicredential::schedule::Expiry;
use apicredential::source;
use apicredential::target::fingerprint::Fingerprint;
use apicredential::target::render::{TokenRecord, expiry_text, render};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::scene::{SENTINEL, Scene};
use super::server::{NAMESPACE, Server, is_name, merge, status_of};
use super::{allowed, decoded};

/// The uid of the ApiCredential.
pub const UID: &str = "of-a";

/// A server that holds the scene; `None` if no server could.
pub fn set(scene: &Scene, now: Timestamp) -> Option<Server> {
    let credential = credential(&scene.credential, "a", UID, now)?;
    let server = Server::default();
    let provider = &scene.credential["spec"]["provider"];
    let welkin = provider["welkin"]["secretRef"]["name"].as_str();
    let source_name = welkin.or(provider["qontak"]["secretRef"]["name"].as_str()).unwrap_or_default();
    let target_name = scene.credential["spec"]["target"]["name"].as_str().unwrap_or_default();
    let source = secret(&scene.source, source_name, "of-source", "7");
    let target = match &scene.target {
        record @ Value::Object(fields) if fields.contains_key("minted") => {
            let made = made(&decoded(&credential)?, record, source.as_ref())?;
            secret(&made, target_name, "of-target", "9")
        }
        other => secret(other, target_name, "of-target", "9"),
    };
    let rival = (!scene.rival.is_null()).then(|| {
        let mut rival = scene.rival.clone();
        rival["spec"] = scene.credential["spec"].clone();
        self::credential(&rival, "b", "of-rival", now)
    });
    server.with(|state| {
        state.credential = credential;
        state.others.extend(rival.flatten());
        for (name, secret) in [(source_name, source), (target_name, target)] {
            // A Secret that no API server would accept does not exist either.
            let secret = secret.filter(|secret| status_of(secret) == 201);
            state.secrets.extend(secret.map(|secret| (name.to_owned(), secret)));
        }
    });
    Some(server)
}

/// Whether the token was issued in the future: then its times count from when that was first seen, in each term anew.
pub fn is_ahead(server: &Server) -> bool {
    let now = apicredential_operator::clock::now();
    let ahead = |secret: &Value| {
        let issued = secret["metadata"]["annotations"][annotations::ISSUED_AT].as_str();
        issued.and_then(|text| text.parse::<Timestamp>().ok()).is_some_and(|issued| issued > now)
    };
    server.with(|state| state.secrets.values().any(ahead))
}

fn credential(given: &Value, name: &str, uid: &str, now: Timestamp) -> Option<Value> {
    let mut object = given.clone();
    let fields = object.as_object_mut()?;
    fields.insert("apiVersion".to_owned(), json!("apicredential.io/v1alpha1"));
    fields.insert("kind".to_owned(), json!("ApiCredential"));
    fields.entry("status").or_insert_with(|| json!(ApiCredentialStatus::initial()));
    let meta = fields.entry("metadata").or_insert_with(|| json!({})).as_object_mut()?;
    for (field, value) in [("name", name), ("namespace", NAMESPACE), ("uid", uid), ("resourceVersion", "5")] {
        meta.insert(field.to_owned(), json!(value));
    }
    meta.entry("creationTimestamp").or_insert_with(|| json!(now.to_string()));
    let generation = meta.get("generation").and_then(Value::as_i64).unwrap_or(1).max(1);
    meta.insert("generation".to_owned(), json!(generation));
    serde_json::from_value::<ObjectMeta>(object["metadata"].clone()).ok()?;
    Some(object)
}

fn secret(given: &Value, name: &str, uid: &str, version: &str) -> Option<Value> {
    if !is_name(name) {
        return None;
    }
    let mut object = given.clone();
    let fields = object.as_object_mut()?;
    fields.entry("type").or_insert_with(|| json!("Opaque"));
    let meta = fields.entry("metadata").or_insert_with(|| json!({})).as_object_mut()?;
    for (field, value) in [("name", name), ("namespace", NAMESPACE), ("uid", uid), ("resourceVersion", version)] {
        meta.insert(field.to_owned(), json!(value));
    }
    for value in object.get_mut("data").and_then(Value::as_object_mut).into_iter().flat_map(|data| data.values_mut()) {
        if let Some(text) = value.as_str().and_then(|text| text.strip_prefix('!')) {
            *value = json!(BASE64_STANDARD.encode(format!("{SENTINEL}{text}")));
        }
    }
    let stored: Secret = serde_json::from_value(object).ok()?;
    serde_json::to_value(stored).ok()
}

/// A target as the operator would have written it, edited since.
fn made(credential: &ApiCredential, given: &Value, source: Option<&Value>) -> Option<Value> {
    let plan = Plan::parse(&credential.spec, &allowed()).ok()?;
    let source: Option<Secret> = source.and_then(|source| serde_json::from_value(source.clone()).ok());
    let values = source::resolve(NAMESPACE, &plan, source.as_ref()).ok();
    let record = &given["minted"];
    let time = |field: &str| record[field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let issued_at = time("issued")?;
    let expiry = time("expires").map_or(Expiry::Never, Expiry::At);
    let token = format!("{SENTINEL}.T0ken~");
    let fingerprint = Fingerprint::new(&token, &plan, &issued_at.to_string(), &expiry_text(expiry));
    let record = TokenRecord {
        token: token.into(),
        issued_at,
        expiry,
        source_version: values.as_ref().map(|values| values.version.clone()).unwrap_or_default(),
        fingerprint,
        renew_request: record["request"].as_str().map(str::to_owned),
    };
    let secret = render(credential, &plan, &record).to_new_secret(credential, &plan.target.name);
    let mut object = serde_json::to_value(secret).ok()?;
    if plan.target.policy == CreationPolicy::Merge || given["minted"]["owned"] == false {
        object["metadata"].as_object_mut()?.remove("ownerReferences");
    }
    if plan.target.policy == CreationPolicy::Merge {
        let keys = plan.target.keys().collect::<Vec<_>>().join(",");
        object["metadata"]["annotations"][annotations::ALLOW] = json!(format!("a:{keys}"));
    }
    merge(&mut object, &given["edit"]);
    Some(object)
}
