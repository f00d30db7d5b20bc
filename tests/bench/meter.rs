//! What a process has used, and its requests to the API server.
//!
//! Requests are counted from the API server's audit log, by user: exact for each client, whatever else sends requests
//! to the server. Its cost affects the ceiling's requests as ours. The server's own counters do not distinguish
//! clients.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::support::mode;

/// Kernel ticks per second; it is 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu_seconds: f64,
    pub rss_mib: f64,
    /// The part of it that is not a mapped file: the program's own code counts while it is in use.
    pub anonymous_mib: f64,
    pub peak_mib: f64,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
        // The fields after the name in parentheses; utime and stime are the 14th and 15th of all.
        let fields: Vec<&str> = stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
        let ticks = |place: usize| fields.get(place).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0)
        };
        Self {
            cpu_seconds: (ticks(11) + ticks(12)) / TICKS,
            rss_mib: value("VmRSS:") / 1024.0,
            anonymous_mib: value("RssAnon:") / 1024.0,
            peak_mib: value("VmHWM:") / 1024.0,
        }
    }
}

/// Requests of one user from some point on, by verb and resource.
#[derive(Clone, Debug, Default)]
pub struct Requests(BTreeMap<(String, String), usize>);

impl Requests {
    /// Requests for single objects. The API server's documents, read once per term, do not count.
    pub fn gets(&self) -> usize {
        self.sum(|verb, resource| verb == "get" && !resource.is_empty())
    }

    /// All but lists and watches.
    pub fn single(&self) -> usize {
        self.gets() + self.writes()
    }

    /// Pages of lists, and watches that have ended.
    pub fn lists(&self) -> usize {
        self.sum(|verb, _| verb == "list" || verb == "watch")
    }

    pub fn writes(&self) -> usize {
        self.sum(|verb, _| !matches!(verb, "get" | "list" | "watch"))
    }

    pub fn total(&self) -> usize {
        self.sum(|_, _| true)
    }

    /// `create secrets` → how often, the lease left out.
    pub fn each(&self) -> impl Iterator<Item = (String, usize)> {
        self.0
            .iter()
            .filter(|((_, resource), _)| resource != "leases")
            .map(|((verb, resource), count)| (format!("{verb} {resource}"), *count))
    }

    fn sum(&self, fits: impl Fn(&str, &str) -> bool) -> usize {
        let fitting = self.0.iter().filter(|((verb, resource), _)| resource != "leases" && fits(verb, resource));
        fitting.map(|(_, count)| count).sum()
    }
}

/// A point in the audit log.
pub struct Audit {
    log: PathBuf,
    from: u64,
}

impl Audit {
    pub fn from_now(log: &Path) -> Self {
        Self { log: log.to_owned(), from: std::fs::metadata(log).map_or(0, |log| log.len()) }
    }

    /// The requests of the operator's account since then. The log is written before a response ends, so it contains all
    /// requests with a response.
    pub fn requests(&self) -> Requests {
        let mut file = File::open(&self.log).expect("the audit log can be read");
        file.seek(SeekFrom::Start(self.from)).expect("the audit log is a file");
        let mut requests = Requests::default();
        for line in BufReader::new(file).lines().map_while(Result::ok) {
            let Ok(line) = serde_json::from_str::<AuditEvent>(&line) else { continue };
            if line.user.username == mode::USER {
                let object = line.object_ref.unwrap_or_default();
                let slash = if object.subresource.is_empty() { "" } else { "/" };
                let resource = format!("{}{slash}{}", object.resource, object.subresource);
                *requests.0.entry((line.verb, resource)).or_default() += 1;
            }
        }
        requests
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditEvent {
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
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
}
