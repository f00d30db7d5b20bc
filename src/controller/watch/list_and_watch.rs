//! One watch: a list, and then every change.
//!
//! This is not kube's `watcher`, because memory has to be bounded by bytes. An object may have 1.5 MB, and kube decodes a whole
//! page of a list at once, for as many lists as there are watches. Here
//!
//! - a list is streamed where the API server can do that (`WatchList`, on by default since Kubernetes 1.34): one object at a
//!   time. kube's own streamed list asks for resourceVersion 0, which is whatever an API server has in its cache: an older
//!   state than before looks like a restored backup. This one asks for the current state;
//! - otherwise a list is read in pages, and a page that turns out to be large is read again in small ones;
//! - lists are read one after another.

use std::convert::Infallible;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::channel::mpsc;
use futures::stream::{self, StreamExt as _};
use futures::{SinkExt as _, Stream};
use kube::api::{ListParams, WatchParams};
use kube::core::request::Request;
use kube::core::{ObjectList, WatchEvent};
use kube::runtime::watcher::{self, Event};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::kube_api::reply::{self, Events};

/// How long the API server lets one watch request live, in seconds.
const WATCH_SECONDS: u32 = 200;
/// A watch without an event for longer than the API server lets it live is dead.
const WATCH_IDLE: Duration = Duration::from_secs(205);
/// Objects in a page of a list.
const PAGE: u32 = 100;
/// The most bytes of such a page. Ten ordinary pages have less.
const MAX_PAGE_SIZE: usize = 4 * 1024 * 1024;
/// Objects in a page where objects are large: at most 15 MB.
const SMALL_PAGE: u32 = 10;
/// How long a page, the start of a watch, or the next object of a streamed list is waited for. An API server ends a page itself
/// after 60 s.
const LIST_TIMEOUT: Duration = Duration::from_secs(70);
/// The annotation of the bookmark that ends a streamed list.
const END_OF_LIST: &str = "k8s.io/initial-events-end";

/// What the watches of one term share: whose turn it is to list, and whether the API server streams lists.
pub(super) struct Lists {
    turn: Semaphore,
    are_streamed: AtomicBool,
}

impl Default for Lists {
    fn default() -> Self {
        Self { turn: Semaphore::new(1), are_streamed: AtomicBool::new(true) }
    }
}

/// What one watch is for.
pub(super) struct Scope<K> {
    client: Client,
    request: Request,
    labels: Option<&'static str>,
    lists: Arc<Lists>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Scope<K> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            request: self.request.clone(),
            labels: self.labels,
            lists: Arc::clone(&self.lists),
            kind: PhantomData,
        }
    }
}

type Sender<K> = mpsc::Sender<Result<Event<K>, watcher::Error>>;

/// A list that was streamed: the version of its end, and the watch that goes on after it.
type Streamed<K> = (String, Events<K>);

