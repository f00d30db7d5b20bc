//! The files a control plane starts from: keys, tokens, kubeconfigs, the audit policy.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::super::certificates::{self, CertificateAuthority};
use super::super::random;

/// User and group of each token. The controller manager has its own, so that the audit log distinguishes it.
const USERS: [(&str, &str); 3] =
    [("admin", "system:masters"), ("controller-manager", "system:masters"), ("operator", "")];

/// What the tests count: the operator's reads and writes, once each, when they are responded to.
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
  # Whatever else it may ask for, and be refused.
  - level: Metadata
    users: ["system:serviceaccount:apicredential-operator:apicredential-operator"]
  - level: None
"#;

/// The directory of one control plane.
pub struct Files {
    directory: PathBuf,
    url: String,
    ca: String,
    audit_log: PathBuf,
}

/// The folder in which the audit logs are kept, if `OPERATOR_AUDIT` names one.
pub fn kept_audit() -> Option<PathBuf> {
    std::env::var_os("OPERATOR_AUDIT").map(PathBuf::from)
}

impl Files {
    /// Creates the directory and everything in it that the programs read.
    pub fn write(directory: PathBuf, api_server_port: u16) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let ca = CertificateAuthority::new("local control plane");
        let names = ["localhost", "127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let serving = ca.issue(&names);
        let (private, public) = certificates::key_pair();
        let tokens: BTreeMap<_, _> = USERS.iter().map(|&(user, _)| (user, random::base64url::<32>())).collect();
        let files = Self {
            audit_log: kept_audit().map_or(directory.join("audit.log"), |kept| kept.join(audit_log_name())),
            directory,
            url: format!("https://127.0.0.1:{api_server_port}"),
            ca: ca.pem().to_owned(),
        };
        files.put("ca.crt", ca.pem())?;
        files.put("serving.crt", &serving.certificate)?;
        files.put("serving.key", &serving.key)?;
        files.put("service-accounts.key", &private)?;
        files.put("service-accounts.pub", &public)?;
        files.put("audit-policy.yaml", AUDIT_POLICY)?;
        let mut lines = String::new();
        for (user, group) in USERS {
            let token = &tokens[user];
            lines.push_str(&format!("{token},{user},{user},{group}\n"));
            files.write_kubeconfig(user, token)?;
        }
        files.put("tokens.csv", &lines)?;
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
        self.audit_log.clone()
    }

    /// A kubeconfig for this user's token.
    pub fn write_kubeconfig(&self, user: &str, token: &str) -> io::Result<PathBuf> {
        self.write_kubeconfig_to(user, user, token, (&self.url, &self.ca))
    }

    /// A kubeconfig of the operator for another server, with this URL and CA.
    pub fn write_kubeconfig_through(&self, url: &str, ca: &str) -> io::Result<PathBuf> {
        let operator: Value = serde_json::from_slice(&fs::read(self.kubeconfig("operator"))?)?;
        let token = operator["users"][0]["user"]["token"].as_str().unwrap_or_default().to_owned();
        self.write_kubeconfig_to(&format!("operator-{}", random::suffix()), "operator", &token, (url, ca))
    }

    /// JSON is YAML, so a kubeconfig may be JSON.
    fn write_kubeconfig_to(&self, name: &str, user: &str, token: &str, (url, ca): (&str, &str)) -> io::Result<PathBuf> {
        let kubeconfig = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "local",
            "clusters": [{"name": "local", "cluster": {
                "server": url,
                "certificate-authority-data": BASE64_STANDARD.encode(ca),
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

/// Begins with the name of the test's program, because all of them may keep their logs in one folder.
fn audit_log_name() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    format!("{}-{}.audit", name.split('-').next().unwrap_or_default(), random::suffix())
}
