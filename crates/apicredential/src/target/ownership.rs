//! Checks whether a target Secret is ours, by the rules of docs/design/secrets.md, and whether it can be written.
//!
//! Ownership is checked first. A Secret that is not ours is reported as such and nothing else about it, because its
//! keys are never named without its owner's consent.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube_core::{Resource as _, ResourceExt as _};
use secrecy::ExposeSecret as _;

use crate::annotations;
use crate::api::{ApiCredential, CreationPolicy};
use crate::decide::SpecMatch;
use crate::plan::Plan;
use crate::reason::{Reason, Refusal};
use crate::target::consent::MergeConsent;
use crate::target::fingerprint::Fingerprint;
use crate::target::render::{self, StoredToken, TokenRecord};

/// Which ApiCredentials exist. An ApiCredential that is being deleted does not count.
pub trait CredentialLookup {
    /// Whether the ApiCredential of that name and uid exists in the namespace.
    fn uid_exists(&self, namespace: &str, name: &str, uid: &str) -> bool;
    /// Whether an ApiCredential of that name exists in the namespace.
    fn name_exists(&self, namespace: &str, name: &str) -> bool;
    /// Whether the ApiCredential is the oldest that names its target Secret, by creationTimestamp, then by uid.
    fn is_oldest_for_target(&self, credential: &ApiCredential) -> bool;
}

/// The target Secret of one ApiCredential.
pub enum Target {
    /// It does not exist, and this ApiCredential may create it.
    Absent,
    /// It is not ours, it is being deleted, or it is absent and must not be created.
    Refused(Refusal),
    /// It is ours.
    Ours {
        /// The Secret as it was read.
        secret: Box<Secret>,
        /// The token in it.
        stored: StoredToken,
        /// Why it cannot be written, although it is ours. The token in it stays in use.
        blocked: Option<Refusal>,
    },
}

/// Checks the target Secret.
pub fn target(
    credential: &ApiCredential,
    plan: &Plan,
    secret: Option<Secret>,
    existing: &impl CredentialLookup,
) -> Target {
    let Some(secret) = secret else {
        return match plan.target.policy {
            CreationPolicy::Merge => Target::Refused(Reason::TargetNotFound.into()),
            CreationPolicy::Owner if !existing.is_oldest_for_target(credential) => {
                Target::Refused(Reason::TargetOwnedByOther.into())
            }
            CreationPolicy::Owner => Target::Absent,
        };
    };
    let ours = match plan.target.policy {
        CreationPolicy::Owner => check_owner(credential, &secret, existing),
        CreationPolicy::Merge => check_consent(credential, plan, &secret, existing),
    };
    match ours {
        Err(refusal) => Target::Refused(refusal),
        Ok(()) => Target::Ours {
            stored: render::read(&secret, plan),
            blocked: check_writable(plan, &secret).err(),
            secret: Box::new(secret),
        },
    }
}

/// With `Owner`, a Secret is ours if and only if its controller reference has our uid.
fn check_owner(credential: &ApiCredential, secret: &Secret, existing: &impl CredentialLookup) -> Result<(), Refusal> {
    let namespace = credential.namespace().unwrap_or_default();
    let controller = secret.owner_references().iter().find(|reference| is_api_credential(reference));
    match controller {
        Some(reference) if credential.uid().is_some_and(|uid| uid == reference.uid) => {
            if secret.metadata.deletion_timestamp.is_some() { Err(Reason::TargetTerminating.into()) } else { Ok(()) }
        }
        Some(reference) if existing.uid_exists(&namespace, &reference.name, &reference.uid) => {
            Err(Reason::TargetOwnedByOther.into())
        }
        Some(_) => Err(Reason::TargetTerminating.into()),
        None if secret.metadata.deletion_timestamp.is_some() => Err(Reason::TargetTerminating.into()),
        None => Err(Reason::TargetNotOwned.into()),
    }
}

/// Whether a reference is a controller reference to an ApiCredential, of whatever version. Other API groups may have a kind of
/// that name.
fn is_api_credential(reference: &OwnerReference) -> bool {
    let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
    reference.controller == Some(true)
        && group == ApiCredential::group(&())
        && reference.kind == ApiCredential::kind(&())
}

/// With `Merge`, a Secret is ours if and only if it consents by annotation and no other existing ApiCredential writes
/// it.
fn check_consent(
    credential: &ApiCredential,
    plan: &Plan,
    secret: &Secret,
    existing: &impl CredentialLookup,
) -> Result<(), Refusal> {
    let (name, namespace) = (credential.name_any(), credential.namespace().unwrap_or_default());
    MergeConsent::of(secret).check_name(&name, &plan.target)?;
    let writer = secret.annotations().get(annotations::OWNER).filter(|owner| **owner != name);
    if writer.is_some_and(|owner| existing.name_exists(&namespace, owner)) {
        return Err(Reason::TargetOwnedByOther.into());
    }
    if secret.metadata.deletion_timestamp.is_some() {
        return Err(Reason::TargetTerminating.into());
    }
    Ok(())
}

/// A Secret that is ours can be written if it is no source Secret, is mutable, has type Opaque, and has no key of
/// another client under a name that we want.
fn check_writable(plan: &Plan, secret: &Secret) -> Result<(), Refusal> {
    if secret.labels().contains_key(annotations::SOURCE) {
        return Err(Reason::TargetIsSource.into());
    }
    if secret.immutable == Some(true) {
        return Err(Reason::TargetImmutable.into());
    }
    if secret.type_.as_deref().is_some_and(|type_| type_ != "Opaque") {
        return Err(Reason::TargetTypeConflict.into());
    }
    match plan.target.policy {
        CreationPolicy::Owner => Ok(()),
        CreationPolicy::Merge => MergeConsent::of(secret).check_keys(&plan.target),
    }
}

/// Whether a stored token was issued for this spec. If the operator has acted on this spec before (`spec_known`), a
/// mismatch means that another client changed the token.
pub fn spec_match(record: &TokenRecord, plan: &Plan, spec_known: bool) -> SpecMatch {
    if fits(record, plan) {
        SpecMatch::Fits
    } else if spec_known {
        SpecMatch::Edited
    } else {
        SpecMatch::OtherSpec
    }
}

/// Whether a stored token was issued for this spec, and nobody changed it or its times.
pub fn fits(record: &TokenRecord, plan: &Plan) -> bool {
    let (issued_at, expires_at) = (record.issued_at.to_string(), render::expiry_text(record.expiry));
    Fingerprint::new(record.token.expose_secret(), plan, &issued_at, &expires_at) == record.fingerprint
}

#[cfg(test)]
mod tests;
