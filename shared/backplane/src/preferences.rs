//! Merging notification preferences.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tickwire_protocol::RawJson;

use crate::{BackplaneError, PREFERENCES_BYTES_MAX};

/// `current` with the top-level fields of `changes` laid over it; a field that is `null` there is removed. Values keep their
/// text, numbers in them are not re-rendered.
pub(crate) fn merge(current: Option<&RawJson>, changes: &RawJson) -> Result<RawJson, BackplaneError> {
    let mut fields: BTreeMap<String, Box<RawValue>> = match current {
        Some(current) => current.to().map_err(|error| BackplaneError::Unexpected(error.to_string()))?,
        None => BTreeMap::new(),
    };
    let changes: BTreeMap<String, Box<RawValue>> = changes.to().map_err(|_| BackplaneError::InvalidPreferences)?;
    for (name, value) in changes {
        if value.get() == "null" {
            fields.remove(&name);
        } else {
            fields.insert(name, value);
        }
    }
    let merged = RawJson::of(&fields).map_err(|error| BackplaneError::Unexpected(error.to_string()))?;
    if merged.bytes().len() > PREFERENCES_BYTES_MAX {
        return Err(BackplaneError::InvalidPreferences);
    }
    Ok(merged)
}

/// A user's preferences before any were set.
pub(crate) fn empty() -> RawJson {
    RawJson::trusted("{}".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn fields_are_replaced_and_null_removes_one() {
        let current = json(r#"{"email":true,"push":{"from":8},"limit":1.10}"#);
        let merged = merge(Some(&current), &json(r#"{"push":{"until":20},"email":null}"#)).unwrap();
        assert_eq!(merged.as_str(), r#"{"limit":1.10,"push":{"until":20}}"#);
    }

    #[test]
    fn only_objects_of_a_bounded_size_are_taken() {
        for wrong in ["1", "[]", "null", "\"x\""] {
            assert!(matches!(merge(None, &json(wrong)), Err(BackplaneError::InvalidPreferences)), "{wrong}");
        }
        let big = format!(r#"{{"a":"{}"}}"#, "x".repeat(PREFERENCES_BYTES_MAX));
        assert!(matches!(merge(None, &json(&big)), Err(BackplaneError::InvalidPreferences)));
    }
}
