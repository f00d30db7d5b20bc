//! What is fixed about a provider.

use crate::endpoint::Endpoint;
use crate::reason::{Reason, Refusal};

/// What is fixed about a provider. Each provider module has one as its constant `INFO`.
pub(super) struct ProviderInfo {
    /// The name of the block in the spec, and the value of the source label.
    pub(super) label: &'static str,
    /// The default names of the keys in the source Secret, in the order of the request's `source_keys`.
    pub(super) default_keys: &'static [&'static str],
    /// The endpoint of a spec that names none.
    pub(super) default_endpoint: &'static str,
    /// The other endpoints that are allowed unless the operator's flag replaces the list.
    pub(super) other_endpoints: &'static [&'static str],
    /// Whether a token without a stated expiry may expire, so that a lifetime has to be assumed. If not, it never expires.
    pub(super) has_unstated_lifetimes: bool,
    /// The path of the documented request that uses a token and changes nothing, if there is one.
    pub(super) check_path: Option<&'static [&'static str]>,
}

impl ProviderInfo {
    pub(super) fn default_endpoint(&self) -> Endpoint {
        Endpoint::from_static(self.default_endpoint)
    }

    /// All endpoints that are allowed by default.
    pub(super) fn endpoints(&self) -> impl Iterator<Item = Endpoint> {
        std::iter::once(&self.default_endpoint).chain(self.other_endpoints).copied().map(Endpoint::from_static)
    }

    /// Parses the field `endpoint` of the provider's block.
    pub(super) fn parse_endpoint(&self, text: Option<&str>) -> Result<Endpoint, Refusal> {
        let Some(text) = text else { return Ok(self.default_endpoint()) };
        Endpoint::parse(text).map_err(|_| {
            Refusal::new(
                Reason::InvalidSpec,
                format!(
                    "spec.provider.{}.endpoint must be an https origin such as https://host or https://host:8443.",
                    self.label
                ),
            )
        })
    }
}
