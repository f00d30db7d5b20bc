//! Errors before a command does anything. Each message names the next step.

use std::path::PathBuf;

use crate::fixture::Scene;
use crate::transcript::Transcript;

#[tokio::test]
async fn an_unusable_cluster_is_reported_with_a_remedy() {
    let scene = Scene::new().await;
    let mut shell = Transcript::new("failures", &scene).without_spans();
    let namespace = ["-n", scene.space.name.as_str()];
    assert_eq!(shell.run(&["list", "--context", "production"]).await.code, 4);
    assert_eq!(shell.run(&["list", "--kubeconfig", "nowhere"]).await.code, 4);
    assert_eq!(shell.run(&[&["list", "--as", "nobody"], &namespace[..]].concat()).await.code, 4);
    assert_eq!(shell.run(&[&["renew", "a", "--as", "nobody"], &namespace[..]].concat()).await.code, 4);
    assert_eq!(shell.run(&["list", "--as-group", "nobodies"]).await.code, 2);
    // Members of system:masters have all permissions.
    let as_group = ["list", "--as", "nobody", "--as-group", "system:masters"];
    assert_eq!(shell.run(&[&as_group, &namespace[..]].concat()).await.code, 0);
    assert_eq!(shell.run(&["lisst"]).await.code, 2);
    assert_eq!(shell.run(&["list", "--expiring", "tomorrow"]).await.code, 2);
    let wrong = shell.file("wrong-login", &kubeconfig(&scene, "token: nobodys"));
    assert_eq!(shell.run(&["list", "--kubeconfig", &wrong]).await.code, 4);
    // Nothing listens on port 1.
    let text = kubeconfig(&scene, "token: nobodys").replace(&scene.space.plane.url(), "https://127.0.0.1:1");
    let away = shell.file("away", &text);
    assert_eq!(shell.run(&["doctor", "--kubeconfig", &away]).await.code, 4);
    shell.kubeconfig(&PathBuf::new());
    assert_eq!(shell.run(&["list"]).await.code, 4);
    shell.check();
}

#[tokio::test]
async fn the_help_lists_the_exit_codes() {
    let mut shell = Transcript::bare("help", PathBuf::new()).without_spans();
    assert_eq!(shell.run(&["--help"]).await.code, 0);
    assert_eq!(shell.run(&["renew", "--help"]).await.code, 0);
    shell.check();
}

fn kubeconfig(scene: &Scene, user: &str) -> String {
    let ca_file = scene.space.plane.directory().join("ca.crt");
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
         clusters: [{{name: a, cluster: {{server: \"{}\", certificate-authority: \"{}\"}}}}]\n\
         users: [{{name: a, user: {{{user}}}}}]\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\n",
        scene.space.plane.url(),
        ca_file.display()
    )
}
