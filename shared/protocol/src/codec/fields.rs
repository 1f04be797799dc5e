//! The fields of one command, found in one pass and read when asked for.

use std::fmt;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::Malformed;
use crate::RawJson;

/// Every field that some command has, and the name it goes by here. All others are skipped unread.
const KNOWN: [(&str, &str); 26] = [
    ("action", "action"),
    ("channel", "channels"),
    ("channels", "channels"),
    ("data", "data"),
    ("delta", "delta"),
    ("device", "device"),
    ("filter", "filter"),
    ("id", "id"),
    ("idempotencyKey", "idempotencyKey"),
    ("key", "key"),
    ("keys", "keys"),
    ("limit", "limit"),
    ("maxRate", "maxRate"),
    ("params", "params"),
    ("payload", "payload"),
    ("position", "position"),
    ("positions", "positions"),
    ("resume", "resume"),
    ("reverse", "reverse"),
    ("set", "set"),
    ("since", "since"),
    ("token", "token"),
    ("topic", "channels"),
    ("topics", "channels"),
    ("trace", "trace"),
    ("type", "type"),
];

/// The known fields of a JSON object, each still JSON text.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a> {
    entries: SmallVec<[(&'static str, &'a RawValue); 6]>,
    twice: Option<&'static str>,
}

impl<'a> Fields<'a> {
    /// Reads `text`. The fields before a mistake are kept: among them may be the `id`.
    pub(crate) fn read(text: &'a str) -> (Self, Result<(), Malformed>) {
        let mut fields = Self::default();
        if !text.trim_ascii_start().starts_with('{') {
            return (fields, Err(Malformed::new("a command is a map")));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let outcome = deserializer.deserialize_map(&mut fields).and_then(|()| deserializer.end());
        let outcome = outcome.map_err(|error| match fields.twice {
            Some(name) => Malformed::new(format!("`{name}` is given twice")),
            None => not_json(&error),
        });
        (fields, outcome)
    }

    /// The field's JSON, `null` included.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.entries.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// The field's JSON; `null` counts as absent.
    pub(crate) fn given(&self, name: &str) -> Option<&'a RawValue> {
        self.raw(name).filter(|value| value.get() != "null")
    }

    /// The field as `T`, absent or `null` as `None`; `what` ends the sentence "`name` must be …".
    pub(crate) fn optional<T: Deserialize<'a>>(&self, name: &str, what: &str) -> Result<Option<T>, Malformed> {
        let Some(value) = self.given(name) else { return Ok(None) };
        match serde_json::from_str(value.get()) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Malformed::new(format!("`{name}` must be {what}"))),
        }
    }

    /// As [`Fields::optional`], but it must be there.
    pub(crate) fn required<T: Deserialize<'a>>(&self, name: &str, what: &str) -> Result<T, Malformed> {
        self.optional(name, what)?.ok_or_else(|| Malformed::new(format!("`{name}` is missing: {what}")))
    }

    /// The field as a JSON object's text.
    pub(crate) fn object(&self, name: &str) -> Result<Option<RawJson>, Malformed> {
        match self.given(name) {
            None => Ok(None),
            Some(value) if value.get().starts_with('{') => Ok(Some(owned(value))),
            Some(_) => Err(Malformed::new(format!("`{name}` must be a map"))),
        }
    }

    /// The `id` of the command.
    pub(crate) fn id(&self) -> Result<Option<i64>, Malformed> {
        self.optional("id", "an integer of 64 bits")
    }
}

/// The text of `value`, in a buffer of its own.
pub(crate) fn owned(value: &RawValue) -> RawJson {
    RawJson::trusted(Bytes::copy_from_slice(value.get().as_bytes()))
}

/// The sentence for a syntax error. Serde's own would repeat what the client wrote.
pub(crate) fn not_json(error: &serde_json::Error) -> Malformed {
    Malformed::new(format!("not valid JSON at line {} column {}", error.line(), error.column()))
}

impl<'a> Visitor<'a> for &mut Fields<'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key_seed(Known)? {
            let Some(name) = name else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value()?;
            if self.raw(name).is_some() {
                self.twice = Some(name);
                return Err(serde::de::Error::custom("a field is given twice"));
            }
            self.entries.push((name, value));
        }
        Ok(())
    }
}

/// Reads a key without keeping it.
struct Known;

impl<'de> DeserializeSeed<'de> for Known {
    type Value = Option<&'static str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Known {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, wire: &str) -> Result<Self::Value, E> {
        Ok(KNOWN.iter().find(|(known, _)| *known == wire).map(|(_, name)| *name))
    }
}
