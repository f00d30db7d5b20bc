//! Leader electors with a small Lease server on loopback.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::*;

/// Short enough for a test, and long enough for a slow machine: renewed every 1.5 s, lost after 6 s.
const LEASE: Duration = Duration::from_secs(9);

#[derive(Default)]
struct Record {
    lease: Option<Value>,
    version: u64,
    outage: Option<StatusCode>,
    hangs: bool,
    writes: u32,
}

#[derive(Clone, Default)]
struct LeaseServer(Arc<Mutex<Record>>);

impl LeaseServer {
    async fn start() -> (Self, Client) {
        let server = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(respond).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        (server, Client::try_from(config).unwrap())
    }

    fn change(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.0.lock().unwrap());
    }

    fn spec(&self, field: &str) -> Value {
        self.0.lock().unwrap().lease.as_ref().map(|lease| lease["spec"][field].clone()).unwrap_or_default()
    }

    fn replace(&self, holder: &str) {
        self.change(|record| {
            record.version += 1;
            let version = record.version.to_string();
            record.lease = Some(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": "lock", "namespace": "ops", "resourceVersion": version},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": LEASE.as_secs(), "leaseTransitions": 1}}));
        });
    }
}

async fn respond(State(server): State<LeaseServer>, method: Method, body: Bytes) -> impl IntoResponse {
    let (hangs, (status, body)) = {
        let mut record = server.0.lock().unwrap();
        (record.hangs, handle(&mut record, &method, &body))
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    (status, body.to_string())
}

/// Optimistic locking by resourceVersion, as in the API server. A server that hangs still carries out the request.
fn handle(record: &mut Record, method: &Method, body: &[u8]) -> (StatusCode, Value) {
    if let Some(status) = record.outage {
        return failure(status);
    }
    if method == Method::GET {
        return record.lease.clone().map_or_else(|| failure(StatusCode::NOT_FOUND), |lease| (StatusCode::OK, lease));
    }
    let mut lease: Value = serde_json::from_slice(body).unwrap();
    let expected = record.lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone()).unwrap_or_default();
    if lease["metadata"]["resourceVersion"] != expected {
        return failure(StatusCode::CONFLICT);
    }
    record.version += 1;
    record.writes += 1;
    lease["metadata"]["resourceVersion"] = json!(record.version.to_string());
    record.lease = Some(lease.clone());
    (StatusCode::OK, lease)
}

fn failure(status: StatusCode) -> (StatusCode, Value) {
    let reason = if status == StatusCode::NOT_FOUND { "NotFound" } else { "InternalError" };
    let code = status.as_u16();
    (status, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}))
}

fn elector(client: &Client, identity: &str) -> (LeaderElector, Leadership) {
    let (namespace, name) = ("ops".to_owned(), "lock".to_owned());
    LeaderElector::new(
        client.clone(),
        LeaseSettings { namespace, name, identity: identity.to_owned(), duration: LEASE },
    )
}

async fn within_a_minute<T>(what: impl Future<Output = T>) -> Duration {
    let began = clock::steady();
    timeout(Duration::from_secs(60), what).await.expect("within a minute");
    clock::steady() - began
}

fn leads(leadership: &Leadership) -> bool {
    leadership.renewed.as_ref().is_some_and(|renewed| renewed.borrow().is_some())
}

#[tokio::test]
async fn the_first_candidate_leads_and_the_second_is_standby_until_the_lease_is_released() {
    let (server, client) = LeaseServer::start().await;
    let ((mut first, first_leads), (mut second, second_leads)) =
        (elector(&client, "first"), elector(&client, "second"));
    assert!(!leads(&first_leads));
    within_a_minute(first.acquired(|| {})).await;
    assert!(leads(&first_leads));
    assert_eq!(server.spec("holderIdentity"), json!("first"));

    tokio::select! {
        _ = first.lost() => panic!("renewals succeed"),
        () = second.acquired(|| {}) => panic!("the first candidate holds the lease"),
        () = sleep(LEASE + LEASE / 3) => {}
    }
    first.release().await;
    assert!(!leads(&first_leads));
    assert_eq!(server.spec("holderIdentity"), json!(""));

    assert!(within_a_minute(second.acquired(|| {})).await < LEASE / 2, "a lease without a holder is taken at once");
    assert!(leads(&second_leads));
    assert_eq!(server.spec("leaseTransitions"), json!(1));
    first.release().await;
    assert_eq!(server.spec("holderIdentity"), json!("second"), "a candidate does not release the lease of another");
}

