//! Which version of which object: `uid/resourceVersion`, as annotations hold it. The status has the two parts in a field each.

use std::fmt;

use kube_core::Resource;

/// The uid and the resourceVersion of an object, written with a slash between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Revision(Box<str>);

impl Revision {
    /// The revision of an object as it was read.
    pub fn of(object: &impl Resource) -> Self {
        let meta = object.meta();
        Self::new(meta.uid.as_deref().unwrap_or_default(), meta.resource_version.as_deref().unwrap_or_default())
    }

    /// The revision with this uid and resourceVersion.
    pub fn new(uid: &str, resource_version: &str) -> Self {
        Self(format!("{uid}/{resource_version}").into())
    }

    /// The uid.
    pub fn uid(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(uid, _)| uid)
    }

    /// The resourceVersion, which is empty if the text has no slash.
    pub fn resource_version(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, version)| version)
    }

    /// The text, as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The resourceVersion as a number, by which two versions can be ordered (KEP-5504). `None` if it is not a number.
    pub fn number(&self) -> Option<u64> {
        self.resource_version().parse().ok()
    }
}

impl From<&str> for Revision {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
