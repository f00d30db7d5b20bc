use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::Frame;
use k8s_openapi::api::core::v1::Secret;
use kube::client::Body;
use kube::core::PartialObjectMeta;
use serde_json::{Value, json};

use super::*;
use crate::kube_api::pruned::Pruned;

type Kind = Pruned<PartialObjectMeta<Secret>>;

/// What the API server answers: a status and a text, after which a watch may stay open.
#[derive(Clone)]
struct Answer {
    status: u16,
    text: String,
    stays_open: bool,
}

struct Text {
    text: Option<Bytes>,
    stays_open: bool,
}

impl hyper::body::Body for Text {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.text.take() {
            Some(text) => Poll::Ready(Some(Ok(Frame::data(text)))),
            None if self.stays_open => Poll::Pending,
            None => Poll::Ready(None),
        }
    }
}

/// An API server, and the queries that it was sent.
#[derive(Clone)]
struct Server {
    client: Client,
    queries: Arc<Mutex<Vec<String>>>,
    lists: Arc<Lists>,
}

impl Server {
    fn new(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        let queries: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, answer) = (Arc::clone(&queries), Arc::new(answer));
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let Answer { status, text, stays_open } = answer(&query);
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(query);
            let body = Text { text: Some(text.into()), stays_open };
            async move { Ok::<_, Infallible>(http::Response::builder().status(status).body(body).unwrap()) }
        });
        Self { client: Client::new(service, "default"), queries, lists: Arc::default() }
    }

    fn events(&self) -> Pin<Box<dyn Stream<Item = Result<Event<Kind>, watcher::Error>> + Send>> {
        Box::pin(Scope::<Kind>::new(&self.client, Some("care"), Some("a-label"), &self.lists).events())
    }

    fn queries(&self) -> Vec<String> {
        self.queries.lock().unwrap().clone()
    }
}

fn ok(text: String) -> Answer {
    Answer { status: 200, text, stays_open: false }
}

fn open(text: String) -> Answer {
    Answer { stays_open: true, ..ok(text) }
}

fn rejected() -> Answer {
    Answer { status: 422, ..ok(json!({"kind": "Status", "code": 422, "reason": "Invalid"}).to_string()) }
}

fn object(name: &str, version: u32) -> Value {
    json!({"metadata": {"name": name, "namespace": "care", "resourceVersion": version.to_string()}})
}

fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn bookmark(version: u32, is_end: bool) -> String {
    let annotations = if is_end { json!({END_OF_LIST: "true"}) } else { json!({}) };
    let metadata = json!({"resourceVersion": version.to_string(), "annotations": annotations});
    event("BOOKMARK", &json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata}))
}

fn page(names: &[&str], next: Option<&str>) -> Answer {
    let items: Vec<Value> = names.iter().map(|name| object(name, 1)).collect();
    ok(json!({"apiVersion": "v1", "kind": "SecretList", "metadata": {"resourceVersion": "9", "continue": next}, "items": items}).to_string())
}

fn describe(event: Result<Event<Kind>, watcher::Error>) -> String {
    let name = |object: &Kind| object.0.metadata.name.clone().unwrap_or_default();
    match event {
        Ok(Event::Init) => "list".to_owned(),
        Ok(Event::InitApply(object)) => format!("listed {}", name(&object)),
        Ok(Event::InitDone) => "end of list".to_owned(),
        Ok(Event::Apply(object)) => format!("applied {}", name(&object)),
        Ok(Event::Delete(object)) => format!("deleted {}", name(&object)),
        Err(error) => format!("{error:?}").split('(').next().unwrap_or_default().to_owned(),
    }
}

async fn take(events: impl Stream<Item = Result<Event<Kind>, watcher::Error>>, count: usize) -> Vec<String> {
    events.take(count).map(describe).collect().await
}

#[tokio::test]
async fn a_list_is_streamed_in_its_current_state_and_the_same_watch_goes_on() {
    let server = Server::new(|_| {
        open(
            event("ADDED", &object("a", 1))
                + &bookmark(2, false)
                + &event("ADDED", &object("b", 3))
                + &event("DELETED", &object("a", 4))
                + &bookmark(5, true)
                + &event("MODIFIED", &object("b", 6))
                + &event("DELETED", &object("b", 7)),
        )
    });
    let seen = take(server.events(), 7).await;
    assert_eq!(seen, ["list", "listed a", "listed b", "deleted a", "end of list", "applied b", "deleted b"]);
    let [query] = &server.queries()[..] else { panic!("{:?}", server.queries()) };
    for part in ["watch=true", "sendInitialEvents=true", "resourceVersionMatch=NotOlderThan", "labelSelector=a-label"] {
        assert!(query.contains(part), "{query}");
    }
    assert!(query.ends_with("&resourceVersion="), "not from an old cache: {query}");
}

