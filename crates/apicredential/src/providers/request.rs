//! The HTTP request for a token.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use url::Url;

use super::json;
use crate::endpoint::Endpoint;
use crate::reason::Reason;

/// A `POST` request, ready to send. It has no `Debug`, because the body contains the login.
pub struct TokenRequest {
    /// The endpoint and a path of fixed words and checked segments.
    pub url: Url,
    /// Content type, accepted content type and accepted encoding.
    pub headers: HeaderMap,
    /// JSON, which is wiped from memory when its last handle is dropped.
    pub body: Bytes,
}

impl TokenRequest {
    /// A request with a JSON body.
    pub(super) fn json(endpoint: &Endpoint, path: &[&str], body: &impl Serialize) -> Result<Self, Reason> {
        let url = endpoint.join(path).ok_or(Reason::InvalidSpec)?;
        let json = HeaderValue::from_static("application/json");
        let identity = HeaderValue::from_static("identity");
        let headers = [(CONTENT_TYPE, json.clone()), (ACCEPT, json), (ACCEPT_ENCODING, identity)];
        Ok(Self { url, headers: headers.into_iter().collect(), body: json::write(body)? })
    }
}
