//! Reads → plain facts: what the source and the target are, without deciding anything.

use k8s_openapi::api::core::v1::Secret;
use kube_core::{Resource as _, ResourceExt as _};
use secrecy::ExposeSecret as _;

use crate::annotations;
use crate::api::{ApiCredential, CreationPolicy};
use crate::decide::SpecMatch;
use crate::plan::{Plan, RequestPlan};
use crate::reason::{Reason, Refusal};
use crate::target::fingerprint;
use crate::target::render::{self, Found, Rendering, TokenRecord};

/// Which credentials live, as far as the rules of ownership ask.
pub trait CredentialLookup {
    /// Whether the credential of that name and uid exists in the namespace and is not being deleted.
    fn uid_lives(&self, namespace: &str, name: &str, uid: &str) -> bool;
    /// Whether a credential of that name exists in the namespace and is not being deleted.
    fn name_lives(&self, namespace: &str, name: &str) -> bool;
    /// Whether another credential names the same target and comes first (by creationTimestamp, then uid).
    fn is_oldest_for_target(&self, credential: &ApiCredential) -> bool;
}

/// The target Secret, seen by one credential.
pub enum Target {
    /// Does not exist; we may create it.
    Absent,
    /// Not ours, or not usable.
    Refused(Refusal),
    /// Ours.
    Ours {
        /// As it was read.
        secret: Box<Secret>,
        /// What it holds.
        found: Found,
        /// Why it cannot be written all the same; the token in it is none the worse for that.
        blocked: Option<Refusal>,
    },
}

/// Looks at the target Secret. Whether it is foreign comes before anything else about it.
pub fn target(
    credential: &ApiCredential,
    plan: &Plan,
    secret: Option<Secret>,
    living: &impl CredentialLookup,
) -> Target {
    let Some(secret) = secret else {
        return match plan.target.policy {
            CreationPolicy::Merge => Target::Refused(Reason::TargetNotFound.into()),
            CreationPolicy::Owner if !living.is_oldest_for_target(credential) => {
                Target::Refused(Reason::TargetOwnedByOther.into())
            }
            CreationPolicy::Owner => Target::Absent,
        };
    };
    let ours = match plan.target.policy {
        CreationPolicy::Owner => owned(credential, &secret, living),
        CreationPolicy::Merge => permitted(credential, plan, &secret, living),
    };
    match ours {
        Err(refusal) => Target::Refused(refusal),
        Ok(()) => Target::Ours {
            found: render::read(&secret, plan),
            blocked: writable(plan, &secret).err(),
            secret: Box::new(secret),
        },
    }
}

/// Owner: ours iff the controller reference has our uid.
fn owned(credential: &ApiCredential, secret: &Secret, living: &impl CredentialLookup) -> Result<(), Refusal> {
    let namespace = credential.namespace().unwrap_or_default();
    let controller = secret
        .owner_references()
        .iter()
        .find(|reference| reference.controller == Some(true) && reference.kind == ApiCredential::kind(&()));
    match controller {
        Some(reference) if credential.uid().is_some_and(|uid| uid == reference.uid) => {
            if secret.metadata.deletion_timestamp.is_some() { Err(Reason::TargetTerminating.into()) } else { Ok(()) }
        }
        Some(reference) if living.uid_lives(&namespace, &reference.name, &reference.uid) => {
            Err(Reason::TargetOwnedByOther.into())
        }
        Some(_) => Err(Reason::TargetTerminating.into()),
        None if secret.metadata.deletion_timestamp.is_some() => Err(Reason::TargetTerminating.into()),
        None => Err(Reason::TargetNotOwned.into()),
    }
}

/// Merge: ours iff the Secret consents by annotation and no other living credential writes it.
fn permitted(
    credential: &ApiCredential,
    plan: &Plan,
    secret: &Secret,
    living: &impl CredentialLookup,
) -> Result<(), Refusal> {
    let (name, namespace) = (credential.name_any(), credential.namespace().unwrap_or_default());
    let allow = secret.annotations().get(annotations::ALLOW).map_or("", String::as_str);
    let allowed = allow.split(':').next().unwrap_or_default().trim();
    if allowed != name {
        // Which keys exist is not said: without consent a Secret's keys are nobody's business.
        return Err(noted(
            Reason::TargetNotPermitted,
            format!(
                "The target Secret does not permit this ApiCredential to write to it. Its owner permits it as follows, with existing keys that may be overwritten after a colon, as in {name}:{}: kubectl -n {namespace} annotate --overwrite secret {} {}={name}",
                plan.target.token_key,
                secret.name_any(),
                annotations::ALLOW
            ),
        ));
    }
    let writer = secret.annotations().get(annotations::OWNER).filter(|owner| **owner != name);
    if writer.is_some_and(|owner| living.name_lives(&namespace, owner)) {
        return Err(Reason::TargetOwnedByOther.into());
    }
    if secret.metadata.deletion_timestamp.is_some() {
        return Err(Reason::TargetTerminating.into());
    }
    Ok(())
}

