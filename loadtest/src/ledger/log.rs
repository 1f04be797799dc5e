//! One channel on the sender's side.

use std::collections::BTreeMap;

use tickwire_protocol::Position;

use super::Ranges;

/// What was published to one channel.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Per key (0 where the channel has none) the last number given out and the last one acknowledged.
    keys: BTreeMap<u32, (u64, u64)>,
    uncertain: Ranges,
    position: Option<Position>,
}

impl Log {
    /// The number of the next message of `key`.
    pub fn next(&mut self, key: u32) -> u64 {
        let (given, _) = self.keys.entry(key).or_default();
        *given += 1;
        *given
    }

    /// The emitter acknowledged it. Called in the order of numbers.
    pub fn accepted(&mut self, key: u32, number: u64, position: Option<Position>) {
        let (_, accepted) = self.keys.entry(key).or_default();
        *accepted = number.max(*accepted);
        self.position = position.or(self.position);
    }

    /// The emitter did not say that it has it: it may come or not. Called in the order of numbers.
    pub fn uncertain(&mut self, number: u64) {
        self.uncertain.append(number..=number);
    }

    /// The last number acknowledged, of a channel without keys.
    pub fn last(&self) -> u64 {
        self.keys.get(&0).map_or(0, |&(_, accepted)| accepted)
    }

    /// Per key the last number acknowledged; keys of which nothing was acknowledged are left out.
    pub fn last_by_key(&self) -> impl Iterator<Item = (u32, u64)> {
        self.keys.iter().filter(|(_, (_, accepted))| *accepted > 0).map(|(&key, &(_, accepted))| (key, accepted))
    }

    /// Numbers that may be missing.
    pub fn uncertainties(&self) -> &Ranges {
        &self.uncertain
    }

    /// Where the last acknowledged message stands; `None` where positions are not told.
    pub fn position(&self) -> Option<Position> {
        self.position
    }
}
