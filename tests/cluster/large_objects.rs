//! Large objects that somebody makes who may edit one namespace: they must not take the operator's memory, and the tokens of
//! the others are renewed meanwhile.
//!
//! It takes minutes and a control plane of its own, so that it belongs to `make torture`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use rustix::process::geteuid;
use serde_json::{Map, Value, json};

use crate::fixture::Scene;
use crate::support::control_plane::{Content, ControlPlane};
use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Client, MockProvider};
use crate::support::random;
use crate::support::space::{self, Space, poll};

const NUMBER: usize = 200;
/// What the API server stores of one object. etcd takes no request of more than 1.5 MiB.
const SIZE: usize = 1_400_000;
/// In KiB.
const NO_MORE_THAN: u64 = 128 * 1024;
/// What the chart allows, in bytes.
const LIMIT: u64 = 256 * 1024 * 1024;
const LIFETIME: f64 = 60.0;
const WITHIN: Duration = Duration::from_secs(600);

#[tokio::test]
#[ignore = "torture: a control plane with 280 MB of ApiCredentials"]
async fn large_credentials_that_are_streamed_do_not_exhaust_the_memory() {
    survive("ApiCredential", true).await;
}

#[tokio::test]
#[ignore = "torture: a control plane with 280 MB of ApiCredentials"]
async fn large_credentials_that_are_listed_in_pages_do_not_exhaust_the_memory() {
    survive("ApiCredential", false).await;
}

#[tokio::test]
#[ignore = "torture: a control plane with 280 MB of Secrets"]
async fn large_labelled_secrets_that_are_streamed_do_not_exhaust_the_memory() {
    survive("Secret", true).await;
}

#[tokio::test]
#[ignore = "torture: a control plane with 280 MB of Secrets"]
async fn large_labelled_secrets_that_are_listed_in_pages_do_not_exhaust_the_memory() {
    survive("Secret", false).await;
}

/// Start, hand-over and a watch error with the large objects there.
async fn survive(kind: &str, is_streamed: bool) {
    let gate = format!("--feature-gates=WatchList={is_streamed}");
    let plane = Arc::new(ControlPlane::start_with(Content::Installed, &[gate.as_str()]).await.unwrap());
    let scene = Scene { space: Space::on(plane).await, mock_provider: MockProvider::start() };
    let fleet = ["a", "b", "c"];
    let mut clients = Vec::new();
    for name in fleet {
        let client = scene.welkin_client(name).await;
        client.lifetime(LIFETIME);
        scene.apply_welkin(name, &client).await;
        clients.push(client);
    }
    stream::iter(0..NUMBER).for_each_concurrent(4, |number| make(&scene, kind, number)).await;

    let (first_group, second_group) = (Group::new(), Group::new());
    let first = first_group.hold(scene.operator().flag("--min-renewal-interval", "1s")).spawn();
    let metric = |name: &str| {
        format!("apicredential_ready{{resource_namespace=\"{}\",resource_name=\"{name}\"}}", scene.space.name)
    };
    let last = if kind == "Secret" { metric("c") } else { metric(&name_of(NUMBER - 1)) };
    is_reconciled(&first, &last).await;
    are_renewed(&scene, &clients).await;
    let at_start = peak(&first);

    // The next leader finds them, too.
    let second = second_group.hold(scene.operator().flag("--min-renewal-interval", "1s")).spawn();
    second.ready().await;
    assert!(first.terminate(space::DEADLINE).await.success());
    is_reconciled(&second, &last).await;
    are_renewed(&scene, &clients).await;
    let at_hand_over = peak(&second);

    // Every watch breaks, and begins with a list.
    scene.space.plane.stop_api_server();
    scene.space.plane.start_api_server().await;
    are_renewed(&scene, &clients).await;
    let after_error = peak(&second);
    println!(
        "large objects: {NUMBER} {kind}s, streamed {is_streamed}: peak {at_start} KiB at start, {at_hand_over} at a hand-over, \
         {after_error} after a watch error; {}",
        second_group.describe()
    );
    for (peak, when) in [(at_start, "at start"), (at_hand_over, "at a hand-over"), (after_error, "after a watch error")]
    {
        assert!(peak <= NO_MORE_THAN, "{peak} KiB {when}");
    }
    assert!(second.is_running(), "one process went through it");
}

fn name_of(number: usize) -> String {
    format!("large-{number:03}")
}

