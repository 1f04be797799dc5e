//! JSON text that is passed on, not interpreted.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::codec::is_depth_within;

/// How deep lists and maps may stand inside one another: more than any reader downstream is asked to survive.
pub const DEPTH_MAX: usize = 64;

/// One complete JSON value as text. Whoever makes one has parsed it, so `as_str` is valid JSON; cloning is a reference
/// count. Digits stay as they were written: money does not pass through a float.
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Bytes);

impl RawJson {
    /// Checks that `text` is one JSON value with nothing after it, nested at most [`DEPTH_MAX`] deep.
    pub fn parse(text: impl Into<Bytes>) -> Result<Self, serde_json::Error> {
        let bytes = text.into();
        within_depth(serde_json::from_slice::<&RawValue>(&bytes)?)?;
        Ok(Self(bytes))
    }

    /// Renders `value`.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::to_vec(value)?.into()))
    }

    /// Takes text that a Tickwire process parsed before it stored or sent it (the backplane's bytes).
    ///
    /// Bytes that are not UTF-8 become `null`, so that a damaged store cannot put invalid text into a frame.
    pub fn trusted(bytes: Bytes) -> Self {
        if std::str::from_utf8(&bytes).is_ok() { Self(bytes) } else { Self::null() }
    }

    /// The value `null`.
    pub fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("null")
    }

    /// The text as shared bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Parses into `T`.
    pub fn to<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

fn within_depth<E: serde::de::Error>(raw: &RawValue) -> Result<(), E> {
    if is_depth_within(raw.get(), DEPTH_MAX) { Ok(()) } else { Err(E::custom("maps and lists are nested too deep")) }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        within_depth(&raw)?;
        Ok(Self(Bytes::from(Box::<str>::from(raw).into_boxed_bytes())))
    }
}
