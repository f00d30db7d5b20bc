//! Admission webhooks on Secrets: slow ones are waited for; one that denies, fails or is absent is named, and costs one
//! exchange.

use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use crate::strict_api::{apply, send};
use crate::support::certificates::{CertificateAuthority, server_config};
use crate::support::operator::Settings;
use crate::support::provider::{Client, MockProvider};
use crate::support::space::{self, Space, condition, message, value};

/// From SIGTERM to the end of the process, as promised.
const STOPS_WITHIN: Duration = Duration::from_secs(20);
/// What a webhook of these tests says before it quotes the Secret.
const TEXT: &str = "what it holds is";

#[tokio::test]
async fn a_token_arrives_through_a_webhook_that_takes_6_or_20_seconds() {
    let scene = Scene::new(&["takes6", "takes20"]).await;
    let _operator = Settings::new(&scene.space, &scene.mock_provider).eager().start().await;
    scene.apply_all().await;
    for client in &scene.clients {
        let name = client.name().split('-').next().unwrap();
        scene.space.wait_condition(name, "Ready", "True/TokenValid").await;
        let secret = scene.space.secret(&format!("{name}-token")).await.unwrap();
        assert_eq!((value(&secret, "token"), client.count()), (client.last_token(), 1), "{name}");
    }
    scene.lift().await;
}

#[tokio::test]
async fn a_webhook_that_denies_fails_or_is_absent_is_named_without_its_text_and_costs_one_exchange() {
    let scene = Scene::new(&["denied", "unfound", "broken", "absent"]).await;
    let operator = Settings::new(&scene.space, &scene.mock_provider).eager().start().await;
    scene.apply_all().await;
    for (name, webhook, first) in [
        ("denied", "answers", "An admission webhook denied the write of the target Secret. "),
        ("unfound", "answers", "An admission webhook denied the write of the target Secret. "),
        ("broken", "answers", "An admission webhook failed at the write of the target Secret. "),
        ("absent", "absent", "An admission webhook failed at the write of the target Secret. "),
    ] {
        let reported = scene.space.wait_condition(name, "Ready", "False/TargetWriteRejected").await;
        assert_eq!(condition(&reported, "Renewed").as_deref(), Some("False/TargetWriteRejected"), "{name}");
        let text = message(&reported, "Renewed").unwrap();
        assert!(text.starts_with(first) && text.contains(&format!("{:?}", scene.webhook(webhook))), "{name}: {text}");
        assert!(!text.contains(TEXT), "{name}: {text}");
    }
    // Further tries are dry runs.
    let calls = scene.server.calls();
    scene.space.wait_for("more dry runs", async || (scene.server.calls() > calls + 8).then_some(())).await;
    assert_eq!(scene.clients.iter().map(Client::count).collect::<Vec<_>>(), [1; 4]);
    assert!(!operator.output().contains(TEXT));
    for name in ["denied", "unfound", "broken", "absent"] {
        let events = scene.space.events_of(name).await;
        assert!(!events.iter().any(|(_, _, note)| note.contains(TEXT)), "{events:?}");
    }

    scene.lift().await;
    for client in &scene.clients {
        let name = client.name().split('-').next().unwrap();
        scene.space.wait_condition(name, "Ready", "True/TokenValid").await;
        assert_eq!(client.count(), 2, "{name}");
    }
}

#[tokio::test]
async fn a_stopping_operator_waits_for_a_write_that_a_webhook_delays() {
    let scene = Scene::new(&["takes6"]).await;
    let operator = Settings::new(&scene.space, &scene.mock_provider).patient().start().await;
    scene.apply_all().await;
    scene.space.wait_for("the write waits", async || (scene.server.waiting() == 1).then_some(())).await;
    assert_eq!(operator.terminate(STOPS_WITHIN).await.code(), Some(0), "{}", operator.output());
    let secret = scene.space.secret("takes6-token").await.expect("what was in flight is delivered");
    assert_eq!((value(&secret, "token"), scene.clients[0].count()), (scene.clients[0].last_token(), 1));
    let lease = scene.space.leases.get("apicredential-operator").await.unwrap();
    assert_eq!(lease.spec.unwrap().holder_identity.unwrap_or_default(), "", "it was released");
    scene.lift().await;
}

/// A namespace whose Secrets pass two webhooks: one answers, one is absent and is asked about `absent-token` only.
struct Scene {
    space: Space,
    mock_provider: MockProvider,
    clients: Vec<Client>,
    server: Server,
}

