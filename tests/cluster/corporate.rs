//! Corporate networks: a proxy that wants a login, and an authority of one's own; both may change while it runs.

use std::path::PathBuf;

use crate::life::Scene;
use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::proxy::Proxy;
use crate::support::space::poll;
use crate::support::{reaper, space};

const LOGIN: &str = "operator:a proxy's password 5c1d";

#[tokio::test]
async fn every_exchange_goes_through_the_proxy_that_was_named_and_through_no_other() {
    let scene = Scene::new().await;
    let (named, of_environment) = (Proxy::start(None).await, Proxy::start(None).await);
    let foreign = PathBuf::from(of_environment.origin());
    let settings = scene.operator().flag("--provider-proxy", &named.origin());
    let settings =
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"].iter().fold(settings, |it, name| it.variable(name, &foreign));
    let _operator = settings.start().await;
    let client = scene.space.first_token("a", &scene.mock_provider).await;
    assert_eq!((client.count(), named.tunnels(), of_environment.tunnels()), (1, 1, 0));
    assert_eq!(scene.mock_provider.connections(), 1, "nothing went past it");
    // The name is the proxy's to resolve; what goes through is TLS to the provider.
    let origin = scene.mock_provider.origin();
    assert_eq!(named.targets(), [origin.trim_start_matches("https://")]);
}

#[tokio::test]
async fn a_login_that_the_proxy_refuses_is_a_failed_connection_and_is_read_anew_when_its_file_changes() {
    let scene = Scene::new().await;
    let proxy = Proxy::start(Some(LOGIN)).await;
    let file = file("login", b"operator:not the password\n");
    let settings = scene.operator().eager().flag("--provider-proxy", &proxy.origin());
    let operator = settings.flag("--provider-proxy-credentials-file", file.to_str().unwrap()).start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_condition("a", "Ready", "False/ConnectionFailed").await;
    assert!(proxy.refused() >= 1);
    assert_eq!((client.count(), proxy.tunnels()), (0, 0), "the secret was shown to nobody");
    std::fs::write(&file, format!("{LOGIN}\n")).unwrap();
    scene.space.wait_ready("a").await;
    assert_eq!((client.count(), proxy.tunnels()), (1, 1));
    assert!(!operator.output().contains("a proxy's password"));
}

#[tokio::test]
async fn an_authority_that_changes_is_trusted_without_a_restart_and_one_that_is_broken_is_told_once() {
    let scene = Scene::new().await;
    let another = MockProvider::start();
    let ca = file("ca.pem", &std::fs::read(another.ca_file()).unwrap());
    let settings = scene.operator().eager().without_flag("--provider-ca-file");
    let operator = settings.flag("--provider-ca-file", ca.to_str().unwrap()).start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_condition("a", "Ready", "False/TlsFailed").await;
    assert_eq!(client.count(), 0);

    std::fs::write(&ca, "no certificate").unwrap();
    let told = || {
        operator.log().iter().filter(|line| line["message"].as_str().unwrap_or("").contains("cannot be used")).count()
    };
    let warned = poll(space::DEADLINE, async || (told() == 1).then_some(())).await;
    assert!(warned.is_some(), "{}", operator.output());
    std::fs::write(&ca, std::fs::read(scene.mock_provider.ca_file()).unwrap()).unwrap();
    scene.space.wait_ready("a").await;
    assert_eq!((client.count(), told()), (1, 1));
}

fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = reaper::directory().join(format!("{}-{name}", crate::support::random::suffix()));
    std::fs::write(&path, content).unwrap();
    path
}
