//! All N tokens are fresh. Labels of ApiCredentials and foreign Secrets change all the time, none of which is relevant.

use std::time::{Duration, Instant};

use apicredential::api::ApiCredential;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::time::interval;

use super::figures::{Figures, Goal};
use super::fleet::Member;
use super::settings::Settings;
use super::world::World;

const LABELS_PER_SECOND: f64 = 10.0;
const SECRETS_PER_SECOND: f64 = 100.0;
const UNRELATED: usize = 50;
const FULL: Duration = Duration::from_secs(60);

pub async fn measure(world: &mut World, settings: &Settings) -> Figures {
    let (client, length) = (world.client.clone(), settings.scaled(FULL));
    for number in 0..UNRELATED {
        let secret = json!({"metadata": {"name": unrelated(number)}, "stringData": {"value": "0"}});
        let secret: Secret = serde_json::from_value(secret).expect("a Secret");
        secrets(&client, number).create(&PostParams::default(), &secret).await.expect("a Secret can be created");
    }
    let exchanges = world.mock_provider.total();
    let reconciles = world.operator().metric("apicredential_reconciles_total").await;
    let (audit, before) = (world.audit(), world.operator().usage());
    let began = Instant::now();
    let (labels, writes) = tokio::join!(edit_labels(&client, world.n, length), write_secrets(&client, length));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (after, seconds) = (world.operator().usage(), began.elapsed().as_secs_f64());
    let reconciles = world.operator().metric("apicredential_reconciles_total").await - reconciles;
    let requests = audit.requests();

    let mut figures = Figures::new("churn", world.n);
    figures.note("label edits", labels as f64, "");
    figures.note("writes to unrelated Secrets", writes as f64, "");
    figures.count("exchanges", (world.mock_provider.total() - exchanges) as f64, Goal::Exactly(0.0));
    figures.count("writes", requests.writes() as f64, Goal::Exactly(0.0));
    figures.count("reads of single objects", requests.gets() as f64, Goal::Exactly(0.0));
    figures.note("reconciles, including those of the resync", reconciles, "");
    let cpu = (after.cpu_seconds - before.cpu_seconds) / seconds * 100.0;
    figures.note("CPU, share of a core", cpu, "%");
    figures.note("memory", after.rss_mib, "MiB");
    figures
}

/// The number of changes. A server that is slower than requested gets fewer.
async fn edit_labels(client: &Client, n: usize, length: Duration) -> usize {
    let mut ticks = interval(Duration::from_secs_f64(1.0 / LABELS_PER_SECOND));
    let began = Instant::now();
    let mut edits = 0;
    while began.elapsed() < length {
        ticks.tick().await;
        let member = Member(edits % n);
        let credentials: Api<ApiCredential> = Api::namespaced(client.clone(), &member.namespace());
        let patch = Patch::Merge(json!({"metadata": {"labels": {"edited": edits.to_string()}}}));
        credentials.patch(&member.name(), &PatchParams::default(), &patch).await.expect("a label can be edited");
        edits += 1;
    }
    edits
}

async fn write_secrets(client: &Client, length: Duration) -> usize {
    let mut ticks = interval(Duration::from_secs_f64(1.0 / SECRETS_PER_SECOND));
    let began = Instant::now();
    let mut writes = 0;
    while began.elapsed() < length {
        ticks.tick().await;
        let patch = Patch::Merge(json!({"stringData": {"value": writes.to_string()}}));
        let number = writes % UNRELATED;
        let params = PatchParams::default();
        secrets(client, number).patch(&unrelated(number), &params, &patch).await.expect("a Secret can be written");
        writes += 1;
    }
    writes
}

fn unrelated(number: usize) -> String {
    format!("unrelated-{number:02}")
}

fn secrets(client: &Client, number: usize) -> Api<Secret> {
    Api::namespaced(client.clone(), &Member(number).namespace())
}
