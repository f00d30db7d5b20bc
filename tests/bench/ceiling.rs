//! The ceiling: the requests of a first sync, sent as fast as the machine allows, by a client without any logic.
//!
//! The same verbs, the same bodies, as many requests at once, through clients that are built like the operator's
//! (`cluster::connect`, `exchange::ProviderClient`). The score is what the operator adds to that. It runs as a process
//! of its own, so that its CPU time is measured separately, and all its workers may use all cores.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use apicredential::annotations;
use apicredential::api::{ApiCredential, SourceVersion, TargetStatus};
use apicredential::endpoint::{Endpoint, PathSegment};
use apicredential::providers::{Issued, Login, WelkinLogin};
use apicredential::revision::Revision;
use apicredential_operator::kube_api::client;
use apicredential_operator::provider_client::ProviderClient;
use apicredential_operator::provider_client::transport::TransportFiles;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use kube::{Client, Config, Resource as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::fleet::Member;
use super::meter::Usage;
use super::restart;
use super::world::World;

/// The operator's `--concurrency`, and the share of it that may wait for one endpoint.
const WORKERS: usize = 64;
const EXCHANGING: usize = WORKERS / 4;

/// The requests of a first sync, beside the exchange after the reads, in the first run of this measurement. A later
/// design that sends less is measured against this list, too.
pub const FIRST_RUN: &[Step] =
    &[Step::GetTarget, Step::GetSource, Step::GetCredential, Step::CreateSecret, Step::PatchStatus, Step::CreateEvent];

/// The requests of a first sync today.
pub const TODAY: &[Step] = FIRST_RUN;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Step {
    GetTarget,
    GetSource,
    GetCredential,
    CreateSecret,
    PatchStatus,
    CreateEvent,
}

/// The arguments of the process.
#[derive(clap::Args)]
pub struct Load {
    #[arg(long)]
    kubeconfig: PathBuf,
    #[arg(long)]
    ca: PathBuf,
    #[arg(long)]
    origin: String,
    #[arg(long)]
    n: usize,
    #[arg(long, value_delimiter = ',')]
    steps: Vec<Step>,
    /// Lists what an operator lists, too, and keeps watching without reading the events.
    #[arg(long)]
    following: bool,
}

/// The output of the process.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Ceiling {
    pub seconds: f64,
    pub cpu_seconds: f64,
    pub peak_mib: f64,
}

/// Sends the requests for all objects of this world, and an exchange for each; without steps the exchange alone.
pub async fn measure(world: &World, steps: &[Step]) -> Ceiling {
    send(world, steps, &[]).await
}

/// The same together with the lists and watches of an operator, which every client needs that reacts to changes.
pub async fn measure_following(world: &World, steps: &[Step]) -> Ceiling {
    send(world, steps, &["--following"]).await
}

async fn send(world: &World, steps: &[Step], flags: &[&str]) -> Ceiling {
    let names: Vec<String> =
        steps.iter().filter_map(|step| Some(clap::ValueEnum::to_possible_value(step)?.get_name().to_owned())).collect();
    let (n, origin, ca) = (world.n.to_string(), world.mock_provider.origin(), world.mock_provider.ca_file());
    let (ca, steps) = (ca.display().to_string(), names.join(","));
    let mut arguments = vec!["--n", &n, "--origin", &origin, "--ca", &ca];
    if !steps.is_empty() {
        arguments.extend(["--steps", &steps]);
    }
    arguments.extend(flags);
    ask_own_process("ceiling", &world.plane.operator_kubeconfig(), &arguments).await
}

/// Runs a subcommand of this program, and parses its output.
pub async fn ask_own_process<T: serde::de::DeserializeOwned>(
    subcommand: &str,
    kubeconfig: &Path,
    arguments: &[&str],
) -> T {
    let program = std::env::current_exe().expect("a program knows where it is");
    let mut command = tokio::process::Command::new(program);
    command.arg(subcommand).arg("--kubeconfig").arg(kubeconfig).args(arguments);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await;
    let output = output.expect("this program can be started again");
    assert!(output.status.success(), "{subcommand} failed");
    serde_json::from_slice(&output.stdout).expect("it prints what it measured")
}

/// The operator's two clients, built as it builds them.
pub async fn clients(kubeconfig: &Path) -> (Client, Client) {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig is readable");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let mut config = config.expect("the kubeconfig is complete");
    config.default_retry = false;
    let secrets = client::for_secrets(&config).expect("a client can be made");
    (Client::try_from(config).expect("a client can be made"), secrets)
}

