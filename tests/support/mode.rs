//! The mode of the chart in which the operators of this run are installed: `OPERATOR_MODE`, or `cluster`.
//!
//! They all run as the service account of that mode's rendering, with exactly its rules. Each test has a namespace of
//! its own, so the Roles of a rendering are created in that namespace, with their rules unchanged.

use std::path::Path;

use serde_json::{Value, json};

/// The name of the account, its namespace and its Roles.
pub const NAME: &str = "apicredential-operator";

/// The operator's user name in the audit log.
pub const USER: &str = "system:serviceaccount:apicredential-operator:apicredential-operator";

/// A mode of the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Permissions in all namespaces.
    Cluster,
    /// Permissions in named namespaces.
    Namespaced,
    /// Permissions on named Secrets.
    Pinned,
}

impl Mode {
    /// The mode of this run.
    pub fn of_run() -> Self {
        match std::env::var("OPERATOR_MODE").as_deref() {
            Err(_) | Ok("cluster") => Self::Cluster,
            Ok("namespaced") => Self::Namespaced,
            Ok("pinned") => Self::Pinned,
            Ok(other) => panic!("OPERATOR_MODE is {other}; it may be cluster, namespaced or pinned"),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Namespaced => "namespaced",
            Self::Pinned => "pinned",
        }
    }

    /// The objects that the chart renders for it.
    pub fn rendering(self) -> Vec<Value> {
        let path = format!("deploy/rendered/{}.yaml", self.name());
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path));
        serde_saphyr::from_multiple(&text.expect("the rendering is readable")).expect("the rendering is YAML")
    }

    /// The account, and the permissions that hold in all namespaces, with their binding.
    pub fn everywhere(self) -> Vec<Value> {
        let objects = self.rendering().into_iter().filter(|object| object["metadata"]["name"] == NAME);
        let kinds = ["Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"];
        objects.filter(|object| kinds.iter().any(|kind| object["kind"] == *kind)).collect()
    }

    /// The Roles, each once, for this namespace, and their bindings; `secrets` are the names in the rules of `pinned`.
    pub fn within(self, namespace: &str, secrets: &PinnedNames) -> Vec<Value> {
        let mut objects: Vec<Value> = Vec::new();
        for mut object in self.rendering() {
            let is_rbac = object["kind"] == "Role" || object["kind"] == "RoleBinding";
            object["metadata"]["namespace"] = json!(namespace);
            let same =
                |it: &Value| it["kind"] == object["kind"] && it["metadata"]["name"] == object["metadata"]["name"];
            if is_rbac && !objects.iter().any(same) {
                objects.push(object);
            }
        }
        if self == Self::Pinned {
            objects.iter_mut().filter(|object| object["kind"] == "Role").for_each(|role| secrets.rename(role));
        }
        objects
    }
}

/// The Secrets that `pinned` names.
#[derive(Clone, Debug, Default)]
pub struct PinnedNames {
    pub sources: Vec<String>,
    pub targets: Vec<String>,
}

impl PinnedNames {
    /// Adds the names of an ApiCredential's Secrets. Returns whether one of them is new.
    pub fn take_up(&mut self, credential: &Value) -> bool {
        let provider = &credential["spec"]["provider"];
        let source = ["welkin", "qontak"].iter().find_map(|it| provider[*it]["secretRef"]["name"].as_str());
        let target = credential["spec"]["target"]["name"].as_str();
        let mut new = false;
        for (names, name) in [(&mut self.sources, source), (&mut self.targets, target)] {
            if let Some(name) = name.filter(|name| !names.iter().any(|known| known == name)) {
                names.push(name.to_owned());
                new = true;
            }
        }
        new
    }

    /// Replaces the names of the rendering's example by these.
    fn rename(&self, role: &mut Value) {
        let rules = role["rules"].as_array_mut().into_iter().flatten();
        for rule in rules.filter(|rule| rule["resources"] == json!(["secrets"])) {
            let read = if rule["verbs"] == json!(["get"]) { self.sources.as_slice() } else { &[] };
            // Without a name a rule would apply to all Secrets.
            let names = read.iter().chain(&self.targets).map(String::as_str).chain(["none"]);
            rule["resourceNames"] = names.collect();
        }
    }
}
