//! The consent of the owner of a `Merge` target: the annotation `apicredential.io/allow`.
//!
//! `NAME` permits the ApiCredential of that name to write the key `token`, if the Secret lacks it or the operator wrote
//! it. `NAME:key,key` permits exactly these keys, whoever wrote them. Every other key stays out of reach, also one that
//! the Secret lacks: pods that take their environment from the Secret would get a variable such as `LD_PRELOAD`.

use k8s_openapi::api::core::v1::Secret;
use kube_core::ResourceExt as _;

use crate::annotations;
use crate::api::TargetSpec;
use crate::plan::TargetPlan;
use crate::reason::{Reason, Refusal};

/// The annotation `apicredential.io/allow` of one Secret, parsed.
pub(super) struct MergeConsent<'a> {
    secret: &'a Secret,
    name: &'a str,
    /// The permitted keys, if the annotation names them.
    keys: Option<Vec<&'a str>>,
}

impl<'a> MergeConsent<'a> {
    pub(super) fn of(secret: &'a Secret) -> Self {
        let text = secret.annotations().get(annotations::ALLOW).map_or("", String::as_str);
        let (name, keys) = match text.split_once(':') {
            Some((name, keys)) => (name, Some(keys.split(',').map(str::trim).collect())),
            None => (text, None),
        };
        Self { secret, name: name.trim(), keys }
    }

    /// Checks that the ApiCredential may write to the Secret at all.
    ///
    /// # Errors
    /// `TargetNotPermitted`. The message names no key of the Secret: without consent they are not shown.
    pub(super) fn check_name(&self, credential: &str, target: &TargetPlan) -> Result<(), Refusal> {
        if self.name == credential {
            return Ok(());
        }
        Err(Refusal::limited_to_a_note(
            Reason::TargetNotPermitted,
            format!(
                "The target Secret does not permit this ApiCredential to write to it. Its owner permits it with: {}",
                self.kubectl(credential, target)
            ),
        ))
    }

    /// Checks that each wanted key may be written.
    ///
    /// # Errors
    /// `TargetNotPermitted` for a key that the consent does not cover; `TargetKeyTaken` for the key `token` of somebody
    /// else, which a consent without keys does not cover.
    pub(super) fn check_keys(&self, target: &TargetPlan) -> Result<(), Refusal> {
        target.keys().try_for_each(|key| self.check_key(key, target))
    }

    fn check_key(&self, key: &str, target: &TargetPlan) -> Result<(), Refusal> {
        let (reason, problem) = match &self.keys {
            Some(keys) if keys.contains(&key) => return Ok(()),
            None if key == TargetSpec::DEFAULT_TOKEN_KEY => {
                if !self.is_of_somebody_else(key) {
                    return Ok(());
                }
                (Reason::TargetKeyTaken, format!("has a key {key:?} that the operator did not write"))
            }
            Some(_) | None => {
                (Reason::TargetNotPermitted, format!("does not permit this ApiCredential to write the key {key:?}"))
            }
        };
        // The line permits all wanted keys, so that the next reconcile does not find another one.
        Err(Refusal::limited_to_a_note(
            reason,
            format!(
                "The target Secret {problem}. Name another key in spec.target, or the owner of the Secret permits this one with: {}",
                self.annotate(&format!("{}:{}", self.name, list(target)))
            ),
        ))
    }

    fn is_of_somebody_else(&self, key: &str) -> bool {
        let ours = self.secret.annotations().get(annotations::KEYS).map_or("", String::as_str);
        let exists = self.secret.data.as_ref().is_some_and(|data| data.contains_key(key));
        exists && !ours.split(',').any(|own| own == key)
    }

    /// The line that gives the consent. It names keys only if it must: a key that is named may be overwritten, and the
    /// owner of the Secret may not know that it exists.
    fn kubectl(&self, credential: &str, target: &TargetPlan) -> String {
        if target.keys().eq([TargetSpec::DEFAULT_TOKEN_KEY]) {
            self.annotate(credential)
        } else {
            self.annotate(&format!("{credential}:{}", list(target)))
        }
    }

