//! The source Secret in a spec: its name, and the keys that hold the login.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The source Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the source Secret, such as `welkin-client`. Required; 1 to 253 characters. It must differ from
    /// `target.name`.
    pub name: String,
}

/// A key of the source Secret that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceKey {
    /// The key in the Secret.
    pub name: String,
    /// The field of the spec that names the key, for messages.
    pub field: &'static str,
}

impl SourceKey {
    pub(super) fn new(name: String, field: &'static str) -> Self {
        Self { name, field }
    }
    /// The name that `keys` in the spec has for the value, such as `username`.
    pub fn value(&self) -> &'static str {
        self.field.rsplit('.').next().unwrap_or_default()
    }
}
