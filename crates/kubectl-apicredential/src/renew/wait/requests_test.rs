//! The requests that the wait sends, counted by an in-memory API server.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use apicredential::annotations;
use axum::body::Body;
use futures::stream;
use http::{Request, Response, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::super::{Flags, RenewOutcome, RenewReporter, RenewResult};
use super::{PendingRenewal, wait_for_results};
use crate::connection::{Connection, Scope};
use crate::error::{Exit, PluginError};
use crate::output::{DocumentFormat, Terminal};

const PATH: &str = "/apis/apicredential.io/v1alpha1/namespaces/ns/apicredentials";

/// One watch: it sends an event after a delay, then stays open or is cut.
#[derive(Clone)]
struct Watch {
    event: Option<(Duration, Value)>,
    is_cut: bool,
}

#[derive(Default)]
struct Server {
    requests: Mutex<Vec<String>>,
    /// The ApiCredential that list and get return.
    credential: Mutex<Value>,
    /// The request that the target Secret's token answers.
    answered: Mutex<Option<&'static str>>,
    watches: Mutex<Vec<Watch>>,
    forbidden: &'static str,
}

impl Server {
    fn new(watches: &[Watch]) -> Self {
        let server = Self { watches: Mutex::new(watches.to_vec()), ..Self::default() };
        *server.credential.lock().unwrap() = credential(4);
        server
    }

    /// `list`, `watch`, `get apicredential` or `get secret`, in order.
    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    async fn respond(&self, request: Request<kube::client::Body>) -> Response<Body> {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let verb = match path {
            PATH if query.contains("watch=true") => "watch",
            PATH => "list",
            _ if path.starts_with(PATH) => "get apicredential",
            _ => "get secret",
        };
        self.requests.lock().unwrap().push(verb.to_owned());
        if self.forbidden == verb {
            let text = format!(
                "apicredentials.apicredential.io is forbidden: User \"u\" cannot {verb} resource \"apicredentials\""
            );
            return failure_response(StatusCode::FORBIDDEN, &text);
        }
        let credential = self.credential.lock().unwrap().clone();
        match verb {
            "watch" => {
                assert!(query.contains("fieldSelector=metadata.name%3Da"), "the watch is limited to one name: {query}");
                let mut watches = self.watches.lock().unwrap();
                let watch = if watches.len() > 1 { watches.remove(0) } else { watches[0].clone() };
                watch_response(watch)
            }
            "list" => json_response(&json!({
                "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredentialList",
                "metadata": {"resourceVersion": "1"}, "items": [credential],
            })),
            "get apicredential" => json_response(&credential),
            _ => {
                let answered = *self.answered.lock().unwrap();
                json_response(&json!({
                    "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                    "metadata": {"name": "a-token", "namespace": "ns", "annotations": {annotations::RENEW_REQUEST: answered}},
                }))
            }
        }
    }

    fn client(self: &Arc<Self>) -> Client {
        let server = Arc::clone(self);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.respond(request).await) }
        });
        Client::new(service, "ns")
    }
}

fn credential(revision: i64) -> Value {
    json!({
        "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential",
        "metadata": {
            "name": "a", "namespace": "ns", "uid": "u", "resourceVersion": revision.to_string(),
            "annotations": {annotations::RENEW_REQUESTED_AT: "this"},
        },
        "spec": {
            "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "login"}}}, "target": {"name": "a-token"},
        },
        "status": {"revision": revision},
    })
}

fn event_after(seconds: u64, kind: &str, object: &Value) -> Watch {
    Watch { event: Some((Duration::from_secs(seconds), json!({"type": kind, "object": object}))), is_cut: false }
}

fn watch_response(watch: Watch) -> Response<Body> {
    let events = stream::unfold(Some(watch), async |watch| {
        let Watch { event, is_cut } = watch?;
        if let Some((delay, event)) = event {
            sleep(delay).await;
            return Some((Ok(format!("{event}\n")), Some(Watch { event: None, is_cut })));
        }
        if !is_cut {
            std::future::pending::<()>().await;
        }
        Some((Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)), None))
    });
    Response::new(Body::from_stream(events))
}

