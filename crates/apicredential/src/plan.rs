//! Checks and parses the spec into a [`Plan`], which all later steps use.
//!
//! The API server enforces the same rules through the CRD's schema. They are checked again here for objects that were
//! stored under an older schema.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{ApiCredentialSpec, CreationPolicy};
use crate::plan::metadata::Metadata;
use crate::plan::template::Template;
use crate::providers::{AllowedEndpoints, ProviderRequest};
use crate::reason::{Reason, Refusal};
use crate::schedule::Policy;

pub(crate) mod metadata;
mod renewal;
pub mod syntax;
pub mod template;
mod used_parts;

pub use metadata::{AllowedTargetMetadata, AllowedTargetMetadataError};

/// What the operator's administrator allows in a spec: the flags `--allowed-endpoints` and `--allowed-target-metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowLists {
    /// The endpoints that may receive a login.
    pub endpoints: AllowedEndpoints,
    /// The names of labels and annotations that may be written to a target Secret.
    pub target_metadata: AllowedTargetMetadata,
}

impl AllowLists {
    /// The list of these endpoints, and the default list of target metadata.
    pub fn of_endpoints(endpoints: AllowedEndpoints) -> Self {
        Self { endpoints, ..Self::default() }
    }
}

/// A valid spec, parsed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to request a token, for whom, and with which keys of the source Secret.
    pub request: ProviderRequest,
    /// The name of the source Secret.
    pub source: String,
    /// The target Secret.
    pub target: TargetPlan,
    /// When to renew the token.
    pub renewal: Policy,
    /// The minimum time between two checks of the token, in seconds. `None` if the token is not checked.
    pub verification: Option<i64>,
    /// Whether the endpoint is in the operator's list of allowed endpoints.
    pub endpoint_allowed: bool,
}

/// `spec.target`, parsed.
#[derive(Clone, Debug)]
pub struct TargetPlan {
    /// The name of the target Secret.
    pub name: String,
    /// Whether the operator creates the Secret or merges keys into an existing one.
    pub policy: CreationPolicy,
    /// The key of the raw token.
    pub token_key: String,
    /// The templates of the other keys.
    pub data: BTreeMap<String, Template>,
    /// The allowed labels of `target.metadata`.
    pub labels: BTreeMap<String, String>,
    /// The allowed annotations of `target.metadata`.
    pub annotations: BTreeMap<String, String>,
    /// Names in `target.metadata` that are not allowed.
    pub left_out: BTreeSet<String>,
}

impl TargetPlan {
    /// The keys that the operator writes. The token's key is the first.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.token_key.as_str()).chain(self.data.keys().map(String::as_str))
    }

    /// What to report about names in `target.metadata` that were left out; `None` if there are none.
    pub fn metadata_not_allowed(&self) -> Option<Refusal> {
        metadata::not_allowed(&self.left_out)
    }
}

impl Plan {
    /// Checks and parses a spec.
    ///
    /// # Errors
    /// `InvalidSpec` or `TargetIsSource`, with the field and the fix in the message.
    pub fn parse(spec: &ApiCredentialSpec, allowed: &AllowLists) -> Result<Self, Refusal> {
        let request = ProviderRequest::parse(&spec.provider)?;
        let source = spec.provider.source_name().unwrap_or_default().to_owned();
        check_source(&request, &source)?;
        let target = parse_target(spec, &request, &allowed.target_metadata)?;
        if target.name == source {
            return Err(Refusal::new(
                Reason::TargetIsSource,
                "spec.target.name names the source Secret; choose another name.",
            ));
        }
        let endpoint_allowed = allowed.endpoints.allows(request.provider(), request.endpoint());
        let renewal = renewal::parse(spec.renewal.as_ref(), request.provider())?;
        let verification = renewal::parse_verification(spec.verification.as_ref(), request.provider())?;
        Ok(Self { request, source, target, renewal, verification, endpoint_allowed })
    }

    /// Whether a token that was requested for one plan may be written for the other: both send the same request, with the
    /// same keys of the same source Secret, and write to the same target Secret.
    pub fn has_same_exchange(&self, other: &Self) -> bool {
        self.request == other.request
            && self.source == other.source
            && self.target.name == other.target.name
            && self.target.policy == other.target.policy
    }
}

fn check_source(request: &ProviderRequest, source: &str) -> Result<(), Refusal> {
    syntax::check_name(source, &format!("spec.provider.{}.secretRef.name", request.provider().label()))?;
    request.source_keys().into_iter().try_for_each(|key| syntax::check_key(&key.name, key.field))
}

