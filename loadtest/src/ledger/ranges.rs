//! A set of numbers, kept as ranges.

use std::{collections::VecDeque, ops::RangeInclusive};

/// Ranges kept at most. Beyond it the lowest ones are given up, so memory is bounded whatever goes wrong.
const RANGES_MAX: usize = 256;

/// Numbers in ascending order, as disjoint ranges; at most 256 of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: VecDeque<RangeInclusive<u64>>,
}

impl Ranges {
    /// Appends `range`, which lies above all that is there. An empty one changes nothing.
    pub fn append(&mut self, range: RangeInclusive<u64>) {
        if range.is_empty() {
            return;
        }
        match self.ranges.back_mut() {
            Some(last) if *last.end() + 1 >= *range.start() => *last = *last.start()..=*range.end().max(last.end()),
            _ => self.ranges.push_back(range),
        }
        if self.ranges.len() > RANGES_MAX {
            self.ranges.pop_front();
        }
    }

    /// Takes `number` out; whether it was there.
    pub fn remove(&mut self, number: u64) -> bool {
        let Some(at) = self.ranges.iter().position(|range| range.contains(&number)) else { return false };
        let Some(range) = self.ranges.remove(at) else { return false };
        let parts = [*range.start()..=number.saturating_sub(1), number + 1..=*range.end()];
        for part in parts.into_iter().rev().filter(|part| !part.is_empty() && number > 0) {
            self.ranges.insert(at, part);
        }
        true
    }

    /// Whether `number` is in it.
    pub fn contains(&self, number: u64) -> bool {
        self.ranges.iter().any(|range| range.contains(&number))
    }

    /// How many numbers both sets have.
    pub fn common(&self, other: &Self) -> u64 {
        self.ranges.iter().map(|range| other.count_in(range)).sum()
    }

    /// How many of its numbers lie in `range`.
    pub fn count_in(&self, range: &RangeInclusive<u64>) -> u64 {
        let overlap = |own: &RangeInclusive<u64>| {
            let (from, to) = (*own.start().max(range.start()), *own.end().min(range.end()));
            (to + 1).saturating_sub(from)
        };
        self.ranges.iter().map(overlap).sum()
    }

    /// How many numbers it has.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|range| range.end() - range.start() + 1).sum()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &RangeInclusive<u64>> {
        self.ranges.iter()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}
