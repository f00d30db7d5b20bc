//! JSON in and out: bounded, without surprises, and wiped from memory where that is in our hands.
//!
//! SecretValues stay raw text until somebody asks for them: unknown ones are skipped without recursion however deep they are,
//! `1e400` is seen as it was written, and the token is copied once. A key that comes twice is refused: the next reader
//! of the same bytes might take the other one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use secrecy::zeroize::Zeroizing;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::reason::Reason;

/// The members of a JSON object.
pub(super) struct Fields<'a>(BTreeMap<Key<'a>, &'a RawValue>);

/// A member's name, borrowed where it has no escapes.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// The members of the object that the text is, if it is one and nothing else.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The member's raw text; `null` is still a value here.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(&Key(Cow::Borrowed(name))).copied()
    }

    /// The member as text; absent and `null` are the same.
    pub(super) fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, Reason> {
        Ok(self.read::<Key<'a>>(name)?.map(|text| text.0))
    }

    /// The member as true or false; absent and `null` are the same.
    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Reason> {
        self.read(name)
    }

    /// The member as a number, written as one or as a decimal string; absent and `null` are the same. May be infinite.
    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, Reason> {
        let Some(raw) = self.raw(name).map(RawValue::get).filter(|raw| *raw != "null") else { return Ok(None) };
        let text = if raw.starts_with('"') { self.text(name)?.unwrap_or_default() } else { Cow::Borrowed(raw) };
        // Rust would also read "inf" and "nan", which are no decimal strings.
        let decimal = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        let number = text.parse().ok().filter(|_| decimal);
        number.map(Some).ok_or(Reason::InvalidResponse)
    }

    fn read<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, Reason> {
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
                return Err(A::Error::custom("a key comes twice"));
            }
        }
        Ok(fields)
    }
}

/// Writes a request body into memory that is wiped once the last copy of the handle is dropped. (Copies that the TLS
/// session makes are out of reach.)
pub(super) fn write(body: &impl Serialize) -> Result<Bytes, Reason> {
    // Measured first, so that no growing buffer leaves a piece of the secret behind.
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
