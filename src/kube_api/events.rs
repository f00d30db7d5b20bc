//! Writes events about ApiCredentials. Repeated failures become one event with a count; each success is a new event.
//!
//! kube's `Recorder` (5.0.0) is not used, because its key omits the note: two different failures with the same reason become
//! one event that shows the text of the first, and a success within six minutes of another shows no event of its own. It also
//! keeps every event for six minutes and iterates over all of them for each new one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use apicredential::reason::Reason;
use apicredential::status::{EventRecord, EventType};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::core::request::Request;
use kube::{Client, Resource as _, ResourceExt as _};
use serde::de::IgnoredAny;
use serde_json::json;

use crate::clock;

/// The value of `reportingController`.
const CONTROLLER: &str = "apicredential-operator";
/// The value of `action`.
const ACTION: &str = "Exchange";
/// A failure that is repeated after this time becomes a new event.
const SERIES: Duration = Duration::from_secs(6 * 60);

/// Writes events.
#[derive(Clone)]
pub(super) struct Events {
    client: Client,
    /// The value of `reportingInstance`.
    instance: String,
    warnings: Arc<Mutex<Warnings>>,
}

/// The last warning about each ApiCredential, by uid.
#[derive(Default)]
struct Warnings {
    by_uid: HashMap<String, Warning>,
    swept: Duration,
}

#[derive(Clone)]
struct Warning {
    reason: Reason,
    note: String,
    name: String,
    count: i32,
    /// When it was last published, by [`clock::steady`].
    published: Duration,
}

impl Events {
    pub(super) fn new(client: Client, instance: &str) -> Self {
        Self { client, instance: instance.to_owned(), warnings: Arc::default() }
    }

    pub(super) async fn publish(&self, event: &EventRecord, about: &ObjectReference) -> kube::Result<()> {
        // The responses are not used.
        let requests = Request::new(Event::url_path(&(), about.namespace.as_deref()));
        if let Some(repeated) = self.repeated_warning(event, about) {
            let series = json!({"series": {"count": repeated.count, "lastObservedTime": MicroTime(clock::now())}});
            let patch = requests.patch(&repeated.name, &PatchParams::default(), &Patch::Merge(series));
            match self.client.request::<IgnoredAny>(patch.map_err(kube::Error::BuildRequest)?).await {
                Ok(_) => {
                    self.remember(about, repeated);
                    return Ok(());
                }
                // The event is gone, because the API server keeps events only for some time.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let object = self.object(event, about);
        let warning = Warning {
            reason: event.reason,
            note: event.note.clone(),
            name: object.name_any(),
            count: 1,
            published: clock::steady(),
        };
        let body = serde_json::to_vec(&object).map_err(kube::Error::SerdeError)?;
        let create = requests.create(&PostParams::default(), body).map_err(kube::Error::BuildRequest)?;
        self.client.request::<IgnoredAny>(create).await?;
        if matches!(event.type_, EventType::Warning) {
            self.remember(about, warning);
        }
        Ok(())
    }

    /// The last warning with a new count, if this event repeats it.
    fn repeated_warning(&self, event: &EventRecord, about: &ObjectReference) -> Option<Warning> {
        if !matches!(event.type_, EventType::Warning) {
            return None;
        }
        let now = clock::steady();
        let mut warnings = self.lock();
        warnings.sweep(now);
        let last = warnings.by_uid.get(about.uid.as_deref()?)?;
        let same = last.reason == event.reason && last.note == event.note && last.is_recent(now);
        same.then(|| Warning { count: last.count.saturating_add(1), published: now, ..last.clone() })
    }

    fn remember(&self, about: &ObjectReference, warning: Warning) {
        if let Some(uid) = about.uid.clone() {
            self.lock().by_uid.insert(uid, warning);
        }
    }

    fn object(&self, event: &EventRecord, about: &ObjectReference) -> Event {
        let now = clock::now();
        Event {
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
            ..Event::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Warnings> {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Warning {
    fn is_recent(&self, now: Duration) -> bool {
        now.saturating_sub(self.published) < SERIES
    }
}

impl Warnings {
    /// Drops warnings that are too old to be repeated. Not for each warning, because there may be thousands.
    fn sweep(&mut self, now: Duration) {
        if now.saturating_sub(self.swept) >= SERIES {
            self.by_uid.retain(|_, warning| warning.is_recent(now));
            self.swept = now;
        }
    }
}
