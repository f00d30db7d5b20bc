//! Where a provider may be asked: origins, URL path segments, and the operator's list of allowed origins.
//!
//! A URL parser forgives (`https:\\host`, tabs, `%2e`), and what it forgives differs from parser to parser. So the
//! characters are checked first, and the URL that was built is compared with the text that was meant.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::api::Provider;

const WELKIN_LIVE: &str = "https://api.live.welkincloud.io";
const WELKIN_STAGING: &str = "https://api.stg.welkincloud.io";
const QONTAK_CHAT: &str = "https://chat-service.qontak.com";
const QONTAK_SERVICE: &str = "https://service-chat.qontak.com";

/// The longest origin that is looked at: a DNS name has at most 253 characters.
const MAX_ORIGIN: usize = 300;

/// An https origin, compared exactly after parsing: host in lower case, port 443 left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint(String);

impl Endpoint {
    /// Parses `https://host[:port]`; nothing may follow, not even a slash.
    ///
    /// # Errors
    /// ConditionValue which rule the text breaks, without repeating the text.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let authority = text.strip_prefix("https://").ok_or(EndpointError::NotHttps)?;
        if text.len() > MAX_ORIGIN || authority.ends_with(':') || !authority.bytes().all(belongs_in_authority) {
            return Err(EndpointError::NotAnOrigin);
        }
        let url = Url::parse(text).map_err(|_| EndpointError::NotAnOrigin)?;
        if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            return Err(EndpointError::NotAnOrigin);
        }
        // The characters above leave no room for a path, userinfo, query or fragment; the origin is all there is.
        let origin = url.origin().ascii_serialization();
        if url.as_str().strip_suffix('/') != Some(origin.as_str()) {
            return Err(EndpointError::NotAnOrigin);
        }
        Ok(Self(origin))
    }

    /// `https://host[:port]`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of a path of fixed words and checked segments, or nothing if the parser made anything else of it.
    pub(crate) fn join(&self, segments: &[&str]) -> Option<Url> {
        let mut url = Url::parse(&self.0).ok()?;
        url.path_segments_mut().ok()?.clear().extend(segments);
        let meant = segments.iter().fold(self.0.clone(), |path, segment| path + "/" + segment);
        (url.as_str() == meant).then_some(url)
    }
}

/// Letters, digits, dot and hyphen of a name; colon and brackets of a port or an IPv6 address.
fn belongs_in_authority(byte: u8) -> bool {
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

/// Why a text is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Another scheme, or none.
    #[error("an endpoint must begin with \"https://\"")]
    NotHttps,
    /// More or less than an origin.
    #[error("an endpoint must be an origin, \"https://host\" or \"https://host:port\", with nothing after it")]
    NotAnOrigin,
}

/// One URL path segment: `[A-Za-z0-9_-]`, 1 to 128 of them. Nothing in it needs escaping, and none of it is a dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathSegment(String);

impl PathSegment {
    /// Takes the text as it is, or not at all.
    ///
    /// # Errors
    /// The text is empty, too long, or has another character.
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

/// The text is no path segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must have 1 to 128 characters out of A-Z, a-z, 0-9, \"_\" and \"-\"")]
pub struct SegmentError;

/// At which origins each provider may be asked: the flag `--allowed-endpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedEndpoints(BTreeSet<(Provider, Endpoint)>);

impl AllowedEndpoints {
    /// Whether this provider may be asked there.
    pub fn allows(&self, provider: Provider, endpoint: &Endpoint) -> bool {
        self.0.iter().any(|(of, origin)| *of == provider && origin == endpoint)
    }

    /// The vendor's live service, asked where a spec names no endpoint. It is not exempt from the list.
    pub fn default_for(provider: Provider) -> Endpoint {
        Endpoint(match provider {
            Provider::Welkin => WELKIN_LIVE.to_owned(),
            Provider::Qontak => QONTAK_CHAT.to_owned(),
        })
    }
}

impl Default for AllowedEndpoints {
    /// The vendors' public hosts.
    fn default() -> Self {
        let hosts = [
            (Provider::Welkin, WELKIN_LIVE),
            (Provider::Welkin, WELKIN_STAGING),
            (Provider::Qontak, QONTAK_CHAT),
            (Provider::Qontak, QONTAK_SERVICE),
        ];
        Self(hosts.into_iter().map(|(provider, host)| (provider, Endpoint(host.to_owned()))).collect())
    }
}

impl FromStr for AllowedEndpoints {
    type Err = AllowedEndpointsError;

    /// Reads `welkin=https://…,qontak=https://…`; a provider may come more than once.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .enumerate()
            .map(|(index, entry)| parse_entry(index + 1, entry))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn parse_entry(entry: usize, text: &str) -> Result<(Provider, Endpoint), AllowedEndpointsError> {
    let (name, origin) = text.trim().split_once('=').ok_or(AllowedEndpointsError::NotAPair { entry })?;
    let provider = [Provider::Welkin, Provider::Qontak].into_iter().find(|provider| provider.label() == name);
    let provider = provider.ok_or(AllowedEndpointsError::UnknownProvider { entry })?;
    let endpoint = Endpoint::parse(origin).map_err(|source| AllowedEndpointsError::Endpoint { entry, source })?;
    Ok((provider, endpoint))
}

impl fmt::Display for AllowedEndpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (provider, endpoint)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}={endpoint}", provider.label())?;
        }
        Ok(())
    }
}

/// Why a text is no list of allowed endpoints; entries are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowedEndpointsError {
    /// No equals sign.
    #[error("entry {entry} must look like \"welkin=https://host\"")]
    NotAPair {
        /// Which one.
        entry: usize,
    },
    /// A name that is neither provider's.
    #[error("entry {entry} must begin with \"welkin=\" or \"qontak=\"")]
    UnknownProvider {
        /// Which one.
        entry: usize,
    },
    /// Not an origin.
    #[error("entry {entry}: {source}")]
    Endpoint {
        /// Which one.
        entry: usize,
        /// What is wrong with it.
        source: EndpointError,
    },
}

#[cfg(test)]
mod tests;
