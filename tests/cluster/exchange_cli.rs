//! The command `exchange` with the login in a source Secret: under the operator's rules, with the permissions of the
//! user.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::fixture::Scene;
use crate::support::account::operator_rules_without;
use crate::support::proxy::Proxy;
use crate::transcript::{Run, Transcript, command, file, flags};

const SECRET: &str = "+}B{KGTG6#zG%P;tQm0C";

/// Runs a user's command with this kubeconfig, without blocking the servers of the test.
async fn run(transcript: &mut Transcript, title: &str, words: &[&str]) -> Run {
    tokio::task::block_in_place(|| transcript.run(title, words, ""))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_secret_of_the_current_context_is_exchanged_under_the_operators_rules() {
    let scene = Scene::new().await;
    let (space, client) = (&scene.space, scene.mock_provider.welkin("VBOPNRYRWJIP"));
    client.accept(SECRET);
    let mut transcript = Transcript::new("from-secret", &scene.mock_provider);
    transcript.secret("the secret", SECRET);
    transcript.show(&space.name, "care");
    transcript.variable("KUBECONFIG", &space.plane.admin_kubeconfig());
    let source = format!("{}/welkin-client", space.name);
    let words = ["exchange", "welkin", "--tenant", "gh", "--client-name", "VBOPNRYRWJIP", "--from-secret", &source];

    let absent = run(&mut transcript, "no such Secret", &words).await;
    assert_eq!(absent.code, 7);
    space.source("welkin-client", None, &[("secret", SECRET)]).await;
    let unlabelled = run(&mut transcript, "a Secret without its owner's consent", &words).await;
    assert_eq!((unlabelled.code, client.count()), (7, 0));
    space.follow_kubectl(unlabelled.stderr.trim()).await;
    let exchanged = run(&mut transcript, "with consent", &words).await;
    assert_eq!((exchanged.code, client.count()), (0, 1), "{}", exchanged.stderr);
    let other_key = [&words[..], &["--key", "token"]].concat();
    let not_named = run(&mut transcript, "a key that its owner did not name", &other_key).await;
    assert_eq!((not_named.code, client.count()), (7, 1));
    space.follow_kubectl(not_named.stderr.trim()).await;
    let missing = run(&mut transcript, "a key that does not exist", &other_key).await;
    assert_eq!(missing.code, 7);
    let no_keys = serde_json::json!({"metadata": {"annotations": {"apicredential.io/source-keys": null}}});
    space.patch_secret("welkin-client", &no_keys).await;
    space.source("welkin-client", Some("welkin"), &[("secret", &format!("{SECRET}\n"))]).await;
    let line_end = run(&mut transcript, "a line end in the Secret", &words).await;
    assert_eq!(line_end.code, 7);
    space.source("welkin-client", Some("qontak"), &[("secret", SECRET)]).await;
    let of_another = run(&mut transcript, "consent to another provider", &words).await;
    assert_eq!((of_another.code, client.count()), (7, 1));
    transcript.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_in_a_secret_may_have_keys_of_its_own_and_its_token_is_verified() {
    let scene = Scene::new().await;
    let user = scene.mock_provider.qontak("somebody@example.com");
    user.accept("a password of a test").lifetime(29_823_918.0);
    let values = [("user", "somebody@example.com"), ("pass", "a password of a test")];
    scene.space.source("login", Some("qontak"), &values).await;
    let consent = serde_json::json!({"metadata": {"annotations": {"apicredential.io/source-keys": "user,pass"}}});
    scene.space.patch_secret("login", &consent).await;
    let mut transcript = Transcript::new("from-secret-qontak", &scene.mock_provider);
    transcript.secret("the password", "a password of a test");
    transcript.show(&scene.space.name, "care");
    // Without a namespace on the command line, that of the context is used.
    let kubeconfig = in_namespace(&scene.space.plane.admin_kubeconfig(), &scene.space.name);
    let path = kubeconfig.clone();
    transcript.show(&kubeconfig, "KUBECONFIG");
    let words = ["exchange", "qontak", "--from-secret", "login", "--kubeconfig", &path];
    let renamed = [&words[..], &["--username-key", "user", "--password-key", "pass", "--check"]].concat();
    let shown = ["exchange", "qontak", "--from-secret", "login", "--kubeconfig", "KUBECONFIG"];
    let shown = [&shown[..], &renamed[words.len()..]].concat();
    let run = tokio::task::block_in_place(|| {
        transcript.run_shown("keys of its own, in the context's namespace", &renamed, &shown, || None)
    });
    assert_eq!((run.code, user.count(), scene.mock_provider.token_uses()), (0, 1, (1, 0)), "{}", run.stderr);
    transcript.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_and_a_missing_cluster_are_reported() {
    let scene = Scene::new().await;
    let client = scene.mock_provider.welkin("VBOPNRYRWJIP");
    scene.space.source_welkin("welkin-client", SECRET).await;
    let mut transcript = Transcript::new("from-secret-refused", &scene.mock_provider);
    transcript.secret("the secret", SECRET);
    transcript.show(&scene.space.name, "care");
    let source = format!("{}/welkin-client", scene.space.name);
    let words = ["exchange", "welkin", "--tenant", "gh", "--client-name", "VBOPNRYRWJIP", "--from-secret", &source];
    let alone = run(&mut transcript, "no kubeconfig", &words).await;
    let account = scene.space.account("stranger", &operator_rules_without("secrets", &["get"])).await;
    transcript.variable("KUBECONFIG", &account.kubeconfig);
    let path = account.kubeconfig.display().to_string();
    transcript.show(&path.replace(&scene.space.name, "care"), "KUBECONFIG");
    let forbidden = run(&mut transcript, "no permission to read Secrets", &words).await;
    let context = run(&mut transcript, "no such context", &[&words[..], &["--context", "elsewhere"]].concat()).await;
    let nowhere = [&words[..], &["--kubeconfig", "/nowhere/config"]].concat();
    let unread = run(&mut transcript, "no such kubeconfig", &nowhere).await;
    let gone = scene.space.plane.kubeconfig_through("https://127.0.0.1:1", scene.mock_provider.ca_pem());
    transcript.variable("KUBECONFIG", &gone);
    let silent = run(&mut transcript, "no response", &words).await;
    let codes = [alone, forbidden, context, unread, silent].map(|run| run.code);
    assert_eq!((codes, client.count()), ([7; 5], 0));
    transcript.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_secret_is_read_with_kubectls_rules_for_kubeconfigs_and_proxies() {
    let scene = Scene::new().await;
    let (space, client) = (&scene.space, scene.mock_provider.welkin("VBOPNRYRWJIP"));
    client.accept(SECRET);
    space.source("welkin-client", Some("welkin"), &[("secret", SECRET)]).await;
    let address = space.plane.url().trim_start_matches("https://").to_owned();
    let proxy = Proxy::to(&address).await;
    let text = std::fs::read_to_string(space.plane.admin_kubeconfig()).unwrap();
    let mut config: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let cluster = &mut config["clusters"][0]["cluster"];
    // Only the proxy resolves this host. The certificate is that of the real API server.
    cluster["server"] = json!("https://api-server.invalid:6443");
    cluster["tls-server-name"] = json!(address.split(':').next().unwrap());
    let path = file("kubeconfig", config.to_string().as_bytes());
    let list = std::env::join_paths(["/nowhere/config", &path]).unwrap();
    let source = format!("{}/welkin-client", space.name);
    let words = ["exchange", "welkin", "--tenant", "gh", "--client-name", "VBOPNRYRWJIP", "--from-secret", &source];
    let exchange = |variables: &[(&'static str, PathBuf)]| {
        let variables = [&[("KUBECONFIG", PathBuf::from(&list))], variables].concat();
        let mut command = command(&words, &flags(&scene.mock_provider), &variables);
        tokio::task::block_in_place(|| Run::of(&command.output().unwrap()))
    };
    let of_environment = ("HTTPS_PROXY", PathBuf::from(proxy.origin()));
    let past_it = exchange(&[of_environment.clone(), ("NO_PROXY", ".invalid".into())]);
    assert_eq!((past_it.code, client.count(), proxy.tunnels()), (7, 0, 0), "{}", past_it.stderr);
    let exchanged = exchange(&[of_environment]);
    assert_eq!((exchanged.code, client.count()), (0, 1), "{}", exchanged.stderr);
    // The provider is reached as its own flags say.
    assert_eq!(proxy.targets(), ["api-server.invalid:6443"]);
}

/// The same kubeconfig, with a namespace in its context.
fn in_namespace(kubeconfig: &Path, namespace: &str) -> String {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let mut config: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    config["contexts"][0]["context"]["namespace"] = json!(namespace);
    file("kubeconfig", config.to_string().as_bytes())
}
