//! Scripted responses of the mock provider. A reply is data, made with a builder, and can be used many times.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// One response. It starts as the provider's normal one ([`Reply::token`]); each method changes one thing.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(super) latency: Duration,
    pub(super) status: Option<u16>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Content,
    pub(super) flow: Flow,
    pub(super) lifetime: Option<f64>,
    pub(super) fields: Vec<(String, Option<String>)>,
    pub(super) claims: Vec<(String, Option<String>)>,
    pub(super) disturbance: Option<(Point, Disturbance)>,
}

/// A point within an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The request was read, and nothing was done about it.
    Arrived,
    /// The token was issued, and no byte of the response was sent.
    Issued,
    /// Half of the response body was sent.
    Halfway,
}

/// What happens at that point.
#[derive(Clone)]
pub enum Disturbance {
    /// The connection is reset.
    Reset,
    /// Nothing more is sent.
    Silence,
    /// An action of the test, after which the exchange continues.
    Action(Arc<dyn Fn() + Send + Sync>),
}

impl fmt::Debug for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "Reset",
            Self::Silence => "Silence",
            Self::Action(_) => "Action",
        })
    }
}

/// What the body holds.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A token in the provider's format, after the login was checked.
    Token,
    /// The provider's own error format for this code, with this text in it.
    Error { code: String, text: String },
    /// Exactly these bytes.
    Raw(Vec<u8>),
    /// This many bytes of well-formed JSON.
    Filler(usize),
    /// A gzip stream of about 1 MB that unpacks to 1 GiB.
    GzipBomb,
}

/// How the body is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flow {
    /// At once, chunked.
    Whole,
    /// Nothing is sent, not even a header.
    Hang,
    /// This many bytes, a delay, and again.
    Drip { bytes: usize, pause: Duration },
    /// This many bytes, then the connection is closed.
    Cut { after: usize },
}

impl Reply {
    /// A new token that is valid for 3600 seconds if the login is right; otherwise the provider's rejection.
    pub fn token() -> Self {
        Self {
            latency: Duration::ZERO,
            status: None,
            headers: Vec::new(),
            body: Content::Token,
            flow: Flow::Whole,
            lifetime: Some(3600.0),
            fields: Vec::new(),
            claims: Vec::new(),
            disturbance: None,
        }
    }

    /// An error in the provider's format, whatever the login is.
    pub fn error(status: u16) -> Self {
        Self::error_with(status, "MOCK_ERROR", "The script of the mock provider requests this response.")
    }

    /// The same with a code and a text, which the operator must not repeat anywhere.
    pub fn error_with(status: u16, code: &str, text: &str) -> Self {
        let body = Content::Error { code: code.to_owned(), text: text.to_owned() };
        Self { status: Some(status), body, ..Self::token() }
    }

    /// These bytes as `application/json`, whatever the login is.
    pub fn raw(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status: Some(status), body: Content::Raw(body.into()), ..Self::token() }
    }

    /// A redirect. Its location must never receive a request.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::raw(status, "").header("location", location)
    }

    /// A body of exactly this many bytes: well-formed JSON without a token.
    pub fn filler(bytes: usize) -> Self {
        Self { status: Some(200), body: Content::Filler(bytes), ..Self::token() }
    }

    /// About 1 MB that unpacks to 1 GiB, with `Content-Encoding: gzip`.
    pub fn gzip_bomb() -> Self {
        let bomb = Self { status: Some(200), body: Content::GzipBomb, ..Self::token() };
        bomb.header("content-encoding", "gzip")
    }

    /// Accepts the request and never responds.
    pub fn hang() -> Self {
        Self { flow: Flow::Hang, ..Self::token() }
    }

    /// The token's lifetime in seconds, fractions allowed, also zero and negative.
    pub fn lifetime(mut self, seconds: f64) -> Self {
        self.lifetime = Some(seconds);
        self
    }

    /// States no expiry: no `exp` claim (Welkin), no `expires_in` (Qontak, meaning "never").
    pub fn without_expiry(mut self) -> Self {
        self.lifetime = None;
        self
    }

    /// The status code. The default alternates between 201 and 200, because both occur.
    pub fn status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    /// Sets a header, replacing the normal one of this name.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Waits before it responds.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Sets a field of the response: `("enabled", false)`, `("token", Value::Null)`, `("expires_in", "3600")`.
    pub fn field(self, name: &str, value: impl Into<Value>) -> Self {
        self.field_text(name, &value.into().to_string())
    }

    /// Sets a field to JSON text that a [`Value`] cannot hold, such as `1e400`.
    pub fn field_text(mut self, name: &str, json: &str) -> Self {
        self.fields.push((name.to_owned(), Some(json.to_owned())));
        self
    }

    /// Removes a field.
    pub fn without_field(mut self, name: &str) -> Self {
        self.fields.push((name.to_owned(), None));
        self
    }

    /// Sets a claim of a Welkin token: `("exp", 1615232027_000_i64)`.
    pub fn claim(self, name: &str, value: impl Into<Value>) -> Self {
        self.claim_text(name, &value.into().to_string())
    }

    /// Sets a claim to JSON text that a [`Value`] cannot hold.
    pub fn claim_text(mut self, name: &str, json: &str) -> Self {
        self.claims.push((name.to_owned(), Some(json.to_owned())));
        self
    }

    /// Removes a claim.
    pub fn without_claim(mut self, name: &str) -> Self {
        self.claims.push((name.to_owned(), None));
        self
    }

    /// Disturbs the exchange at that point.
    pub fn disturbed(mut self, point: Point, disturbance: Disturbance) -> Self {
        self.disturbance = Some((point, disturbance));
        self
    }

    /// Sends the body in pieces of this many bytes, with a delay after each.
    pub fn drip(mut self, bytes: usize, pause: Duration) -> Self {
        self.flow = Flow::Drip { bytes: bytes.max(1), pause };
        self
    }

    /// Closes the connection after this many bytes of the body.
    pub fn cut(mut self, after: usize) -> Self {
        self.flow = Flow::Cut { after };
        self
    }
}

/// A JSON object as text, so that it can hold values that a [`Value`] cannot. Its order is kept.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.to_owned(), value.into().to_string()));
        self
    }

    /// Applies the script's changes.
    pub fn edited(mut self, edits: &[(String, Option<String>)]) -> Self {
        for (name, value) in edits {
            let place = self.0.iter().position(|(known, _)| known == name);
            match (place, value) {
                (Some(place), Some(value)) => value.clone_into(&mut self.0[place].1),
                (Some(place), None) => drop(self.0.remove(place)),
                (None, Some(value)) => self.0.push((name.clone(), value.clone())),
                (None, None) => {}
            }
        }
        self
    }

    pub fn into_text(self) -> String {
        let members: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
        format!("{{{}}}", members.join(","))
    }
}
