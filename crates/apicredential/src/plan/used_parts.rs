//! Which parts of a Secret a plan uses.
//!
//! The rest of a Secret may have more than a megabyte, written by anyone who may edit it, and a reconcile holds the Secrets
//! that it read until its end.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::Plan;
use crate::annotations;
use crate::source::MAX_VALUE;

impl Plan {
    /// Drops from a source Secret what no check reads. A value that is too large for a login stays too large.
    pub fn drop_unused_of_source(&self, secret: &mut Secret) {
        let used = self.request.source_keys();
        retain(&mut secret.metadata.labels, annotations::is_ours);
        retain(&mut secret.metadata.annotations, annotations::is_ours);
        secret.metadata.owner_references = None;
        if let Some(data) = &mut secret.data {
            data.retain(|key, _| used.iter().any(|used| used.name == *key));
            data.values_mut()
                .filter(|value| value.0.len() > MAX_VALUE)
                .for_each(|value| value.0.truncate(MAX_VALUE + 1));
            data.values_mut().for_each(|value| value.0.shrink_to_fit());
        }
    }

    /// Drops from a target Secret what neither a check nor a rendering reads.
    pub fn drop_unused_of_target(&self, secret: &mut Secret) {
        let listed = |name: &str| -> Vec<String> {
            let annotations = secret.metadata.annotations.as_ref();
            let names = annotations.and_then(|annotations| annotations.get(name)).map_or("", String::as_str);
            names.split(',').map(str::to_owned).collect()
        };
        let (keys, labels, notes) =
            (listed(annotations::KEYS), listed(annotations::LABELS), listed(annotations::ANNOTATIONS));
        let target = &self.target;
        let is_named = |name: &str, written: &[String], wanted: &BTreeMap<String, String>| {
            annotations::is_ours(name) || wanted.contains_key(name) || written.iter().any(|other| other == name)
        };
        retain(&mut secret.metadata.labels, |name| is_named(name, &labels, &target.labels));
        retain(&mut secret.metadata.annotations, |name| is_named(name, &notes, &target.annotations));
        // The first of the written keys is that of the token. Of the others only the names count, unless they are wanted.
        let is_read =
            |key: &str| target.keys().any(|wanted| wanted == key) || keys.first().is_some_and(|first| first == key);
        if let Some(data) = &mut secret.data {
            data.retain(|key, _| is_read(key) || keys.contains(key));
            data.iter_mut().filter(|(key, _)| !is_read(key)).for_each(|(_, value)| *value = ByteString::default());
        }
    }
}

fn retain(names: &mut Option<BTreeMap<String, String>>, is_used: impl Fn(&str) -> bool) {
    if let Some(names) = names {
        names.retain(|name, _| is_used(name));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::ApiCredential;
    use crate::plan::AllowLists;

    fn plan() -> Plan {
        let credential: ApiCredential = serde_json::from_value(json!({
            "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential", "metadata": {"name": "a"},
            "spec": {
                "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "login"}}},
                "target": {
                    "name": "t", "tokenKey": "token", "data": {"header": "Bearer {token}"},
                    "metadata": {
                        "labels": {"app.kubernetes.io/part-of": "care"},
                        "annotations": {"reloader.stakater.com/match": "true"},
                    },
                },
            },
        }))
        .unwrap();
        Plan::parse(&credential.spec, &AllowLists::default()).unwrap()
    }

    fn secret(text: Value) -> Secret {
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn of_a_source_only_the_login_and_the_consent_stay() {
        let mut source = secret(json!({
            "metadata": {
                "name": "login", "labels": {"apicredential.io/source": "qontak", "big": "x"}, "annotations": {"big": "x"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}],
            },
            "data": {"username": "dQ==", "password": ByteString(vec![b'x'; 3 * MAX_VALUE]), "other": "eA=="},
        }));
        plan().drop_unused_of_source(&mut source);
        let expected = secret(json!({
            "metadata": {"name": "login", "labels": {"apicredential.io/source": "qontak"}, "annotations": {}},
            "data": {"username": "dQ==", "password": ByteString(vec![b'x'; MAX_VALUE + 1])},
        }));
        assert_eq!(source, expected);
    }

    #[test]
    fn of_a_target_what_is_wanted_or_was_written_stays() {
        let mut target = secret(json!({
            "metadata": {
                "name": "t",
                "labels": {"apicredential.io/managed": "true", "app.kubernetes.io/part-of": "x", "was-written": "x", "big": "x"},
                "annotations": {
                    "apicredential.io/keys": "old-token,old-header,token", "apicredential.io/labels": "was-written",
                    "apicredential.io/annotations": "was-noted", "was-noted": "x", "reloader.stakater.com/match": "x", "big": "x",
                },
            },
            "data": {"old-token": "dA==", "old-header": "aA==", "token": "dA==", "header": "aA==", "foreign": "eA=="},
        }));
        plan().drop_unused_of_target(&mut target);
        let expected = secret(json!({
            "metadata": {
                "name": "t",
                "labels": {"apicredential.io/managed": "true", "app.kubernetes.io/part-of": "x", "was-written": "x"},
                "annotations": {
                    "apicredential.io/keys": "old-token,old-header,token", "apicredential.io/labels": "was-written",
                    "apicredential.io/annotations": "was-noted", "was-noted": "x", "reloader.stakater.com/match": "x",
                },
            },
            "data": {"old-token": "dA==", "old-header": "", "token": "dA==", "header": "aA=="},
        }));
        assert_eq!(target, expected);
    }
}
