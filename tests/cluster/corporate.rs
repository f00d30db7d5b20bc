//! Corporate networks: a proxy that requires a login, and an internal CA. Both may change while the operator runs.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::fixture::Scene;
use crate::support::operator::Settings;
use crate::support::provider::MockProvider;
use crate::support::proxy::Proxy;
use crate::support::space::poll;
use crate::support::{reaper, space};

const LOGIN: &str = "operator:a proxy's password 5c1d";

#[tokio::test]
async fn every_exchange_goes_through_the_configured_proxy_and_no_other() {
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
    // The proxy resolves the name. The tunnel carries TLS to the provider.
    let origin = scene.mock_provider.origin();
    assert_eq!(named.targets(), [origin.trim_start_matches("https://")]);
}

#[tokio::test]
async fn a_login_that_the_proxy_rejects_is_a_failed_connection_and_its_file_is_read_again_when_it_changes() {
    let scene = Scene::new().await;
    let proxy = Proxy::start(Some(LOGIN)).await;
    let file = file("login", b"operator:not the password\n");
    let settings = scene.operator().eager().flag("--provider-proxy", &proxy.origin());
    let operator = settings.flag("--provider-proxy-credentials-file", file.to_str().unwrap()).start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_condition("a", "Ready", "False/ConnectionFailed").await;
    assert!(proxy.refused() >= 1);
    assert_eq!((client.count(), proxy.tunnels()), (0, 0), "the secret was not sent");
    std::fs::write(&file, format!("{LOGIN}\n")).unwrap();
    scene.space.wait_ready("a").await;
    assert_eq!((client.count(), proxy.tunnels()), (1, 1));
    assert!(!operator.output().contains("a proxy's password"));
}

#[tokio::test]
async fn a_changed_ca_is_trusted_without_a_restart_and_a_broken_one_no_longer() {
    let scene = Scene::new().await;
    let another = MockProvider::start();
    let pem = |of: &MockProvider| std::fs::read_to_string(of.ca_file()).unwrap();
    let ca = file("ca.pem", pem(&another).as_bytes());
    let settings = scene.operator().eager().without_flag("--provider-ca-file");
    let operator = settings.flag("--provider-ca-file", ca.to_str().unwrap()).start().await;
    let client = scene.welkin_client("a").await;
    scene.apply_welkin("a", &client).await;
    scene.space.wait_condition("a", "Ready", "False/TlsFailed").await;
    assert_eq!(client.count(), 0);

    let warnings = |text: &str| {
        let holds = |line: &Value| line["error"].as_str().is_some_and(|error| error.contains(text));
        operator.log().iter().filter(|line| holds(line)).count()
    };
    let warned = async |text: &str| {
        let once = poll(space::DEADLINE, async || (warnings(text) >= 1).then_some(())).await;
        assert!(once.is_some(), "{text}: {}", operator.output());
    };
    // The one that it needs is between two that cannot be read.
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(&ca, format!("{bad}{}{bad}", pem(&scene.mock_provider))).unwrap();
    scene.space.wait_ready("a").await;
    assert_eq!(client.count(), 1);
    for position in ["certificate 1 in", "certificate 3 in"] {
        warned(position).await;
    }

    // It is no longer trusted, without a restart of the operator.
    std::fs::write(&ca, "").unwrap();
    warned("contains no valid PEM certificate").await;
    scene.request_renewal("a", "without its CA").await;
    scene.space.wait_until("a", "not renewed", |it| json!(it.status).to_string().contains("TlsFailed")).await;
    assert_eq!(client.count(), 1);

    // The failure has handled the request. With the CA restored, the next one gets a token.
    std::fs::write(&ca, pem(&scene.mock_provider)).unwrap();
    let read_again = async || {
        let changes = operator.output().matches("its new content is in use").count();
        (changes >= 3).then_some(())
    };
    scene.space.wait_for("the CA file is read again", read_again).await;
    scene.request_renewal("a", "with its CA").await;
    scene.wait_answered("a", "with its CA").await;
    assert_eq!(client.count(), 2);
    for text in ["certificate 1 in", "certificate 3 in", "contains no valid PEM certificate"] {
        assert_eq!(warnings(text), 1, "{text} is logged once");
    }
}

#[tokio::test]
async fn an_emptied_login_of_the_proxy_is_no_longer_sent() {
    let scene = Scene::new().await;
    let proxy = Proxy::start(Some(LOGIN)).await;
    let file = file("login", format!("{LOGIN}\n").as_bytes());
    let settings = scene.operator().eager().flag("--provider-proxy", &proxy.origin());
    let operator = settings.flag("--provider-proxy-credentials-file", file.to_str().unwrap()).start().await;
    let client = scene.space.first_token("a", &scene.mock_provider).await;
    assert_eq!((client.count(), proxy.tunnels(), proxy.refused()), (1, 1, 0));
    std::fs::write(&file, "").unwrap();
    let warned = async || operator.output().contains("is not one line of the form user:password").then_some(());
    scene.space.wait_for("the warning", warned).await;
    scene.request_renewal("a", "without a login").await;
    scene.space.wait_for("the proxy refuses", async || (proxy.refused() >= 1).then_some(())).await;
    assert_eq!((client.count(), scene.mock_provider.connections()), (1, 1), "nothing went past the proxy");
}

fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = reaper::directory().join(format!("{}-{name}", crate::support::random::suffix()));
    std::fs::write(&path, content).unwrap();
    path
}
