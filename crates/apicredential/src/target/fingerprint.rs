//! `v1:<spec>:<source>`: what a stored token belongs to, checkable only by who holds the token.
//!
//! Two HMAC-SHA-256 keyed by the token, over length-prefixed fields. Keyed by the token, so that reading the
//! annotations alone gives nobody a way to test guesses of the secret, and so that an edited token or expiry shows.

use ring::hmac;

use crate::plan::RequestPlan;

/// The current version's prefix; a newer one must go on verifying it.
const VERSION: &str = "v1";

/// The two parts of a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Over provider, endpoint, tenant, client name, issued-at, expires-at.
    pub spec: String,
    /// Over the values of the source.
    pub source: String,
}

impl Fingerprint {
    /// Of a token that was just issued.
    pub fn new(token: &str, request: &RequestPlan, issued_at: &str, expires_at: &str, values: &[&str]) -> Self {
        Self { spec: spec_part(token, request, issued_at, expires_at), source: source_part(token, values) }
    }

    /// Reads the annotation; none for a text of no known version.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(VERSION), Some(spec), Some(source), None) => {
                Some(Self { spec: spec.to_owned(), source: source.to_owned() })
            }
            _ => None,
        }
    }

    /// The annotation.
    pub fn to_text(&self) -> String {
        format!("{VERSION}:{}:{}", self.spec, self.source)
    }
}

/// The part that binds a token and its times to the spec.
pub fn spec_part(token: &str, request: &RequestPlan, issued_at: &str, expires_at: &str) -> String {
    let [provider, endpoint, tenant, client_name] = request.identity();
    keyed(token.as_bytes(), "spec", &[provider, endpoint, tenant, client_name, issued_at, expires_at])
}

/// The part that binds a token to the values it was exchanged for.
pub fn source_part(token: &str, values: &[&str]) -> String {
    keyed(token.as_bytes(), "source", values)
}

fn keyed(key: &[u8], domain: &str, fields: &[&str]) -> String {
    hex(&mac(key, domain, fields))
}

/// An HMAC-SHA-256.
pub type Mac = [u8; 32];

/// HMAC-SHA-256 over a domain and length-prefixed fields.
pub fn mac(key: &[u8], domain: &str, fields: &[&str]) -> Mac {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for field in std::iter::once(&domain).chain(fields) {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field.as_bytes());
    }
    let mut mac = Mac::default();
    mac.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
    mac
}

/// In lower-case digits.
fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Endpoint, PathSegment};

    fn request(tenant: &str) -> RequestPlan {
        RequestPlan::Welkin {
            endpoint: Endpoint::parse("https://api.live.welkincloud.io").unwrap(),
            tenant: PathSegment::parse(tenant).unwrap(),
            client_name: PathSegment::parse("client").unwrap(),
            key: "secret".to_owned(),
        }
    }

    #[test]
    fn a_fingerprint_shows_every_change() {
        let print = Fingerprint::new("token", &request("gh"), "a", "b", &["s"]);
        assert_eq!(Fingerprint::parse(&print.to_text()), Some(print.clone()));
        assert_eq!(print.spec, spec_part("token", &request("gh"), "a", "b"));
        assert_ne!(print.spec, spec_part("other", &request("gh"), "a", "b"));
        assert_ne!(print.spec, spec_part("token", &request("hg"), "a", "b"));
        assert_ne!(print.spec, spec_part("token", &request("gh"), "a", "c"));
        assert_eq!(print.source, source_part("token", &["s"]));
        assert_ne!(print.source, source_part("other", &["s"]));
        assert_ne!(source_part("token", &["ab", "c"]), source_part("token", &["a", "bc"]));
    }

    #[test]
    fn the_first_version_never_changes() {
        // A stored fingerprint must verify under every later release: these bytes are part of the contract.
        assert_eq!(
            Fingerprint::new("token", &request("gh"), "2026-01-01T00:00:00Z", "never", &["s"]).to_text(),
            "v1:88fc8c5d68580e897dae49ac4e51d8bbc2941e48766803e69849995cfc1440cf:06ece707713021a8e4b67a8852ee62ec47c8b0cd479eeacaf6ca9cd407ca61f2"
        );
    }

    #[test]
    fn an_unknown_version_is_not_read() {
        for text in ["", "v1", "v1:a", "v2:a:b", "v1:a:b:c"] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