#[tokio::test]
async fn a_holder_that_stopped_renewing_is_replaced_after_the_whole_duration_and_not_before() {
    let (server, client) = LeaseServer::start().await;
    server.replace("vanished");
    let waited = within_a_minute(elector(&client, "successor").0.acquired(|| {})).await;
    assert!(waited >= LEASE && waited < LEASE * 2, "{waited:?}");
    assert_eq!(server.spec("leaseTransitions"), json!(2));
}

#[tokio::test]
async fn a_lease_that_another_candidate_took_is_lost_and_can_be_acquired_again() {
    let (server, client) = LeaseServer::start().await;
    let (mut elector, leadership) = elector(&client, "me");
    within_a_minute(elector.acquired(|| {})).await;
    server.replace("another");
    assert!(within_a_minute(elector.lost()).await < LEASE / 2);
    assert!(!leads(&leadership));
    server.replace("");
    within_a_minute(elector.acquired(|| {})).await;
    assert!(leads(&leadership));
}

#[tokio::test]
async fn a_lease_that_cannot_be_renewed_is_lost_after_two_thirds_of_its_duration() {
    for outage in [Some(StatusCode::INTERNAL_SERVER_ERROR), Some(StatusCode::FORBIDDEN), None] {
        let (server, client) = LeaseServer::start().await;
        let (mut elector, leadership) = elector(&client, "me");
        within_a_minute(elector.acquired(|| {})).await;
        server.change(|record| (record.outage, record.hangs) = (outage, outage.is_none()));
        let mut left = LEASE;
        let held = within_a_minute(async { left = elector.lost().await }).await;
        assert!(held > LEASE / 2 && held < LEASE, "{outage:?} {held:?}");
        assert!(left < LEASE / 3, "a write that has started ends with the lease: {left:?}");
        assert!(!leads(&leadership));
    }
}

#[tokio::test]
async fn a_short_outage_and_a_foreign_edit_of_the_lease_do_not_end_leadership() {
    let (server, client) = LeaseServer::start().await;
    let (mut elector, _) = elector(&client, "me");
    within_a_minute(elector.acquired(|| {})).await;
    let trouble = async {
        server.change(|record| record.outage = Some(StatusCode::SERVICE_UNAVAILABLE));
        sleep(LEASE / 4).await;
        server.change(|record| record.outage = None);
        server.change(|record| {
            record.version += 1;
            let version = json!(record.version.to_string());
            record.lease.as_mut().unwrap()["metadata"]["resourceVersion"] = version;
        });
        sleep(LEASE).await;
    };
    tokio::select! {
        _ = elector.lost() => panic!("the lease can be renewed in time"),
        () = trouble => {}
    }
}

#[tokio::test]
async fn the_lease_is_released_after_a_renewal_without_a_response() {
    let (server, client) = LeaseServer::start().await;
    let (mut elector, _) = elector(&client, "me");
    within_a_minute(elector.acquired(|| {})).await;
    server.change(|record| record.hangs = true);
    // The renewal after one sixth reaches the server, but no response comes back, and the future is dropped.
    tokio::select! {
        _ = elector.lost() => panic!("too early"),
        () = sleep(LEASE / 4) => {}
    }
    server.change(|record| record.hangs = false);
    elector.release().await;
    assert_eq!(server.spec("holderIdentity"), json!(""));
}

#[tokio::test]
async fn the_lease_is_renewed_every_sixth_of_its_duration() {
    let (server, client) = LeaseServer::start().await;
    let (mut elector, _) = elector(&client, "me");
    within_a_minute(elector.acquired(|| {})).await;
    tokio::select! {
        _ = elector.lost() => panic!("renewals succeed"),
        () = sleep(LEASE + LEASE / 12) => {}
    }
    let writes = server.0.lock().unwrap().writes;
    assert!((5..=7).contains(&writes), "{writes}");
}

#[tokio::test]
async fn without_leader_election_leadership_is_always_true() {
    assert!(Leadership::always().may_write() && Leadership::always().may_start());
}

#[test]
fn two_identities_in_one_pod_differ() {
    assert_ne!(identity(), identity());
}
