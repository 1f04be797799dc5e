//! Values of request bodies that carry their own rules. Each says in its error what it wants.

mod name;
mod number;

pub(crate) use name::{Segment, Symbol, Text};
pub(crate) use number::{Amount, Figure, Positive, Ratio, Unsigned};

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use tickwire_protocol::RawJson;

/// A JSON object that is passed on as it was written.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Object(RawJson);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = RawJson::deserialize(deserializer)?;
        if json.as_str().starts_with('{') { Ok(Self(json)) } else { Err(D::Error::custom("an object is wanted here")) }
    }
}