/// Many small parts, or few large ones: labels and ownerReferences have no limit of their own. The API server notes each of
/// them once more in managedFields, and takes a second of a processor for each write of an object with thousands of labels,
/// so that only a quarter has them. The garbage collector leaves owners alone whose kind it does not know.
async fn make(scene: &Scene, kind: &str, number: usize) {
    let name = name_of(number);
    let has_labels = number % 8 < 2;
    let labels: Map<String, Value> = match has_labels {
        true => (0..SIZE / 90).map(|label| (format!("l{label:05}"), json!("x".repeat(60)))).collect(),
        false => Map::new(),
    };
    let owner = |number: usize| json!({"apiVersion": "example.com/v1", "kind": "Unknown", "name": "x".repeat(SIZE / 20), "uid": format!("u{number}")});
    let owners: Vec<Value> = if has_labels { Vec::new() } else { (0..20).map(owner).collect() };
    let mut manifest = space::qontak(&name, &scene.mock_provider);
    let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apicredential.io", "v1alpha1", "ApiCredential"));
    if kind == "Secret" {
        manifest =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"key": "x"}});
        resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
    }
    manifest["metadata"]["labels"] = json!(labels);
    manifest["metadata"]["ownerReferences"] = json!(owners);
    if kind == "Secret" {
        let role = if number.is_multiple_of(2) {
            ("apicredential.io/source", "qontak")
        } else {
            ("apicredential.io/managed", "true")
        };
        manifest["metadata"]["labels"][role.0] = json!(role.1);
    }
    let api: Api<DynamicObject> = Api::namespaced_with(scene.space.client.clone(), &scene.space.name, &resource);
    let made = api.create(&PostParams::default(), &serde_json::from_value(manifest).unwrap()).await.unwrap();
    let size = serde_json::to_string(&made).unwrap().len();
    assert!((SIZE * 9 / 10..SIZE * 11 / 10).contains(&size), "{size} bytes");
}

async fn is_reconciled(operator: &Operator, series: &str) {
    let shown = poll(WITHIN, async || {
        let (_, text) = operator.get("/metrics").await?;
        text.contains(series).then_some(())
    });
    if shown.await.is_none() {
        panic!("{series} is not there; running: {}\n{}", operator.is_running(), operator.output());
    }
}

/// Each token of the fleet is renewed once more.
async fn are_renewed(scene: &Scene, clients: &[Client]) {
    let before: Vec<usize> = clients.iter().map(Client::count).collect();
    let renewed = poll(WITHIN, async || {
        clients.iter().zip(&before).all(|(client, before)| client.count() > *before).then_some(())
    });
    assert!(renewed.await.is_some(), "not renewed");
    for name in ["a", "b", "c"] {
        scene.space.wait_ready(name).await;
    }
}

/// In KiB.
fn peak(operator: &Operator) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.pid())).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap_or_else(|| panic!("it is gone\n{}", operator.output()));
    peak.split_whitespace().next().unwrap().parse().unwrap()
}

/// A cgroup with the memory limit of the chart, where this machine can make one.
struct Group {
    folder: Option<PathBuf>,
    is_v1: bool,
}

impl Group {
    fn new() -> Self {
        let name = format!("apicredential-{}", random::suffix());
        let is_v1 = Path::new("/sys/fs/cgroup/memory").is_dir();
        let (parent, limit) =
            if is_v1 { ("/sys/fs/cgroup/memory", "memory.limit_in_bytes") } else { ("/sys/fs/cgroup", "memory.max") };
        let folder = Path::new(parent).join(name);
        let made = geteuid().is_root()
            && std::fs::create_dir(&folder).is_ok()
            && std::fs::write(folder.join(limit), LIMIT.to_string()).is_ok();
        Self { folder: made.then_some(folder), is_v1 }
    }

    /// Starts the operator inside.
    fn hold(&self, settings: Settings) -> Settings {
        let Some(folder) = &self.folder else { return settings };
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", folder.display());
        let program = env!("CARGO_BIN_EXE_apicredential-operator").to_owned();
        settings.inside(Path::new("/bin/sh"), vec!["-c".to_owned(), enter, program])
    }

    fn describe(&self) -> String {
        let Some(folder) = &self.folder else { return "no cgroup here".to_owned() };
        let file = if self.is_v1 { "memory.max_usage_in_bytes" } else { "memory.peak" };
        let most = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
        format!("most in a cgroup of {} MiB: {} bytes", LIMIT / 1024 / 1024, most.trim())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // It fails while a process is inside; the process is killed when its handle is dropped, and this comes later.
            let _ = std::fs::remove_dir(folder);
        }
    }
}
