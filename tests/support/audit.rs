//! Counts requests at the API server from its audit log.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde::Deserialize;

use super::space::{Space, poll};
use super::{mode, random};

/// The requests in one namespace, oldest first: Secrets, events, leases, ApiCredentials.
///
/// A watch is listed when it has ended. Requests of the namespace itself and lists over all namespaces are not here.
#[derive(Clone, Debug)]
pub struct Audit(Vec<Call>);

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `operator` for the operator's own account, `admin`, `controller-manager`, or another service account's full name.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Plural, with the subresource: `apicredentials/status`.
    pub resource: String,
    /// Empty for a list or a watch. The name of a created object is known.
    pub name: String,
    /// The status code of the response.
    pub code: u16,
    /// Whether nothing was stored (`dryRun=All`).
    pub dry_run: bool,
}

impl Call {
    pub fn is_write(&self) -> bool {
        !self.is_read()
    }

    pub fn is_read(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

impl Audit {
    /// Only the requests of this user.
    pub fn by(&self, user: &str) -> Self {
        self.only(|call| call.user == user)
    }

    /// Only the requests to this resource, such as `secrets` or `apicredentials/status`.
    pub fn to(&self, resource: &str) -> Self {
        self.only(|call| call.resource == resource)
    }

    /// Without the requests to this resource; `leases` are renewed all the time.
    pub fn without(&self, resource: &str) -> Self {
        self.only(|call| call.resource != resource)
    }

    /// Only the requests that fit.
    pub fn only(&self, fits: impl Fn(&Call) -> bool) -> Self {
        Self(self.0.iter().filter(|call| fits(call)).cloned().collect())
    }

    /// What came after an earlier reading that was filtered in the same way.
    pub fn since(&self, earlier: &Self) -> Self {
        Self(self.0[earlier.0.len()..].to_vec())
    }

    pub fn calls(&self) -> &[Call] {
        &self.0
    }

    pub fn reads(&self) -> usize {
        self.0.iter().filter(|call| call.is_read()).count()
    }

    /// Gets of single objects: what a reconcile costs, without the lists that fill the caches.
    pub fn gets(&self) -> usize {
        self.count("get")
    }

    pub fn writes(&self) -> usize {
        self.0.iter().filter(|call| call.is_write()).count()
    }

    pub fn count(&self, verb: &str) -> usize {
        self.0.iter().filter(|call| call.verb == verb).count()
    }

    /// Reads and writes by object: `secrets/welkin-token` → (1, 1).
    pub fn by_object(&self) -> BTreeMap<String, (usize, usize)> {
        let mut objects = BTreeMap::new();
        for call in &self.0 {
            let counts: &mut (usize, usize) = objects.entry(format!("{}/{}", call.resource, call.name)).or_default();
            if call.is_read() { counts.0 += 1 } else { counts.1 += 1 }
        }
        objects
    }
}

/// One line a request, for the text of a failed assertion.
impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Call { user, verb, resource, name, code, dry_run } in &self.0 {
            let dry = if *dry_run { " (dry run)" } else { "" };
            writeln!(f, "{user} {verb} {resource} {name} → {code}{dry}")?;
        }
        Ok(())
    }
}

/// Sends a request of its own and reads the log until that request is there. Earlier responses are there then, too.
pub async fn read(space: &Space) -> Audit {
    let marker = format!("audit-marker-{}", random::suffix());
    space.secrets.get_opt(&marker).await.expect("Secrets can be read");
    let probe = async || {
        let mut file = File::open(space.plane.audit_log()).ok()?;
        file.seek(SeekFrom::Start(space.audit_from)).ok()?;
        let mut log = String::new();
        file.read_to_string(&mut log).ok()?;
        log.contains(&marker).then_some(log)
    };
    let log = poll(super::space::DEADLINE, probe).await.expect("the audit log holds every request");
    let namespace = format!("/namespaces/{}/", space.name);
    let lines = log.lines().filter(|line| line.contains(&namespace) && !line.contains("audit-marker-"));
    Audit(lines.filter_map(|line| serde_json::from_str::<AuditEvent>(line).ok()).map(AuditEvent::into_call).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditEvent {
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl AuditEvent {
    fn into_call(self) -> Call {
        let object = self.object_ref.unwrap_or_default();
        let slash = if object.subresource.is_empty() { "" } else { "/" };
        Call {
            user: if self.user.username == mode::USER { "operator".to_owned() } else { self.user.username },
            verb: self.verb,
            resource: format!("{}{slash}{}", object.resource, object.subresource),
            name: object.name,
            code: self.response_status.map_or(0, |status| status.code),
            dry_run: self.request_uri.contains("dryRun="),
        }
    }
}
