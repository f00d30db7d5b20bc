//! The spec, checked and parsed once: everything after this works on a [`Plan`].
//!
//! The API server has checked the same by the CRD's schema; this is the second line, for objects that were stored
//! under an older schema.

use std::collections::BTreeMap;

use crate::api::{ApiCredentialSpec, CreationPolicy, Provider, QontakKeys, TargetMetadata};
use crate::endpoint::{AllowedEndpoints, Endpoint, PathSegment};
use crate::plan::template::Template;
use crate::reason::{Reason, Refusal};
use crate::schedule::Policy;

mod renewal;
pub mod syntax;
pub mod template;

/// A checked spec.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to ask, and with which keys of the source.
    pub request: RequestPlan,
    /// The source Secret's name.
    pub source: String,
    /// What to write, and where.
    pub target: TargetPlan,
    /// When to renew.
    pub renewal: Policy,
    /// The least time between two checks of the token, in seconds; none without checks.
    pub verification: Option<i64>,
    /// Whether the operator may send to the endpoint.
    pub endpoint_allowed: bool,
}

/// Whom to ask, and with which keys of the source.
#[derive(Clone, Debug)]
pub enum RequestPlan {
    /// Welkin.
    Welkin {
        /// Where.
        endpoint: Endpoint,
        /// The tenant.
        tenant: PathSegment,
        /// The API client.
        client_name: PathSegment,
        /// The key of the source that holds the client's secret.
        key: String,
    },
    /// Qontak.
    Qontak {
        /// Where.
        endpoint: Endpoint,
        /// The keys of the source.
        keys: QontakKeys,
    },
}

impl RequestPlan {
    /// The provider.
    pub fn provider(&self) -> Provider {
        match self {
            Self::Welkin { .. } => Provider::Welkin,
            Self::Qontak { .. } => Provider::Qontak,
        }
    }

    /// Where to ask.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Welkin { endpoint, .. } | Self::Qontak { endpoint, .. } => endpoint,
        }
    }

    /// What a token belongs to, apart from the secret values: the fields of the fingerprint's spec part.
    pub fn identity(&self) -> [&str; 4] {
        match self {
            Self::Welkin { endpoint, tenant, client_name, .. } => {
                ["Welkin", endpoint.as_str(), tenant.as_str(), client_name.as_str()]
            }
            Self::Qontak { endpoint, .. } => ["Qontak", endpoint.as_str(), "", ""],
        }
    }
}

/// What to write, and where.
#[derive(Clone, Debug)]
pub struct TargetPlan {
    /// The Secret's name.
    pub name: String,
    /// Created by us, or merged into.
    pub policy: CreationPolicy,
    /// The key of the raw token.
    pub token_key: String,
    /// Further keys.
    pub data: BTreeMap<String, Template>,
    /// Labels of `target.metadata`.
    pub labels: BTreeMap<String, String>,
    /// Annotations of `target.metadata`.
    pub annotations: BTreeMap<String, String>,
}

impl TargetPlan {
    /// The keys that we write, the token's first.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.token_key.as_str()).chain(self.data.keys().map(String::as_str))
    }
}

impl Plan {
    /// Checks and parses a spec.
    ///
    /// # Errors
    /// `InvalidSpec` or `TargetIsSource`, with the field and the remedy in the message.
    pub fn parse(spec: &ApiCredentialSpec, allowed: &AllowedEndpoints) -> Result<Self, Refusal> {
        let (request, source) = parse_request(spec)?;
        check_source(&request, &source)?;
        let target = parse_target(spec)?;
        if target.name == source {
            return Err(Refusal::new(
                Reason::TargetIsSource,
                "spec.target.name names the source Secret; choose another name.",
            ));
        }
        let endpoint_allowed = allowed.allows(request.provider(), request.endpoint());
        let renewal = renewal::parse(spec.renewal.as_ref())?;
        let verification = renewal::parse_verification(spec.verification.as_ref(), request.provider())?;
        Ok(Self { request, source, target, renewal, verification, endpoint_allowed })
    }
}

