//! How one request passes through the fault proxy.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use apicredential_operator::clock;
use axum::body::{Body, Bytes};
use futures::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::super::certificates::{Leaf, server_config};
use super::{Act, Call, ClientReply, Fault, InFlight, Log, When};

/// Less than the shortest timeout of the operator's calls, 5 s, and more than a renewal of the shortest lease takes.
const DELAY: Duration = Duration::from_secs(3);
/// How long watches are silent.
const SILENCE: Duration = Duration::from_secs(8);
/// How long a request or reply is held: more than any timeout of a call with a lease of 24 s, half of which bounds a Secret
/// write, and less than a watch's.
const HOLD: Duration = Duration::from_secs(15);

/// The real API server.
#[derive(Clone)]
pub struct Upstream {
    url: String,
    client: reqwest::Client,
}

impl Upstream {
    pub fn new(url: &str, ca: &str) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let ca = reqwest::Certificate::from_pem(ca.as_bytes()).expect("a CA is a certificate");
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build();
        Self { url: url.to_owned(), client: client.expect("a client can be made") }
    }
}

/// Serves until it is stopped.
pub fn serve(
    listener: TcpListener,
    leaf: &Leaf,
    upstream: &Upstream,
    log: &Log,
    replica: usize,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    let acceptor = TlsAcceptor::from(Arc::new(server_config(leaf)));
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime is running");
        let accepting = async {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (acceptor, upstream, log) = (acceptor.clone(), upstream.clone(), log.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let pass = |request| {
                        let passage = Passage { upstream: upstream.clone(), log: log.clone(), replica };
                        async move { passage.pass(request).await }
                    };
                    let connection = hyper::server::conn::http1::Builder::new();
                    // An error means that the client hung up or was disconnected on purpose.
                    let _ended = connection.serve_connection(TokioIo::new(stream), service_fn(pass)).await;
                });
            }
        };
        tokio::select! {
            () = accepting => {}
            // An error means that the handle was dropped, which also stops the server.
            _ = stopped => {}
        }
    });
    runtime.shutdown_background();
}

/// One request in flight. When its client hangs up, the future that handles it is dropped.
struct Passage {
    upstream: Upstream,
    log: Log,
    replica: usize,
}

/// Notices that the client has hung up: then this is dropped before its end.
struct Presence<'a> {
    log: &'a Log,
    number: usize,
    answered: bool,
}

impl Presence<'_> {
    fn ends(mut self) {
        self.answered = true;
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.log.with_call(self.number, |call| call.hung_up = !self.answered);
    }
}

/// The connection is to be reset.
fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// The API server's response; that of a watch continues.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Result<Bytes, reqwest::Response>,
}

impl Passage {
    async fn pass(self, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(Body::new(body), usize::MAX).await.map_err(|_| broken())?;
        let call = Call::read(self.replica, &head, &body);
        let (watches, refused) = (call.verb == "watch", self.log.refusal(&call.resource));
        let (in_flight, fault) = self.log.receive(call);
        let presence = Presence { log: &self.log, number: in_flight.0.number, answered: false };
        let answer = match refused {
            Some(status) => {
                self.log.with_call(in_flight.0.number, |call| call.reply = ClientReply::Replaced(status));
                Ok(refusal(status))
            }
            None => self.answer(&in_flight, fault, head, body, watches).await,
        };
        presence.ends();
        answer
    }

