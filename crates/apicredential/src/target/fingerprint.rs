//! The fingerprint `v1:<spec>:<source>` of a stored token: the spec and the login for which the token was issued.
//!
//! Both parts are HMAC-SHA-256 over length-prefixed fields. The key is the token, for two reasons: someone who can only
//! read the annotations cannot use them to test guesses of the login, and a changed token or expiry is detected.

use ring::hmac;

use crate::providers::ProviderRequest;

/// The prefix of the current version. A later version must still verify fingerprints of this one.
const VERSION: &str = "v1";

/// The two parts of a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Over the identity of the request (see [`ProviderRequest::identity`]), issued-at and expires-at.
    pub spec: String,
    /// Over the values of the source Secret.
    pub source: String,
}

impl Fingerprint {
    /// The fingerprint of a token that was just issued.
    pub fn new(token: &str, request: &ProviderRequest, issued_at: &str, expires_at: &str, values: &[&str]) -> Self {
        Self { spec: spec_part(token, request, issued_at, expires_at), source: source_part(token, values) }
    }

    /// Parses the annotation. `None` if its version is unknown.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(VERSION), Some(spec), Some(source), None) => {
                Some(Self { spec: spec.to_owned(), source: source.to_owned() })
            }
            _ => None,
        }
    }

    /// The value of the annotation.
    pub fn to_text(&self) -> String {
        format!("{VERSION}:{}:{}", self.spec, self.source)
    }
}

/// The part that binds a token and its times to the spec.
pub fn spec_part(token: &str, request: &ProviderRequest, issued_at: &str, expires_at: &str) -> String {
    let mut fields = request.identity();
    fields.extend([issued_at, expires_at]);
    keyed(token.as_bytes(), "spec", &fields)
}

/// The part that binds a token to the values of the source Secret.
pub fn source_part(token: &str, values: &[&str]) -> String {
    keyed(token.as_bytes(), "source", values)
}

fn keyed(key: &[u8], domain: &str, fields: &[&str]) -> String {
    hex(&mac(key, domain, fields))
}

/// An HMAC-SHA-256.
pub type Mac = [u8; 32];

/// HMAC-SHA-256 over a domain and fields, each with its length before it.
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

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Endpoint, PathSegment};
    use crate::providers::{QontakKeys, QontakRequest, WelkinKeys, WelkinRequest};

    fn request(tenant: &str) -> ProviderRequest {
        ProviderRequest::Welkin(WelkinRequest::new(
            Endpoint::parse("https://api.live.welkincloud.io").unwrap(),
            PathSegment::parse(tenant).unwrap(),
            PathSegment::parse("client").unwrap(),
            WelkinKeys::default(),
        ))
    }

    fn qontak_request() -> ProviderRequest {
        let endpoint = Endpoint::parse("https://chat-service.qontak.com").unwrap();
        ProviderRequest::Qontak(QontakRequest::new(endpoint, QontakKeys::default()).unwrap())
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
        // Every later release must verify stored fingerprints: these bytes are part of the contract.
        assert_eq!(
            Fingerprint::new("token", &request("gh"), "2026-01-01T00:00:00Z", "never", &["s"]).to_text(),
            "v1:88fc8c5d68580e897dae49ac4e51d8bbc2941e48766803e69849995cfc1440cf:06ece707713021a8e4b67a8852ee62ec47c8b0cd479eeacaf6ca9cd407ca61f2"
        );
        assert_eq!(
            Fingerprint::new("token", &qontak_request(), "2026-01-01T00:00:00Z", "never", &["u", "p", "i", "s"])
                .to_text(),
            "v1:f6921308354a357d35037d0ea358b0986ef9aa5d27a14b6b42b42c5259b9e0b3:4297526417d79fb98d2a330a75888d356ec185152674a5d88116bfffe1c629da"
        );
    }

    #[test]
    fn an_unknown_version_is_not_parsed() {
        for text in ["", "v1", "v1:a", "v2:a:b", "v1:a:b:c"] {
            assert_eq!(Fingerprint::parse(text), None, "{text}");
        }
    }
}
