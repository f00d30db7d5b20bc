//! A control plane of its own, a mock provider with every client of the fleet, and the operator.

use std::time::Duration;

use apicredential::api::ApiCredential;
use kube::Client;
use kube::api::{Api, ListParams};

use super::fleet::{self, Member};
use super::meter::Audit;
use super::operator::Operator;
use super::support::control_plane::{Content, ControlPlane};
use super::support::provider::{MockProvider, Reply};
use super::witness::Witness;

/// No token of a fresh fleet is due within a run.
pub const LONG_LIFE: f64 = 36_000.0;

pub struct World {
    pub n: usize,
    pub plane: ControlPlane,
    pub mock_provider: MockProvider,
    pub client: Client,
    pub operator: Option<Operator>,
}

impl World {
    /// A control plane, a mock provider and N sources and ApiCredentials; no operator yet.
    pub async fn with_fleet(n: usize, reply: Reply) -> Self {
        let world = Self::empty(n).await;
        world.answer(&reply, 0..n);
        fleet::create(&world.client, n, &[&world.mock_provider.origin()]).await;
        world
    }

    /// Without the fleet.
    pub async fn empty(n: usize) -> Self {
        let plane = ControlPlane::start(Content::Installed).await.unwrap_or_else(|error| panic!("{error}"));
        let client = plane.client().await;
        fleet::namespaces(&client).await;
        // A new API server may return 429 to the first list or watch of a kind until its cache is filled; that must not
        // be counted as the operator's request.
        let credentials: Api<ApiCredential> = Api::all(client.clone());
        let listed = async {
            while credentials.list(&ListParams::default()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), listed).await.expect("ApiCredentials can be listed");
        Self { n, plane, mock_provider: MockProvider::start(), client, operator: None }
    }

    /// All N have a fresh token, and the operator runs.
    pub async fn settled(n: usize) -> Self {
        let mut world = Self::with_fleet(n, lasting(Duration::ZERO)).await;
        let witness = Witness::start(&world.client);
        world.start(&[]);
        witness.wait_for(n).await;
        world
    }

    /// Opens accounts at the mock provider, or changes their responses.
    pub fn answer(&self, reply: &Reply, members: impl IntoIterator<Item = usize>) {
        for number in members {
            self.mock_provider.welkin(&Member(number).client_name()).always(reply.clone());
        }
    }

    pub fn start(&mut self, flags: &[(&str, &str)]) {
        self.operator = Some(Operator::spawn(self, flags));
    }

    pub fn operator(&self) -> &Operator {
        self.operator.as_ref().expect("the operator was started")
    }

    pub async fn stop(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.end().await;
        }
    }

    pub fn audit(&self) -> Audit {
        Audit::from_now(&self.plane.audit_log())
    }
}

/// A token for the whole run, after this delay.
pub fn lasting(latency: Duration) -> Reply {
    Reply::token().lifetime(LONG_LIFE).latency(latency)
}