    async fn answer(
        &self,
        in_flight: &InFlight,
        fault: Option<Fault>,
        head: Parts,
        body: Bytes,
        watches: bool,
    ) -> Result<Response<Body>, io::Error> {
        let number = in_flight.0.number;
        let at = |when: When| fault.as_ref().filter(|fault: &&Fault| fault.when == when).map(|fault| fault.act);
        if let Some(act) = at(When::Before)
            && let Some(answer) = self.act(act, number, None).await?
        {
            return Ok(answer);
        }
        let answer = self.forward(in_flight.clone(), head, body, watches).await?;
        let answer = match at(When::After) {
            None => answer,
            Some(act) => {
                if let Some(otherwise) = self.act(act, number, Some(&answer)).await? {
                    return Ok(otherwise);
                }
                answer
            }
        };
        self.log.with_call(number, |call| call.reply = ClientReply::FromServer);
        let mut response = Response::new(match answer.body {
            Ok(whole) => Body::from(whole),
            Err(watch) => self.watch(watch),
        });
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    /// Forwards the request. From here on the client cannot cancel it: a task of its own completes it.
    async fn forward(&self, in_flight: InFlight, head: Parts, body: Bytes, watches: bool) -> Result<Answer, io::Error> {
        let number = in_flight.0.number;
        let url = format!("{}{}", self.upstream.url, head.uri);
        let mut headers = head.headers;
        headers.remove(HOST);
        let request = self.upstream.client.request(head.method, url).headers(headers).body(body);
        self.log.with_call(number, |call| call.forwarded = Some(clock::now()));
        let log = self.log.clone();
        let answering = tokio::spawn(async move {
            let response = request.send().await.map_err(|_| broken())?;
            let (status, mut headers) = (response.status(), response.headers().clone());
            headers.remove(TRANSFER_ENCODING);
            headers.remove(CONTENT_LENGTH);
            let body = if watches && status.is_success() {
                Err(response)
            } else {
                Ok(response.bytes().await.map_err(|_| broken())?)
            };
            // Moved in here: a write whose client has hung up is in flight until the API server has responded.
            log.with_call(in_flight.0.number, |call| {
                call.committed = Some(clock::now());
                call.status = Some(status.as_u16());
                if let (Ok(body), true) = (&body, call.verb != "list") {
                    call.answer = serde_json::from_slice(body).unwrap_or_default();
                }
            });
            Ok(Answer { status, headers, body })
        });
        answering.await.map_err(|_| broken())?
    }

    /// Applies the fault. Returns a response if it replaces the API server's.
    async fn act(&self, act: Act, number: usize, truth: Option<&Answer>) -> Result<Option<Response<Body>>, io::Error> {
        let replaced = |status: u16| self.log.with_call(number, |call| call.reply = ClientReply::Replaced(status));
        match act {
            Act::Delay => tokio::time::sleep(DELAY).await,
            Act::Hold => {
                let mut released = self.log.0.released.subscribe();
                let waited = tokio::time::timeout(HOLD, released.wait_for(|released| *released)).await;
                if waited.is_err() {
                    return Err(broken());
                }
            }
            Act::Reset => return Err(broken()),
            Act::Answer(status) => {
                replaced(status);
                return Ok(Some(refusal(status)));
            }
            Act::Truncated => {
                replaced(200);
                return Ok(Some(truncated(truth)));
            }
            Act::WrongShape => {
                replaced(200);
                return Ok(Some(json_answer(
                    StatusCode::OK,
                    &json!({"kind": "Surprise", "metadata": [7], "items": 7}),
                )));
            }
            Act::CutWatches => self.log.cut_watches(),
            Act::Silence => self.silence(),
            Act::Kill => {
                (self.log.0.control)(self.replica, act);
                // The request is not forwarded, and there is no client left to respond to.
                std::future::pending::<Infallible>().await;
            }
            Act::Terminate | Act::Pause => (self.log.0.control)(self.replica, act),
        }
        Ok(None)
    }

    fn silence(&self) {
        self.log.silence_watches(true);
        let log = self.log.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SILENCE).await;
            // The end comes first, so that no event that was held back is sent.
            log.cut_watches();
            log.silence_watches(false);
        });
    }

    /// The lines of a watch, until it is cut.
    fn watch(&self, response: reqwest::Response) -> Body {
        let (cuts, silence) = (self.log.0.cuts.subscribe(), self.log.0.silence.subscribe());
        let lines = stream::unfold(Some((response, cuts, silence)), |state| async move {
            let (mut response, mut cuts, mut silence) = state?;
            let line = async {
                let chunk = response.chunk().await.map_err(|_| broken())?;
                let _ = silence.wait_for(|silent| !*silent).await;
                Ok(chunk)
            };
            let line = tokio::select! {
                biased;
                _ = cuts.changed() => Err(broken()),
                line = line => line,
            };
            match line {
                Ok(Some(chunk)) => Some((Ok(chunk), Some((response, cuts, silence)))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        Body::from_stream(lines)
    }
}

fn refusal(status: u16) -> Response<Body> {
    let reason = match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        409 => "Conflict",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let text = "the fault proxy replaces the response";
    // The text of RBAC.
    let message =
        if status == 403 { format!("secrets is forbidden: User \"operator\": {text}") } else { text.to_owned() };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": status, "reason": reason, "message": message,
    });
    let mut response = json_answer(StatusCode::from_u16(status).expect("a status code"), &body);
    if status == 429 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The first half of the response, and then the end of the connection.
fn truncated(truth: Option<&Answer>) -> Response<Body> {
    let whole = match truth {
        Some(Answer { body: Ok(whole), .. }) => whole.clone(),
        _ => Bytes::from_static(br#"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"#),
    };
    let half = whole.slice(..whole.len() / 2);
    let pieces = stream::unfold(Some(half), |half| async {
        match half {
            Some(half) if !half.is_empty() => Some((Ok(half), None)),
            _ => {
                // Otherwise the end would overtake the bytes.
                pin!(tokio::time::sleep(Duration::from_millis(20))).await;
                Some((Err(broken()), None))
            }
        }
    });
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