fn json_response(value: &Value) -> Response<Body> {
    Response::new(Body::from(value.to_string()))
}

fn failure_response(code: StatusCode, message: &str) -> Response<Body> {
    let status =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "message": message});
    let mut response = json_response(&status);
    *response.status_mut() = code;
    response
}

async fn wait(server: &Arc<Server>, timeout: Duration) -> Result<Vec<RenewResult>, PluginError> {
    let connection = Connection::of_client(server.client(), "ns");
    let flags = Flags {
        names: vec!["a".to_owned()],
        selector: None,
        all: false,
        all_namespaces: false,
        spread: None,
        wait: Some(timeout),
        // A document format keeps the reporter from printing.
        output: Some(DocumentFormat::Json),
    };
    let terminal = Terminal::detect();
    let pending = PendingRenewal::new(serde_json::from_value(credential(4)).unwrap());
    let reporter = RenewReporter { flags: &flags, terminal: &terminal };
    wait_for_results(&connection, &Scope::Namespace("ns".to_owned()), vec![pending], timeout, &reporter).await
}

fn outcomes(results: &[RenewResult]) -> Vec<RenewOutcome> {
    results.iter().map(|result| result.outcome).collect()
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn a_long_wait_costs_one_watch_and_one_read_of_the_secret() {
    let server = Arc::new(Server::new(&[event_after(60, "MODIFIED", &credential(5))]));
    *server.answered.lock().unwrap() = Some("this");
    assert_eq!(outcomes(&wait(&server, LONG).await.unwrap()), [RenewOutcome::Renewed]);
    assert_eq!(server.requests(), ["list", "watch", "get secret"]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_is_restarted() {
    let cut = Watch { event: None, is_cut: true };
    let server = Arc::new(Server::new(&[cut.clone(), cut, event_after(5, "MODIFIED", &credential(5))]));
    *server.answered.lock().unwrap() = Some("this");
    assert_eq!(outcomes(&wait(&server, LONG).await.unwrap()), [RenewOutcome::Renewed]);
    assert_eq!(server.requests(), ["list", "watch", "watch", "watch", "get secret"]);
}

#[tokio::test(start_paused = true)]
async fn the_wait_ends_when_the_apicredential_is_deleted() {
    let server = Arc::new(Server::new(&[event_after(5, "DELETED", &credential(4))]));
    assert_eq!(outcomes(&wait(&server, LONG).await.unwrap()), [RenewOutcome::Failed]);
    assert_eq!(server.requests(), ["list", "watch"]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_to_watch_is_named_in_the_message() {
    for verb in ["list", "watch"] {
        let server = Server { forbidden: verb, ..Server::new(&[event_after(5, "MODIFIED", &credential(5))]) };
        let error = wait(&Arc::new(server), LONG).await.unwrap_err();
        assert_eq!(error.exit, Exit::Cluster);
        for text in [&format!("cannot {verb} resource"), "list and watch on apicredentials", "status a -n ns"] {
            assert!(error.message.contains(text), "{}", error.message);
        }
    }
}

/// The operator may stop between the write of the Secret and the write of the status.
#[tokio::test]
async fn after_the_timeout_the_secret_decides_even_if_the_status_never_changed() {
    let server = Arc::new(Server::new(&[Watch { event: None, is_cut: false }]));
    *server.answered.lock().unwrap() = Some("this");
    assert_eq!(outcomes(&wait(&server, Duration::from_millis(50)).await.unwrap()), [RenewOutcome::Renewed]);
    *server.answered.lock().unwrap() = Some("another");
    assert_eq!(outcomes(&wait(&server, Duration::from_millis(50)).await.unwrap()), [RenewOutcome::Waiting]);
}