impl Plan {
    /// The plan of a changed spec; none if it is not valid. Whether its endpoint is allowed is only known where it
    /// is the same as before.
    pub fn renewed(&self, spec: &ApiCredentialSpec) -> Option<Self> {
        let mut plan = Self::parse(spec, &AllowedEndpoints::default()).ok()?;
        plan.endpoint_allowed = self.endpoint_allowed;
        Some(plan)
    }

    /// Whether both ask the same party with the same keys of the same source, for the same target.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let keys = |plan: &Self| match &plan.request {
            RequestPlan::Welkin { key, .. } => vec![key.clone()],
            RequestPlan::Qontak { keys, .. } => {
                let QontakKeys { username, password, client_id, client_secret } = keys.clone();
                vec![username, password, client_id, client_secret]
            }
        };
        self.request.identity() == other.request.identity()
            && keys(self) == keys(other)
            && self.source == other.source
            && self.target.name == other.target.name
            && self.target.policy == other.target.policy
    }
}

fn parse_request(spec: &ApiCredentialSpec) -> Result<(RequestPlan, String), Refusal> {
    let provider = &spec.provider;
    match (provider.type_, &provider.welkin, &provider.qontak) {
        (Provider::Welkin, Some(welkin), None) => {
            let request = RequestPlan::Welkin {
                endpoint: parse_endpoint(welkin.endpoint.as_deref(), Provider::Welkin)?,
                tenant: parse_segment(&welkin.tenant, "spec.provider.welkin.tenant")?,
                client_name: parse_segment(&welkin.client_name, "spec.provider.welkin.clientName")?,
                key: welkin.secret_ref.key.clone(),
            };
            Ok((request, welkin.secret_ref.name.clone()))
        }
        (Provider::Qontak, None, Some(qontak)) => {
            let endpoint = parse_endpoint(qontak.endpoint.as_deref(), Provider::Qontak)?;
            Ok((RequestPlan::Qontak { endpoint, keys: qontak.keys.clone() }, qontak.secret_ref.name.clone()))
        }
        (named, ..) => Err(invalid(format!(
            "spec.provider.type is {named}: exactly the block spec.provider.{} must be set.",
            named.label()
        ))),
    }
}

fn check_source(request: &RequestPlan, source: &str) -> Result<(), Refusal> {
    let label = request.provider().label();
    syntax::check_name(source, &format!("spec.provider.{label}.secretRef.name"))?;
    match request {
        RequestPlan::Welkin { key, .. } => syntax::check_key(key, "spec.provider.welkin.secretRef.key"),
        RequestPlan::Qontak { keys, .. } => {
            let keys = [&keys.username, &keys.password, &keys.client_id, &keys.client_secret];
            keys.into_iter().try_for_each(|key| syntax::check_key(key, "each of spec.provider.qontak.keys"))
        }
    }
}

fn parse_endpoint(text: Option<&str>, provider: Provider) -> Result<Endpoint, Refusal> {
    let Some(text) = text else { return Ok(AllowedEndpoints::default_for(provider)) };
    Endpoint::parse(text).map_err(|_| {
        invalid(format!(
            "spec.provider.{}.endpoint must be an https origin such as https://host or https://host:8443.",
            provider.label()
        ))
    })
}

fn parse_segment(text: &str, field: &str) -> Result<PathSegment, Refusal> {
    PathSegment::parse(text)
        .map_err(|_| invalid(format!("{field} must be 1 to 128 of the characters A-Z a-z 0-9 _ -.")))
}

