//! An API server that answers by a script.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::stored;
use crate::controller::token_issuer::TokenIssuer;
use crate::controller::watch::Watch;
use crate::kube_api::KubeApi;
use crate::lease::Leadership;
use crate::provider_client::ProviderClient;
use crate::provider_client::transport::Transport;

/// One request that is expected, and its answer; no body means: what was sent, or for a patch the Secret with it.
pub(super) type Exchange = (&'static str, u16, Option<Value>);

/// Answers by a script, and writes down what was asked.
#[derive(Clone)]
pub(super) struct Script {
    pub(super) lines: Arc<Mutex<VecDeque<Exchange>>>,
    pub(super) asked: Arc<Mutex<Vec<(String, Value)>>>,
    /// The timeouts of the writes, as they stand in their queries.
    pub(super) timeouts: Arc<Mutex<Vec<String>>>,
}

impl Script {
    pub(super) fn new(lines: impl IntoIterator<Item = Exchange>) -> Self {
        Self {
            lines: Arc::new(Mutex::new(lines.into_iter().collect())),
            asked: Arc::default(),
            timeouts: Arc::default(),
        }
    }

    fn client(&self) -> Client {
        let script = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let script = script.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let (status, answer) = script.answer(&head, &body);
                let answer = Body::from(serde_json::to_vec(&answer).unwrap());
                Ok::<_, Infallible>(Response::builder().status(status).body(answer).unwrap())
            }
        });
        Client::new(service, "care")
    }

    fn answer(&self, head: &http::request::Parts, body: &Value) -> (u16, Value) {
        let path: Vec<&str> = head.uri.path().rsplit('/').take(2).collect();
        let query = head.uri.query().unwrap_or_default();
        let timeout = query.split('&').find_map(|part| part.strip_prefix("timeout="));
        self.timeouts.lock().unwrap().extend(timeout.map(str::to_owned));
        let dry = if query.contains("dryRun") { " dry" } else { "" };
        let asked = format!("{} {}/{}{dry}", head.method, path[1], path[0]);
        self.asked.lock().unwrap().push((asked.clone(), body.clone()));
        match self.lines.lock().unwrap().pop_front() {
            Some((expected, status, answer)) if expected == asked => match answer {
                Some(answer) => (status, answer),
                None if status >= 400 => (status, refusal(status, "")),
                None if head.method == "PATCH" => (status, patched(body)),
                None => (status, body.clone()),
            },
            unexpected => panic!("{asked} instead of {unexpected:?}"),
        }
    }

    /// All that was expected was asked.
    pub(super) fn is_over(&self) -> bool {
        self.lines.lock().unwrap().is_empty()
    }

    /// The body of the last request of this kind.
    pub(super) fn body(&self, of: &str) -> Value {
        let asked = self.asked.lock().unwrap();
        asked.iter().rev().find(|(asked, _)| asked == of).map(|(_, body)| body.clone()).unwrap()
    }

    pub(super) fn issuer(&self) -> TokenIssuer {
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = self.client();
        let (watch, _) = Watch::start(&client, &[], tokio::sync::mpsc::unbounded_channel().0, ());
        TokenIssuer {
            kube: KubeApi::new(client.clone(), client, "test", crate::metrics::Metrics::new().operator),
            providers: Arc::new(ProviderClient::new(Duration::from_secs(1), &Transport::default()).unwrap()),
            watch,
            leadership: Leadership::always(),
            allowed: Arc::default(),
            write_deadline: Duration::from_secs(20),
        }
    }
}

pub(super) fn refusal(code: u16, message: &str) -> Value {
    let reason = if code == 404 { "NotFound" } else { "Other" };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code})
}

/// As far as one of our patches goes: data and annotations, over the stored token.
fn patched(patch: &Value) -> Value {
    let mut secret = serde_json::to_value(stored(1)).unwrap();
    for (of, part) in [("/data", &patch["data"]), ("/metadata/annotations", &patch["metadata"]["annotations"])] {
        let whole = secret.pointer_mut(of).unwrap().as_object_mut().unwrap();
        whole.extend(part.as_object().unwrap().clone());
    }
    secret
}
