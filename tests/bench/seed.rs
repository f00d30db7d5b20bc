//! A fleet whose tokens are in their Secrets before an operator runs, written through the library's own rendering.

use std::time::Duration;

use apicredential::plan::{AllowLists, Plan};
use apicredential::schedule::{Expiry, later};
use apicredential::target::fingerprint::Fingerprint;
use apicredential::target::ownership;
use apicredential::target::render::{TokenRecord, expiry_text, render};
use apicredential_operator::clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, PostParams};
use secrecy::SecretString;

use super::fleet::{self, Member};
use super::support::provider::Reply;
use super::support::random;
use super::world::World;

impl World {
    /// A control plane with N fresh tokens of that lifetime, each issued when `issued` returns; the mock provider
    /// continues to issue such tokens. No operator yet.
    pub async fn seeded(n: usize, lifetime: i64, issued: impl Fn(usize) -> Timestamp) -> Self {
        let world = Self::empty(n).await;
        world.answer(&Reply::token().lifetime(lifetime as f64), 0..n);
        let origin = world.mock_provider.origin();
        fleet::each(n, |member| {
            let (client, origin, issued) = (world.client.clone(), origin.clone(), issued(member.0));
            async move { seed(&client, &member, &origin, (issued, lifetime)).await }
        })
        .await;
        world
    }
}

async fn seed(client: &Client, member: &Member, origin: &str, (issued_at, lifetime): (Timestamp, i64)) {
    let source = member.create_source(client).await;
    let credential = member.create_credential(client, origin).await;
    let endpoints = format!("welkin={origin}").parse().expect("an origin is allowed");
    let allowed = AllowLists { endpoints, ..AllowLists::default() };
    let plan = Plan::parse(&credential.spec, &allowed).unwrap_or_else(|_| panic!("the spec is good"));
    let token = random::base64url::<700>();
    let expiry = Expiry::At(later(issued_at, lifetime));
    let (issued, expires) = (issued_at.to_string(), expiry_text(expiry));
    let record = TokenRecord {
        fingerprint: Fingerprint::new(&token, &plan, &issued, &expires),
        token: SecretString::from(token),
        issued_at,
        expiry,
        source_version: apicredential::revision::Revision::of(&source).to_string(),
        renew_request: None,
    };
    let target = render(&credential, &plan, &record).to_new_secret(&credential, &member.target());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &member.namespace());
    secrets.create(&PostParams::default(), &target).await.expect("a Secret can be created");
}

/// Whole seconds before now.
pub fn ago(age: Duration) -> Timestamp {
    later(clock::now_seconds(), -(age.as_secs() as i64))
}
