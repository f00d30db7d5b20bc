//! The parts of a provider's URLs: origins and path segments.
//!
//! URL parsers repair malformed input such as `https:\\host`, tabs and `%2e`, each in its own way. So the characters are
//! checked before parsing, and the URL that was built is compared with the expected text.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// The longest origin that is parsed. A DNS name has at most 253 characters.
const MAX_ORIGIN: usize = 300;

/// An https origin in normal form: the host is in lower case, and port 443 is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint(String);

impl Endpoint {
    /// Parses `https://host[:port]`. Nothing may follow, not even a slash.
    ///
    /// # Errors
    /// The rule that the text breaks. The error does not contain the text.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let authority = text.strip_prefix("https://").ok_or(EndpointError::NotHttps)?;
        if text.len() > MAX_ORIGIN || authority.ends_with(':') || !authority.bytes().all(is_authority_character) {
            return Err(EndpointError::NotAnOrigin);
        }
        let url = Url::parse(text).map_err(|_| EndpointError::NotAnOrigin)?;
        if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            return Err(EndpointError::NotAnOrigin);
        }
        // The allowed characters exclude a path, userinfo, query and fragment, so the URL is its origin.
        let origin = url.origin().ascii_serialization();
        if url.as_str().strip_suffix('/') != Some(origin.as_str()) {
            return Err(EndpointError::NotAnOrigin);
        }
        Ok(Self(origin))
    }

    /// An origin in the source code of this crate, in normal form. A test parses each of them.
    pub(crate) fn from_static(origin: &'static str) -> Self {
        Self(origin.to_owned())
    }

    /// `https://host[:port]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of a path of fixed words and checked segments. `None` if the URL parser changes the path.
    pub(crate) fn join(&self, segments: &[&str]) -> Option<Url> {
        let mut url = Url::parse(&self.0).ok()?;
        url.path_segments_mut().ok()?.clear().extend(segments);
        let expected = segments.iter().fold(self.0.clone(), |path, segment| path + "/" + segment);
        (url.as_str() == expected).then_some(url)
    }
}

/// Letters, digits, dot and hyphen are for host names, colon and brackets for ports and IPv6 addresses.
fn is_authority_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Why a text is not an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The text has another scheme or none.
    #[error("an endpoint must begin with \"https://\"")]
    NotHttps,
    /// The text is not exactly an origin.
    #[error("an endpoint must be an origin, \"https://host\" or \"https://host:port\", with nothing after it")]
    NotAnOrigin,
}

/// One URL path segment of 1 to 128 characters out of `[A-Za-z0-9_-]`. None of them needs escaping, and there is no dot,
/// so a segment is never `..`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathSegment(String);

impl PathSegment {
    /// Checks the text and keeps it unchanged.
    ///
    /// # Errors
    /// The text is empty, too long, or has a character that is not allowed.
    pub fn parse(text: &str) -> Result<Self, SegmentError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SegmentError)
        }
    }

    /// The segment.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not a path segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must have 1 to 128 characters out of A-Z, a-z, 0-9, \"_\" and \"-\"")]
pub struct SegmentError;

#[cfg(test)]
mod tests;
