//! A pod on a real kubelet mounts the Secret that the operator maintains, and calls the provider with what it reads:
//! `make e2e-node`.
//!
//! How long a renewed token takes to reach a container is printed and never asserted, because it depends on the
//! kubelet.

#![allow(dead_code, unused_imports, reason = "the support modules offer more than these tests use")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test support: a broken set-up fails the test, with its reason"
)]

mod node;
#[path = "../support/tree.rs"]
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use apicredential_operator::clock;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use ring::digest;
use serde_json::{Value, json};

use node::{Node, Report};
use support::operator::{Operator, Settings};
use support::provider::{Client, MockProvider};
use support::space::{self, Space, value};

/// For a node's start and some periods of a kubelet.
const DEADLINE: Duration = Duration::from_secs(600);

#[tokio::test]
#[ignore = "it needs a kubelet, a container runtime and root: `make e2e-node`"]
async fn a_pod_that_reads_its_volume_before_each_call_is_never_refused_over_renewals() {
    let scene = Scene::new("sync in 1 s", Some("1s"), 40.0, &json!({"renewBeforePercentage": 50})).await;
    let first = scene.wait_tokens(1).await;
    scene.wait_tokens(4).await;
    scene.assert_kept_valid_beyond(&first).await;
}

/// Two minutes are the least `renewBefore`, and at most half of the lifetime.
#[tokio::test]
#[ignore = "it needs a kubelet, a container runtime and root: `make e2e-node`"]
async fn two_minutes_are_enough_for_a_kubelet_in_its_default_period() {
    let scene = Scene::new("sync in the default period", None, 240.0, &json!({"renewBefore": "2m"})).await;
    let first = scene.wait_tokens(1).await;
    scene.wait_tokens(2).await;
    // The kubelet has just synced: this token takes as long as possible.
    scene.request_renewal().await;
    scene.wait_tokens(3).await;
    scene.assert_kept_valid_beyond(&first).await;
}

/// One ApiCredential, its operator and provider, and a pod that uses its token on a node of its own.
struct Scene {
    title: &'static str,
    user: Client,
    /// When each token was in the Secret, by its SHA-256.
    patched: Arc<Mutex<Vec<(String, Timestamp)>>>,
    node: Node,
    _operator: Operator,
    mock_provider: MockProvider,
    space: Space,
}

impl Scene {
    async fn new(title: &'static str, sync_period: Option<&str>, lifetime: f64, renewal: &Value) -> Self {
        let (space, mock_provider) = (Space::new().await, MockProvider::start());
        let node = Node::start(&space, sync_period);
        let user = mock_provider.qontak(&space.unique("app"));
        user.accept("sentinel-password").lifetime(lifetime);
        space.source_qontak("app-source", user.name(), "sentinel-password").await;
        let patched = watch(space.secrets.clone());
        let operator = Settings::new(&space, &mock_provider).flag("--min-renewal-interval", "1s").start().await;
        let mut credential = space::qontak("app", &mock_provider);
        credential["spec"]["renewal"] = renewal.clone();
        space.apply(&credential).await;
        space.wait_ready("app").await;
        node.run_pod(&space, &mock_provider, "app-token").await;
        Self { title, user, patched, node, _operator: operator, mock_provider, space }
    }

    async fn request_renewal(&self) {
        let annotations = json!({"apicredential.io/renew-requested-at": "now"});
        self.space.patch("app", &json!({"metadata": {"annotations": annotations}})).await;
    }

    /// Waits until the pod has read this many tokens. Returns the first report of the last one.
    async fn wait_tokens(&self, count: usize) -> Report {
        let what = format!("{count} tokens in the pod");
        let reports = self.wait_reports(&what, |reports| distinct(reports).len() >= count).await;
        distinct(&reports)[count - 1].clone()
    }

    async fn wait_reports(&self, what: &str, enough: impl Fn(&[Report]) -> bool) -> Vec<Report> {
        let look = async || {
            let reports = self.node.reports();
            // No need to wait for the rest.
            let refused = reports.last().map_or(0, |last| last.refused);
            assert_eq!(refused, 0, "the pod's token was refused\n{}", self.node.log_ends());
            Some(reports).filter(|reports| enough(reports))
        };
        match space::poll(DEADLINE, look).await {
            Some(reports) => reports,
            None => panic!("in vain: {what}\n{}{}", self.space.report().await, self.node.log_ends()),
        }
    }

    /// A client with the first token would be rejected by now; the pod was not, and its subPath still has that one.
    async fn assert_kept_valid_beyond(&self, first: &Report) {
        let issued = self.user.tokens();
        let expiry = issued.iter().find(|token| hash(&token.text) == first.still).unwrap().expires.unwrap();
        let reports = self.wait_reports("the first token's end", |reports| reports.last().unwrap().at > expiry).await;
        self.print_delays(&reports);
        self.assert_never_refused(&reports);
        assert!(reports.iter().all(|report| report.still == first.still), "the subPath was updated");
        println!("{}: the subPath mount has kept the first token beyond its end", self.title);
    }

    fn assert_never_refused(&self, reports: &[Report]) {
        let last = reports.last().unwrap();
        assert_eq!((last.refused, last.good), (0, last.calls), "{last:?}\n{}", self.node.log_ends());
        let (good, bad) = self.mock_provider.token_uses();
        assert!(good >= last.good && bad == 0, "the provider counts {good} good ones and {bad} others");
        let issued: Vec<String> = self.user.tokens().iter().map(|token| hash(&token.text)).collect();
        let seen = distinct(reports);
        let turns: Vec<_> = seen.iter().map(|seen| issued.iter().position(|token| *token == seen.token)).collect();
        assert!(turns.iter().all(Option::is_some) && turns.is_sorted(), "never an older token: {turns:?}");
        println!("{}: {} calls with {} tokens, {} times 401", self.title, last.calls, seen.len(), last.refused);
    }

    /// From the Secret to the container.
    fn print_delays(&self, reports: &[Report]) {
        let patched = self.patched.lock().unwrap();
        for (number, report) in distinct(reports).iter().enumerate().skip(1) {
            let (_, at) = patched.iter().find(|(token, _)| *token == report.token).expect("the Secret had that token");
            let delay = report.at.duration_since(*at).as_secs_f64();
            println!("{}: renewal {number} was in the container {delay:.2} s after it was in the Secret", self.title);
        }
    }
}

/// The first report of each token.
fn distinct(reports: &[Report]) -> Vec<&Report> {
    let mut firsts: Vec<&Report> = Vec::new();
    for report in reports {
        if firsts.last().is_none_or(|last| last.token != report.token) {
            firsts.push(report);
        }
    }
    firsts
}

/// Records when the target gets each new token, as soon as the API server delivers the event.
fn watch(secrets: Api<Secret>) -> Arc<Mutex<Vec<(String, Timestamp)>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let config = watcher::Config::default().fields("metadata.name=app-token");
    let mut versions = watcher(secrets, config).applied_objects().boxed();
    let notes = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Some(version) = versions.next().await {
            let (Ok(secret), now) = (version, clock::now()) else { continue };
            let token = hash(&value(&secret, "token").unwrap_or_default());
            let mut notes = notes.lock().unwrap();
            if notes.iter().all(|(known, _)| *known != token) {
                notes.push((token, now));
            }
        }
    });
    seen
}

/// The identity of a token in the reports of the pod's program.
fn hash(token: &str) -> String {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
