//! The labels and annotations that we read and write.

/// Label on a source Secret: the provider it may be shown to.
pub const SOURCE: &str = "apicredential.io/source";
/// Label on every Secret that we write: `"true"`.
pub const MANAGED: &str = "apicredential.io/managed";
/// Annotation on a Merge target: which credential may write, and which keys: `NAME[:key,key]`.
pub const ALLOW: &str = "apicredential.io/allow";
/// Annotation on the target: the credential's name.
pub const OWNER: &str = "apicredential.io/owner";
/// Annotation on the target: the credential's uid.
pub const OWNER_UID: &str = "apicredential.io/owner-uid";
/// Annotation on the target: the keys that we write, the token's first.
pub const KEYS: &str = "apicredential.io/keys";
/// Annotation on the target: RFC 3339, whole seconds.
pub const ISSUED_AT: &str = "apicredential.io/issued-at";
/// Annotation on the target: RFC 3339, whole seconds, or `never`.
pub const EXPIRES_AT: &str = "apicredential.io/expires-at";
/// Annotation on the target: the source that the token was made from, `uid/resourceVersion`.
pub const SOURCE_VERSION: &str = "apicredential.io/source-version";
/// Annotation on the target: see [`crate::target::fingerprint`].
pub const FINGERPRINT: &str = "apicredential.io/fingerprint";
/// Annotation on the target: the renew request that this token answers.
pub const RENEW_REQUEST: &str = "apicredential.io/renew-request";
/// Annotation on the target: names of the labels that we wrote from `target.metadata`.
pub const LABELS: &str = "apicredential.io/labels";
/// Annotation on the target: names of the annotations that we wrote from `target.metadata`.
pub const ANNOTATIONS: &str = "apicredential.io/annotations";
/// Annotation on the credential: asks for a renewal, once per new text.
pub const RENEW_REQUESTED_AT: &str = "apicredential.io/renew-requested-at";

/// Every annotation that we own on a target.
pub const OURS: [&str; 10] =
    [OWNER, OWNER_UID, KEYS, ISSUED_AT, EXPIRES_AT, SOURCE_VERSION, FINGERPRINT, RENEW_REQUEST, LABELS, ANNOTATIONS];
