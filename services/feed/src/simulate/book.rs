//! The simulated exchange's own book: levels as they were written, so that checksums come out as the exchange's.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

/// A level as text: price and quantity.
pub(crate) type Level = (String, String);

/// What one recorded frame does to a book.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BookFrame {
    /// It replaces what was there.
    pub(crate) is_snapshot: bool,
    /// Changed bids; quantity zero deletes.
    pub(crate) bids: Vec<Level>,
    /// Changed asks.
    pub(crate) asks: Vec<Level>,
    /// The sequence number after it, where the venue has one.
    pub(crate) sequence: Option<u64>,
}

/// Bids and asks by price.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextBook {
    bids: BTreeMap<Decimal, Level>,
    asks: BTreeMap<Decimal, Level>,
    /// After the last frame.
    pub(crate) sequence: Option<u64>,
}

impl TextBook {
    /// Applies a frame, then forgets levels beyond `depth`.
    pub(crate) fn apply(&mut self, frame: &BookFrame, depth: Option<usize>) {
        if frame.is_snapshot {
            self.bids.clear();
            self.asks.clear();
        }
        for (side, levels) in [(&mut self.bids, &frame.bids), (&mut self.asks, &frame.asks)] {
            for level in levels {
                let (Some(price), Some(quantity)) = (decimal(&level.0), decimal(&level.1)) else { continue };
                if quantity.is_zero() {
                    side.remove(&price);
                } else {
                    side.insert(price, level.clone());
                }
            }
        }
        self.sequence = frame.sequence.or(self.sequence);
        if let Some(depth) = depth {
            while self.bids.len() > depth {
                self.bids.pop_first();
            }
            while self.asks.len() > depth {
                self.asks.pop_last();
            }
        }
    }

    /// The best `depth` bids, best first.
    pub(crate) fn bids(&self, depth: usize) -> impl Iterator<Item = &Level> {
        self.bids.values().rev().take(depth)
    }

    /// The best `depth` asks, best first.
    pub(crate) fn asks(&self, depth: usize) -> impl Iterator<Item = &Level> {
        self.asks.values().take(depth)
    }

    /// What a subscriber of `depth` levels, who has `self`, must be told to have `next`. Levels that fall out of the depth
    /// are not deleted when `is_truncating`, as Kraken does it.
    pub(crate) fn difference(&self, next: &Self, depth: usize, is_truncating: bool) -> BookFrame {
        let best_bids: Vec<&Decimal> = next.bids.keys().rev().take(depth).collect();
        let best_asks: Vec<&Decimal> = next.asks.keys().take(depth).collect();
        let worst = (best_bids.last().copied().copied(), best_asks.last().copied().copied());
        let is_full = (best_bids.len() == depth, best_asks.len() == depth);
        let gone_bids = self.bids.iter().rev().take(depth).filter(|(price, _)| {
            !(next.bids.contains_key(price) || is_truncating && is_full.0 && Some(**price) < worst.0)
        });
        let gone_asks = self.asks.iter().take(depth).filter(|(price, _)| {
            !(next.asks.contains_key(price)
                || is_truncating && is_full.1 && worst.1.is_some_and(|worst| **price > worst))
        });
        let deleted = |(_, level): (&Decimal, &Level)| (level.0.clone(), zero(&level.1));
        let mut frame = BookFrame {
            is_snapshot: false,
            bids: gone_bids.map(deleted).collect(),
            asks: gone_asks.map(deleted).collect(),
            sequence: next.sequence,
        };
        let was_bid: Vec<&Decimal> = self.bids.keys().rev().take(depth).collect();
        let was_ask: Vec<&Decimal> = self.asks.keys().take(depth).collect();
        for price in best_bids {
            if !was_bid.contains(&price) || self.bids.get(price) != next.bids.get(price) {
                frame.bids.extend(next.bids.get(price).cloned());
            }
        }
        for price in best_asks {
            if !was_ask.contains(&price) || self.asks.get(price) != next.asks.get(price) {
                frame.asks.extend(next.asks.get(price).cloned());
            }
        }
        frame
    }

    /// Kraken's CRC32: the best ten asks, then bids, digits only, without leading zeros.
    pub(crate) fn kraken_checksum(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for (price, quantity) in self.asks(10).chain(self.bids(10)) {
            for number in [price, quantity] {
                let digits: String = number.chars().filter(char::is_ascii_digit).collect();
                crc.update(digits.trim_start_matches('0').as_bytes());
            }
        }
        crc.finalize()
    }

    /// OKX' CRC32: the best 25 of each side in turn, joined by colons, signed.
    pub(crate) fn okx_checksum(&self) -> i32 {
        let (mut bids, mut asks) = (self.bids(25), self.asks(25));
        let mut parts: Vec<&str> = Vec::with_capacity(100);
        loop {
            let (bid, ask) = (bids.next(), asks.next());
            if bid.is_none() && ask.is_none() {
                break;
            }
            for (price, quantity) in bid.into_iter().chain(ask) {
                parts.extend([price.as_str(), quantity.as_str()]);
            }
        }
        crc32fast::hash(parts.join(":").as_bytes()).cast_signed()
    }
}

/// Zero with as many digits as `like` has.
fn zero(like: &str) -> String {
    like.chars().map(|char| if char == '.' { '.' } else { '0' }).collect()
}

fn decimal(text: &str) -> Option<Decimal> {
    text.parse().or_else(|_| Decimal::from_scientific(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bids: &[(&str, &str)], asks: &[(&str, &str)]) -> BookFrame {
        let levels = |side: &[(&str, &str)]| side.iter().map(|&(p, q)| (p.to_owned(), q.to_owned())).collect();
        BookFrame { bids: levels(bids), asks: levels(asks), ..BookFrame::default() }
    }

    #[test]
    fn a_difference_turns_one_book_into_the_other() {
        let (mut from, mut to) = (TextBook::default(), TextBook::default());
        from.apply(&frame(&[("10.0", "1"), ("9.0", "2")], &[("11.0", "1")]), None);
        to.apply(&frame(&[("10.0", "3"), ("8.0", "2")], &[("12.0", "1")]), None);
        let difference = from.difference(&to, 100, false);
        from.apply(&difference, None);
        assert!(from.bids(9).eq(to.bids(9)) && from.asks(9).eq(to.asks(9)), "{difference:?}");
    }

    #[test]
    fn a_truncating_subscriber_keeps_the_same_best_levels() {
        let (mut from, mut to, mut theirs) = (TextBook::default(), TextBook::default(), TextBook::default());
        let start = frame(&[("10", "1"), ("9", "1"), ("8", "1")], &[]);
        from.apply(&start, None);
        theirs.apply(&start, Some(2));
        to.apply(&frame(&[("11", "1"), ("10", "1"), ("8", "1")], &[]), None);
        theirs.apply(&from.difference(&to, 2, true), Some(2));
        assert!(theirs.bids(2).eq(to.bids(2)));
        let mut back = to.clone();
        back.apply(&frame(&[("11", "0"), ("10", "0")], &[]), None);
        theirs.apply(&to.difference(&back, 2, true), Some(2));
        assert!(theirs.bids(2).eq(back.bids(2)), "the level that re-enters is told");
    }
}