impl<K> Scope<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// The objects of one namespace, or of all, with this label if one is named.
    pub(super) fn new(
        client: &Client,
        namespace: Option<&str>,
        labels: Option<&'static str>,
        lists: &Arc<Lists>,
    ) -> Self {
        Self {
            client: client.clone(),
            request: Request::new(K::url_path(&(), namespace)),
            labels,
            lists: Arc::clone(lists),
            kind: PhantomData,
        }
    }

    /// Lists and watches until the first error, which is the last item.
    pub(super) fn events(self) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send {
        // An event has been taken out of the channel when `send` returns, so a list begins after `Init` was handled.
        let (mut events, received) = mpsc::channel(0);
        let run = async move {
            let Err(error) = self.run(&mut events).await;
            // The receiver is dropped together with this future.
            let _ = events.send(Err(error)).await;
        };
        stream::select(received, stream::once(run).filter_map(|()| std::future::ready(None)))
    }

    async fn run(&self, events: &mut Sender<K>) -> Result<Infallible, watcher::Error> {
        let (mut version, mut current) = self.list(events).await?;
        emit(events, Event::InitDone).await;
        loop {
            let mut watch = match current.take() {
                Some(watch) => watch,
                None => {
                    let params = self.watch_params(false);
                    self.watch(&params, &version).await.map_err(watcher::Error::WatchStartFailed)?
                }
            };
            while let Some(event) = next(&mut watch, WATCH_IDLE).await? {
                let event = match event {
                    WatchEvent::Bookmark(bookmark) => {
                        version = bookmark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(status) => return Err(watcher::Error::WatchError(status)),
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                        version = object.resource_version().ok_or(watcher::Error::NoResourceVersion)?;
                        Event::Apply(object)
                    }
                    WatchEvent::Deleted(object) => {
                        version = object.resource_version().ok_or(watcher::Error::NoResourceVersion)?;
                        Event::Delete(object)
                    }
                };
                emit(events, event).await;
            }
        }
    }

    /// Lists everything. Returns the version of the list, and the watch that goes on after it if the list was streamed.
    async fn list(&self, events: &mut Sender<K>) -> Result<(String, Option<Events<K>>), watcher::Error> {
        // This never fails, because the semaphore is never closed.
        let _turn = self.lists.turn.acquire().await.ok();
        emit(events, Event::Init).await;
        if self.lists.are_streamed.load(Ordering::Relaxed) {
            if let Some((version, watch)) = self.stream_list(events).await? {
                return Ok((version, Some(watch)));
            }
            self.lists.are_streamed.store(false, Ordering::Relaxed);
        }
        Ok((self.page_list(events).await?, None))
    }

    /// `None` if the API server does not stream lists: it rejects the parameter, or never reports the end.
    async fn stream_list(&self, events: &mut Sender<K>) -> Result<Option<Streamed<K>>, watcher::Error> {
        let mut watch = match self.watch(&self.watch_params(true), "").await {
            Ok(watch) => watch,
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => return Ok(None),
            Err(error) => return Err(watcher::Error::InitialListFailed(error)),
        };
        while let Ok(event) = timeout(LIST_TIMEOUT, watch.next()).await {
            // It ended too early.
            let event = event.and_then(|event| event.ok_or_else(no_answer)).map_err(watcher::Error::WatchFailed)?;
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    emit(events, Event::InitApply(object)).await;
                }
                WatchEvent::Deleted(object) => emit(events, Event::Delete(object)).await,
                WatchEvent::Error(status) => return Err(watcher::Error::WatchError(status)),
                WatchEvent::Bookmark(bookmark) if bookmark.metadata.annotations.contains_key(END_OF_LIST) => {
                    return Ok(Some((bookmark.metadata.resource_version, watch)));
                }
                WatchEvent::Bookmark(_) => {}
            }
        }
        Ok(None)
    }

    async fn page_list(&self, events: &mut Sender<K>) -> Result<String, watcher::Error> {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = self.labels.map(str::to_owned);
        let mut most = MAX_PAGE_SIZE;
        loop {
            let page = timeout(LIST_TIMEOUT, self.page(&params, most)).await.unwrap_or_else(|_| Err(no_answer()));
            let Some(page) = page.map_err(watcher::Error::InitialListFailed)? else {
                (params.limit, most) = (Some(SMALL_PAGE), usize::MAX);
                continue;
            };
            for object in page.items {
                emit(events, Event::InitApply(object)).await;
            }
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                let version = page.metadata.resource_version.filter(|version| !version.is_empty());
                return version.ok_or(watcher::Error::NoResourceVersion);
            }
        }
    }

    async fn page(&self, params: &ListParams, most: usize) -> kube::Result<Option<ObjectList<K>>> {
        let request = if K::metadata_api() { self.request.list_metadata(params) } else { self.request.list(params) };
        reply::read_at_most(&self.client, request.map_err(kube::Error::BuildRequest)?, most).await
    }

    async fn watch(&self, params: &WatchParams, version: &str) -> kube::Result<Events<K>> {
        let request = if K::metadata_api() {
            self.request.watch_metadata(params, version)
        } else {
            self.request.watch(params, version)
        };
        let watch = reply::watch(&self.client, request.map_err(kube::Error::BuildRequest)?);
        timeout(LIST_TIMEOUT, watch).await.unwrap_or_else(|_| Err(no_answer()))
    }

    fn watch_params(&self, with_list: bool) -> WatchParams {
        WatchParams {
            label_selector: self.labels.map(str::to_owned),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: with_list,
            ..WatchParams::default()
        }
    }
}

/// The next event. `None` at the end of the watch, and if there was none for that long.
async fn next<K: DeserializeOwned>(
    watch: &mut Events<K>,
    idle: Duration,
) -> Result<Option<WatchEvent<K>>, watcher::Error> {
    timeout(idle, watch.next()).await.unwrap_or(Ok(None)).map_err(watcher::Error::WatchFailed)
}

async fn emit<K>(events: &mut Sender<K>, event: Event<K>) {
    // The receiver is dropped together with this future.
    let _ = events.send(Ok(event)).await;
}

fn no_answer() -> kube::Error {
    kube::Error::ReadEvents(std::io::ErrorKind::TimedOut.into())
}

#[cfg(test)]
#[path = "list_and_watch_test.rs"]
mod tests;
