//! Where a client stands in each of its channels, as one text: `a@1763683200000-17,b@1763683200000-4`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use tickwire_protocol::{ChannelName, Position};

/// Entries in one text; more than any connection may have channels by default.
const CURSORS_MAX: usize = 1_000;

/// The positions by channel. Bounded by the channels of the connection, or by [`CURSORS_MAX`] where a client wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cursors(BTreeMap<ChannelName, Position>);

/// A text that is no such list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("positions are written channel@epoch-offset, separated by commas, at most {CURSORS_MAX}")]
pub(super) struct InvalidCursors;

impl Cursors {
    pub(super) fn get(&self, channel: &ChannelName) -> Option<Position> {
        self.0.get(channel).copied()
    }

    pub(super) fn set(&mut self, channel: ChannelName, position: Position) {
        self.0.insert(channel, position);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets every channel for which `keep` says no.
    pub(super) fn retain(&mut self, keep: impl Fn(&ChannelName) -> bool) {
        self.0.retain(|channel, _| keep(channel));
    }
}

impl FromStr for Cursors {
    type Err = InvalidCursors;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cursors = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            // From the right: a channel name may hold an `@`, a position does not.
            let (channel, position) = entry.rsplit_once('@').ok_or(InvalidCursors)?;
            let channel = ChannelName::new(channel).map_err(|_| InvalidCursors)?;
            cursors.set(channel, position.parse().map_err(|_| InvalidCursors)?);
            if cursors.0.len() > CURSORS_MAX {
                return Err(InvalidCursors);
            }
        }
        Ok(cursors)
    }
}

impl fmt::Display for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (channel, position)) in self.0.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{channel}@{position}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        let text = "a@b@1-2,session:42@1763683200000-17";
        let cursors: Cursors = text.parse().unwrap();
        assert_eq!(cursors.to_string(), text);
        assert_eq!(cursors.get(&ChannelName::new("a@b").unwrap()), Some(Position::new(1, 2)));
        assert!("".parse::<Cursors>().unwrap().is_empty());
        for bad in ["a", "a@", "@1-2", "a@1", "a@1-x", "a b@1-2", "a@1-2,b"] {
            assert_eq!(bad.parse::<Cursors>(), Err(InvalidCursors), "{bad}");
        }
        let many: Vec<String> = (0..=CURSORS_MAX).map(|number| format!("c{number}@1-1")).collect();
        assert!(many.join(",").parse::<Cursors>().is_err());
    }
}
