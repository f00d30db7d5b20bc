use std::fs;

use tempfile::TempDir;

use super::*;

/// A kubeconfig with one cluster, one user and one context, all with this name. `cluster` and `user` are more fields.
fn named(name: &str, cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {name}\n\
         clusters: [{{name: {name}, cluster: {{server: 'https://{name}.example:6443', {cluster}}}}}]\n\
         users: [{{name: {name}, user: {{{user}}}}}]\n\
         contexts: [{{name: {name}, context: {{cluster: {name}, user: {name}, namespace: ''}}}}]\n"
    )
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// The environment whose `KUBECONFIG` lists these files.
    fn listing(&self, paths: &[&Path]) -> Environment {
        let kubeconfig = std::env::join_paths(paths).unwrap();
        Environment { kubeconfig, home: self.0.path().into(), proxies: None }
    }
}

async fn load_from(environment: &Environment) -> Result<Config, LoadError> {
    load(&Selection::default(), environment).await
}

fn host(config: &Config) -> &str {
    config.cluster_url.host().unwrap()
}

fn with_proxies(environment: Environment, https: &str, no_proxy: &str) -> Environment {
    let variables =
        ProxyVariables { https: https.to_owned(), no_proxy: no_proxy.to_owned(), ..ProxyVariables::default() };
    Environment { proxies: Some(variables), ..environment }
}

#[tokio::test]
async fn a_missing_file_in_the_list_is_skipped_and_the_first_file_that_sets_a_value_takes_precedence() {
    let folder = Folder::new();
    let (a, b) = (folder.write("a", &named("a", "", "token: of-a")), folder.write("b", &named("b", "", "token: of-b")));
    let again = folder.write("again", &named("a", "", "token: of-another").replace("a.example", "another.example"));
    let environment = folder.listing(&[&folder.path("missing"), &a, Path::new(""), &b, &again, &a]);
    let config = load_from(&environment).await.unwrap();
    assert_eq!((host(&config), config.default_namespace.as_str()), ("a.example", "default"));
    let selection = Selection { context: Some("b".to_owned()), ..Selection::default() };
    assert_eq!(host(&load(&selection, &environment).await.unwrap()), "b.example");
}

#[tokio::test]
async fn if_one_file_has_no_current_context_the_next_file_sets_it() {
    let folder = Folder::new();
    let first = folder.write("first", "apiVersion: v1\nkind: Config\ncurrent-context: ''\nclusters: null\n");
    let second = folder.write("second", &named("b", "", ""));
    assert_eq!(host(&load_from(&folder.listing(&[&first, &second])).await.unwrap()), "b.example");
}

#[tokio::test]
async fn without_kubeconfig_the_file_in_the_home_folder_is_read() {
    let folder = Folder::new();
    let environment = folder.listing(&[]);
    let missing = LoadError::Missing(Files(vec![folder.path(".kube/config")]));
    assert_eq!(load_from(&environment).await.unwrap_err(), missing);
    assert!(missing.is_missing());
    folder.write(".kube/config", &named("home", "", ""));
    assert_eq!(host(&load_from(&environment).await.unwrap()), "home.example");
    let nowhere = Environment::default();
    assert_eq!(load_from(&nowhere).await.unwrap_err(), LoadError::NoFile);
}

#[tokio::test]
async fn relative_paths_start_at_the_folder_of_the_file_that_contains_them() {
    let folder = Folder::new();
    let ca = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem();
    folder.write("one/ca.crt", &ca);
    folder.write("two/client.crt", "certificate");
    folder.write("two/keys/client.key", "key");
    let one = folder.write("one/config", &named("a", "certificate-authority: ca.crt", "exec: {command: bin/login}"));
    let two = folder.write(
        "two/config",
        &named(
            "b",
            "",
            "client-certificate: client.crt, client-key: keys/client.key, tokenFile: '', exec: {command: login}",
        ),
    );
    let environment = folder.listing(&[&one, &two]);
    let config = load_from(&environment).await.unwrap();
    assert_eq!(config.root_cert.map(|certificates| certificates.len()), Some(1));
    let command = config.auth_info.exec.and_then(|exec| exec.command);
    assert_eq!(command.as_deref(), folder.path("one/bin/login").to_str());
    let selection = Selection { context: Some("b".to_owned()), ..Selection::default() };
    let user = load(&selection, &environment).await.unwrap().auth_info;
    assert_eq!(user.client_certificate.as_deref(), folder.path("two/client.crt").to_str());
    assert_eq!(user.client_key.as_deref(), folder.path("two/keys/client.key").to_str());
    assert_eq!(user.token_file, None);
    assert_eq!(user.exec.and_then(|exec| exec.command).as_deref(), Some("login"), "it is searched in PATH");
}

#[tokio::test]
async fn flags_select_a_file_a_cluster_and_a_user() {
    let folder = Folder::new();
    let (a, b) = (folder.write("a", &named("a", "", "token: of-a")), folder.write("b", &named("b", "", "token: of-b")));
    let environment = folder.listing(&[&a, &b]);
    let choose = async |file: Option<&Path>, cluster: Option<&str>, user: Option<&str>| {
        let (cluster, user) = (cluster.map(str::to_owned), user.map(str::to_owned));
        load(&Selection { file: file.map(Path::to_owned), context: None, cluster, user }, &environment).await
    };
    assert_eq!(host(&choose(Some(&b), None, None).await.unwrap()), "b.example");
    let mixed = choose(None, Some("b"), Some("a")).await.unwrap();
    let token = mixed.auth_info.token.as_ref().map(|token| secrecy::ExposeSecret::expose_secret(token).to_owned());
    assert_eq!((host(&mixed), token.as_deref()), ("b.example", Some("of-a")));
    let files = || Files(vec![a.clone(), b.clone()]);
    let unknown = || "c".to_owned();
    assert_eq!(
        choose(None, Some("c"), None).await.unwrap_err(),
        LoadError::NoCluster { files: files(), name: unknown() }
    );
    let no_user = choose(None, None, Some("c")).await.unwrap_err();
    assert_eq!(no_user, LoadError::NoUser { files: files(), name: unknown() }, "it does not connect without a login");
    let gone = folder.path("gone");
    let unreadable = LoadError::Unreadable { path: gone.clone(), kind: io::ErrorKind::NotFound };
    assert_eq!(choose(Some(&gone), None, None).await.unwrap_err(), unreadable);
}

