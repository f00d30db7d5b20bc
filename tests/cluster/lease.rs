//! Two operators, one lease: which one leads, and how leadership changes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::LeaseSpec;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::account::{Account, operator_rules};
use crate::support::operator::{Operator, Settings};
use crate::support::provider::{Client, MockProvider, Reply};
use crate::support::space::{self, Space, value};

/// From SIGTERM to its last line, as documented.
const STOPS_WITHIN: SignedDuration = SignedDuration::from_secs(20);
/// The manifests' `terminationGracePeriodSeconds`: a process that still runs then is killed.
const GRACE: Duration = Duration::from_secs(30);
/// So long that an operator that takes over within a test's deadline did not wait for it; candidates read it every
/// sixth of it.
const LONG: (&str, &str) = ("--lease-duration", "120s");

#[tokio::test]
async fn of_two_replicas_one_leads_and_the_other_is_a_standby() {
    let (scene, [first, second]) = Scene::of_two(&[]).await;
    scene.add("a").await;
    scene.space.wait_ready("a").await;
    assert_eq!(first.get("/readyz").await.unwrap().1, "leading\n");
    assert_eq!(second.get("/readyz").await.unwrap(), (200, "standing by: another replica leads\n".to_owned()));
    let audit = scene.space.audit().await.by(&scene.accounts[1].user);
    assert_eq!(audit.without("leases").calls(), [], "a standby changes nothing");
    let series = format!(r#"apicredential_ready{{resource_namespace="{}",resource_name="a"}}"#, scene.space.name);
    assert_eq!((first.metric(&series).await, second.metric(&series).await), (Some(1.0), None));
    assert_eq!(scene.client("a").count(), 1);
}

#[tokio::test]
async fn a_terminated_leader_hands_over_without_waiting_for_the_lease_to_expire() {
    let (scene, [first, second]) = Scene::of_two(&[LONG]).await;
    scene.add("a").await;
    scene.space.wait_ready("a").await;
    let before = scene.lease().await;
    stops(&first).await;
    scene.leads(&second).await;
    scene.assert_taken_before_its_end(&before).await;
    scene.add("b").await;
    scene.space.wait_ready("b").await;
    assert_eq!((scene.client("a").count(), scene.client("b").count()), (1, 1));
}

#[tokio::test]
async fn a_terminated_leader_completes_its_exchange_before_another_one_takes_over() {
    let (scene, [first, second]) = Scene::of_two(&[LONG]).await;
    let client = scene.client("a");
    client.next(Reply::token().latency(Duration::from_secs(6)));
    scene.add("a").await;
    scene.space.wait_for("the request arrives", async || (client.in_flight() == 1).then_some(())).await;
    let before = scene.lease().await;
    stops(&first).await;
    let secret = scene.space.secret("a-token").await.expect("what was in flight is delivered");
    assert_eq!(value(&secret, "token"), client.last_token());
    scene.leads(&second).await;
    scene.assert_taken_before_its_end(&before).await;
    scene.space.wait_ready("a").await;
    scene.add("b").await;
    scene.space.wait_ready("b").await;
    assert_eq!((client.count(), client.max_in_flight()), (1, 1));
}

#[tokio::test]
async fn a_terminated_leader_keeps_the_lease_while_an_exchange_does_not_end() {
    let (scene, [first, second]) = Scene::of_two(&[LONG, ("--provider-timeout", "50s")]).await;
    let client = scene.client("a");
    client.always(Reply::hang());
    scene.add("a").await;
    scene.space.wait_for("the request arrives", async || (client.in_flight() == 1).then_some(())).await;
    let before = scene.lease().await;
    stops(&first).await;
    let after = scene.lease().await;
    assert_eq!(after.holder_identity, before.holder_identity, "the other waits until the lease expires");
    assert!(second.get("/readyz").await.unwrap().1.starts_with("standing by"));
    assert_eq!((client.count(), client.max_in_flight()), (1, 1));
}

#[tokio::test]
async fn a_leader_that_lost_its_lease_waits_for_its_exchange_as_long_as_the_lease_would_have_lasted() {
    let (scene, [first, _second]) = Scene::of_two(&[LONG, ("--provider-timeout", "50s")]).await;
    let client = scene.client("a");
    // Longer than it takes to notice the loss, a sixth of the lease, and ten seconds more.
    client.next(Reply::token().latency(Duration::from_secs(40)));
    scene.add("a").await;
    scene.space.wait_for("the request arrives", async || (client.in_flight() == 1).then_some(())).await;
    let taken = Patch::Merge(json!({"spec": {"holderIdentity": "somebody"}}));
    scene.space.leases.patch("apicredential-operator", &PatchParams::default(), &taken).await.unwrap();
    let steps_down = async || first.get("/readyz").await?.1.starts_with("standing by").then_some(());
    scene.space.wait_for("it steps down", steps_down).await;
    assert_eq!(client.in_flight(), 1);
    scene.space.wait_for("the request ends", async || (client.in_flight() == 0).then_some(())).await;
    assert!(first.is_running(), "{}", first.output());
    assert_eq!(scene.space.secret("a-token").await, None, "who does not lead writes nothing");
}

#[tokio::test]
async fn after_a_kill_the_other_takes_over_and_exchanges_only_what_is_due() {
    let (scene, [first, second]) = Scene::of_two(&SHORT).await;
    scene.add("a").await;
    scene.space.wait_ready("a").await;
    let before = scene.lease().await;
    first.kill();
    scene.leads(&second).await;
    let after = scene.lease().await;
    assert_eq!(after.lease_transitions, before.lease_transitions.map(|count| count + 1));
    assert!(after.acquire_time.unwrap().0 >= end_of(&before), "it was taken before its time was over");
    scene.add("b").await;
    scene.space.wait_ready("b").await;
    assert_eq!((scene.client("a").count(), scene.client("b").count()), (1, 1));
    let audit = scene.space.audit().await.by(&scene.accounts[1].user);
    let about_a = audit.only(|call| call.is_write() && call.name.starts_with("a"));
    assert_eq!(about_a.without("leases").calls(), [], "nothing is due and nothing is to be reported");
}

#[tokio::test]
async fn a_leader_stopped_for_longer_than_its_lease_writes_nothing_when_it_continues() {
    let (scene, [first, second]) = Scene::of_two(&SHORT).await;
    let client = scene.client("a");
    client.next(Reply::token().latency(Duration::from_secs(6)));
    scene.add("a").await;
    scene.space.wait_for("the request arrives", async || (client.in_flight() == 1).then_some(())).await;
    first.pause();
    scene.leads(&second).await;
    scene.space.wait_ready("a").await;
    let newer = scene.space.secret("a-token").await.unwrap();
    assert_eq!((client.count(), value(&newer, "token")), (2, client.last_token()));
    first.resume();
    let steps_down = async || {
        let standing_by = first.get("/readyz").await.is_some_and(|(_, text)| text.starts_with("standing by"));
        (standing_by || !first.is_running()).then_some(())
    };
    scene.space.wait_for("the ex-leader steps down", steps_down).await;
    // There is a leader, and it is not the former one.
    scene.add("b").await;
    scene.space.wait_ready("b").await;
    assert_eq!(scene.space.secret("a-token").await.unwrap(), newer);
    let audit = scene.space.audit().await.by(&scene.accounts[0].user).without("leases");
    assert_eq!(audit.writes(), 0, "{audit}");
    assert_eq!((client.count(), client.max_in_flight(), scene.client("b").count()), (2, 1, 1));
}

/// A short lease, and an exchange that fits into half of it.
const SHORT: [(&str, &str); 2] = [("--lease-duration", "40s"), ("--provider-timeout", "10s")];

/// A namespace with a mock provider and two accounts, so that the audit log distinguishes the operators.
struct Scene {
    space: Space,
    mock_provider: MockProvider,
    accounts: [Account; 2],
}

impl Scene {
    /// The first operator leads, the second is a standby.
    async fn of_two(flags: &[(&str, &str)]) -> (Self, [Operator; 2]) {
        let space = Space::new().await;
        let rules = operator_rules();
        let accounts = [space.account("first", &rules).await, space.account("second", &rules).await];
        let scene = Self { space, mock_provider: MockProvider::start(), accounts };
        let settings = flags
            .iter()
            .fold(Settings::new(&scene.space, &scene.mock_provider).patient(), |settings, (flag, value)| {
                settings.flag(flag, value)
            });
        let first = settings.clone().kubeconfig(&scene.accounts[0].kubeconfig).start().await;
        scene.leads(&first).await;
        let second = settings.kubeconfig(&scene.accounts[1].kubeconfig).start().await;
        let stands_by = async || second.get("/readyz").await?.1.starts_with("standing by").then_some(());
        scene.space.wait_for("the second stands by", stands_by).await;
        (scene, [first, second])
    }

    fn client(&self, name: &str) -> Client {
        self.mock_provider.welkin(&self.space.unique(name))
    }

    async fn add(&self, name: &str) {
        self.space.source_welkin(&format!("{name}-source"), "a secret of a source").await;
        self.space.apply(&space::welkin(name, &self.client(name), &self.mock_provider)).await;
    }

    async fn leads(&self, operator: &Operator) {
        let leads = async || (operator.get("/readyz").await? == (200, "leading\n".to_owned())).then_some(());
        self.space.wait_for("the operator leads", leads).await;
    }

    async fn lease(&self) -> LeaseSpec {
        let lease = self.space.leases.get("apicredential-operator").await.expect("the lease exists");
        lease.spec.expect("it has a holder")
    }

    /// From the record alone: the next holder took it before the former one's time was over.
    async fn assert_taken_before_its_end(&self, before: &LeaseSpec) {
        let after = self.lease().await;
        assert_ne!(after.holder_identity, before.holder_identity);
        assert_eq!(after.lease_transitions, before.lease_transitions.map(|count| count + 1));
        assert!(after.acquire_time.unwrap().0 < end_of(before), "it waited for the end of the lease");
    }
}

/// SIGTERM: it exits with 0, and by its own log as soon as documented.
async fn stops(operator: &Operator) {
    assert_eq!(operator.terminate(GRACE).await.code(), Some(0), "{}", operator.output());
    let log = operator.log();
    let [signalled, stopped] = ["shutting down", "stopped"].map(|message| {
        let line = log.iter().find(|line| line["message"] == message).expect("it is logged");
        line["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap()
    });
    assert!(stopped.duration_since(signalled) < STOPS_WITHIN, "from {signalled} to {stopped}");
}

fn end_of(lease: &LeaseSpec) -> Timestamp {
    let renewed = lease.renew_time.as_ref().unwrap().0;
    renewed + Duration::from_secs(lease.lease_duration_seconds.unwrap().try_into().unwrap())
}
