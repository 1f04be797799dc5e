//! Distributions of times.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hdrhistogram::serialization::{Deserializer as HdrDeserializer, Serializer as _, V2DeflateSerializer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An HDR histogram of microseconds: 1 µs to 10 minutes, three significant digits, values beyond counted as the greatest.
///
/// In JSON it is the base64 of the V2 deflate format that the HDR histogram tools of every language read.
#[derive(Clone, PartialEq)]
pub struct Distribution(hdrhistogram::Histogram<u64>);

impl Distribution {
    /// Greatest value, microseconds.
    pub const MAX_US: u64 = 600_000_000;

    /// An empty one.
    pub fn new() -> Self {
        Self(hdrhistogram::Histogram::new_with_bounds(1, Self::MAX_US, 3).expect("constant bounds are valid"))
    }

    /// Counts one value.
    pub fn record_us(&mut self, us: u64) {
        self.0.saturating_record(us.clamp(1, Self::MAX_US));
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// The figures most often looked at.
    pub fn percentiles(&self) -> Percentiles {
        if self.0.is_empty() {
            return Percentiles::default();
        }
        Percentiles {
            count: self.0.len(),
            min_us: self.0.min(),
            p50_us: self.0.value_at_quantile(0.5),
            p90_us: self.0.value_at_quantile(0.9),
            p99_us: self.0.value_at_quantile(0.99),
            p999_us: self.0.value_at_quantile(0.999),
            max_us: self.0.max(),
        }
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Distribution {
    type Target = hdrhistogram::Histogram<u64>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Distribution {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Distribution").field(&self.percentiles()).finish()
    }
}

impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        let read: hdrhistogram::Histogram<u64> =
            HdrDeserializer::new().deserialize(&mut bytes.as_slice()).map_err(serde::de::Error::custom)?;
        let mut own = Self::new();
        own.0.add(read).map_err(serde::de::Error::custom)?;
        Ok(own)
    }
}

/// Figures of a distribution, microseconds; all 0 where nothing was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Percentiles {
    /// Values counted.
    pub count: u64,
    /// Least.
    pub min_us: u64,
    /// Median.
    pub p50_us: u64,
    /// 90 %.
    pub p90_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// 99.9 %.
    pub p999_us: u64,
    /// Greatest.
    pub max_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_survives_its_document() {
        let mut distribution = Distribution::new();
        for us in 1..=10_000 {
            distribution.record_us(us);
        }
        distribution.record_us(u64::MAX);
        let text = serde_json::to_string(&distribution).unwrap();
        let read: Distribution = serde_json::from_str(&text).unwrap();
        assert_eq!(read.percentiles(), distribution.percentiles());
        assert_eq!(read.percentiles().count, 10_001);
        assert_eq!(read.percentiles().p50_us, 5_003, "three digits of 5,001");
    }

    #[test]
    fn two_distributions_add_up_after_reading() {
        let mut one = Distribution::new();
        one.record_us(10);
        let text = serde_json::to_string(&one).unwrap();
        let mut other: Distribution = serde_json::from_str(&text).unwrap();
        other.merge(&one);
        assert_eq!(other.percentiles().count, 2);
    }
}
