//! Events about credentials. What fails again and again is one event that counts; a success is one of its own.
//!
//! Not kube's `Recorder`: 5.0.0 keeps every event for six minutes and walks over all of them at each new one, which at
//! ten thousand credentials costs more than the exchange.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apicredential::reason::Reason;
use apicredential::status::{EventRecord, EventType};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as Written;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::core::request::Request;
use kube::{Client, Resource as _, ResourceExt as _};
use serde::de::IgnoredAny;
use serde_json::json;

use crate::clock;

/// As `reportingController`.
const CONTROLLER: &str = "apicredential-operator";
/// As `action`, what the controller was doing.
const ACTION: &str = "Exchange";
/// What is told again after this time is another event.
const SERIES: Duration = Duration::from_secs(6 * 60);

/// Writes events.
#[derive(Clone)]
pub(super) struct Events {
    client: Client,
    /// As `reportingInstance`.
    instance: String,
    warned: Arc<Mutex<Warned>>,
}

/// The last warning about each credential, by uid.
#[derive(Default)]
struct Warned {
    by_uid: HashMap<String, Warning>,
    swept: Duration,
}

#[derive(Clone)]
struct Warning {
    reason: Reason,
    note: String,
    name: String,
    count: i32,
    /// A reading of [`clock::steady`].
    told: Duration,
}

impl Events {
    pub(super) fn new(client: Client, instance: &str) -> Self {
        Self { client, instance: instance.to_owned(), warned: Arc::default() }
    }

    pub(super) async fn publish(&self, event: &EventRecord, about: &ObjectReference) -> kube::Result<()> {
        // Nothing is asked of what comes back.
        let requests = Request::new(Written::url_path(&(), about.namespace.as_deref()));
        if let Some(again) = self.again(event, about) {
            let series = json!({"series": {"count": again.count, "lastObservedTime": MicroTime(clock::now())}});
            let patch = requests.patch(&again.name, &PatchParams::default(), &Patch::Merge(series));
            match self.client.request::<IgnoredAny>(patch.map_err(kube::Error::BuildRequest)?).await {
                Ok(_) => {
                    self.remember(about, again);
                    return Ok(());
                }
                // The API server keeps events for a while only.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let written = self.written(event, about);
        let warning = Warning {
            reason: event.reason,
            note: event.note.clone(),
            name: written.name_any(),
            count: 1,
            told: clock::steady(),
        };
        let body = serde_json::to_vec(&written).map_err(kube::Error::SerdeError)?;
        let create = requests.create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
        self.client.request::<IgnoredAny>(create).await?;
        if matches!(event.type_, EventType::Warning) {
            self.remember(about, warning);
        }
        Ok(())
    }

    /// The last warning, if this one says the same.
    fn again(&self, event: &EventRecord, about: &ObjectReference) -> Option<Warning> {
        if !matches!(event.type_, EventType::Warning) {
            return None;
        }
        let now = clock::steady();
        let mut warned = self.lock();
        warned.sweep(now);
        let last = warned.by_uid.get(about.uid.as_deref()?)?;
        let same = last.reason == event.reason && last.note == event.note && last.is_fresh(now);
        same.then(|| Warning { count: last.count.saturating_add(1), told: now, ..last.clone() })
    }

    fn remember(&self, about: &ObjectReference, warning: Warning) {
        if let Some(uid) = about.uid.clone() {
            self.lock().by_uid.insert(uid, warning);
        }
    }

    fn written(&self, event: &EventRecord, about: &ObjectReference) -> Written {
        let now = clock::now();
        Written {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}", about.name.as_deref().unwrap_or_default(), now.as_nanosecond())),
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some(ACTION.to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(event.note.clone()),
            reason: Some(event.reason.as_str().to_owned()),
            regarding: Some(about.clone()),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(event.type_.as_str().to_owned()),
            ..Written::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Warned> {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Warning {
    fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.told) < SERIES
    }
}

impl Warned {
    /// Forgets what is too old to be told again; not at each warning, for thousands may be remembered.
    fn sweep(&mut self, now: Duration) {
        if now.saturating_sub(self.swept) >= SERIES {
            self.by_uid.retain(|_, warning| warning.is_fresh(now));
            self.swept = now;
        }
    }
}
