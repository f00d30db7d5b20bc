//! `create`.

use std::path::Path;

use serde_json::Value;

use crate::fixture::Scene;
use crate::support::space::{self, value};
use crate::transcript::Transcript;

#[tokio::test]
async fn a_printed_manifest_is_accepted_by_the_api_server() {
    let scene = Scene::new().await;
    let mut shell = Transcript::new("create-dry-run", &scene).without_spans();
    let welkin =
        "create welkin care --tenant gh --client-name VBOPNRYRWJIP --secret-ref welkin-client --target welkin-token";
    let welkin: Vec<&str> = welkin.split(' ').chain(["--dry-run"]).collect();
    let qontak = "create qontak chat --secret-ref qontak-login --target qontak-token --token-key access --merge \
                  --endpoint https://service-chat.qontak.com --max-age 24h --renew-before-percentage 40 --dry-run";
    let mut qontak: Vec<&str> = qontak.split_whitespace().collect();
    qontak.extend(["--data", "authorization=Bearer {token}", "--data", "expires={expiresAt}"]);
    for arguments in [&welkin, &qontak] {
        let run = shell.run(arguments).await;
        assert_eq!(run.code, 0);
        let manifest: Value = serde_saphyr::from_str(&run.stdout).unwrap();
        scene.space.apply(&manifest).await;
    }
    assert_eq!(shell.run(&[&welkin[..], &["-o", "json"]].concat()).await.code, 0);
    // The values of the source Secret are validated but not printed.
    let secret = shell.file("secret", "sentinel-secret-in-a-file\n");
    let with_file = [&welkin[..], &["--secret-file", &secret]].concat();
    let run = shell.run(&with_file).await;
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("sentinel-secret"), "{}", run.stdout);
    // The plugin rejects what the operator would reject.
    let spaces = shell.file("spaces", " sentinel-secret-in-a-file");
    assert_eq!(shell.run(&[&welkin[..], &["--secret-file", &spaces]].concat()).await.code, 2);
    let password = format!("password={secret}");
    for (name, end) in [("bom", "\u{feff}"), ("nbsp", "\u{a0}"), ("zwsp", "\u{200b}"), ("nul", "\0"), ("vt", "\u{b}")] {
        let first = shell.file(&format!("{name}-first"), &format!("{end}sentinel-secret-in-a-file"));
        let last = shell.file(&format!("{name}-last"), &format!("sentinel-secret-in-a-file{end}\n"));
        for path in [first, last] {
            assert_eq!(shell.run(&[&welkin[..], &["--secret-file", &path]].concat()).await.code, 2, "{name}");
        }
    }
    let half = [&qontak[..], &["--secret-file", &password]].concat();
    assert_eq!(shell.run(&half).await.code, 2);
    assert_eq!(shell.run(&[&qontak[..], &["--secret-file", &secret]].concat()).await.code, 2);
    assert_eq!(shell.run(&[&welkin[..], &["--secret-file", "nowhere"]].concat()).await.code, 2);
    // The keys of the source have other names, and nothing is stored in a key that would not be used.
    let renamed = [&welkin[..], &["--key", "client-secret", "--secret-file", &secret]].concat();
    let run = shell.run(&renamed).await;
    let manifest: Value = serde_saphyr::from_str(&run.stdout).unwrap();
    assert_eq!(manifest["spec"]["provider"]["welkin"]["keys"]["secret"], "client-secret");
    let unused = format!("client_id={secret}");
    assert_eq!(shell.run(&[&qontak[..], &["--secret-file", &unused]].concat()).await.code, 2);
    let own = ["--username-key", "user", "--client-id-key", "id", "--client-secret-key", "sec"];
    let run = shell.run(&[&qontak[..], &own].concat()).await;
    let manifest: Value = serde_saphyr::from_str(&run.stdout).unwrap();
    let keys = serde_json::json!({"username": "user", "clientId": "id", "clientSecret": "sec"});
    assert_eq!(manifest["spec"]["provider"]["qontak"]["keys"], keys);
    assert_eq!(shell.run(&[&welkin[..], &["--data", "header={tocken}"]].concat()).await.code, 2);
    assert_eq!(shell.run(&[&welkin[..], &["--max-age", "1d"]].concat()).await.code, 2);
    shell.check();
}

#[tokio::test]
async fn an_apicredential_is_created_together_with_its_source_and_becomes_ready() {
    let scene = Scene::new().await;
    let _operator = scene.operator().patient().start().await;
    let user = scene.mock_provider.qontak("me@example.com");
    user.accept("sentinel-password");
    let mut shell = Transcript::new("create", &scene);
    let origin = scene.mock_provider.origin();
    let username = shell.file("username", "me@example.com\n");
    let (username, endpoint) = (format!("username={username}"), origin.as_str());
    let arguments = [
        "create",
        "qontak",
        "chat",
        "--secret-ref",
        "login",
        "--target",
        "chat-token",
        "--endpoint",
        endpoint,
        "--secret-file",
        &username,
        "--secret-file",
        "password=-",
    ];
    shell.stdin("sentinel-password\n");
    assert_eq!(shell.run_in(&scene.space, &arguments).await.code, 0);
    scene.space.wait_ready("chat").await;
    assert_eq!((user.count(), value(&scene.target("chat").await, "token")), (1, user.last_token()));

    // Existing objects are not changed, and a failed command leaves nothing behind.
    shell.stdin("another-password\n");
    assert_eq!(shell.run_in(&scene.space, &arguments).await.code, 1);
    assert_eq!(value(&scene.space.secret("login").await.unwrap(), "password").as_deref(), Some("sentinel-password"));
    let mut other = arguments;
    (other[2], other[4], other[8]) = ("other", "other-login", "https://chat-service.qontak.com/path");
    shell.stdin("sentinel-password\n");
    assert_eq!(shell.run_in(&scene.space, &other).await.code, 2);
    assert!(scene.space.secret("other-login").await.is_none());
    shell.check();
}
