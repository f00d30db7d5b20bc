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

/// One step of a watch: lists are turned into single changes, so that several namespaces can feed one store.
pub(super) enum Change<K> {
    Applied(Key, K),
    Gone(Key),
    Listed,
    Failed { forbidden: bool },
}

/// Turns lists into single changes; errors are logged here, once, and go no further: the stream has its own backoff.
pub(super) fn changes<K, S>(watch: impl Fn() -> S + Send + 'static) -> impl Stream<Item = Change<K>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    S: Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
{
    let mut known = HashSet::new();
    let mut listing = HashSet::new();
    let mut was_forbidden = false;
    begun_anew(watch).flat_map(move |event| {
        let changes = match event {
            Ok(watcher::Event::Init) => {
                // What a list that broke off has shown is known, too: the next one tells whether it has gone.
                known.extend(listing.drain());
                Vec::new()
            }
            Ok(watcher::Event::InitApply(object)) => {
                let key = Key::of(&object);
                listing.insert(key.clone());
                vec![Change::Applied(key, object)]
            }
            Ok(watcher::Event::InitDone) => {
                was_forbidden = false;
                let before = std::mem::replace(&mut known, std::mem::take(&mut listing));
                let vanished = before.into_iter().filter(|key| !known.contains(key));
                vanished.map(Change::Gone).chain([Change::Listed]).collect()
            }
            Ok(watcher::Event::Apply(object)) => {
                let key = Key::of(&object);
                // An equal one that is there already stays, and its text is shared with the index.
                known.insert(key.clone());
                vec![Change::Applied(key, object)]
            }
            Ok(watcher::Event::Delete(object)) => {
                let key = Key::of(&object);
                known.remove(&key);
                vec![Change::Gone(key)]
            }
            Err(error) => {
                let forbidden = is_forbidden(&error);
                if !forbidden {
                    tracing::warn!(kind = %K::kind(&()), problem = problem(&error), "a watch failed; it is started again");
                } else if !was_forbidden {
                    // Said once: where no such right is meant to be given, that is how it stays.
                    tracing::warn!(kind = %K::kind(&()), "there is no right to watch this: changes are found by looking now and then; if it is meant to be given, check the roles in deploy/install.yaml and their bindings");
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
/// The library would go on from the last resourceVersion. An API server that came back with older data takes that for a
/// version to come, and says nothing until it is reached: nobody would notice.
fn begun_anew<K, S>(watch: impl Fn() -> S + Send + 'static) -> impl Stream<Item = S::Item> + Send + 'static
where
    K: Send + 'static,
    S: Stream<Item = Result<watcher::Event<K>, watcher::Error>> + Send + 'static,
{
    // From 0.8 s to 30 s; two minutes without an error begin anew. A sign of life does not: the announcement of a list
    // that is then forbidden is one, too.
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
        watcher::Error::InitialListFailed(_) => "the list failed",
        watcher::Error::WatchStartFailed(_) => "the watch could not be started",
        watcher::Error::WatchError(_) => "the API server ended the watch",
        watcher::Error::WatchFailed(_) => "the connection broke",
        _ => "other",
    }
}
