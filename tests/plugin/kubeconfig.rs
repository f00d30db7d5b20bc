//! Which kubeconfig counts, and the proxy that leads to its cluster: as for kubectl.

use std::path::{Path, PathBuf};

use kube::api::ListParams;

use crate::life::Scene;
use crate::support::proxy::Proxy;
use crate::transcript::Transcript;

/// The cluster and the context, without the user.
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

/// A scene whose API server lists ApiCredentials, which it answers with 429 right after their CRD was created.
async fn scene() -> Scene {
    let scene = Scene::new().await;
    let listed = async || scene.space.credentials.list(&ListParams::default()).await.ok().map(drop);
    scene.space.wait_for("ApiCredentials are listed", listed).await;
    scene
}

/// A session whose `KUBECONFIG` is a list: a file that does not exist, the cluster in a second and its user in a third.
fn shell(name: &'static str, scene: &Scene, cluster: &str) -> Transcript {
    let mut shell = Transcript::new(name, scene).without_spans();
    let authority = std::fs::read_to_string(scene.space.plane.directory().join("ca.crt")).unwrap();
    shell.file("one/ca.crt", &authority);
    shell.file("two/login/token", &token(&scene.space.plane.admin_kubeconfig()));
    let missing = Path::new(&shell.file("one/config", cluster)).with_file_name("missing");
    let paths = [missing, shell.file("one/config", cluster).into(), shell.file("two/config", USER).into()];
    shell.kubeconfig(&PathBuf::from(std::env::join_paths(paths).unwrap()));
    shell
}

#[tokio::test]
async fn the_files_of_a_list_are_merged_and_each_has_its_own_folder() {
    let scene = scene().await;
    let mut shell = shell("kubeconfig", &scene, &cluster(&scene.space.plane.url(), ""));
    // A proxy of the environment does not lead to this machine, so this one is not even tried.
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
async fn the_proxy_is_that_of_the_kubeconfig_else_of_the_environment_unless_no_proxy_names_the_server() {
    let scene = scene().await;
    let address = scene.space.plane.url().trim_start_matches("https://").to_owned();
    let (named, of_environment) = (Proxy::start(Some("me:p@ss")).await, Proxy::to(&address).await);
    let host = address.split(':').next().unwrap();
    // Only the proxy knows this host; its certificate is that of the real one.
    let server = "https://api-server.invalid:6443";
    let mut shell = shell("proxy", &scene, &cluster(server, &format!("tls-server-name: '{host}'")));
    shell.replace(&of_environment.origin(), "http://proxy");
    shell.variable("HTTPS_PROXY", &of_environment.origin());
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 0);
    assert_eq!(of_environment.targets(), ["api-server.invalid:6443"]);
    shell.variable("NO_PROXY", "10.0.0.0/8, .invalid");
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 4);
    assert_eq!(of_environment.tunnels(), 1);

    // NO_PROXY does not concern a proxy-url, which leads to this machine, too.
    shell.variable("NO_PROXY", "*");
    let with_login = named.origin().replace("http://", "http://me:p%40ss@");
    shell.file("one/config", &cluster(&scene.space.plane.url(), &format!("proxy-url: '{with_login}'")));
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 0);
    assert_eq!((named.tunnels(), named.refused(), of_environment.tunnels()), (1, 0, 1));
    let without_login = named.origin();
    shell.replace(&without_login, "http://other-proxy");
    shell.file("one/config", &cluster(&scene.space.plane.url(), &format!("proxy-url: '{without_login}'")));
    assert_eq!(shell.run_in(&scene.space, &["list"]).await.code, 4);
    assert_eq!(named.refused(), 1);
    shell.check();
}