#[tokio::test]
async fn an_api_server_that_does_not_stream_is_asked_for_pages_and_not_asked_to_stream_again() {
    let server = Server::new(|query| match query {
        _ if query.contains("sendInitialEvents") => rejected(),
        _ if query.contains("watch=true") => open(event("ADDED", &object("d", 10))),
        _ if query.contains("continue=next") => page(&["c"], None),
        _ => page(&["a", "b"], Some("next")),
    });
    let expected = ["list", "listed a", "listed b", "listed c", "end of list", "applied d"];
    assert_eq!(take(server.events(), 6).await, expected);
    assert!(server.queries().last().unwrap().ends_with("&resourceVersion=9"), "{:?}", server.queries());
    assert_eq!(take(server.events(), 6).await, expected);
    let streamed = server.queries().iter().filter(|query| query.contains("sendInitialEvents")).count();
    assert_eq!(streamed, 1);
}

#[tokio::test]
async fn a_large_page_is_read_again_in_small_ones() {
    let server = Server::new(|query| match query {
        _ if query.contains("sendInitialEvents") => rejected(),
        _ if query.contains("limit=100") => {
            let large = page(&["a"], Some("too-far"));
            Answer { text: " ".repeat(MAX_PAGE_SIZE) + &large.text, ..large }
        }
        _ if query.contains("continue=next") => page(&["b"], None),
        _ => page(&["a"], Some("next")),
    });
    assert_eq!(take(server.events(), 4).await, ["list", "listed a", "listed b", "end of list"]);
    let queries = server.queries();
    assert_eq!(queries.iter().filter(|query| query.contains("limit=10&") || query.ends_with("limit=10")).count(), 2);
    assert!(!queries.iter().any(|query| query.contains("too-far")), "{queries:?}");
}

#[tokio::test]
async fn a_streamed_list_that_ends_too_early_is_an_error_and_so_are_refusals() {
    let cut = Server::new(|_| ok(event("ADDED", &object("a", 1))));
    assert_eq!(take(cut.events(), 9).await, ["list", "listed a", "WatchFailed"]);
    for status in [403, 404, 500] {
        let refused = Server::new(move |_| Answer {
            status,
            ..ok(json!({"kind": "Status", "code": status, "reason": "x"}).to_string())
        });
        assert_eq!(take(refused.events(), 9).await, ["list", "InitialListFailed"]);
        assert_eq!(refused.queries().len(), 1, "the error ends it");
    }
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_without_an_end_is_read_in_pages() {
    let server = Server::new(|query| match query {
        _ if query.contains("sendInitialEvents") => open(event("ADDED", &object("a", 1)) + &bookmark(2, false)),
        _ if query.contains("watch=true") => open(String::new()),
        _ => page(&["a", "b"], None),
    });
    assert_eq!(take(server.events(), 5).await, ["list", "listed a", "listed a", "listed b", "end of list"]);
}

#[tokio::test]
async fn lists_are_read_one_after_another() {
    let server = Server::new(|_| open(event("ADDED", &object("a", 1))));
    let mut first = server.events();
    assert_eq!(take(&mut first, 2).await, ["list", "listed a"]);
    let mut second = server.events();
    assert!(futures::poll!(second.next()).is_pending(), "the first list has not ended");
    assert_eq!(server.queries().len(), 1);
    drop(first);
    assert_eq!(take(second, 2).await, ["list", "listed a"]);
}

#[tokio::test]
async fn a_watch_that_ends_is_resumed_where_it_was() {
    let server = Server::new(|query| match query {
        _ if query.contains("sendInitialEvents") => {
            ok(bookmark(5, true) + &event("ADDED", &object("a", 6)) + &bookmark(8, false))
        }
        _ => open(event("ADDED", &object("b", 9))),
    });
    assert_eq!(take(server.events(), 4).await, ["list", "end of list", "applied a", "applied b"]);
    assert!(server.queries()[1].ends_with("&resourceVersion=8"), "{:?}", server.queries());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_ends_the_turn_to_list() {
    let service =
        tower::service_fn(|_: http::Request<Body>| std::future::pending::<Result<http::Response<Body>, Infallible>>());
    let lists = Arc::new(Lists::default());
    let client = Client::new(service, "default");
    let silent = || Scope::<Kind>::new(&client, None, None, &lists).events();
    let (first, second) = tokio::join!(take(silent(), 9), take(silent(), 9));
    assert_eq!((&first, &second), (&vec!["list".to_owned(), "InitialListFailed".to_owned()], &first));
}