/// What all workers share.
pub struct Sender {
    client: Client,
    secrets: Client,
    provider_client: ProviderClient,
    endpoint: Endpoint,
    steps: Vec<Step>,
    exchanging: Semaphore,
}

impl Load {
    pub async fn run(self) {
        let sender = Arc::new(Sender::new(&self.kubeconfig, &self.ca, &self.origin, &self.steps).await);
        let known: Arc<[(String, String)]> = known(&sender.client, self.n).await.into();
        let next = Arc::new(AtomicUsize::new(0));
        let before = Usage::of(std::process::id());
        let began = Instant::now();
        if self.following {
            follow(&sender.client).await;
        }
        let workers = (0..WORKERS).map(|_| {
            let (sender, known, next) = (Arc::clone(&sender), Arc::clone(&known), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some((uid, version)) = known.get(number) else { return };
                    sender.sync(&Member(number), uid, version).await;
                }
            })
        });
        futures::future::try_join_all(workers.collect::<Vec<_>>()).await.expect("no request fails");
        let seconds = began.elapsed().as_secs_f64();
        let after = Usage::of(std::process::id());
        let ceiling =
            Ceiling { seconds, cpu_seconds: after.cpu_seconds - before.cpu_seconds, peak_mib: after.peak_mib };
        println!("{}", serde_json::to_string(&ceiling).expect("numbers are JSON"));
    }
}

/// Uid and resourceVersion of each ApiCredential, which an operator has from its watch.
async fn known(client: &Client, n: usize) -> Vec<(String, String)> {
    let mut known = vec![(String::new(), String::new()); n];
    let credentials: Api<ApiCredential> = Api::all(client.clone());
    for credential in credentials.list(&ListParams::default()).await.expect("ApiCredentials can be listed") {
        let meta = credential.metadata;
        let number = meta.name.as_deref().and_then(|name| name.rsplit('-').next()?.parse::<usize>().ok());
        if let Some(place) = number.and_then(|number| known.get_mut(number)) {
            *place = (meta.uid.unwrap_or_default(), meta.resource_version.unwrap_or_default());
        }
    }
    known
}

/// Lists as an operator does, and leaves three watches running.
async fn follow(client: &Client) {
    let [credentials, sources, targets] = restart::lists(client).await;
    let params = |labels: &str| WatchParams::default().labels(labels);
    let secrets = Request::new(Secret::url_path(&(), None));
    let requests = [
        Request::new(ApiCredential::url_path(&(), None)).watch(&params(""), &credentials.version),
        secrets.watch_metadata(&params(annotations::SOURCE), &sources.version),
        secrets.watch_metadata(&params(annotations::MANAGED), &targets.version),
    ];
    for request in requests {
        let request = request.expect("it is a request");
        let events = client.request_events::<IgnoredAny>(request).await.expect("it can be watched");
        tokio::spawn(events.for_each(|_| futures::future::ready(())));
    }
}

impl Sender {
    pub async fn new(kubeconfig: &Path, ca: &Path, origin: &str, steps: &[Step]) -> Self {
        let (client, secrets) = clients(kubeconfig).await;
        let files = TransportFiles { roots: Some(ca.to_owned()), ..TransportFiles::default() };
        let (transport, errors) = files.read();
        assert!(errors.is_empty(), "the CA file is readable: {errors:?}");
        let provider_client = ProviderClient::new(Duration::from_secs(15), &transport);
        Self {
            client,
            secrets,
            provider_client: provider_client.expect("a client for the mock provider can be made"),
            endpoint: Endpoint::parse(origin).expect("the mock provider's origin is one"),
            steps: steps.to_vec(),
            exchanging: Semaphore::new(EXCHANGING),
        }
    }

    /// Sends the requests of the first sync of one ApiCredential.
    pub async fn sync(&self, member: &Member, uid: &str, version: &str) {
        let secrets: Api<Secret> = Api::namespaced(self.secrets.clone(), &member.namespace());
        let credentials: Api<ApiCredential> = Api::namespaced(self.client.clone(), &member.namespace());
        if self.has(Step::GetTarget) {
            secrets.get_opt(&member.target()).await.expect("a target can be read");
        }
        let mut source = Revision::new(uid, version);
        if self.has(Step::GetSource) {
            source = Revision::of(&secrets.get(&member.source()).await.expect("a source can be read"));
        }
        let issued = self.exchange(member).await;
        if self.has(Step::GetCredential) {
            credentials.get(&member.name()).await.expect("an ApiCredential can be read");
        }
        let mut target = source.clone();
        if self.has(Step::CreateSecret) {
            let request = create_secret(member, uid, source.as_str(), &issued);
            target = Revision::of(&self.secrets.request::<Secret>(request).await.expect("a Secret can be created"));
        }
        if self.has(Step::PatchStatus) {
            let patch = status(member, (uid, version), (&source, &target), issued.issued_at);
            let patch = Patch::Merge(&patch);
            credentials.patch_status(&member.name(), &PatchParams::default(), &patch).await.expect("it is patched");
        }
        if self.has(Step::CreateEvent) {
            let events: Api<Event> = Api::namespaced(self.client.clone(), &member.namespace());
            events.create(&PostParams::default(), &event(member, uid, version)).await.expect("it is accepted");
        }
    }

