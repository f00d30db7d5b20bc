//! Reads JSON responses and writes JSON requests. Memory that holds a secret is wiped as far as this code owns it.
//!
//! A reader of our own, for three reasons. A value stays raw text until it is requested: unknown values are skipped
//! without recursion, whatever their depth, and the token is copied once. A number such as `1e400` is available as it was
//! written. An object with a duplicate key is rejected, because another reader of the same bytes may use the other value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use secrecy::zeroize::Zeroizing;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::reason::Reason;

/// The fields of a JSON object.
pub(super) struct Fields<'a>(BTreeMap<Key<'a>, &'a RawValue>);

/// A field's name, borrowed unless it has escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// Parses a text that is a JSON object. `None` if it is anything else.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The raw text of the field's value. `null` is a value here.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(&Key(Cow::Borrowed(name))).copied()
    }

    /// The field as a string. `None` if it is absent or `null`.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Reason> {
        Ok(self.parse_field::<Key<'a>>(name)?.map(|text| text.0))
    }

    /// The field as a boolean. `None` if it is absent or `null`.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Reason> {
        self.parse_field(name)
    }

    /// The field as a number, written as a JSON number or as a decimal string. `None` if it is absent or `null`. The
    /// number may be infinite.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Reason> {
        let Some(raw) = self.raw(name).map(RawValue::get).filter(|raw| *raw != "null") else { return Ok(None) };
        let text = if raw.starts_with('"') { self.text(name)?.unwrap_or_default() } else { Cow::Borrowed(raw) };
        // Rust would also parse "inf" and "nan", which are not decimal strings.
        let decimal = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        let number = text.parse().ok().filter(|_| decimal);
        number.map(Some).ok_or(Reason::InvalidResponse)
    }

    fn parse_field<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, Reason> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        serde_json::from_str(raw.get()).map_err(|_| Reason::InvalidResponse)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor).map(Fields)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = BTreeMap<Key<'de>, &'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((key, value)) = members.next_entry()? {
            if fields.insert(key, value).is_some() {
                return Err(A::Error::custom("a duplicate key"));
            }
        }
        Ok(fields)
    }
}

/// Writes a request body into memory that is wiped when the last handle is dropped. Copies that the TLS session makes are
/// not wiped.
pub(super) fn write(body: &impl Serialize) -> Result<Bytes, Reason> {
    // The length is computed first: a buffer that grows would leave a part of the secret in freed memory.
    let mut length = Length(0);
    serde_json::to_writer(&mut length, body).map_err(|_| Reason::InvalidSpec)?;
    let mut text = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *text, body).map_err(|_| Reason::InvalidSpec)?;
    Ok(Bytes::from_owner(text))
}

struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(piece.len());
        Ok(piece.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