    fn annotate(&self, value: &str) -> String {
        format!(
            "kubectl -n {} annotate --overwrite secret {} {}={value}",
            self.secret.namespace().unwrap_or_default(),
            self.secret.name_any(),
            annotations::ALLOW,
        )
    }
}

fn list(target: &TargetPlan) -> String {
    target.keys().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::{AllowLists, Plan};

    fn target(target: &Value) -> TargetPlan {
        let spec = json!({
            "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "login"}}},
            "target": target,
        });
        Plan::parse(&serde_json::from_value(spec).unwrap(), &AllowLists::default()).unwrap().target
    }

    /// Why these keys cannot be written to a Secret with that consent, with the keys `token` and `config`, of which the
    /// operator wrote `ours`.
    fn refused(target: &TargetPlan, allow: &str, ours: &str) -> Option<Refusal> {
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": "shared", "namespace": "care", "annotations": {
                annotations::ALLOW: allow, annotations::KEYS: ours,
            }},
            "data": {"token": "", "config": ""},
        }))
        .unwrap();
        MergeConsent::of(&secret).check_keys(target).err()
    }

    #[test]
    fn a_consent_without_keys_covers_the_key_token_unless_it_is_of_somebody_else() {
        let token = target(&json!({"name": "shared", "creationPolicy": "Merge"}));
        assert_eq!(refused(&token, "a", "token"), None);
        let refusal = refused(&token, "a", "other").unwrap();
        assert_eq!(refusal.reason, Reason::TargetKeyTaken);
        assert!(refusal.message.ends_with("annotate --overwrite secret shared apicredential.io/allow=a:token"));
        assert_eq!(refused(&token, "a:token", "other"), None);
        // Nothing else, whether the Secret has it or not, and whoever wrote it.
        for key in ["config", "LD_PRELOAD"] {
            let other = target(&json!({"name": "shared", "creationPolicy": "Merge", "tokenKey": key}));
            assert_eq!(refused(&other, "a", key).unwrap().reason, Reason::TargetNotPermitted, "{key}");
        }
    }

    #[test]
    fn a_consent_with_keys_covers_exactly_these() {
        let two = target(&json!({"name": "shared", "creationPolicy": "Merge", "data": {"LD_PRELOAD": "/tmp/x.so"}}));
        for allow in ["a", "a:token", "a:LD_PRELOAD", "a:", "a:token,ld_preload", "a:token;LD_PRELOAD"] {
            let refusal = refused(&two, allow, "token,LD_PRELOAD").unwrap();
            assert_eq!(refusal.reason, Reason::TargetNotPermitted, "{allow}");
            assert!(refusal.message.ends_with("apicredential.io/allow=a:token,LD_PRELOAD"), "{}", refusal.message);
        }
        for allow in ["a:token,LD_PRELOAD", "a: LD_PRELOAD , token", "a:config,token,LD_PRELOAD"] {
            assert_eq!(refused(&two, allow, ""), None, "{allow}");
        }
    }

    #[test]
    fn the_line_that_permits_the_write_names_keys_only_if_it_must() {
        let secret = Secret::default();
        let consent = MergeConsent::of(&secret);
        let line = |of: &Value| consent.check_name("a", &target(of)).unwrap_err().message;
        assert!(line(&json!({"name": "shared", "creationPolicy": "Merge"})).ends_with("apicredential.io/allow=a"));
        let other = json!({"name": "shared", "creationPolicy": "Merge", "tokenKey": "api-token"});
        assert!(line(&other).ends_with("apicredential.io/allow=a:api-token"));
        assert!(MergeConsent { name: "a", ..MergeConsent::of(&secret) }.check_name("a", &target(&other)).is_ok());
    }
}