    async fn exchange(&self, member: &Member) -> Issued {
        let segment = |text: &str| PathSegment::parse(text).expect("it is a segment");
        let inputs = Login::Welkin(WelkinLogin {
            endpoint: self.endpoint.clone(),
            tenant: segment("gh"),
            client_name: segment(&member.client_name()),
            secret: SecretString::from(member.secret()),
        });
        let _turn = self.exchanging.acquire().await.expect("it is never closed");
        self.provider_client.exchange(&inputs).await.expect("the mock provider issues tokens")
    }

    fn has(&self, step: Step) -> bool {
        self.steps.contains(&step)
    }
}

/// As long as ours, field by field; computed values are constants here.
fn create_secret(member: &Member, uid: &str, source_version: &str, issued: &Issued) -> http::Request<Vec<u8>> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": member.target(), "namespace": member.namespace(),
            "labels": {"apicredential.io/managed": "true"},
            "annotations": {
                "apicredential.io/owner": member.name(),
                "apicredential.io/owner-uid": uid,
                "apicredential.io/keys": "token",
                "apicredential.io/issued-at": "2026-01-01T00:00:00Z",
                "apicredential.io/expires-at": "2026-01-01T10:00:00Z",
                "apicredential.io/source-version": source_version,
                "apicredential.io/fingerprint": format!("v1:{:064}", 0),
            },
            "ownerReferences": [{
                "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential", "controller": true,
                "name": member.name(), "uid": uid,
            }],
        },
        "data": {"token": BASE64_STANDARD.encode(issued.token.expose_secret())},
    });
    let path = format!("/api/v1/namespaces/{}/secrets?timeout=5s", member.namespace());
    let body = serde_json::to_vec(&secret).expect("it is JSON");
    http::Request::post(path).header("content-type", "application/json").body(body).expect("it is a request")
}

fn status(
    member: &Member,
    (uid, version): (&str, &str),
    (source, target): (&Revision, &Revision),
    issued_at: Timestamp,
) -> Value {
    let condition = |type_: &str, reason: &str, message: &str| {
        json!({"type": type_, "status": "True", "reason": reason, "message": message, "observedGeneration": 1,
            "lastTransitionTime": issued_at})
    };
    json!({
        "metadata": {"uid": uid, "resourceVersion": version},
        "status": {
            "observedGeneration": 1,
            "conditions": [
                condition("Ready", "TokenValid", "The Secret holds a token that is valid."),
                condition("Renewed", "Issued", "The provider issued a token and it was written."),
                condition("SourceResolved", "SourceResolved", "The source Secret holds what the provider needs."),
            ],
            "token": {"issuedTime": issued_at, "expirationTime": "2026-01-01T10:00:00Z", "lifetimeSeconds": 36000,
                "type": "Bearer"},
            "renewalTime": "2026-01-01T06:00:00Z",
            "lastAttempt": {"time": issued_at, "reason": "Issued", "generation": 1, "source": SourceVersion::from(source)},
            "failedAttempts": 0,
            "revision": 1,
            "target": TargetStatus::new(member.target(), target),
        },
    })
}

fn event(member: &Member, uid: &str, version: &str) -> Event {
    let now = apicredential_operator::clock::now();
    let event = json!({
        "metadata": {"name": format!("{}.{:x}", member.name(), now.as_nanosecond()), "namespace": member.namespace()},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        "action": "Exchange", "reason": "Issued", "type": "Normal",
        "note": "The provider issued a token and it was written.",
        "reportingController": "apicredential-operator",
        "reportingInstance": "ceiling-0000000000000000",
        "regarding": {
            "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential",
            "name": member.name(), "namespace": member.namespace(), "uid": uid, "resourceVersion": version,
        },
    });
    serde_json::from_value(event).expect("an event")
}
