//! One request to the API server, as the fault proxy received it.

use apicredential_operator::clock;
use http::Method;
use http::request::Parts;
use jiff::Timestamp;
use reqwest::Url;
use serde_json::Value;

/// One request to the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The number of the replica that sent it, from 0.
    pub replica: usize,
    /// `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub verb: String,
    /// Plural, with the subresource: `apicredentials/status`. Events are `events`, whatever their API group.
    pub resource: String,
    /// The object's name, also in a create. For a list or watch its label selector; for an event empty.
    pub name: String,
    /// Nothing was to be stored (`dryRun=All`).
    pub dry_run: bool,
    /// The body of the request; null if it has none.
    pub body: Value,
    /// When it was read in full.
    pub received: Timestamp,
    /// When it was forwarded; `None` if it never was.
    pub forwarded: Option<Timestamp>,
    /// When the API server had responded; for a watch, when it began.
    pub committed: Option<Timestamp>,
    /// The status of the API server's response.
    pub status: Option<u16>,
    /// The object or the `Status` in the API server's response; null for lists and watches.
    pub answer: Value,
    /// What the client received.
    pub reply: ClientReply,
    /// The client hung up before it received a response.
    pub hung_up: bool,
}

/// What the client of a request received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientReply {
    /// Nothing: it hung up, was disconnected, or is still waiting.
    None,
    /// The API server's response.
    FromServer,
    /// Another response: this status, or an invalid body with it.
    Replaced(u16),
}

/// A JSON Patch as the object that it sets. The patch of a status names the resourceVersion that it is meant for.
fn as_object(body: Value) -> Value {
    let Value::Array(operations) = body else { return body };
    let mut object = Value::Object(serde_json::Map::new());
    for operation in &operations {
        let path = operation["path"].as_str().unwrap_or_default().split('/').skip(1);
        let place = path.fold(&mut object, |place, name| &mut place[name]);
        *place = operation["value"].clone();
    }
    object
}

impl Call {
    /// Parses the head and the body of a request.
    pub fn read(replica: usize, head: &Parts, body: &[u8]) -> Self {
        let path = Path::parse(head.uri.path());
        let query = |name: &str| {
            let url = Url::parse(&format!("https://api-server{}", head.uri)).ok()?;
            url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let watches = query("watch").is_some_and(|value| value == "true" || value == "1");
        let verb = match (&head.method, path.name.is_empty()) {
            (&Method::GET, false) => "get",
            (&Method::GET, true) if watches => "watch",
            (&Method::GET, true) => "list",
            (&Method::POST, _) => "create",
            (&Method::PUT, _) => "update",
            (&Method::PATCH, _) => "patch",
            (&Method::DELETE, _) => "delete",
            _ => "other",
        };
        let name = match (verb, path.resource.as_str()) {
            (_, "events") => String::new(),
            ("list" | "watch", _) => query("labelSelector").unwrap_or_default(),
            ("create", _) => body["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            _ => path.name,
        };
        Self {
            replica,
            verb: verb.to_owned(),
            resource: path.resource,
            name,
            dry_run: query("dryRun").is_some(),
            body: as_object(body),
            received: clock::now(),
            forwarded: None,
            committed: None,
            status: None,
            answer: Value::Null,
            reply: ClientReply::None,
            hung_up: false,
        }
    }

    /// Verb, resource and name, by which the site of a fault counts requests.
    pub fn kind(&self) -> (&str, &str, &str) {
        (&self.verb, &self.resource, &self.name)
    }

    /// Whether it would change something if it is forwarded.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && !self.dry_run
    }

    /// Whether it changed something.
    pub fn took_effect(&self) -> bool {
        self.is_write() && self.status.is_some_and(|status| status < 300)
    }
}

/// The parts of a resource's path.
struct Path {
    resource: String,
    name: String,
}

impl Path {
    /// `/api/v1/…` or `/apis/<group>/<version>/…`, then perhaps `namespaces/<ns>`, then the resource.
    fn parse(path: &str) -> Self {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let skip = if parts.next() == Some("api") { 1 } else { 2 };
        let rest: Vec<&str> = parts.skip(skip).collect();
        let rest = match rest[..] {
            ["namespaces", _, ref below @ ..] if !below.is_empty() => below,
            ref all => all,
        };
        let part = |place: usize| rest.get(place).copied().unwrap_or_default();
        let slash = if rest.len() > 2 { "/" } else { "" };
        Self { resource: format!("{}{slash}{}", part(0), part(2)), name: part(1).to_owned() }
    }
}
