//! The blocks of one page in one shell, as a reader would type them.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::page::{Block, Kind, Page, is_printed, repository};
use crate::support::process::Process;
use crate::support::random;
use crate::support::reaper;

/// For all blocks of a page. Only a failing one uses it up.
const WITHIN: Duration = Duration::from_secs(540);

/// The input for `read` and programs that prompt: a secret that is used nowhere else.
const TYPED: &str = "a made-up secret, typed manually\n";

/// A page's shell, with a copy of the repository's files to work in.
pub struct Session {
    folder: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
}

impl Session {
    /// A session in this namespace.
    pub fn new(kubeconfig: &Path, namespace: &str) -> Self {
        let folder = reaper::directory().join(format!("docs-{}", random::suffix()));
        fs::create_dir_all(folder.join("home")).expect("a folder");
        for part in ["crds", "deploy", "docs"] {
            copy(&repository().join(part), &folder.join("work").join(part));
        }
        let mut config: Value =
            serde_json::from_str(&fs::read_to_string(kubeconfig).expect("a kubeconfig")).expect("it is JSON");
        config["contexts"][0]["context"]["namespace"] = namespace.into();
        let kubeconfig = folder.join("kubeconfig");
        fs::write(&kubeconfig, config.to_string()).expect("a kubeconfig can be written");
        fs::write(folder.join("typed"), TYPED.repeat(20)).expect("a file");
        Self { folder, kubeconfig, namespace: namespace.to_owned() }
    }

    /// Runs the page. Returns what went wrong, with the line.
    pub async fn run(&self, page: &Page) -> Result<(), String> {
        let script = self.folder.join("script");
        fs::write(&script, self.script(page)).expect("a script can be written");
        let mut command = Command::new("bash");
        command.arg("-eu").arg(&script).current_dir(self.folder.join("work"));
        command.env_clear().env("PATH", path()).env("HOME", self.folder.join("home")).env("LANG", "C.UTF-8");
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBERC", "off")
            .env("GIVEN", repository().join("tests/docs/given"))
            .env("CRDS", crds());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start("bash", &mut command).map_err(|error| error.to_string())?;
        let ended = process.ended(WITHIN).await;
        let text = |name: String| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        let at = text("at".to_owned());
        let at = at.trim();
        if !ended.is_some_and(|status| status.success()) {
            let how = ended.map_or_else(|| format!("not ended within {WITHIN:?}"), |status| status.to_string());
            let (out, err) = (text(format!("{at}.out")), text(format!("{at}.err")));
            return Err(format!("{}, the block at line {at}: {how}\n{out}{err}", page.path));
        }
        for block in &page.blocks {
            let printed = text(format!("{}.out", block.line));
            let missing = block.prints.iter().find(|shown| !shown.trim().is_empty() && !is_printed(shown, &printed));
            if let (Some(missing), None) = (missing, &block.needs) {
                return Err(format!("{}, line {}: not printed: {missing}\nbut:\n{printed}", page.path, block.line));
            }
        }
        Ok(())
    }

    fn script(&self, page: &Page) -> String {
        let mut script = format!("exec <'{}/typed'\n", self.folder.display());
        let mut step = |name: &str, text: &str| {
            let folder = self.folder.display();
            // In this shell and not in a subshell: later blocks use the variables of earlier ones.
            writeln!(
                script,
                "echo {name} >'{folder}/at'\n{{ {text}\n}} >'{folder}/{name}.out' 2>'{folder}/{name}.err'"
            )
            .expect("a String takes everything");
        };
        // Pods are rejected until the namespace has its service account.
        step("account", "until kubectl get serviceaccount default; do sleep 0.2; done");
        for given in page.given.iter().filter(|given| *given != EMPTY_CLUSTER) {
            step(given, &format!("source \"$GIVEN/{given}.sh\""));
        }
        for block in &page.blocks {
            step(&block.line.to_string(), &self.commands(block));
        }
        script
    }

    fn commands(&self, block: &Block) -> String {
        let dry = "kubectl apply --dry-run=server --validate=strict";
        match (block.kind, &block.needs) {
            (Kind::Shell, None) => filled_in(&block.text, &self.namespace),
            (Kind::Shell, Some(_)) => {
                let files = applied(&block.text);
                let mut commands = String::from(":\n");
                commands.extend(files.iter().map(|file| format!("{dry} -f {file}\n")));
                if let Some(template) = rendered(&block.text) {
                    writeln!(commands, "{template} >rendered.yaml\n{dry} -f rendered.yaml")
                        .expect("a String takes everything");
                }
                commands
            }
            (Kind::Yaml, _) => {
                let file = self.folder.join(format!("{}.yaml", block.line));
                fs::write(&file, &block.text).expect("a manifest can be written");
                let mut commands = String::from(":\n");
                let name = block.text.lines().next().and_then(|line| line.strip_prefix("# "));
                if let Some(name) = name.filter(|name| name.ends_with(".yaml")) {
                    writeln!(commands, "cp '{}' {name}", file.display()).expect("a String takes everything");
                }
                match content(&block.text) {
                    Content::Part => Ok(()),
                    Content::Objects => writeln!(commands, "{dry} -f '{}'", file.display()),
                    // Its resources are relative to its own folder.
                    Content::Kustomization => writeln!(commands, "{dry} -k ."),
                }
                .expect("a String takes everything");
                commands
            }
        }
    }
}