fn writable(plan: &Plan, secret: &Secret) -> Result<(), Refusal> {
    if secret.labels().contains_key(annotations::SOURCE) {
        return Err(Reason::TargetIsSource.into());
    }
    if secret.immutable == Some(true) {
        return Err(Reason::TargetImmutable.into());
    }
    if secret.type_.as_deref().is_some_and(|type_| type_ != "Opaque") {
        return Err(Reason::TargetTypeConflict.into());
    }
    match Rendering::taken_key(plan, secret) {
        None => Ok(()),
        Some(key) => Err(key_taken(plan, secret, &key)),
    }
}

/// The line consents to all keys at once that are wanted and exist, so that the next look finds no other.
fn key_taken(plan: &Plan, secret: &Secret, key: &str) -> Refusal {
    let exists = |key: &&str| secret.data.as_ref().is_some_and(|data| data.contains_key(*key));
    let keys: Vec<&str> = plan.target.keys().filter(exists).collect();
    let allow = secret.annotations().get(annotations::ALLOW).map_or("", String::as_str);
    noted(
        Reason::TargetKeyTaken,
        format!(
            "The target Secret has a key {key:?} that the operator did not write. Name another key in spec.target, or let its owner permit it: kubectl -n {} annotate --overwrite secret {} {}={}:{}",
            secret.namespace().unwrap_or_default(),
            secret.name_any(),
            annotations::ALLOW,
            allow.split(':').next().unwrap_or_default().trim(),
            keys.join(","),
        ),
    )
}

/// A refusal whose sentence is an event's note, which has at most 1 KiB: with names at their longest the short one has
/// to do.
fn noted(reason: Reason, message: String) -> Refusal {
    if message.len() <= 1024 { Refusal::new(reason, message) } else { reason.into() }
}

/// Whether a stored token is the one that the spec asks for. `spec_known` says that this spec was acted on before,
/// so that a mismatch can only come from somebody else's hand.
pub fn fit(record: &TokenRecord, request: &RequestPlan, spec_known: bool) -> SpecMatch {
    let issued_at = record.issued_at.to_string();
    let expires_at = render::expiry_text(record.expiry);
    let token = record.token.expose_secret();
    if fingerprint::spec_part(token, request, &issued_at, &expires_at) == record.fingerprint.spec {
        SpecMatch::Fits
    } else if spec_known {
        SpecMatch::Edited
    } else {
        SpecMatch::OtherSpec
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::endpoint::AllowedEndpoints;

    /// Of these uids the credentials live, and none has a name.
    struct Uids(&'static [&'static str]);

    impl CredentialLookup for Uids {
        fn uid_lives(&self, _namespace: &str, _name: &str, uid: &str) -> bool {
            self.0.contains(&uid)
        }

        fn name_lives(&self, _namespace: &str, _name: &str) -> bool {
            false
        }

        fn is_oldest_for_target(&self, _credential: &ApiCredential) -> bool {
            true
        }
    }

    /// What the credential `a` with the uid `own` says of a Secret with this controller reference.
    fn refusal(reference: &serde_json::Value, living: &Uids) -> Option<Reason> {
        let credential: ApiCredential = serde_json::from_value(json!({
            "apiVersion": "apicredential.io/v1alpha1", "kind": "ApiCredential",
            "metadata": {"name": "a", "namespace": "ns", "uid": "own"},
            "spec": {
                "provider": {"type": "Qontak", "qontak": {"secretRef": {"name": "login"}}},
                "target": {"name": "a-token"},
            },
        }))
        .unwrap();
        let plan = Plan::parse(&credential.spec, &AllowedEndpoints::default()).unwrap();
        let secret = json!({"metadata": {"name": "a-token", "ownerReferences": [reference]}});
        match target(&credential, &plan, Some(serde_json::from_value(secret).unwrap()), living) {
            Target::Refused(refusal) => Some(refusal.reason),
            Target::Absent | Target::Ours { .. } => None,
        }
    }

    #[test]
    fn the_uid_says_whose_a_secret_is_and_never_the_name() {
        let reference = |kind: &str, uid: &str, controller: bool| json!({"apiVersion": "apicredential.io/v1alpha1", "kind": kind, "name": "a", "uid": uid, "controller": controller});
        let living = Uids(&["own", "other"]);
        assert_eq!(refusal(&reference("ApiCredential", "own", true), &living), None);
        assert_eq!(refusal(&reference("ApiCredential", "other", true), &living), Some(Reason::TargetOwnedByOther));
        let dead = refusal(&reference("ApiCredential", "of the one before", true), &living);
        assert_eq!(dead, Some(Reason::TargetTerminating), "the garbage collector is on its way");
        assert_eq!(refusal(&reference("ApiCredential", "own", false), &living), Some(Reason::TargetNotOwned));
        assert_eq!(refusal(&reference("Deployment", "own", true), &living), Some(Reason::TargetNotOwned));
    }
}
