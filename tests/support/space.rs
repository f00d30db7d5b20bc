//! The namespace of one test: its objects, what it reads, and what it waits for.

mod actions;
mod manifests;
mod views;

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apicredential::api::ApiCredential;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::audit::{self, Audit};
use super::control_plane::{self, ControlPlane};
use super::leaks::{self, Sentinels};
use super::mode::{Mode, PinnedNames};
use super::operator::Output;
use super::provider::Witness;
use super::random;

pub use self::manifests::{qontak, welkin};
pub use self::views::{annotation, condition, message, observed, value};

/// The annotation by which a Merge target consents.
const ALLOW: &str = "apicredential.io/allow";

/// How long a test waits for an expected state. It is generous, because only a failing test uses it up.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// A fresh namespace on a control plane; deletes itself when dropped, as well as it can.
pub struct Space {
    /// The namespace's name.
    pub name: String,
    /// The control plane it is on.
    pub plane: Arc<ControlPlane>,
    /// A client of the user `admin`.
    pub client: Client,
    pub secrets: Api<Secret>,
    pub credentials: Api<ApiCredential>,
    pub events: Api<Event>,
    pub leases: Api<Lease>,
    /// How long the audit log was before the first request here.
    pub(super) audit_from: u64,
    pub(super) outputs: Arc<Mutex<Vec<Arc<Output>>>>,
    pub(super) witnesses: Arc<Mutex<Vec<Witness>>>,
    /// Held until the permissions on the names in it are in effect: a Role that is applied late must not remove a name
    /// that was added after it.
    pinned: tokio::sync::Mutex<PinnedNames>,
}

impl Space {
    /// A namespace on the shared control plane.
    pub async fn new() -> Self {
        Self::on(control_plane::shared()).await
    }

    /// A namespace on this control plane.
    pub async fn on(plane: Arc<ControlPlane>) -> Self {
        let client = plane.client().await;
        let audit_from = std::fs::metadata(plane.audit_log()).map_or(0, |log| log.len());
        let name = format!("test-{}", random::suffix());
        let namespace = serde_json::from_value::<Namespace>(json!({"metadata": {"name": name}})).expect("a namespace");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        namespaces.create(&PostParams::default(), &namespace).await.expect("a namespace can be created");
        if let Some(kept) = control_plane::kept_audit() {
            views::note_test(&kept, &name);
        }
        let space = Self {
            secrets: Api::namespaced(client.clone(), &name),
            credentials: Api::namespaced(client.clone(), &name),
            events: Api::namespaced(client.clone(), &name),
            leases: Api::namespaced(client.clone(), &name),
            name,
            plane,
            client,
            audit_from,
            outputs: Arc::default(),
            witnesses: Arc::default(),
            pinned: tokio::sync::Mutex::default(),
        };
        space.admit_operator(&PinnedNames::default()).await;
        space
    }

    /// A name that no other client of the mock provider has: `unique("a")` is valid as a Welkin client name.
    pub fn unique(&self, name: &str) -> String {
        format!("{name}-{}", self.name)
    }

    /// Creates or changes a Welkin source Secret with consent.
    pub async fn source_welkin(&self, name: &str, secret: &str) -> Secret {
        self.source(name, Some("welkin"), &[("secret", secret)]).await
    }

    /// Creates or changes a Qontak source Secret with consent.
    pub async fn source_qontak(&self, name: &str, username: &str, password: &str) -> Secret {
        self.source(name, Some("qontak"), &[("username", username), ("password", password)]).await
    }