fn parse_target(
    spec: &ApiCredentialSpec,
    request: &ProviderRequest,
    allowed: &AllowedTargetMetadata,
) -> Result<TargetPlan, Refusal> {
    let target = &spec.target;
    syntax::check_name(&target.name, "spec.target.name")?;
    if target.name.starts_with(HELM_RELEASE) {
        return Err(Refusal::invalid_spec(
            "spec.target.name begins with sh.helm.release.v1., as the releases of Helm do; choose another name.",
        ));
    }
    syntax::check_key(&target.token_key, "spec.target.tokenKey")?;
    let mut data = BTreeMap::new();
    for (key, text) in target.data.iter().flatten() {
        syntax::check_key(key, "each name in spec.target.data")?;
        if *key == target.token_key {
            return Err(Refusal::invalid_spec(
                "spec.target.data has the key that spec.target.tokenKey names; rename one of them.",
            ));
        }
        let template = Template::parse(text, &request.placeholders())
            .map_err(|error| Refusal::invalid_spec(format!("spec.target.data, key {key:?}: {error}")))?;
        data.insert(key.clone(), template);
    }
    let Metadata { labels, annotations, left_out } = metadata::parse(target, allowed)?;
    Ok(TargetPlan {
        name: target.name.clone(),
        policy: target.creation_policy,
        token_key: target.token_key.clone(),
        data,
        labels,
        annotations,
        left_out,
    })
}