#[tokio::test]
async fn a_cluster_that_is_selected_needs_no_context() {
    let folder = Folder::new();
    let text = named("a", "", "token: of-a").replace("current-context: a\n", "");
    let environment = folder.listing(&[&folder.write("a", &text)]);
    let error = load_from(&environment).await.unwrap_err();
    assert_eq!(error, LoadError::NoCurrentContext(Files(vec![folder.path("a")])));
    let selection = Selection { cluster: Some("a".to_owned()), user: Some("a".to_owned()), ..Selection::default() };
    let config = load(&selection, &environment).await.unwrap();
    assert_eq!((host(&config), config.auth_info.token.is_some()), ("a.example", true));
}

#[tokio::test]
async fn proxy_url_takes_precedence_over_the_environment_and_no_proxy() {
    let folder = Folder::new();
    let named_proxy = folder.write("a", &named("a", "proxy-url: 'socks5://proxy.example'", ""));
    let environment = with_proxies(folder.listing(&[&named_proxy]), "http://other.example:3128", "*");
    let config = load_from(&environment).await.unwrap();
    assert_eq!(config.proxy_url.unwrap(), "socks5://proxy.example:1080/");
}

#[tokio::test]
async fn the_environments_proxy_is_used_unless_no_proxy_names_the_api_server_or_it_is_ignored() {
    let folder = Folder::new();
    let plain = folder.write("a", &named("a", "proxy-url: ''", "exec: {command: x, provideClusterInfo: true}"));
    let listed = || folder.listing(&[&plain]);
    let proxy = async |environment| {
        let config = load_from(&environment).await.unwrap();
        assert_eq!(config.auth_info.exec.unwrap().cluster.unwrap().proxy_url, None);
        config.proxy_url.map(|url| url.to_string())
    };
    assert_eq!(
        proxy(with_proxies(listed(), "proxy.example:3128", "b.example,")).await.as_deref(),
        Some("http://proxy.example:3128/")
    );
    assert_eq!(proxy(with_proxies(listed(), "proxy.example:3128", ".example")).await, None);
    assert_eq!(proxy(listed()).await, None);
    let invalid = load_from(&with_proxies(listed(), "ftp://proxy.example", "")).await.unwrap_err();
    assert_eq!(invalid, LoadError::ProxyVariable("HTTPS_PROXY"));
}

#[tokio::test]
async fn an_error_names_the_file_and_never_its_content() {
    let folder = Folder::new();
    let secret = "hunter2";
    let yaml = folder.write("yaml", &format!("kind: Config\nusers: [{{name: a, user: {{token: {secret}, {{\n"));
    let types = folder.write("types", &format!("users: [{{name: a, user: {{token: [{secret}]}}}}]\n"));
    let binary = folder.write("binary", "");
    fs::write(&binary, b"\xc3\x28").unwrap();
    let lost = folder.write("lost", &named("a", "", "client-certificate: nowhere.crt"));
    let ca_file = folder.write("authority", &named("a", "certificate-authority: nowhere.crt", ""));
    let data = folder.write("data", &named("a", &format!("certificate-authority-data: '!{secret}'"), ""));
    let server = folder.write("server", &named("a", "", "").replace("https://a.example:6443", "not a url"));
    let scheme = folder.write("scheme", &named("a", "", "").replace("https://a.example:6443", "a.example:6443"));
    let proxy = folder.write("proxy", &named("a", "proxy-url: 'proxy.example:3128'", ""));
    let none = folder.write("none", "");
    for path in [&yaml, &types, &binary, &lost, &ca_file, &data, &server, &scheme, &proxy, &none] {
        let error = load_from(&folder.listing(&[path])).await.unwrap_err();
        let message = error.to_string();
        let named = if [&lost, &ca_file].contains(&path) { folder.path("nowhere.crt") } else { path.clone() };
        assert!(message.contains(named.to_str().unwrap()), "{message}");
        assert!(!message.contains(secret) && !error.remedy().is_empty(), "{message}");
    }
    let malformed = load_from(&folder.listing(&[&yaml])).await.unwrap_err();
    assert!(matches!(malformed, LoadError::Malformed { line: Some(_), .. }), "{malformed}");
}

#[tokio::test]
async fn a_kubeconfig_that_an_editor_on_windows_saved_is_read() {
    let folder = Folder::new();
    let text = named("a", "", "token: of-a").replace('\n', "\r\n");
    let utf_16 =
        |bytes: fn(u16) -> [u8; 2]| format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let contents = [format!("\u{feff}{text}").into_bytes(), utf_16(u16::to_le_bytes), utf_16(u16::to_be_bytes)];
    for (number, content) in contents.iter().enumerate() {
        let path = folder.path(&number.to_string());
        fs::write(&path, content).unwrap();
        assert_eq!(host(&load_from(&folder.listing(&[&path])).await.unwrap()), "a.example", "{number}");
    }
}
