//! Any ApiCredential and any Secrets, reconciled: observe → decide → exchange → report, the product's own `reconcile`
//! with its own watches, against an API server in memory and a provider that refuses every connection.
//!
//! The objects come from `scene`. The clock is the real one: times in a scene are relative to now.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apicredential::api::ApiCredential;
use apicredential::next_reconcile::NextReconcile;
use apicredential::object_key::Key;
use apicredential::plan::AllowLists;
use apicredential::schedule::Timings;
use apicredential_operator::clock;
use apicredential_operator::controller::cache::{DecodeResult, VersionSource};
use apicredential_operator::controller::context::{Context, InFlight, ReconcileSettings};
use apicredential_operator::controller::reconcile::reconcile;
use apicredential_operator::controller::token_issuer::TokenIssuer;
use apicredential_operator::controller::watch::Watch;
use apicredential_operator::kube_api::KubeApi;
use apicredential_operator::lease::Leadership;
use apicredential_operator::metrics::Metrics;
use apicredential_operator::provider_client::ProviderClient;
use apicredential_operator::provider_client::transport::Transport;
use apicredential_operator::rate_limit::{Limits, RateLimiter};
use futures::StreamExt as _;
use jiff::Timestamp;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::unbounded_channel;

mod calls;
mod scene;
mod server;
mod stage;

use scene::Scene;
use server::{Call, Server};

/// A reconcile, its exchange, and the changes of both: then there is nothing more to do.
const ROUNDS: usize = 6;

/// Whatever the input: no panic; nothing secret in the output; no change of a foreign object; no request for an
/// ApiCredential that is suspended or whose target is not its own; soon nothing more to report; and a restart changes
/// none of that.
pub fn check(input: &[u8]) {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let now = clock::now_seconds();
    let Some(server) = Scene::read(input, now).and_then(|scene| stage::set(&scene, now)) else { return };
    let runtime = RUNTIME.get_or_init(|| {
        // A single thread: the result of a scene must not depend on other tasks.
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
    });
    // `block_on` of a runtime with one thread is for one caller at a time.
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _lock = LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), run(&server)).await.expect("a reconcile ends");
    });
}

async fn run(server: &Server) {
    let first = LeaderTerm::start(server).await;
    let mut due = None;
    for round in 0.. {
        let began = clock::now();
        let calls = first.round(server).await;
        if calls.is_empty() {
            due = first.due(server);
            assert!(due.is_none_or(|due| due > began), "a hot loop: nothing to do, and due at {due:?}, before {began}");
            break;
        }
        assert!(round < ROUNDS, "it never rests: {calls:#?}");
    }
    let second = LeaderTerm::start(server).await;
    let calls = second.round(server).await;
    let came_due = due.is_some_and(|due| due <= clock::now());
    assert!(calls.is_empty() || came_due || stage::is_ahead(server), "a restart writes {calls:#?}");
    assert!(second.exchanges() == 0 || came_due, "a restart exchanges");
}

/// One term as leader.
struct LeaderTerm {
    context: Arc<Context>,
}

impl LeaderTerm {
    async fn start(server: &Server) -> Self {
        let client = server.client();
        let (watch, mut streams) = Watch::start(&client, &[], unbounded_channel().0, ());
        loop {
            tokio::select! {
                () = watch.ready() => break,
                _ = streams.credentials.next() => {}
                _ = streams.secrets.next() => {}
            }
        }
        let issuer = TokenIssuer {
            kube: KubeApi::new(client.clone(), client, "fuzz", Metrics::new().operator),
            providers: provider_client(),
            watch,
            leadership: Leadership::always(),
            allowed: Arc::new(allowed()),
            write_deadline: Duration::from_secs(30),
        };
        let timings = Timings {
            retry_base: Duration::from_secs(5),
            min_renewal_interval: Duration::from_secs(30),
            resync: Duration::from_secs(600),
        };
        let limits = Limits { in_flight: 16, rate_per_second: 0.0, burst: 1 };
        let (turn, _) = unbounded_channel();
        let context = Context {
            issuer,
            limiter: RateLimiter::new(limits, turn),
            metrics: Metrics::new(),
            in_flight: InFlight::default(),
            settings: ReconcileSettings { allowed: Arc::new(allowed()), timings, session_key: Arc::new([7; 32]) },
        };
        Self { context: Arc::new(context) }
    }

    /// One reconcile, checked against the state before it. Returns what it wrote and published.
    async fn round(&self, server: &Server) -> Vec<Call> {
        let before = server.with(|state| {
            state.calls.clear();
            state.credential.clone()
        });
        let exchanges = self.exchanges();
        let object: DecodeResult = serde_json::from_value(before.clone()).expect("any object with metadata is taken");
        let key = Key::of(&object);
        self.context.issuer.watch.cache.apply(&key, object, VersionSource::Watch);
        reconcile(key, Arc::clone(&self.context)).await;
        let calls = server.with(|state| {
            assert!(state.strays.is_empty(), "stray requests: {:?}", state.strays);
            std::mem::take(&mut state.calls)
        });
        calls::check(&before, &calls, self.exchanges() - exchanges, server);
        calls
    }

    /// When the next reconcile is due, if a time is set.
    fn due(&self, server: &Server) -> Option<Timestamp> {
        let object: DecodeResult = server.with(|state| serde_json::from_value(state.credential.clone()).ok())?;
        let planned = self.context.issuer.watch.cache.snapshot(&Key::of(&object))?.planned;
        match planned?.1 {
            NextReconcile::At(time) => Some(time),
            NextReconcile::OnChange => None,
        }
    }

    /// The number of requests to providers so far.
    fn exchanges(&self) -> u64 {
        let text = self.context.metrics.encode();
        let counts = text.lines().filter(|line| line.starts_with("apicredential_exchanges_total{"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }
}

/// The names that `spec.target.metadata` may set.
const METADATA: [&str; 2] = ["note", "team"];

/// The one endpoint is a port of this machine on which nothing listens.
fn allowed() -> AllowLists {
    let endpoints = format!("welkin={0},qontak={0}", scene::ENDPOINT).parse().expect("a list of endpoints");
    AllowLists { endpoints, target_metadata: METADATA.join(",").parse().expect("a list of names") }
}

fn provider_client() -> Arc<ProviderClient> {
    static CLIENT: OnceLock<Arc<ProviderClient>> = OnceLock::new();
    let make = || {
        // An error means that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Arc::new(ProviderClient::new(Duration::from_secs(5), &Transport::default()).expect("a client for providers"))
    };
    Arc::clone(CLIENT.get_or_init(make))
}

/// The ApiCredential, if it can be decoded.
fn decoded(object: &serde_json::Value) -> Option<ApiCredential> {
    serde_json::from_value(object.clone()).ok()
}
