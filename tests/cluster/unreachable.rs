//! Providers that cannot be reached, or not safely: no connection, unknown host name, invalid certificates.

use std::net::{Ipv4Addr, SocketAddr};

use apicredential::api::Provider::Welkin;
use serde_json::json;
use tokio::net::TcpSocket;

use crate::hostile::{self, FIRST, SECOND};
use crate::support::provider::{Front, MockProvider};
use crate::support::space::{self, Space};

/// A loopback port on which nothing listens, and nothing else can while the socket is held.
fn closed_port() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, format!("https://localhost:{port}"))
}

/// A mock provider on a port that no other connection of this machine takes while nothing listens there.
fn at_a_lasting_address() -> (MockProvider, SocketAddr) {
    let ports = 30_000..32_000;
    let mut addresses = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let listening = addresses.find_map(|address| Some((MockProvider::listen(address, Front::Trusted).ok()?, address)));
    listening.expect("one of the ports is free")
}

#[tokio::test]
async fn each_unreachable_or_unsafe_endpoint_has_its_own_reason_and_gets_no_secret() {
    let space = Space::new().await;
    let fronts = [
        ("self-signed", Front::SelfSigned, "TlsFailed", "Stalled"),
        ("wrong-host", Front::WrongHost, "TlsFailed", "Stalled"),
        ("expired", Front::Expired, "TlsFailed", "Stalled"),
        ("cut", Front::Cut, "ConnectionFailed", "Reconciling"),
    ];
    let fronts = fronts.map(|(name, front, reason, trouble)| (name, MockProvider::with_front(front), reason, trouble));
    let mock_providers: Vec<&MockProvider> = fronts.iter().map(|(_, mock_provider, ..)| mock_provider).collect();
    let (_held, closed) = closed_port();
    let unknown = "https://name.invalid".to_owned();
    let settings = hostile::patient(&space, mock_providers[0]).endpoints(&mock_providers, &[&closed, &unknown]);
    let _operator = settings.start().await;

    let mut cases: Vec<_> = fronts
        .iter()
        .map(|(name, mock_provider, reason, trouble)| (*name, mock_provider.origin(), *reason, *trouble))
        .collect();
    cases.push(("closed", closed, "ConnectionFailed", "Reconciling"));
    cases.push(("unknown", unknown, "DnsFailed", "Reconciling"));
    for (name, origin, ..) in &cases {
        hostile::source(&space, Welkin, name, FIRST).await;
        let mut manifest = space::welkin(name, &mock_providers[0].welkin(name), mock_providers[0]);
        manifest["spec"]["provider"]["welkin"]["endpoint"] = json!(origin);
        space.apply(&manifest).await;
    }
    for (name, _, reason, trouble) in cases {
        let credential = space.wait_condition(name, "Ready", &format!("False/{reason}")).await;
        assert_eq!(space::condition(&credential, trouble), Some(format!("True/{reason}")), "{name}");
        assert_eq!(hostile::status(&credential).failed_attempts, Some(1), "{name}");
        let (last, next) = hostile::last_and_next(&credential);
        let full = if reason == "TlsFailed" { 12 * 300 } else { 300 };
        let delay = next.as_second() - last.as_second();
        assert!((full / 2..=full + 60).contains(&delay), "{name}: the next attempt comes after {delay} s");
        assert!(space.secret(&format!("{name}-token")).await.is_none());
    }
    for (name, mock_provider, ..) in &fronts {
        assert_eq!(mock_provider.total(), 0, "{name} was sent a request");
        assert!(mock_provider.connections() > 0, "{name} was not even tried");
    }
    space.assert_no_leaks(&hostile::sentinels()).await;
}

#[tokio::test]
async fn the_last_good_token_outlives_a_provider_that_goes_away_and_comes_back_as_another() {
    let (space, (mock_provider, address)) = (Space::new().await, at_a_lasting_address());
    let _operator = hostile::patient(&space, &mock_provider).start().await;
    let client = hostile::client(&mock_provider, Welkin, "a");
    hostile::credential(&space, &mock_provider, &client, Welkin, "a").await;
    space.wait_condition("a", "Ready", "True/TokenValid").await;
    let before = space.secret("a-token").await;

    drop(mock_provider);
    hostile::source(&space, Welkin, "a", SECOND).await;
    space.wait_condition("a", "Renewed", "False/ConnectionFailed").await;
    let impostor = MockProvider::listen(address, Front::SelfSigned).unwrap();
    hostile::source(&space, Welkin, "a", hostile::THIRD).await;
    let credential = space.wait_condition("a", "Renewed", "False/TlsFailed").await;
    assert_eq!(space::condition(&credential, "Ready").as_deref(), Some("True/RenewalFailing"));
    assert_eq!(space.secret("a-token").await, before);
    assert_eq!(impostor.total(), 0, "an unknown server got a request");
    drop(impostor);
    let impostor = MockProvider::listen(address, Front::WrongHost).unwrap();
    hostile::source(&space, Welkin, "a", SECOND).await;
    let asked = async || (impostor.connections() > 0).then_some(());
    space.wait_for("the next attempt", asked).await;
    space.wait_condition("a", "Renewed", "False/TlsFailed").await;
    assert_eq!(space.secret("a-token").await, before);
    assert_eq!(impostor.total(), 0, "an unknown server got a request");
    space.assert_no_leaks(&hostile::sentinels()).await;
}
