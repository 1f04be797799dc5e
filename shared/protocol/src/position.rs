//! Where a message stands in its channel.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `epoch-offset`: the ID of the message in the channel's stream. Offsets start at 1 and are dense inside an epoch; offset
/// 0 stands before the first message. A later epoch is a greater number (milliseconds at its creation), so positions of
/// one channel are totally ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Milliseconds since the Unix epoch when this numbering began.
    pub epoch: u64,
    /// Counts the channel's messages inside the epoch.
    pub offset: u64,
}

/// A text that is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position is written epoch-offset, both decimal numbers")]
pub struct InvalidPosition;

impl Position {
    /// A position from its parts.
    pub const fn new(epoch: u64, offset: u64) -> Self {
        Self { epoch, offset }
    }

    /// The position that the next message of this epoch will have.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { epoch: self.epoch, offset: self.offset + 1 }
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, offset) = text.split_once('-').ok_or(InvalidPosition)?;
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            // u64::MAX is left out, so that `next` cannot overflow on a client's number.
            if plain { digits.parse().ok().filter(|&n: &u64| n < u64::MAX) } else { None }
        };
        Ok(Self { epoch: number(epoch).ok_or(InvalidPosition)?, offset: number(offset).ok_or(InvalidPosition)? })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
