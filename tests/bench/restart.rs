//! All N tokens are fresh, and the operator starts again: nothing is exchanged, written or read one by one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use apicredential::annotations;
use apicredential::api::ApiCredential;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ceiling::{ask_own_process, clients};
use super::figures::{Figures, Goal, median, settled_memory_goal};
use super::operator::Operator;
use super::settings::Settings;
use super::world::World;

/// The page size of the operator's watches.
const PAGE: u32 = 100;
/// The operator has settled when it uses less than this share of a core for this long.
const QUIET: f64 = 0.05;
const QUIET_FOR: Duration = Duration::from_millis(400);

/// The lists alone, as fast as a client can get them.
#[derive(clap::Args)]
pub struct Listing {
    #[arg(long)]
    kubeconfig: PathBuf,
}

#[derive(Deserialize, Serialize)]
struct Listed {
    seconds: f64,
    objects: usize,
}

impl Listing {
    pub async fn run(self) {
        let began = Instant::now();
        let (client, _) = clients(&self.kubeconfig).await;
        let objects = lists(&client).await.iter().map(|listed| listed.objects).sum();
        let listed = Listed { seconds: began.elapsed().as_secs_f64(), objects };
        println!("{}", serde_json::to_string(&listed).expect("numbers are JSON"));
    }
}

/// One list: its size, and the resourceVersion from which a watch would continue.
pub struct List {
    pub objects: usize,
    pub version: String,
}

/// The ApiCredentials and both sets of Secret metadata, all three at once, as an operator lists them.
pub async fn lists(client: &Client) -> [List; 3] {
    let secrets = Api::<PartialObjectMeta<Secret>>::all(client.clone());
    let (credentials, sources, targets) = tokio::join!(
        tokio::spawn(pages(Api::<ApiCredential>::all(client.clone()), "")),
        tokio::spawn(pages(secrets.clone(), annotations::SOURCE)),
        tokio::spawn(pages(secrets, annotations::MANAGED)),
    );
    [credentials, sources, targets].map(|listed| listed.expect("it can be listed"))
}

async fn pages<K: Clone + DeserializeOwned + std::fmt::Debug>(api: Api<K>, labels: &'static str) -> List {
    let mut params = ListParams::default().limit(PAGE).labels(labels);
    let mut objects = 0;
    loop {
        let page = api.list(&params).await.expect("it can be listed");
        objects += page.items.len();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return List { objects, version: page.metadata.resource_version.unwrap_or_default() },
        }
    }
}

pub async fn measure(world: &mut World, settings: &Settings) -> Figures {
    // Short at any size.
    let rounds = settings.rounds(world.n, true);
    let (mut listings, mut ready, mut settled, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let exchanges = world.mock_provider.total();
    let mut requests = None;
    for _round in 0..rounds {
        world.stop().await;
        let kubeconfig = world.plane.operator_kubeconfig();
        let listed: Listed = ask_own_process("list", &kubeconfig, &[]).await;
        assert_eq!(listed.objects, 3 * world.n, "the fleet is fresh");
        listings.push(listed.seconds);
        let audit = world.audit();
        world.start(&[]);
        let operator = world.operator();
        ready.push(operator.ready().await.as_secs_f64());
        settled.push(quiet(operator).await.as_secs_f64());
        cpu.push(operator.usage().cpu_seconds);
        requests = Some(audit.requests());
    }
    let requests = requests.expect("there is a round at least");
    let peak = world.operator().usage().peak_mib;
    tokio::time::sleep(settings.settling()).await;
    // Measured before it is scraped: the page of a large fleet takes memory of its own.
    let settled_memory = world.operator().usage().rss_mib;

    let n = world.n as f64;
    let mut figures = Figures::new("restart", world.n);
    let (listing, settled) = (median(listings), median(settled));
    figures.goal(
        "score: time to settle / time of the lists",
        settled / listing,
        "",
        (world.n == 10_000).then_some(Goal::AtMost(1.5)),
    );
    figures.note("time to settle", settled, "s");
    figures.note("time to ready", median(ready), "s");
    figures.note("time of the lists alone", listing, "s");
    figures.note("CPU until settled", median(cpu), "s");
    figures.count("exchanges", (world.mock_provider.total() - exchanges) as f64, Goal::Exactly(0.0));
    figures.count("writes", requests.writes() as f64, Goal::Exactly(0.0));
    figures.count("reads of single objects", requests.gets() as f64, Goal::Exactly(0.0));
    figures.note("pages of lists and watches", requests.lists() as f64, "");
    let reconciles = world.operator().metric("apicredential_reconciles_total").await;
    figures.count("reconciles per ApiCredential", reconciles / n, Goal::AtLeast(1.0));
    figures.note("peak memory", peak, "MiB");
    let goal = settled_memory_goal(world.n);
    figures.goal("settled memory", settled_memory, "MiB", goal);
    figures
}

/// Waits until it is idle. Returns how long after its start that was. A request to it would cost CPU time.
async fn quiet(operator: &Operator) -> Duration {
    let mut since = (operator.began.elapsed(), operator.usage().cpu_seconds);
    loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let (now, cpu) = (operator.began.elapsed(), operator.usage().cpu_seconds);
        if cpu - since.1 > QUIET * QUIET_FOR.as_secs_f64() {
            since = (now, cpu);
        }
        if now - since.0 > QUIET_FOR {
            return since.0;
        }
    }
}
