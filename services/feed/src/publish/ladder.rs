//! The published part of a book, and the change from one to the next. No I/O.

use std::cmp::Ordering;

use tickwire_protocol::book::DELTAS_MAX;

use crate::{book::Levels, model::Level, publish::message::BookMessage};

/// The best levels of a book, best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ladder {
    /// Highest first.
    pub bids: Vec<Level>,
    /// Lowest first.
    pub asks: Vec<Level>,
}

impl Ladder {
    /// The best `depth` levels a side.
    pub fn of(levels: &Levels, depth: usize) -> Self {
        Self { bids: levels.bids().take(depth).copied().collect(), asks: levels.asks().take(depth).copied().collect() }
    }
}

/// What subscribers have been told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    ladder: Option<Ladder>,
    deltas: u32,
}

impl Told {
    /// The next message, where there is anything to tell.
    pub(crate) fn next(&mut self, ladder: Ladder) -> Option<BookMessage> {
        let Some(before) = self.ladder.as_ref().filter(|_| self.deltas < DELTAS_MAX) else {
            self.deltas = 0;
            let Ladder { bids, asks } = self.ladder.insert(ladder).clone();
            return Some(BookMessage::Snapshot { bids, asks });
        };
        let bids = difference(&before.bids, &ladder.bids, |a, b| b.price.cmp(&a.price));
        let asks = difference(&before.asks, &ladder.asks, |a, b| a.price.cmp(&b.price));
        self.ladder = Some(ladder);
        if bids.is_empty() && asks.is_empty() {
            return None;
        }
        self.deltas += 1;
        Some(BookMessage::Delta { bids, asks })
    }

    /// Nothing changed, and the book is vouched for: an empty delta, or the whole where that is due.
    pub(crate) fn beat(&mut self) -> Option<BookMessage> {
        let Ladder { bids, asks } = self.ladder.as_ref()?;
        if self.deltas >= DELTAS_MAX {
            self.deltas = 0;
            return Some(BookMessage::Snapshot { bids: bids.clone(), asks: asks.clone() });
        }
        self.deltas += 1;
        Some(BookMessage::Delta { bids: Vec::new(), asks: Vec::new() })
    }

    /// What comes next is a snapshot: the book was not live, a message was lost, or another published before.
    pub(crate) fn forget(&mut self) {
        self.ladder = None;
    }
}

/// Absolute quantities of what differs; what is gone has quantity zero. Both sides are sorted best first by `order`.
fn difference(before: &[Level], after: &[Level], order: impl Fn(&Level, &Level) -> Ordering) -> Vec<Level> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let ordering = match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => order(old, new),
        };
        match ordering {
            Ordering::Less => {
                changes.extend(old.next().map(|gone| Level { qty: rust_decimal::Decimal::ZERO, ..*gone }));
            }
            Ordering::Greater => changes.extend(new.next().copied()),
            Ordering::Equal => {
                if let (Some(old), Some(new)) = (old.next(), new.next())
                    && old.qty != new.qty
                {
                    changes.push(*new);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use rust_decimal::Decimal;

    use super::*;

    fn side(levels: &BTreeMap<u8, u8>, is_bids: bool) -> Vec<Level> {
        let level = |(&price, &qty): (&u8, &u8)| Level { price: Decimal::from(price), qty: Decimal::from(qty) };
        let mut levels: Vec<Level> = levels.iter().map(level).collect();
        if is_bids {
            levels.reverse();
        }
        levels
    }

    fn apply(book: &mut BTreeMap<Decimal, Decimal>, levels: &[Level]) {
        for level in levels {
            if level.qty.is_zero() {
                book.remove(&level.price);
            } else {
                book.insert(level.price, level.qty);
            }
        }
    }

    proptest! {
        #[test]
        fn who_follows_the_messages_has_the_ladder(
            books in proptest::collection::vec(proptest::collection::btree_map(0_u8..40, 1_u8..5, 0..20), 1..250)
        ) {
            let mut told = Told::default();
            let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
            for book in &books {
                let ladder = Ladder { bids: side(book, true), asks: side(book, false) };
                match told.next(ladder.clone()) {
                    Some(BookMessage::Snapshot { bids: b, asks: a }) => {
                        (bids, asks) = (BTreeMap::new(), BTreeMap::new());
                        apply(&mut bids, &b);
                        apply(&mut asks, &a);
                    }
                    Some(BookMessage::Delta { bids: b, asks: a }) => {
                        apply(&mut bids, &b);
                        apply(&mut asks, &a);
                    }
                    _ => {}
                }
                prop_assert!(bids.iter().rev().eq(ladder.bids.iter().map(|level| (&level.price, &level.qty))));
                prop_assert!(asks.iter().eq(ladder.asks.iter().map(|level| (&level.price, &level.qty))));
            }
        }
    }

    #[test]
    fn the_whole_is_repeated_now_and_then() {
        let mut told = Told::default();
        let ladder = |qty: u32| {
            let level = Level { price: Decimal::ONE, qty: Decimal::from(qty + 1) };
            Ladder { bids: vec![level], asks: Vec::new() }
        };
        let is_whole: Vec<bool> =
            (0..203).map(|n| matches!(told.next(ladder(n)), Some(BookMessage::Snapshot { .. }))).collect();
        let places: Vec<usize> = is_whole.iter().enumerate().filter(|(_, whole)| **whole).map(|(at, _)| at).collect();
        assert_eq!(places, [0, 101, 202]);
        assert_eq!(told.next(ladder(202)), None, "nothing changed, nothing told");
    }
}
