//! The files a control plane starts from: keys, tokens, kubeconfigs, the audit policy.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::super::certificates::{self, Authority};
use super::super::random;

/// User and group of each token. The controller manager has its own, so that the audit log tells it apart.
const USERS: [(&str, &str); 3] =
    [("admin", "system:masters"), ("controller-manager", "system:masters"), ("operator", "")];

/// What the tests count: the operator's reads and writes, once each, when they are answered.
const AUDIT_POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
  - level: Metadata
    resources:
      - {group: "", resources: [secrets, events]}
      - {group: events.k8s.io, resources: [events]}
      - {group: coordination.k8s.io, resources: [leases]}
      - {group: apicredential.io, resources: [apicredentials, apicredentials/status]}
  - level: None
"#;

/// The directory of one control plane.
pub struct Files {
    directory: PathBuf,
    url: String,
    authority: String,
    tokens: BTreeMap<&'static str, String>,
}

impl Files {
    /// Makes the directory and everything in it that the programs read.
    pub fn write(directory: PathBuf, api_server_port: u16) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let authority = Authority::new("local control plane");
        let names = ["localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let serving = authority.issue(&names);
        let (private, public) = certificates::key_pair();
        let files = Self {
            directory,
            url: format!("https://127.0.0.1:{api_server_port}"),
            authority: authority.pem().to_owned(),
            tokens: USERS.iter().map(|&(user, _)| (user, random::base64url::<32>())).collect(),
        };
        files.put("ca.crt", authority.pem())?;
        files.put("serving.crt", &serving.certificate)?;
        files.put("serving.key", &serving.key)?;
        files.put("service-accounts.key", &private)?;
        files.put("service-accounts.pub", &public)?;
        files.put("audit-policy.yaml", AUDIT_POLICY)?;
        let mut tokens = String::new();
        for (user, group) in USERS {
            let token = &files.tokens[user];
            tokens.push_str(&format!("{token},{user},{user},{group}\n"));
            files.write_kubeconfig(user, token)?;
        }
        files.put("tokens.csv", &tokens)?;
        Ok(files)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.path(&format!("{user}.kubeconfig"))
    }

    pub fn audit_log(&self) -> PathBuf {
        self.path("audit.log")
    }

    /// A kubeconfig for this user's token.
    pub fn write_kubeconfig(&self, user: &str, token: &str) -> io::Result<PathBuf> {
        self.write_kubeconfig_to(user, user, token, (&self.url, &self.authority))
    }

    /// The operator's, by way of a server with this URL and authority.
    pub fn write_kubeconfig_by_way_of(&self, url: &str, authority: &str) -> io::Result<PathBuf> {
        let token = self.tokens.get("operator").cloned().unwrap_or_default();
        self.write_kubeconfig_to(&format!("operator-{}", random::suffix()), "operator", &token, (url, authority))
    }

    /// JSON is YAML, so a kubeconfig may be JSON.
    fn write_kubeconfig_to(
        &self,
        name: &str,
        user: &str,
        token: &str,
        (url, authority): (&str, &str),
    ) -> io::Result<PathBuf> {
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "local",
            "clusters": [{"name": "local", "cluster": {
                "server": url,
                "certificate-authority-data": BASE64_STANDARD.encode(authority),
            }}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "local", "context": {"cluster": "local", "user": user, "namespace": "default"}}],
        });
        let name = format!("{name}.kubeconfig");
        self.put(&name, &kubeconfig.to_string())?;
        Ok(self.path(&name))
    }

    fn put(&self, name: &str, content: &str) -> io::Result<()> {
        let path = self.path(name);
        fs::write(&path, content)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
    }
}
