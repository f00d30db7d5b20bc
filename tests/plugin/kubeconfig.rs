//! Which kubeconfig and which proxy are used. The rules are those of kubectl.

use std::path::{Path, PathBuf};

use kube::api::ListParams;

use crate::fixture::Scene;
use crate::support::proxy::Proxy;
use crate::transcript::Transcript;

/// A kubeconfig with the cluster and the context, without the user.
fn cluster(server: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: here, cluster: {{server: '{server}', certificate-authority: ca.crt, {more}}}}}]\n\
         contexts: [{{name: here, context: {{cluster: here, user: somebody}}}}]\n"
    )
}

const USER: &str = "apiVersion: v1\nkind: Config\ncurrent-context: elsewhere\n\
                    users: [{name: somebody, user: {tokenFile: login/token}}]\n";

fn token(kubeconfig: &Path) -> String {
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(kubeconfig).unwrap()).unwrap();
    config["users"][0]["user"]["token"].as_str().unwrap().to_owned()
}

/// A scene whose API server serves ApiCredentials. It returns 429 right after the CRD was created.
async fn scene() -> Scene {
    let scene = Scene::new().await;
    let listed = async || scene.space.credentials.list(&ListParams::default()).await.ok().map(drop);
    scene.space.wait_for("ApiCredentials are listed", listed).await;
    scene
}

/// A session whose `KUBECONFIG` lists three files: one that does not exist, one with the cluster, one with the user.
fn shell(name: &'static str, scene: &Scene, cluster: &str) -> Transcript {
    let mut shell = Transcript::new(name, scene).without_spans();
    let ca = std::fs::read_to_string(scene.space.plane.directory().join("ca.crt")).unwrap();
    shell.file("one/ca.crt", &ca);
    shell.file("two/login/token", &token(&scene.space.plane.admin_kubeconfig()));
    let missing = Path::new(&shell.file("one/config", cluster)).with_file_name("missing");
    let paths = [missing, shell.file("one/config", cluster).into(), shell.file("two/config", USER).into()];
    shell.kubeconfig(&PathBuf::from(std::env::join_paths(paths).unwrap()));
    shell
}

#[tokio::test]
async fn the_files_of_a_list_are_merged_and_paths_are_relative_to_their_file() {
    let scene = scene().await;
    let mut shell = shell("kubeconfig", &scene, &cluster(&scene.space.plane.url(), ""));
    // A proxy in the environment is not used for loopback addresses, so this one is never contacted.
    shell.variable("HTTPS_PROXY", "http://127.0.0.1:1");
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 0);
    assert_eq!(shell.run_in(&scene.space, &["list", "--user", "nobody"]).await.code, 4);
    assert_eq!(shell.run_in(&scene.space, &["list", "--cluster", "nowhere"]).await.code, 4);
    shell.file("two/config", &USER.replace("login/token", "login/lost"));
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 4);
    shell.file("two/config", "users: [");
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 4);
    shell.kubeconfig(Path::new("nowhere:neither"));
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 4);
    shell.check();
}

#[tokio::test]
async fn the_proxy_comes_from_the_kubeconfig_else_the_environment_unless_no_proxy_matches() {
    let scene = scene().await;
    let address = scene.space.plane.url().trim_start_matches("https://").to_owned();
    let (from_kubeconfig, from_environment) = (Proxy::start(Some("me:p@ss")).await, Proxy::to(&address).await);
    let host = address.split(':').next().unwrap();
    // Only the proxy resolves this host. The certificate is that of the real API server.
    let server = "https://api-server.invalid:6443";
    let mut shell = shell("proxy", &scene, &cluster(server, &format!("tls-server-name: '{host}'")));
    shell.replace(&from_environment.origin(), "http://proxy");
    shell.variable("HTTPS_PROXY", &from_environment.origin());
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 0);
    assert_eq!(from_environment.targets(), ["api-server.invalid:6443"]);
    shell.variable("NO_PROXY", "10.0.0.0/8, .invalid");
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 4);
    assert_eq!(from_environment.tunnels(), 1);

    // NO_PROXY does not affect proxy-url, which is also used for loopback addresses.
    shell.variable("NO_PROXY", "*");
    let with_login = from_kubeconfig.origin().replace("http://", "http://me:p%40ss@");
    shell.file("one/config", &cluster(&scene.space.plane.url(), &format!("proxy-url: '{with_login}'")));
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 0);
    assert_eq!((from_kubeconfig.tunnels(), from_kubeconfig.refused(), from_environment.tunnels()), (1, 0, 1));
    let without_login = from_kubeconfig.origin();
    shell.replace(&without_login, "http://other-proxy");
    shell.file("one/config", &cluster(&scene.space.plane.url(), &format!("proxy-url: '{without_login}'")));
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 4);
    assert_eq!(from_kubeconfig.refused(), 1);
    shell.check();
}