    /// Creates or changes a source Secret; without a label there is no consent.
    pub async fn source(&self, name: &str, label: Option<&str>, values: &[(&str, &str)]) -> Secret {
        let labels: serde_json::Map<String, Value> =
            label.map(|label| ("apicredential.io/source".to_owned(), label.into())).into_iter().collect();
        let values: serde_json::Map<String, Value> =
            values.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
        let manifest = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "labels": labels},
            "stringData": values,
        });
        self.apply_secret(&manifest).await
    }

    /// Applies a Secret as the user would.
    pub async fn apply_secret(&self, manifest: &Value) -> Secret {
        let name = manifest["metadata"]["name"].as_str().expect("the manifest has a name");
        let patch = Patch::Apply(manifest);
        self.secrets.patch(name, &apply_params(), &patch).await.expect("the Secret is accepted")
    }

    /// Applies an ApiCredential (server-side, strict), which must be accepted.
    pub async fn apply(&self, manifest: &Value) -> ApiCredential {
        self.try_apply(manifest).await.expect("the ApiCredential is accepted")
    }

    /// Applies an ApiCredential that may be rejected.
    pub async fn try_apply(&self, manifest: &Value) -> kube::Result<ApiCredential> {
        let name = manifest["metadata"]["name"].as_str().expect("the manifest has a name");
        if Mode::of_run() == Mode::Pinned {
            let manifest = self.pin(manifest).await;
            return self.credentials.patch(name, &apply_params(), &Patch::Apply(&manifest)).await;
        }
        self.credentials.patch(name, &apply_params(), &Patch::Apply(manifest)).await
    }

    /// As the platform team does it in the mode `pinned`: the Secrets are named in the Role, and unless the
    /// ApiCredential states otherwise, it merges into a Secret that is created for it.
    async fn pin(&self, manifest: &Value) -> Value {
        let mut manifest = manifest.clone();
        let mut named = self.pinned.lock().await;
        if named.take_up(&manifest) {
            self.admit_operator(&named).await;
        }
        drop(named);
        let credential = manifest["metadata"]["name"].as_str().expect("the manifest has a name").to_owned();
        let target = &mut manifest["spec"]["target"];
        if let Some(name) = target["name"].as_str().map(str::to_owned)
            && target["creationPolicy"].is_null()
        {
            target["creationPolicy"] = json!("Merge");
            let token_key = target["tokenKey"].as_str().unwrap_or("token");
            let data = target["data"].as_object().into_iter().flatten();
            let keys: Vec<&str> = std::iter::once(token_key).chain(data.map(|(key, _)| key.as_str())).collect();
            let allow = format!("{credential}:{}", keys.join(","));
            if self.secret(&name).await.is_none_or(|it| it.annotations().get(ALLOW) != Some(&allow)) {
                let metadata = json!({"name": name, "annotations": {ALLOW: allow}});
                self.apply_secret(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})).await;
            }
        }
        manifest
    }

    /// Applies an ApiCredential written as YAML.
    pub async fn apply_yaml(&self, manifest: &str) -> ApiCredential {
        self.apply(&serde_saphyr::from_str(manifest).expect("the manifest is YAML")).await
    }

    /// Changes an ApiCredential by a JSON merge patch, such as `{"metadata": {"annotations": {…}}}`.
    pub async fn patch(&self, name: &str, patch: &Value) -> ApiCredential {
        let patched = self.credentials.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.expect("the ApiCredential can be patched")
    }

    /// Changes a Secret by a JSON merge patch; null removes.
    pub async fn patch_secret(&self, name: &str, patch: &Value) -> Secret {
        let patched = self.secrets.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        patched.expect("the Secret can be patched")
    }

    /// Deletes an ApiCredential, in the background.
    pub async fn delete(&self, name: &str) {
        drop(self.credentials.delete(name, &DeleteParams::background()).await.expect("it can be deleted"));
    }

    /// The current ApiCredential.
    pub async fn credential(&self, name: &str) -> ApiCredential {
        self.credentials.get(name).await.expect("the ApiCredential exists")
    }

    /// The current Secret, if it exists.
    pub async fn secret(&self, name: &str) -> Option<Secret> {
        self.secrets.get_opt(name).await.expect("Secrets can be read")
    }

    /// The events about an ApiCredential: type, reason, note.
    pub async fn events_of(&self, name: &str) -> Vec<(String, String, String)> {
        let events = self.events.list(&ListParams::default()).await.expect("events can be listed").items;
        let about = |event: &Event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(name);
        let parts = |event: Event| {
            (event.type_.unwrap_or_default(), event.reason.unwrap_or_default(), event.note.unwrap_or_default())
        };
        events.into_iter().filter(about).map(parts).collect()
    }

    /// The events about an ApiCredential, once there are this many: they are published after the status is written.
    pub async fn wait_events(&self, name: &str, count: usize) -> Vec<(String, String, String)> {
        self.wait_for(&format!("{count} events about {name}"), async || {
            Some(self.events_of(name).await).filter(|events| events.len() >= count)
        })
        .await
    }

    /// Waits until the probe returns something. The panic after [`DEADLINE`] reports the state of the namespace.
    pub async fn wait_for<T>(&self, what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
        match poll(DEADLINE, probe).await {
            Some(found) => found,
            None => panic!("waited {DEADLINE:?} in vain for: {what}\n{}", self.report().await),
        }
    }

    /// Waits until an ApiCredential fits.
    pub async fn wait_until(
        &self,
        name: &str,
        what: &str,
        mut fits: impl FnMut(&ApiCredential) -> bool,
    ) -> ApiCredential {
        let what = format!("{name}: {what}");
        self.wait_for(&what, async || {
            let credential = self.credentials.get_opt(name).await.ok().flatten()?;
            fits(&credential).then_some(credential)
        })
        .await
    }

    /// Waits until a condition is as written: `wait_condition("a", "Ready", "True/TokenValid")`. The
    /// `observedGeneration` of the condition must be the current generation.
    pub async fn wait_condition(&self, name: &str, type_: &str, state: &str) -> ApiCredential {
        self.wait_until(name, &format!("{type_} is {state}"), |credential| {
            observed(credential) && condition(credential, type_).as_deref() == Some(state)
        })
        .await
    }

    /// Waits for `Ready: True`, for whatever reason.
    pub async fn wait_ready(&self, name: &str) -> ApiCredential {
        self.wait_until(name, "Ready is True", |credential| {
            observed(credential) && condition(credential, "Ready").is_some_and(|state| state.starts_with("True/"))
        })
        .await
    }

    /// Requests in this namespace so far, from the API server's audit log.
    pub async fn audit(&self) -> Audit {
        audit::read(self).await
    }

    /// The outputs of all operators that were started for this namespace.
    pub fn operator_outputs(&self) -> Vec<Arc<Output>> {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A report for the reader of a failed test, without the data of Secrets.
    pub async fn report(&self) -> String {
        // The API server may be down.
        let objects = tokio::time::timeout(Duration::from_secs(10), self.report_objects()).await;
        let mut text = objects.unwrap_or_else(|_| "(the API server does not answer)\n".to_owned());
        for output in self.operator_outputs() {
            text.push_str(&output.end());
        }
        text
    }

    async fn report_objects(&self) -> String {
        let mut text = String::new();
        let credentials = self.credentials.list(&ListParams::default()).await;
        for credential in credentials.map(|list| list.items).unwrap_or_default() {
            let status = serde_json::to_string_pretty(&credential.status).unwrap_or_default();
            let name = credential.name_any();
            let generation = credential.metadata.generation.unwrap_or_default();
            // Writing to a String cannot fail.
            let _written = writeln!(text, "--- {name}, generation {generation}, status: {status}");
            for (type_, reason, note) in self.events_of(&name).await {
                let _written = writeln!(text, "event {type_} {reason}: {note}");
            }
        }
        text
    }
}