impl Scene {
    async fn new(names: &[&str]) -> Self {
        let (space, mock_provider) = (Space::new().await, MockProvider::start());
        let clients = names.iter().map(|name| mock_provider.welkin(&space.unique(name))).collect();
        for name in names {
            space.source_welkin(&format!("{name}-source"), "a secret of a source").await;
        }
        let authority = CertificateAuthority::new("webhook");
        let scene = Self { server: Server::start(&authority), space, mock_provider, clients };
        // Bound and not listening: connections are refused.
        let absent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let webhook = |name: &str, port: u16, condition: &str| {
            json!({
                "name": scene.webhook(name), "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "failurePolicy": "Fail", "timeoutSeconds": 30,
                "clientConfig": {
                    "url": format!("https://127.0.0.1:{port}/"), "caBundle": BASE64_STANDARD.encode(authority.pem()),
                },
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.space.name}},
                "matchConditions": [{"name": "names", "expression": condition}],
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"],
                }],
            })
        };
        let configuration = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": scene.space.name},
            "webhooks": [
                webhook("answers", scene.server.port, "object.metadata.name != 'absent-token'"),
                webhook("absent", absent, "object.metadata.name == 'absent-token'"),
            ],
        });
        apply(&scene.space.client, &configuration, None).await.accepted();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let probe = serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap();
        scene
            .space
            .wait_for("the webhooks are in force", async || {
                scene.space.secrets.create(&dry, &probe).await.ok();
                (scene.server.calls() > 0).then_some(())
            })
            .await;
        scene
    }

    fn webhook(&self, name: &str) -> String {
        format!("{name}.{}.example.com", self.space.name)
    }

    async fn apply_all(&self) {
        for client in &self.clients {
            let name = client.name().split('-').next().unwrap();
            self.space.apply(&space::welkin(name, client, &self.mock_provider)).await;
        }
    }

    async fn lift(&self) {
        let path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
        send(&self.space.client, Method::DELETE, &format!("{path}/{}", self.space.name), &[], None).await.accepted();
    }
}

/// A webhook over TLS that acts by the name of the Secret.
struct Server {
    port: u16,
    calls: Arc<AtomicUsize>,
    waiting: Arc<AtomicUsize>,
}

impl Server {
    fn start(authority: &CertificateAuthority) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server_config(&authority.issue(&["127.0.0.1"]))));
        let server = Self { port, calls: Arc::default(), waiting: Arc::default() };
        let (calls, waiting) = (Arc::clone(&server.calls), Arc::clone(&server.waiting));
        tokio::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (acceptor, calls, waiting) = (acceptor.clone(), Arc::clone(&calls), Arc::clone(&waiting));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request: Request<Incoming>| {
                        calls.fetch_add(1, Ordering::SeqCst);
                        review(request, Arc::clone(&waiting))
                    });
                    // An error is a client that went.
                    let _ended = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        server
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Reviews that are being delayed.
    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

async fn review(request: Request<Incoming>, waiting: Arc<AtomicUsize>) -> Result<Response<Body>, Infallible> {
    let body = axum::body::to_bytes(Body::new(request.into_body()), usize::MAX).await.unwrap_or_default();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let secret = &review["request"]["object"];
    let name = secret["metadata"]["name"].as_str().unwrap_or_default();
    let token = BASE64_STANDARD.decode(secret["data"]["token"].as_str().unwrap_or_default()).unwrap_or_default();
    let quote = format!("{TEXT} {}", String::from_utf8_lossy(&token));
    if name == "broken-token" {
        return Ok(Response::builder().status(500).body(Body::from(quote)).unwrap());
    }
    let delay = match name {
        "takes6-token" => 6,
        "takes20-token" => 20,
        _ => 0,
    };
    if delay > 0 {
        waiting.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(delay)).await;
        waiting.fetch_sub(1, Ordering::SeqCst);
    }
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    let code = match name {
        "denied-token" => Some(403),
        // As if the Secret did not exist.
        "unfound-token" => Some(404),
        _ => None,
    };
    if let Some(code) = code {
        response["allowed"] = json!(false);
        response["status"] =
            json!({"code": code, "message": format!("secrets is forbidden: User \"operator\": {quote}")});
    }
    let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Ok(Response::builder().header("content-type", "application/json").body(Body::from(answer.to_string())).unwrap())
}
