//! The labels and annotations that the operator reads and writes. docs/design/secrets.md explains each of them.

/// How the names of all labels and annotations begin that the operator reads.
const PREFIX: &str = "apicredential.io/";

/// Whether a label or annotation of this name may mean something to the operator.
pub fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Label on a source Secret: the provider that may receive its values.
pub const SOURCE: &str = "apicredential.io/source";
/// Annotation on a source Secret: the keys that may be sent to the provider, as `key,key`. Without it, those with the
/// provider's default names.
pub const SOURCE_KEYS: &str = "apicredential.io/source-keys";
/// Label on every target Secret: `"true"`.
pub const MANAGED: &str = "apicredential.io/managed";
/// Annotation on a Merge target: the ApiCredential that may write it, and the keys that it may write, as
/// `NAME[:key,key]`. Without keys, it may write the key `token`.
pub const ALLOW: &str = "apicredential.io/allow";
/// Annotation on the target Secret: the name of the ApiCredential.
pub const OWNER: &str = "apicredential.io/owner";
/// Annotation on the target Secret: the uid of the ApiCredential.
pub const OWNER_UID: &str = "apicredential.io/owner-uid";
/// Annotation on the target Secret: the keys that the operator writes, the key of the token first.
pub const KEYS: &str = "apicredential.io/keys";
/// Annotation on the target Secret: when the token was issued, RFC 3339 in whole seconds.
pub const ISSUED_AT: &str = "apicredential.io/issued-at";
/// Annotation on the target Secret: when the token expires, RFC 3339 in whole seconds, or `never`.
pub const EXPIRES_AT: &str = "apicredential.io/expires-at";
/// Annotation on the target Secret: the `uid/resourceVersion` of the source Secret that the token was issued with, or of
/// a later one with the same values.
pub const SOURCE_VERSION: &str = "apicredential.io/source-version";
/// Annotation on the target Secret: see [`crate::target::fingerprint`].
pub const FINGERPRINT: &str = "apicredential.io/fingerprint";
/// Annotation on the target Secret: the renew request that this token answers.
pub const RENEW_REQUEST: &str = "apicredential.io/renew-request";
/// Annotation on the target Secret: the names of the labels from `spec.target.metadata`.
pub const LABELS: &str = "apicredential.io/labels";
/// Annotation on the target Secret: the names of the annotations from `spec.target.metadata`.
pub const ANNOTATIONS: &str = "apicredential.io/annotations";
/// Annotation on the ApiCredential: requests a renewal, once for each new value.
pub const RENEW_REQUESTED_AT: &str = "apicredential.io/renew-requested-at";

/// All annotations that the operator owns on a target Secret.
pub const OURS: [&str; 10] =
    [OWNER, OWNER_UID, KEYS, ISSUED_AT, EXPIRES_AT, SOURCE_VERSION, FINGERPRINT, RENEW_REQUEST, LABELS, ANNOTATIONS];