impl Drop for Space {
    /// In every test, no secret and no token may have appeared anywhere. The end of the namespace is not waited for:
    /// the control plane ends with the process, and the deletion only keeps it small.
    fn drop(&mut self) {
        let failing = std::thread::panicking();
        let (plane, name, outputs) = (Arc::clone(&self.plane), self.name.clone(), self.operator_outputs());
        let sentinels = Sentinels::of_providers(&self.witnesses.lock().unwrap_or_else(PoisonError::into_inner));
        let parting = async move {
            let client = plane.client().await;
            let leaks = if failing { Vec::new() } else { leaks::find(&client, &name, &outputs, &sentinels).await };
            let namespaces: Api<Namespace> = Api::all(client);
            let delete = async { namespaces.delete(&name, &DeleteParams::background()).await };
            tokio::time::timeout(Duration::from_secs(10), delete).await.ok();
            leaks
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(parting)
        });
        if !failing {
            let leaks = thread.join().expect("looking for leaks does not fail");
            assert!(leaks.is_empty(), "leaked: {leaks:#?}");
        }
    }
}

/// Probes again and again until there is a result, or the time is up.
pub async fn poll<T>(deadline: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let polling = async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(deadline, polling).await.ok()
}

fn apply_params() -> PatchParams {
    PatchParams::apply("tests").force().validation_strict()
}