fn parse_target(spec: &ApiCredentialSpec) -> Result<TargetPlan, Refusal> {
    let target = &spec.target;
    syntax::check_name(&target.name, "spec.target.name")?;
    syntax::check_key(&target.token_key, "spec.target.tokenKey")?;
    let mut data = BTreeMap::new();
    for (key, text) in target.data.iter().flatten() {
        syntax::check_key(key, "each name in spec.target.data")?;
        if *key == target.token_key {
            return Err(invalid("spec.target.data has the key that spec.target.tokenKey names; rename one of them."));
        }
        let template =
            Template::parse(text).map_err(|error| invalid(format!("spec.target.data, key {key:?}: {error}")))?;
        data.insert(key.clone(), template);
    }
    if target.creation_policy == CreationPolicy::Merge && target.metadata.is_some() {
        return Err(invalid("spec.target.metadata is only possible with creationPolicy Owner; remove it."));
    }
    let TargetMetadata { labels, annotations } = target.metadata.clone().unwrap_or_default();
    let (labels, annotations) = (labels.unwrap_or_default(), annotations.unwrap_or_default());
    labels.iter().try_for_each(|(name, value)| syntax::check_label(name, value))?;
    annotations.keys().try_for_each(|name| syntax::check_annotation(name))?;
    if let Some(name) = labels.keys().chain(annotations.keys()).find(|name| is_reserved(name)) {
        return Err(invalid(format!("spec.target.metadata has the reserved name {name:?}; remove it.")));
    }
    Ok(TargetPlan {
        name: target.name.clone(),
        policy: target.creation_policy,
        token_key: target.token_key.clone(),
        data,
        labels,
        annotations,
    })
}

/// Prefixes that carry meaning for the cluster, for us or for a deployment tool.
const RESERVED: [&str; 4] = ["kubernetes.io", "k8s.io", "apicredential.io", "argoproj.io"];
const PERMITTED: [&str; 5] = ["name", "instance", "component", "part-of", "version"];

/// Whether `target.metadata` can never have this name, so that it is never ours.
pub(crate) fn is_reserved(name: &str) -> bool {
    let Some((prefix, rest)) = name.split_once('/') else { return false };
    if prefix == "app.kubernetes.io" && PERMITTED.contains(&rest) {
        return false;
    }
    let prefix = prefix.to_ascii_lowercase();
    RESERVED
        .iter()
        .any(|reserved| prefix.strip_suffix(reserved).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}
fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Reason::InvalidSpec, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_something_to_the_cluster_are_reserved() {
        for name in ["kubernetes.io/x", "a.k8s.io/x", "ApiCredential.IO/owner", "argoproj.io/y", "app.kubernetes.io/x"]
        {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["app.kubernetes.io/name", "example.com/x", "plain", "notk8s.io/x"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn a_tenant_or_client_name_that_is_no_path_segment_is_an_invalid_spec() {
        let parse = |tenant: &str, client_name: &str| {
            let spec = serde_json::json!({
                "provider": {"type": "Welkin", "welkin": {
                    "tenant": tenant, "clientName": client_name, "secretRef": {"name": "source"},
                }},
                "target": {"name": "token"},
            });
            Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowedEndpoints::default())
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
            Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowedEndpoints::default())
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
    fn names_and_keys_that_no_secret_has_are_an_invalid_spec() {
        let refused = |pointer: &str, text: &str| {
            let mut spec = serde_json::json!({
                "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "source"}, "keys": {"username": "u"}}},
                "target": {"name": "token", "tokenKey": "t", "data": {}, "metadata": {"labels": {"a": "b"}}},
            });
            *spec.pointer_mut(pointer).unwrap() = serde_json::json!(text);
            let refusal =
                Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowedEndpoints::default()).unwrap_err();
            assert_eq!(refusal.reason, Reason::InvalidSpec, "{pointer}");
            refusal.message
        };
        for (pointer, text) in [
            ("/provider/qontak/secretRef/name", "../../other/secrets/source"),
            ("/provider/qontak/keys/username", "a/b"),
            ("/target/name", "token?dryRun=All"),
            ("/target/tokenKey", "a,b"),
            ("/target/metadata/labels/a", "a b"),
        ] {
            assert!(!refused(pointer, text).contains(text), "{pointer}");
        }
    }
}
