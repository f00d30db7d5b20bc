//! `spec.target.metadata` → the labels and annotations that may be written to the target Secret.
//!
//! A label or an annotation can make another program act on a Secret: Helm takes a Secret with the label `owner=helm` for
//! one of its releases, and replicators copy a Secret with their annotation into other namespaces. So the operator's
//! administrator lists the names that are allowed, and other names are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use super::syntax;
use crate::api::{CreationPolicy, TargetMetadata, TargetSpec};
use crate::reason::{Reason, Refusal};

/// The names of labels and annotations that `spec.target.metadata` may set: the flag `--allowed-target-metadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedTargetMetadata(BTreeSet<String>);

/// What is allowed unless the flag replaces it: names that describe an application, and the one annotation by which
/// Reloader restarts the pods that use a Secret. `app.kubernetes.io/instance` is not among them, because Argo CD before
/// version 3 deletes what carries it and is not in Git.
const DEFAULT: [&str; 5] = [
    "app.kubernetes.io/component",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/version",
    "reloader.stakater.com/match",
];

impl AllowedTargetMetadata {
    fn allows(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

impl Default for AllowedTargetMetadata {
    fn default() -> Self {
        Self(DEFAULT.map(str::to_owned).into())
    }
}

impl FromStr for AllowedTargetMetadata {
    type Err = AllowedTargetMetadataError;

    /// Parses names that are separated by commas. An empty text allows no name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self(BTreeSet::new()));
        }
        let name = |(index, name): (usize, &str)| {
            let (entry, name) = (index + 1, name.trim());
            if syntax::check_annotation(name).is_err() {
                return Err(AllowedTargetMetadataError::NotAName { entry });
            }
            if is_reserved(name) {
                return Err(AllowedTargetMetadataError::Reserved { entry });
            }
            Ok(name.to_owned())
        };
        text.split(',').enumerate().map(name).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for AllowedTargetMetadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Why a text is not a list of allowed names. Entries are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowedTargetMetadataError {
    /// The entry is not the name of a label or an annotation.
    #[error("entry {entry} must be the name of a label or an annotation, such as team or example.com/team")]
    NotAName {
        /// The number of the entry.
        entry: usize,
    },
    /// The entry is a name that no ApiCredential may have in `spec.target.metadata`.
    #[error("entry {entry} is a reserved name, which the CRD rejects in spec.target.metadata; remove it")]
    Reserved {
        /// The number of the entry.
        entry: usize,
    },
}

/// `spec.target.metadata`, reduced to what is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    /// Names that are not allowed, sorted.
    pub(super) left_out: BTreeSet<String>,
}

/// Checks `spec.target.metadata`, and leaves out the names that are not allowed.
pub(super) fn parse(target: &TargetSpec, allowed: &AllowedTargetMetadata) -> Result<Metadata, Refusal> {
    if target.creation_policy == CreationPolicy::Merge && target.metadata.is_some() {
        return Err(Refusal::invalid_spec(
            "spec.target.metadata is only possible with creationPolicy Owner; remove it.",
        ));
    }
    let TargetMetadata { labels, annotations } = target.metadata.clone().unwrap_or_default();
    let (mut labels, mut annotations) = (labels.unwrap_or_default(), annotations.unwrap_or_default());
    labels.iter().try_for_each(|(name, value)| syntax::check_label(name, value))?;
    annotations.keys().try_for_each(|name| syntax::check_annotation(name))?;
    if let Some(name) = labels.keys().chain(annotations.keys()).find(|name| is_reserved(name)) {
        return Err(Refusal::invalid_spec(format!("spec.target.metadata has the reserved name {name:?}; remove it.")));
    }
    let left_out = labels.keys().chain(annotations.keys()).filter(|name| !allowed.allows(name)).cloned().collect();
    labels.retain(|name, _| allowed.allows(name));
    annotations.retain(|name, _| allowed.allows(name));
    Ok(Metadata { labels, annotations, left_out })
}

/// What to report about names that were left out; `None` if there are none.
pub(super) fn not_allowed(left_out: &BTreeSet<String>) -> Option<Refusal> {
    if left_out.is_empty() {
        return None;
    }
    let names = left_out.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    Some(Refusal::limited_to_a_note(
        Reason::MetadataNotAllowed,
        format!(
            "Names in spec.target.metadata are not allowed and were left out: {names}. Remove them, or ask the operator's administrator to extend --allowed-target-metadata."
        ),
    ))
}

/// Prefixes that have a meaning for the cluster, for this operator or for a deployment tool.
const RESERVED: [&str; 4] = ["kubernetes.io", "k8s.io", "apicredential.io", "argoproj.io"];
/// The names under `app.kubernetes.io` that are not reserved.
const NOT_RESERVED: [&str; 5] = ["name", "instance", "component", "part-of", "version"];

/// Whether a label or annotation of this name is reserved, so that `target.metadata` cannot set it.
pub(crate) fn is_reserved(name: &str) -> bool {
    let Some((prefix, rest)) = name.split_once('/') else { return false };
    if prefix == "app.kubernetes.io" && NOT_RESERVED.contains(&rest) {
        return false;
    }
    let prefix = prefix.to_ascii_lowercase();
    RESERVED
        .iter()
        .any(|reserved| prefix.strip_suffix(reserved).is_some_and(|before| before.is_empty() || before.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn names_with_a_meaning_for_the_cluster_are_reserved() {
        for name in ["kubernetes.io/x", "a.k8s.io/x", "ApiCredential.IO/owner", "argoproj.io/y", "app.kubernetes.io/x"]
        {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["app.kubernetes.io/name", "example.com/x", "plain", "notk8s.io/x"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    fn parsed(metadata: &Value, allowed: &str) -> Metadata {
        let target: TargetSpec = serde_json::from_value(json!({"name": "token", "metadata": metadata})).unwrap();
        parse(&target, &allowed.parse().unwrap()).unwrap()
    }

    #[test]
    fn by_default_only_names_that_make_no_program_act_on_the_secret_are_written() {
        let allowed = AllowedTargetMetadata::default();
        let metadata = json!({
            "labels": {
                "owner": "helm", "name": "planted", "status": "deployed", "version": "1",
                "app.kubernetes.io/name": "billing", "app.kubernetes.io/instance": "billing",
            },
            "annotations": {
                "replicator.v1.mittwald.de/replicate-to": "*",
                "reflector.v1.k8s.emberstack.com/reflection-allowed": "true",
                "reloader.stakater.com/match": "true", "reloader.stakater.com/auto": "true",
                "Reloader.stakater.com/match": "true",
            },
        });
        let Metadata { labels, annotations, left_out } = parsed(&metadata, &allowed.to_string());
        assert_eq!(labels.into_keys().collect::<Vec<_>>(), ["app.kubernetes.io/name"]);
        assert_eq!(annotations.into_keys().collect::<Vec<_>>(), ["reloader.stakater.com/match"]);
        assert_eq!(left_out.len(), 9);
        let refusal = not_allowed(&left_out).unwrap();
        assert_eq!(refusal.reason, Reason::MetadataNotAllowed);
        for name in &left_out {
            assert!(refusal.message.contains(name.as_str()), "{name}: {}", refusal.message);
        }
    }

    #[test]
    fn a_given_list_replaces_the_default_and_an_empty_one_allows_nothing() {
        let metadata = json!({"labels": {"team": "care", "app.kubernetes.io/name": "a"}});
        assert_eq!(parsed(&metadata, "example.com/a, team").left_out, ["app.kubernetes.io/name".to_owned()].into());
        assert_eq!(parsed(&metadata, "").left_out.len(), 2);
        assert_eq!(not_allowed(&parsed(&metadata, "team,app.kubernetes.io/name").left_out), None);
    }

    #[test]
    fn an_entry_of_the_flag_is_one_name_that_the_crd_accepts() {
        use AllowedTargetMetadataError::{NotAName, Reserved};
        for (text, error) in [
            ("team,*", NotAName { entry: 2 }),
            ("example.com/*", NotAName { entry: 1 }),
            (",", NotAName { entry: 1 }),
            ("team,,other", NotAName { entry: 2 }),
            ("team,argocd.argoproj.io/secret-type", Reserved { entry: 2 }),
            ("apicredential.io/source", Reserved { entry: 1 }),
        ] {
            assert_eq!(text.parse::<AllowedTargetMetadata>(), Err(error), "{text}");
        }
        let allowed: AllowedTargetMetadata = " team , app.kubernetes.io/instance ".parse().unwrap();
        assert_eq!(allowed.to_string(), "app.kubernetes.io/instance,team");
    }

    #[test]
    fn names_that_do_not_fit_into_an_event_give_the_short_message() {
        let left_out = (0..32).map(|number| format!("{number}-{}", "x".repeat(60))).collect();
        assert_eq!(not_allowed(&left_out), Some(Reason::MetadataNotAllowed.into()));
    }
}