/// Helm keeps each version of a release in a Secret whose name begins like this, and finds it by that name.
const HELM_RELEASE: &str = "sh.helm.release.v1.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_or_client_name_that_is_not_a_path_segment_is_an_invalid_spec() {
        let parse = |tenant: &str, client_name: &str| {
            let spec = serde_json::json!({
                "provider": {"type": "Welkin", "welkin": {
                    "tenant": tenant, "clientName": client_name, "secretRef": {"name": "source"},
                }},
                "target": {"name": "token"},
            });
            Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowLists::default())
        };
        assert!(parse("gh", "VBOPNRYRWJIP").is_ok());
        let long = "x".repeat(129);
        let wrong =
            ["", ".", "..", "a/b", "/", "%2e", "%2F", "a?b", "a#b", "a b", "a\n", "\na", "\u{fc}", "\u{ff41}", &long];
        for text in wrong {
            for (tenant, client_name, field) in [(text, "a", "tenant"), ("a", text, "clientName")] {
                let refusal = parse(tenant, client_name).unwrap_err();
                assert_eq!(refusal.reason, Reason::InvalidSpec, "{text:?}");
                assert!(refusal.message.contains(field), "{text:?}: {}", refusal.message);
            }
        }
    }

    #[test]
    fn verification_needs_a_provider_that_documents_a_check_and_an_interval_of_five_minutes() {
        let parse = |provider: &serde_json::Value, verification: &serde_json::Value| {
            let spec = serde_json::json!({
                "provider": provider, "target": {"name": "token"}, "verification": verification,
            });
            Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowLists::default())
        };
        let qontak = serde_json::json!({"type": "Qontak", "qontak": {"secretRef": {"name": "source"}}});
        let welkin = serde_json::json!({"type": "Welkin", "welkin": {
            "tenant": "gh", "clientName": "client", "secretRef": {"name": "source"},
        }});
        let interval = |text: &str| serde_json::json!({"interval": text});
        assert_eq!(parse(&qontak, &serde_json::Value::Null).unwrap().verification, None);
        assert_eq!(parse(&qontak, &serde_json::json!({})).unwrap().verification, Some(3600));
        assert_eq!(parse(&qontak, &interval("5m")).unwrap().verification, Some(300));
        for wrong in ["299s", "1d", "", "99999h99999h99999h1s"] {
            let refusal = parse(&qontak, &interval(wrong)).unwrap_err();
            assert_eq!(refusal.reason, Reason::InvalidSpec, "{wrong:?}");
            assert!(refusal.message.contains("spec.verification.interval"), "{}", refusal.message);
        }
        let refusal = parse(&welkin, &interval("1h")).unwrap_err();
        assert_eq!(refusal.reason, Reason::InvalidSpec);
        assert!(refusal.message.contains("Welkin") && refusal.message.contains("remove it"), "{}", refusal.message);
    }

    #[test]
    fn an_assumed_lifetime_needs_a_provider_whose_tokens_may_expire_without_saying_so() {
        let parse = |provider: &serde_json::Value| {
            let spec = serde_json::json!({
                "provider": provider, "target": {"name": "token"}, "renewal": {"assumedLifetime": "30m"},
            });
            Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowLists::default())
        };
        let welkin = serde_json::json!({"type": "Welkin", "welkin": {
            "tenant": "gh", "clientName": "client", "secretRef": {"name": "source"},
        }});
        assert_eq!(parse(&welkin).unwrap().renewal.assumed_lifetime, 1800);
        let qontak = serde_json::json!({"type": "Qontak", "qontak": {"secretRef": {"name": "source"}}});
        let refusal = parse(&qontak).unwrap_err();
        assert_eq!(refusal.reason, Reason::InvalidSpec);
        assert!(refusal.message.contains("Qontak") && refusal.message.contains("remove it"), "{}", refusal.message);
    }

    #[test]
    fn a_placeholder_needs_a_provider_that_has_it() {
        let parse = |provider: &serde_json::Value, text: &str| {
            let spec = serde_json::json!({
                "provider": provider, "target": {"name": "token", "data": {"url": text}},
            });
            Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowLists::default())
        };
        let welkin = serde_json::json!({"type": "Welkin", "welkin": {
            "tenant": "gh", "clientName": "client", "secretRef": {"name": "source"},
        }});
        let qontak = serde_json::json!({"type": "Qontak", "qontak": {"secretRef": {"name": "source"}}});
        assert!(parse(&welkin, "{endpoint}/{tenant}/{clientName}").is_ok());
        assert!(parse(&qontak, "{endpoint}/{{tenant}").is_ok());
        for text in ["{tenant}", "{clientName}"] {
            let refusal = parse(&qontak, text).unwrap_err();
            assert_eq!(refusal.reason, Reason::InvalidSpec);
            assert!(refusal.message.contains("{provider} {endpoint}, and"), "{}", refusal.message);
        }
    }

    #[test]
    fn names_and_keys_that_a_secret_cannot_have_are_an_invalid_spec() {
        let refused = |pointer: &str, text: &str| {
            let mut spec = serde_json::json!({
                "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "source"}, "keys": {"username": "u"}}},
                "target": {"name": "token", "tokenKey": "t", "data": {}, "metadata": {"labels": {"a": "b"}}},
            });
            *spec.pointer_mut(pointer).unwrap() = serde_json::json!(text);
            let refusal = Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowLists::default()).unwrap_err();
            assert_eq!(refusal.reason, Reason::InvalidSpec, "{pointer}");
            refusal.message
        };
        for (pointer, text) in [
            ("/provider/qontak/secretRef/name", "../../other/secrets/source"),
            ("/provider/qontak/keys/username", "a/b"),
            ("/target/name", "token?dryRun=All"),
            ("/target/name", "sh.helm.release.v1.planted.v1"),
            ("/target/tokenKey", "a,b"),
            ("/target/metadata/labels/a", "a b"),
        ] {
            assert!(!refused(pointer, text).contains(text), "{pointer}");
        }
    }

    #[test]
    fn exactly_the_block_that_the_type_names_must_be_set() {
        let welkin = serde_json::json!({"tenant": "gh", "clientName": "client", "secretRef": {"name": "source"}});
        let qontak = serde_json::json!({"secretRef": {"name": "source"}});
        let parse = |provider: serde_json::Value| {
            let spec = serde_json::json!({"provider": provider, "target": {"name": "token"}});
            Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowLists::default())
        };
        assert!(parse(serde_json::json!({"type": "Welkin", "welkin": welkin})).is_ok());
        assert!(parse(serde_json::json!({"type": "Qontak", "qontak": qontak})).is_ok());
        for (provider, block) in [
            (serde_json::json!({"type": "Welkin"}), "welkin"),
            (serde_json::json!({"type": "Qontak"}), "qontak"),
            (serde_json::json!({"type": "Welkin", "qontak": qontak}), "welkin"),
            (serde_json::json!({"type": "Qontak", "welkin": welkin}), "qontak"),
            (serde_json::json!({"type": "Welkin", "welkin": welkin, "qontak": qontak}), "welkin"),
            (serde_json::json!({"type": "Qontak", "welkin": welkin, "qontak": qontak}), "qontak"),
        ] {
            let refusal = parse(provider).unwrap_err();
            assert_eq!(refusal.reason, Reason::InvalidSpec);
            assert!(refusal.message.ends_with(&format!("exactly the block spec.provider.{block} must be set.")));
        }
    }

    #[test]
    fn a_changed_spec_has_the_same_exchange_unless_request_source_or_target_changed() {
        let spec = serde_json::json!({
            "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "source"}}},
            "target": {"name": "token"},
        });
        let parse = |spec: &serde_json::Value| {
            Plan::parse(&serde_json::from_value(spec.clone()).unwrap(), &AllowLists::default()).unwrap()
        };
        let plan = parse(&spec);
        let changed = |pointer: &str, value: serde_json::Value| {
            let mut spec = spec.clone();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            spec.pointer_mut(parent).unwrap()[field] = value;
            parse(&spec)
        };
        for (pointer, value) in [
            ("/target/tokenKey", serde_json::json!("other")),
            ("/renewal", serde_json::json!({"maxAge": "1h"})),
            ("/provider/qontak/endpoint", serde_json::json!("https://chat-service.qontak.com")),
            ("/provider/qontak/keys", serde_json::json!({"username": "username"})),
        ] {
            assert!(changed(pointer, value).has_same_exchange(&plan), "{pointer}");
        }
        for (pointer, value) in [
            ("/provider/qontak/endpoint", serde_json::json!("https://service-chat.qontak.com")),
            ("/provider/qontak/secretRef/name", serde_json::json!("other")),
            ("/provider/qontak/keys", serde_json::json!({"username": "other"})),
            ("/provider/qontak/keys", serde_json::json!({"password": "other"})),
            ("/provider/qontak/keys", serde_json::json!({"clientId": "id", "clientSecret": "secret"})),
            ("/target/name", serde_json::json!("other")),
            ("/target/creationPolicy", serde_json::json!("Merge")),
        ] {
            assert!(!changed(pointer, value).has_same_exchange(&plan), "{pointer}");
        }
    }
}
