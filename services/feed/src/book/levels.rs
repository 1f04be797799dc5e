//! The levels of a book.

use crate::{
    book::Anomaly,
    model::{Decimal, Level, Top},
};

/// Levels a side may hold. Coinbase's whole book of BTC-USD has 27,000; beyond this the venue's word is not believed.
pub const LEVELS_MAX: usize = 200_000;

/// Both sides. Each is sorted with the best level last: most changes are near the top, so that few levels move.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Levels {
    /// Bids, best (highest) first.
    pub fn bids(&self) -> impl ExactSizeIterator<Item = &Level> + DoubleEndedIterator {
        self.bids.iter().rev()
    }

    /// Asks, best (lowest) first.
    pub fn asks(&self) -> impl ExactSizeIterator<Item = &Level> + DoubleEndedIterator {
        self.asks.iter().rev()
    }

    /// The best levels and the sizes.
    pub fn top(&self) -> Top {
        Top {
            bid: self.bids.last().copied(),
            ask: self.asks.last().copied(),
            bids: self.bids.len(),
            asks: self.asks.len(),
        }
    }

    /// Whether the best bid is not below the best ask. An empty side crosses nothing.
    pub fn is_crossed(&self) -> bool {
        match (self.bids.last(), self.asks.last()) {
            (Some(bid), Some(ask)) => bid.price >= ask.price,
            _ => false,
        }
    }

    pub(crate) fn replace(&mut self, bids: &[Level], asks: &[Level]) -> Result<(), Anomaly> {
        if bids.len().max(asks.len()) > LEVELS_MAX {
            return Err(Anomaly::Overflow);
        }
        fill(&mut self.bids, bids, |a, b| a.cmp(&b));
        fill(&mut self.asks, asks, |a, b| b.cmp(&a));
        Ok(())
    }

    pub(crate) fn apply(&mut self, bids: &[Level], asks: &[Level]) -> Result<(), Anomaly> {
        for level in bids {
            set(&mut self.bids, *level, |held| held < level.price);
        }
        for level in asks {
            set(&mut self.asks, *level, |held| held > level.price);
        }
        if self.bids.len().max(self.asks.len()) > LEVELS_MAX { Err(Anomaly::Overflow) } else { Ok(()) }
    }

    /// Keeps the best `depth` levels a side.
    pub(crate) fn truncate(&mut self, depth: usize) {
        for side in [&mut self.bids, &mut self.asks] {
            side.drain(..side.len().saturating_sub(depth));
        }
    }
}

/// Replaces a side. A price given twice holds its last quantity; a quantity of zero is no level.
fn fill(side: &mut Vec<Level>, levels: &[Level], order: impl Fn(Decimal, Decimal) -> std::cmp::Ordering) {
    side.clear();
    // Snapshots come best first: reversed, they are sorted already, and a stable sort sees that in one pass.
    side.extend(levels.iter().rev());
    side.sort_by(|a, b| order(a.price, b.price));
    // Reversing put the later of two equal prices first.
    side.dedup_by(|later, first| later.price == first.price);
    side.retain(|level| !level.qty.is_zero());
}

/// Sets one level: replaces, inserts or deletes. Deleting a level that is not there is normal. `is_worse` tells whether a held
/// price lies on the far side of the level's.
fn set(side: &mut Vec<Level>, level: Level, is_worse: impl Fn(Decimal) -> bool) {
    // From the best level outwards in growing steps: changes cluster at the top.
    let mut step = 4;
    let mut high = side.len();
    let mut low = high.saturating_sub(step);
    while low > 0 && !is_worse(side[low].price) {
        high = low;
        step *= 4;
        low = low.saturating_sub(step);
    }
    let at = low + side[low..high].partition_point(|held| is_worse(held.price));
    let held = side.get(at).is_some_and(|held| held.price == level.price);
    match (held, level.qty.is_zero()) {
        (true, true) => drop(side.remove(at)),
        (true, false) => side[at] = level,
        (false, true) => {}
        (false, false) => side.insert(at, level),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Anomaly, Level, Levels};
    use crate::model::Decimal;

    fn level(price: i64, qty: i64) -> Level {
        Level { price: Decimal::new(price, 2), qty: Decimal::from(qty) }
    }

    #[test]
    fn levels_agree_with_a_map_whatever_the_order_of_changes() {
        let (mut levels, mut bids, mut asks) = (Levels::default(), BTreeMap::new(), BTreeMap::new());
        let mut seed = 7u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (price, qty) = (i64::try_from(seed >> 33).unwrap() % 700, i64::try_from((seed >> 20) % 3).unwrap());
            let (bid, ask) = (level(price, qty), level(price + 1_000, qty));
            levels.apply(&[bid], &[ask]).unwrap();
            for (map, level) in [(&mut bids, bid), (&mut asks, ask)] {
                if level.qty.is_zero() {
                    map.remove(&level.price)
                } else {
                    map.insert(level.price, level.qty)
                };
            }
        }
        assert!(levels.bids().map(|level| (&level.price, &level.qty)).eq(bids.iter().rev()));
        assert!(levels.asks().map(|level| (&level.price, &level.qty)).eq(asks.iter()));
    }

    #[test]
    fn a_snapshot_may_be_unsorted_repeat_a_price_and_hold_zeros() {
        let mut levels = Levels::default();
        levels.replace(&[level(1, 1), level(3, 1), level(2, 0), level(1, 5)], &[]).unwrap();
        assert!(levels.bids().eq(&[level(3, 1), level(1, 5)]));
        assert_eq!(levels.top().ask, None);
        assert!(!levels.is_crossed());
    }

    #[test]
    fn prices_compare_as_numbers_and_not_as_text() {
        let mut levels = Levels::default();
        let (short, long) = (Decimal::new(10, 1), Decimal::new(100, 2));
        levels.apply(&[Level { price: short, qty: Decimal::ONE }], &[]).unwrap();
        levels.apply(&[Level { price: long, qty: Decimal::new(0, 8) }], &[]).unwrap();
        assert_eq!(levels.bids().len(), 0);
    }

    #[test]
    fn equal_best_prices_cross() {
        let mut levels = Levels::default();
        levels.apply(&[level(5, 1)], &[level(5, 1)]).unwrap();
        assert!(levels.is_crossed());
    }

    #[test]
    fn a_side_has_a_bound() {
        let levels: Vec<_> = (0..=super::LEVELS_MAX).map(|price| level(i64::try_from(price).unwrap(), 1)).collect();
        assert_eq!(Levels::default().replace(&levels, &[]), Err(Anomaly::Overflow));
    }
}