/// The name of the control plane that a page has for itself.
pub const EMPTY_CLUSTER: &str = "empty-cluster";

/// The content of a YAML block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Manifests.
    Objects,
    /// Input of kustomize, whose kind no API server knows.
    Kustomization,
    /// Part of a manifest or of something else.
    Part,
}

pub fn content(text: &str) -> Content {
    let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    if !objects.iter().all(|object| object["apiVersion"].is_string() && object["kind"].is_string()) {
        Content::Part
    } else if objects.iter().any(|object| object["apiVersion"] == "kustomize.config.k8s.io/v1beta1") {
        Content::Kustomization
    } else {
        Content::Objects
    }
}

/// The result of the manifests of a block that is not run.
pub fn tried(block: &Block) -> String {
    match block.kind {
        Kind::Yaml if content(&block.text) == Content::Part => "read only: a part of a manifest".to_owned(),
        Kind::Yaml => "applied with --dry-run=server".to_owned(),
        Kind::Shell if rendered(&block.text).is_some() => {
            "what the chart renders is applied with --dry-run=server".to_owned()
        }
        Kind::Shell => match applied(&block.text).join(" ") {
            files if files.is_empty() => "it applies no manifest".to_owned(),
            files => format!("applied with --dry-run=server: {files}"),
        },
    }
}

/// The files of the repository that a block would apply.
fn applied(text: &str) -> Vec<&str> {
    if !["kubectl apply", "kubectl create -f"].iter().any(|command| text.contains(command)) {
        return Vec::new();
    }
    let words = text.split([' ', '\n']).filter(|word| word.starts_with("deploy/") || word.starts_with("crds/"));
    words.filter(|word| repository().join(word).exists()).collect()
}

/// The command that renders what a block would install with Helm.
fn rendered(text: &str) -> Option<String> {
    let install = ["helm upgrade --install ", "helm install "].into_iter().find(|install| text.starts_with(install))?;
    Some(format!("helm template {}", text.strip_prefix(install)?))
}

/// The runbooks are about any ApiCredential; here it is the one that is set up.
fn filled_in(text: &str, namespace: &str) -> String {
    let mut filled = String::new();
    for word in text.split_inclusive(|letter: char| !letter.is_ascii_uppercase() && letter != '_' && letter != '$') {
        let end = word.trim_end_matches(|letter: char| !letter.is_ascii_uppercase() && letter != '_' && letter != '$');
        let rest = &word[end.len()..];
        filled.push_str(match end {
            "NAMESPACE" => namespace,
            "NAME" => "welkin",
            "SOURCE" => "welkin-client",
            other => other,
        });
        filled.push_str(rest);
    }
    filled
}

fn path() -> String {
    static KUBECTL: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let kubectl = KUBECTL.get_or_init(|| built(&["tests/control-plane/build.sh", "kubectl"]));
    static HELM: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let helm = Path::new(HELM.get_or_init(|| built(&["tests/tools/build.sh", "helm"]))).parent().expect("a folder");
    let ours = crate::support::plugin::plugin().parent().expect("a folder").display();
    format!("{ours}:{kubectl}:{}:{}", helm.display(), std::env::var("PATH").unwrap_or_default())
}

/// The CRDs of Argo CD, External Secrets and Flux.
fn crds() -> &'static str {
    static CRDS: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    CRDS.get_or_init(|| built(&["tests/docs/crds/build.sh"]))
}

/// The path that a script of the repository prints, of what it finds or builds.
fn built(command: &[&str]) -> String {
    let mut script = Command::new(repository().join(command[0]));
    let output = script.args(&command[1..]).stderr(Stdio::inherit()).output().expect("the script runs");
    assert!(output.status.success(), "{command:?}: see above");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a file can be copied");
        }
    }
}

#[test]
fn what_stands_for_a_name_is_filled_in_as_a_word() {
    let filled = filled_in("kubectl -n NAMESPACE get NAME \"$NAME\" NAMES '\"name\":\"NAME\"'", "care");
    assert_eq!(filled, "kubectl -n care get welkin \"$NAME\" NAMES '\"name\":\"welkin\"'");
}

#[test]
fn a_yaml_block_is_what_its_objects_are() {
    for (text, expected) in [
        ("apiVersion: v1\nkind: Secret", Content::Objects),
        ("apiVersion: v1\nkind: Secret\n---\nspec: {}", Content::Part),
        ("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization", Content::Kustomization),
        ("apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization", Content::Objects),
        ("metadata: {}", Content::Part),
    ] {
        assert_eq!(content(text), expected, "{text}");
    }
}

#[test]
fn what_helm_would_install_is_rendered() {
    assert_eq!(rendered("helm install a chart \\\n  --set b=c").unwrap(), "helm template a chart \\\n  --set b=c");
    assert_eq!(rendered("helm upgrade --install a chart").unwrap(), "helm template a chart");
    assert_eq!(rendered("helm uninstall a"), None);
}

#[test]
fn the_files_of_a_block_that_is_not_run_are_found() {
    assert_eq!(
        applied("kubectl apply -f crds/\nkubectl apply -f deploy/install.yaml"),
        ["crds/", "deploy/install.yaml"]
    );
    assert_eq!(applied("sed s/a/b/ deploy/install.yaml | kubectl apply -f -"), ["deploy/install.yaml"]);
    assert_eq!(applied("kubectl delete -f crds/"), Vec::<&str>::new());
}
