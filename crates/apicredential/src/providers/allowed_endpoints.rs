//! The endpoints that the operator may send logins and tokens to.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::Provider;
use crate::endpoint::{Endpoint, EndpointError};

/// The allowed endpoints of each provider: the flag `--allowed-endpoints`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedEndpoints(BTreeSet<(Provider, Endpoint)>);

impl AllowedEndpoints {
    /// Whether requests for this provider may be sent to this endpoint.
    pub fn allows(&self, provider: Provider, endpoint: &Endpoint) -> bool {
        self.0.iter().any(|(of, origin)| *of == provider && origin == endpoint)
    }
}

impl Default for AllowedEndpoints {
    /// The public endpoints of the vendors.
    fn default() -> Self {
        let of = |provider: Provider| provider.info().endpoints().map(move |endpoint| (provider, endpoint));
        Self(Provider::ALL.iter().copied().flat_map(of).collect())
    }
}

impl FromStr for AllowedEndpoints {
    type Err = AllowedEndpointsError;

    /// Parses `welkin=https://…,qontak=https://…`. A provider may occur more than once.
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
    let provider = Provider::ALL.iter().copied().find(|provider| provider.label() == name);
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

/// Why a text is not a list of allowed endpoints. Entries are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowedEndpointsError {
    /// The entry has no equals sign.
    #[error("entry {entry} must look like \"welkin=https://host\"")]
    NotAPair {
        /// The number of the entry.
        entry: usize,
    },
    /// The entry begins with the name of no provider.
    #[error("entry {entry} must begin with {}", prefixes())]
    UnknownProvider {
        /// The number of the entry.
        entry: usize,
    },
    /// The entry has no valid origin.
    #[error("entry {entry}: {source}")]
    Endpoint {
        /// The number of the entry.
        entry: usize,
        /// What is wrong with the origin.
        source: EndpointError,
    },
}

/// `"welkin=" or "qontak="`.
fn prefixes() -> String {
    let prefixes: Vec<String> = Provider::ALL.iter().map(|provider| format!("\"{}=\"", provider.label())).collect();
    prefixes.join(" or ")
}

#[cfg(test)]
mod tests;
