//! Decimal numbers that keep the digits they were written with. Nothing here passes through a float.

use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::value::RawValue;

/// Money, a price or a signed quantity: given as a string or a number, published as a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Amount(String);

/// An [`Amount`] that is not negative.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unsigned(String);

/// An [`Amount`] above zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Positive(String);

/// A share, score or volatility of 0 or more: given as a number or a string, published as a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ratio {
    digits: String,
    value: Decimal,
}

/// A measured value or its threshold, which may be money or a ratio: published as it came, a string or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figure {
    digits: String,
    is_text: bool,
}

/// A number's text and value, and whether it stood in quotes.
struct Written {
    digits: String,
    value: Decimal,
    is_text: bool,
}

const WANTED: &str = "a decimal number is wanted here, such as \"64213.10\", with at most 28 digits";

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Written, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    parse(raw.get()).ok_or_else(|| D::Error::custom(WANTED))
}

/// Reads the JSON text of a string or a number.
fn parse(json: &str) -> Option<Written> {
    let unquoted = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = unquoted.unwrap_or(json);
    if !is_number(text) {
        return None;
    }
    if text.contains(['e', 'E']) {
        // Some languages write 0.0000001 as 1e-7. The value is exact; only the writing changes.
        let value = Decimal::from_scientific(text).ok()?;
        return Some(Written { digits: value.to_string(), value, is_text: unquoted.is_some() });
    }
    let value = Decimal::from_str_exact(text).ok()?;
    Some(Written { digits: text.to_owned(), value, is_text: unquoted.is_some() })
}

/// Whether `text` is a number by the grammar of JSON.
fn is_number(text: &str) -> bool {
    text.len() <= 64
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"-+.eE".contains(&byte))
        && serde_json::Number::from_str(text).is_ok()
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(read(deserializer)?.digits))
    }
}

impl<'de> Deserialize<'de> for Unsigned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = read(deserializer)?;
        if written.value < Decimal::ZERO {
            return Err(D::Error::custom("it must not be negative"));
        }
        Ok(Self(written.digits))
    }
}

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = read(deserializer)?;
        if written.value <= Decimal::ZERO {
            return Err(D::Error::custom("it must be above zero"));
        }
        Ok(Self(written.digits))
    }
}

impl Ratio {
    /// Whether it is at most 1.
    pub(crate) fn is_share(&self) -> bool {
        self.value <= Decimal::ONE
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.digits
    }

    pub(crate) fn to_figure(&self) -> Figure {
        Figure { digits: self.digits.clone(), is_text: false }
    }
}

impl Figure {
    /// The number 1.
    pub(crate) fn one() -> Self {
        Self { digits: "1".into(), is_text: false }
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { digits, value, .. } = read(deserializer)?;
        if value < Decimal::ZERO {
            return Err(D::Error::custom("a number of 0 or more is wanted here"));
        }
        Ok(Self { digits, value })
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { digits, is_text, .. } = read(deserializer)?;
        Ok(Self { digits, is_text })
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for Unsigned {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for Positive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

fn serialize_number<S: Serializer>(digits: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let raw: &RawValue = serde_json::from_str(digits).map_err(serde::ser::Error::custom)?;
    raw.serialize(serializer)
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_number(&self.digits, serializer)
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_text { serializer.serialize_str(&self.digits) } else { serialize_number(&self.digits, serializer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(json: &str) -> Option<String> {
        serde_json::from_str::<Amount>(json).ok().map(|amount| amount.0)
    }

    #[test]
    fn an_amount_keeps_its_digits_however_it_was_given() {
        assert_eq!(amount("\"64213.10\"").as_deref(), Some("64213.10"));
        assert_eq!(amount("64213.10").as_deref(), Some("64213.10"));
        assert_eq!(amount("-0.1").as_deref(), Some("-0.1"));
        assert_eq!(amount("0.1234567890123456789012345678").as_deref(), Some("0.1234567890123456789012345678"));
        assert_eq!(amount("1e-7").as_deref(), Some("0.0000001"));
    }

    #[test]
    fn what_is_no_exact_decimal_is_refused() {
        for bad in
            ["\"\"", "\"abc\"", "\"1,5\"", "\"007\"", "\"+1\"", "\"1_000\"", "null", "true", "[1]", "\"NaN\"", "\" 1\""]
        {
            assert_eq!(amount(bad), None, "{bad}");
        }
        assert_eq!(amount("0.12345678901234567890123456789"), None, "29 digits would be rounded");
        assert_eq!(amount("1e999"), None);
        assert_eq!(amount(&"9".repeat(100)), None);
    }

    #[test]
    fn bounds_hold() {
        assert!(serde_json::from_str::<Unsigned>("\"-1\"").is_err());
        assert!(serde_json::from_str::<Unsigned>("0").is_ok());
        assert!(serde_json::from_str::<Positive>("0.00").is_err());
        assert!(serde_json::from_str::<Ratio>("-0.1").is_err());
        let text = serde_json::from_str::<Ratio>("\"0.10\"").unwrap();
        assert_eq!(serde_json::to_string(&text).unwrap(), "0.10", "given as text, published as a number");
        assert!(serde_json::from_str::<Ratio>("1.0").unwrap().is_share());
        assert!(!serde_json::from_str::<Ratio>("1.01").unwrap().is_share());
    }

    #[test]
    fn a_figure_goes_out_as_it_came() {
        for json in ["\"1000.50\"", "0.80"] {
            let figure: Figure = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&figure).unwrap(), json);
        }
    }
}
