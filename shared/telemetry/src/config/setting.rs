//! Turns layered values into a service's struct, reading each text of the environment as what the struct asks for.

use std::fmt::Display;

use figment::{
    Figment,
    value::{Dict, Value},
};
use serde::{
    Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{ConfigError, PREFIX, env::ENVIRONMENT};

/// Reads `root` into `T`.
pub(super) fn extract<T: DeserializeOwned>(root: &Value, layers: &Figment) -> Result<T, ConfigError> {
    let setting = Setting { node: Node::Value(root), layers, path: String::new() };
    T::deserialize(setting).map_err(|error| ConfigError::Invalid {
        key: error.key.unwrap_or_else(|| "settings".to_owned()),
        source_name: error.source_name.unwrap_or_else(|| "the configuration".to_owned()),
        reason: error.reason,
    })
}

/// Where `value`, at the dotted `path`, was set.
pub(super) fn source_name(layers: &Figment, value: &Value, path: &str) -> String {
    // A table has no source of its own; any leaf in it tells.
    if let Value::Dict(_, table) = value
        && let Some((key, inner)) = table.iter().next()
    {
        return source_name(layers, inner, &format!("{path}.{key}"));
    }
    match layers.get_metadata(value.tag()) {
        Some(metadata) if metadata.name == ENVIRONMENT => {
            format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
        }
        Some(metadata) => metadata.source.as_ref().map_or_else(|| metadata.name.to_string(), ToString::to_string),
        None => "the configuration".to_owned(),
    }
}

#[derive(Debug)]
struct SettingError {
    key: Option<String>,
    source_name: Option<String>,
    reason: String,
}

impl SettingError {
    /// Fills in the place unless a deeper one is known.
    fn at(mut self, setting: &Setting<'_>) -> Self {
        if self.key.is_none() {
            self.key = Some(setting.path.clone());
            self.source_name = Some(setting.source_name());
        }
        self
    }
}

impl Display for SettingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for SettingError {}

impl de::Error for SettingError {
    fn custom<T: Display>(reason: T) -> Self {
        Self { key: None, source_name: None, reason: reason.to_string() }
    }

    // The defaults of these two quote the value, and the value may be a secret.
    fn invalid_type(_found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("expected {expected}"))
    }

    fn invalid_value(_found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::custom(format_args!("expected {expected}"))
    }
}

#[derive(Clone, Copy)]
enum Node<'a> {
    /// Typed by a file.
    Value(&'a Value),
    /// A text from the environment.
    Text(&'a str),
}

struct Setting<'a> {
    node: Node<'a>,
    layers: &'a Figment,
    path: String,
}

impl<'a> Setting<'a> {
    fn child(&self, key: &str, node: &'a Value) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let is_text = self.layers.get_metadata(node.tag()).is_some_and(|metadata| metadata.name == ENVIRONMENT);
        let node = match node {
            Value::String(_, text) if is_text => Node::Text(text),
            other => Node::Value(other),
        };
        Self { node, layers: self.layers, path }
    }

    fn source_name(&self) -> String {
        match self.node {
            Node::Value(value) => source_name(self.layers, value, &self.path),
            Node::Text(_) => format!("{PREFIX}{}", self.path.replace('.', "__").to_ascii_uppercase()),
        }
    }

    fn parse<T: std::str::FromStr>(&self, text: &str, what: &str) -> Result<T, SettingError> {
        text.trim().parse().map_err(|_| <SettingError as de::Error>::custom(format_args!("expected {what}")).at(self))
    }

    fn integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        match self.node {
            Node::Text(text) if text.trim().starts_with('-') => {
                visitor.visit_i64(self.parse(text, "a whole number")?).map_err(|error: SettingError| error.at(&self))
            }
            Node::Text(text) => {
                visitor.visit_u64(self.parse(text, "a whole number")?).map_err(|error: SettingError| error.at(&self))
            }
            Node::Value(_) => self.deserialize_any(visitor),
        }
    }

    /// A table or a list of tables, given as JSON in a variable.
    fn json(&self, text: &str, what: &str) -> Result<serde_json::Value, SettingError> {
        serde_json::from_str(text)
            .map_err(|_| <SettingError as de::Error>::custom(format_args!("expected {what} in JSON")).at(self))
    }

    fn reject(&self, error: &serde_json::Error) -> SettingError {
        <SettingError as de::Error>::custom(error).at(self)
    }
}

