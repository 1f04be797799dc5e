//! Texts: ids, symbols, free words.

use serde::{Deserialize, Deserializer, Serialize, de::Error};

/// Longest text of a message, bytes.
const TEXT_BYTES_MAX: usize = 4_096;
/// Longest id, bytes: `strategy:{id}:orders` must stay a channel name.
const SEGMENT_BYTES_MAX: usize = 200;
/// Longest symbol, bytes.
const SYMBOL_BYTES_MAX: usize = 100;

/// An id that becomes one segment of a channel's name, so that no id reaches into another channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Segment(String);

/// A traded symbol, such as `BTC/USDT` or `BTC/USDT:USDT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Symbol(String);

/// Text for people or programs, not empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Text(String);

impl Segment {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Symbol {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

fn is_graphic(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl<'de> Deserialize<'de> for Segment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_graphic(&text, SEGMENT_BYTES_MAX) && !text.contains(':') {
            Ok(Self(text))
        } else {
            Err(D::Error::custom("an id is 1 to 200 printable ASCII characters without spaces and without `:`"))
        }
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if is_graphic(&text, SYMBOL_BYTES_MAX) {
            Ok(Self(text))
        } else {
            Err(D::Error::custom("a symbol is 1 to 100 printable ASCII characters without spaces"))
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if (1..=TEXT_BYTES_MAX).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(D::Error::custom("a text is 1 to 4096 bytes long"))
        }
    }
}
