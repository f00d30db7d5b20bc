//! One stream of a watch, with its lists turned into single changes.

use std::collections::HashSet;
use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use apicredential::object_key::Key;
use futures::Stream;
use futures::stream::{self, StreamExt as _};
use kube::Resource;
use kube::runtime::watcher;
use serde::de::DeserializeOwned;

use crate::kube_api::UNAUTHORIZED;

/// One step of a watch: lists are turned into single changes, so that several namespaces can feed one cache.
pub(super) enum Change<K> {
    /// A list begins.
    ListBegins,
    /// The list has this object.
    Listed(Key, K),
    /// The list lacks an object that was there before.
    Unlisted(Key),
    /// The list is complete.
    ListEnds,
    /// The watch shows that an object was created or changed.
    Applied(Key, K),
    /// The watch shows that an object was deleted; its last version.
    Deleted(Key, K),
    /// The watch failed and is started again.
    Failed { forbidden: bool },
}

/// Turns lists into single changes. Errors are logged here, once, and go no further: the stream has its own backoff.
pub(super) fn changes<K, S>(watch: impl Fn() -> S + Send + 'static) -> impl Stream<Item = Change<K>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    S: Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
{
    let mut known = HashSet::new();
    let mut listing = HashSet::new();
    let mut was_forbidden = false;
    restarted_after_errors(watch).flat_map(move |event| {
        let changes = match event {
            Ok(watcher::Event::Init) => {
                // What a list that broke off has shown is known, too: the next list shows whether it is gone.
                known.extend(listing.drain());
                vec![Change::ListBegins]
            }
            Ok(watcher::Event::InitApply(object)) => {
                let key = Key::of(&object);
                listing.insert(key.clone());
                vec![Change::Listed(key, object)]
            }
            Ok(watcher::Event::InitDone) => {
                was_forbidden = false;
                let before = std::mem::replace(&mut known, std::mem::take(&mut listing));
                let vanished = before.into_iter().filter(|key| !known.contains(key));
                vanished.map(Change::Unlisted).chain([Change::ListEnds]).collect()
            }
            Ok(watcher::Event::Apply(object)) => {
                let key = Key::of(&object);
                known.insert(key.clone());
                vec![Change::Applied(key, object)]
            }
            Ok(watcher::Event::Delete(object)) => {
                let key = Key::of(&object);
                // A streamed list may show it before its end.
                listing.remove(&key);
                known.remove(&key);
                vec![Change::Deleted(key, object)]
            }
            Err(error) => {
                let forbidden = is_forbidden(&error);
                if !forbidden {
                    tracing::warn!(kind = %K::kind(&()), problem = problem(&error), "a watch failed; it is started again");
                } else if !was_forbidden {
                    // Logged once: where this permission is not meant to be granted, that is how it stays.
                    tracing::warn!(kind = %K::kind(&()), "the permission to watch this kind is missing: changes are found at each resync; if it is meant to be granted, check the roles in deploy/install.yaml and their bindings");
                }
                was_forbidden = forbidden;
                vec![Change::Failed { forbidden }]
            }
        };
        stream::iter(changes)
    })
}

/// One watch after the other: each ends with its first error, and the next one begins with a list.
///
/// kube would continue from the last resourceVersion. An API server that came back with older data takes that for a future
/// version and sends nothing until it is reached: nobody would notice.
fn restarted_after_errors<K, S>(watch: impl Fn() -> S + Send + 'static) -> impl Stream<Item = S::Item> + Send + 'static
where
    K: Send + 'static,
    S: Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
{
    // From 0.8 s to 30 s; two minutes without an error reset it. An event does not: the announcement of a list that is
    // then forbidden is one, too.
    let delays = watcher::DefaultBackoff::default();
    stream::unfold((watch, None, delays, Duration::ZERO), |(watch, current, mut delays, delay)| async move {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut running: Pin<Box<S>> = current.unwrap_or_else(|| Box::pin(watch()));
        let event = running.next().await?;
        let (current, delay) = match &event {
            Ok(_) => (Some(running), Duration::ZERO),
            Err(_) => (None, delays.next().unwrap_or_default()),
        };
        Some((event, (watch, current, delays, delay)))
    })
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        _ => return false,
    };
    status.code == 403
}

/// The kind of a watch error; its text can quote objects.
fn problem(error: &watcher::Error) -> &'static str {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => {
            "the API server does not know this kind; apply crds/ first"
        }
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 401 =>
        {
            UNAUTHORIZED
        }
        watcher::Error::InitialListFailed(_) => "the list failed",
        watcher::Error::WatchStartFailed(_) => "the watch could not be started",
        watcher::Error::WatchError(_) => "the API server ended the watch",
        watcher::Error::WatchFailed(_) => "the connection broke",
        _ => "other",
    }
}