impl<'de> Deserializer<'de> for Setting<'_> {
    type Error = SettingError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        let outcome = match self.node {
            Node::Text(text) => visitor.visit_str(text),
            Node::Value(Value::String(_, text)) => visitor.visit_str(text),
            Node::Value(Value::Char(_, char)) => visitor.visit_char(*char),
            Node::Value(Value::Bool(_, bool)) => visitor.visit_bool(*bool),
            Node::Value(Value::Empty(..)) => visitor.visit_unit(),
            Node::Value(Value::Dict(_, table)) => return visitor.visit_map(Table::new(&self, table)),
            Node::Value(Value::Array(_, list)) => {
                let entries = list.iter().enumerate().map(|(at, value)| self.child(&at.to_string(), value));
                return visitor.visit_seq(List { entries });
            }
            Node::Value(Value::Num(_, number)) => {
                let whole = number.to_u128().and_then(|whole| u64::try_from(whole).ok());
                let signed = number.to_i128().and_then(|whole| i64::try_from(whole).ok());
                match (whole, signed, number.to_f64()) {
                    (Some(whole), ..) => visitor.visit_u64(whole),
                    (_, Some(signed), _) => visitor.visit_i64(signed),
                    (_, _, Some(float)) => visitor.visit_f64(float),
                    _ => Err(de::Error::custom("the number is out of range")),
                }
            }
        };
        outcome.map_err(|error: SettingError| error.at(&self))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        match self.node {
            Node::Text(text) => match text.trim() {
                "true" | "1" => visitor.visit_bool(true),
                "false" | "0" => visitor.visit_bool(false),
                _ => Err(<SettingError as de::Error>::custom("expected true or false").at(&self)),
            },
            Node::Value(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        match self.node {
            Node::Text(text) => visitor.visit_f64(self.parse(text, "a number")?),
            Node::Value(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.integer(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.integer(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.integer(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.integer(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.integer(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.integer(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.integer(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.integer(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        match self.node {
            Node::Text("") | Node::Value(Value::Empty(..)) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        let Node::Text(text) = self.node else { return self.deserialize_any(visitor) };
        if text.trim_start().starts_with('[') {
            return self.json(text, "a list")?.deserialize_seq(visitor).map_err(|error| self.reject(&error));
        }
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(|entry| Setting {
            node: Node::Text(entry),
            layers: self.layers,
            path: self.path.clone(),
        });
        visitor.visit_seq(List { entries })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        let Node::Text(text) = self.node else { return self.deserialize_any(visitor) };
        self.json(text, "a table")?.deserialize_map(visitor).map_err(|error| self.reject(&error))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        let outcome = match self.node {
            Node::Text(text) => visitor.visit_enum(text.trim().into_deserializer()),
            Node::Value(Value::String(_, text)) => visitor.visit_enum(text.as_str().into_deserializer()),
            Node::Value(Value::Dict(_, table)) => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Table::new(&self, table)))
            }
            Node::Value(_) => Err(de::Error::custom("expected a name")),
        };
        outcome.map_err(|error: SettingError| error.at(&self))
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The entries of a table, each knowing its path.
struct Table<'a, 's> {
    parent: &'s Setting<'a>,
    entries: std::collections::btree_map::Iter<'a, String, Value>,
    value: Option<Setting<'a>>,
}

impl<'a, 's> Table<'a, 's> {
    fn new(parent: &'s Setting<'a>, table: &'a Dict) -> Self {
        Self { parent, entries: table.iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Table<'_, '_> {
    type Error = SettingError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, SettingError> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        let setting = self.parent.child(key, value);
        // An unknown key fails here, so its place is the key's own.
        let read = seed.deserialize(key.as_str().into_deserializer()).map_err(|error: SettingError| error.at(&setting));
        self.value = Some(setting);
        read.map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, SettingError> {
        match self.value.take() {
            Some(setting) => seed.deserialize(setting),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}

struct List<I> {
    entries: I,
}

impl<'a, 'de, I: Iterator<Item = Setting<'a>>> SeqAccess<'de> for List<I> {
    type Error = SettingError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, SettingError> {
        self.entries.next().map(|setting| seed.deserialize(setting)).transpose()
    }
}
