//! The keys of a source Secret.

/// A key of the source Secret that a provider needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceKey {
    /// The key in the Secret.
    pub name: String,
    /// The field of the spec that sets the key, for messages.
    pub field: &'static str,
    /// The value that is used if the Secret lacks the key. `None` if the Secret must have it.
    pub default: Option<&'static str>,
}

impl SourceKey {
    pub(super) fn required(name: String, field: &'static str) -> Self {
        Self { name, field, default: None }
    }

    pub(super) fn optional(name: String, field: &'static str, default: &'static str) -> Self {
        Self { name, field, default: Some(default) }
    }
}
