//! Texts that must not be seen.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What is printed in a secret's place.
const REDACTED: &str = "[redacted]";

/// A secret text. `Debug` and `Serialize` show `[redacted]`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// 256 random bits as 64 hexadecimal digits, for a development server that was given none.
    pub fn random() -> Self {
        let (high, low): (u128, u128) = rand::random();
        Self(format!("{high:032x}{low:032x}"))
    }

    /// The text itself. Every call is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Bytes in it.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_neither_in_debug_nor_in_json() {
        let secret = Secret::from("correct horse battery staple");
        assert_eq!(format!("{secret:?}"), REDACTED);
        assert_eq!(serde_json::to_string(&Some(&secret)).unwrap(), "\"[redacted]\"");
    }

    #[test]
    fn two_random_secrets_differ() {
        assert_ne!(Secret::random(), Secret::random());
        assert_eq!(Secret::random().len(), 64);
    }
}
