//! Comparison of a book with a second signal of its venue.
//!
//! A chain of update ids proves that no message was lost, not that the book is right: a quantity taken for the wrong side passes
//! it. Binance quotes (`bookTicker`) carry the id of the book that they were taken from; where an id is also the last of a delta,
//! quote and book must be equal. Quotes come before or after their delta, so the recent ones are kept.

use std::collections::VecDeque;

use crate::model::{Level, Top};

/// How long quotes may run ahead of the book: deltas come every 100 ms or every second, so one that does not come is not sent. A
/// venue's stream of deltas has been seen to fall silent on a live socket, and its numbers cannot show that.
const AHEAD_MS: u64 = 5_000;
/// Quotes kept; a delta covers 100 ms, in which a busy symbol has been seen to send 60.
const QUOTES_MAX: usize = 256;

/// A best bid and ask at an update id.
#[derive(Debug, Clone, Copy)]
pub struct Quote {
    /// The update id of the book that it was taken from.
    pub seq: u64,
    /// The best bid.
    pub bid: Level,
    /// The best ask.
    pub ask: Level,
}

impl Quote {
    /// Whether a book's top is this. A side of quantity zero means that there is none.
    pub fn fits(&self, top: &Top) -> bool {
        let same = |held: Option<Level>, quoted: Level| match held {
            Some(held) => held == quoted,
            None => quoted.qty.is_zero(),
        };
        same(top.bid, self.bid) && same(top.ask, self.ask)
    }
}

/// The quotes that have not yet met their delta.
#[derive(Debug, Default)]
pub struct Audit {
    quotes: VecDeque<Quote>,
    /// Since when quotes have been ahead of the book without a delta.
    ahead_since_ms: Option<u64>,
}

impl Audit {
    /// A quote ahead of the book: kept for the delta that ends at its id. Whether that is overdue.
    pub(crate) fn keep(&mut self, quote: Quote, now_ms: u64) -> bool {
        let since_ms = *self.ahead_since_ms.get_or_insert(now_ms);
        if self.quotes.len() == QUOTES_MAX {
            self.quotes.pop_front();
        }
        self.quotes.push_back(quote);
        now_ms.saturating_sub(since_ms) >= AHEAD_MS
    }

    /// The book was replaced: what is overdue is counted anew.
    pub(crate) fn restart(&mut self) {
        self.ahead_since_ms = None;
    }

    /// The quote taken at `seq`, if one was; all up to it are forgotten.
    pub(crate) fn take(&mut self, seq: u64) -> Option<Quote> {
        self.ahead_since_ms = None;
        while let Some(quote) = self.quotes.front() {
            if quote.seq > seq {
                return None;
            }
            let quote = self.quotes.pop_front();
            if quote.is_some_and(|quote| quote.seq == seq) {
                return quote;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Audit, Level, QUOTES_MAX, Quote};
    use crate::model::{Decimal, Top};

    fn quote(seq: u64) -> Quote {
        let level = |price: i64| Level { price: Decimal::from(price), qty: Decimal::ONE };
        Quote { seq, bid: level(1), ask: level(2) }
    }

    #[test]
    fn a_quote_meets_the_delta_of_its_id_only() {
        let mut audit = Audit::default();
        for seq in [3, 5, 9] {
            audit.keep(quote(seq), 0);
        }
        assert!(audit.take(4).is_none());
        assert_eq!(audit.take(5).map(|quote| quote.seq), Some(5));
        assert!(audit.take(5).is_none());
        assert_eq!(audit.take(9).map(|quote| quote.seq), Some(9));
    }

    #[test]
    fn quotes_are_bounded() {
        let mut audit = Audit::default();
        (0..10 * QUOTES_MAX as u64).for_each(|seq| assert!(!audit.keep(quote(seq), 0)));
        assert_eq!(audit.quotes.len(), QUOTES_MAX);
    }

    #[test]
    fn a_delta_that_does_not_come_is_missed() {
        let mut audit = Audit::default();
        assert!(!audit.keep(quote(1), 1_000));
        assert!(!audit.keep(quote(2), 5_999));
        assert!(audit.keep(quote(3), 6_000));
        audit.take(2);
        assert!(!audit.keep(quote(4), 7_000), "a delta came");
        assert!(audit.keep(quote(5), 12_000));
    }

    #[test]
    fn an_empty_side_is_quoted_with_nothing() {
        let mut empty = quote(1);
        let top = Top { bid: Some(empty.bid), ..Top::default() };
        assert!(!empty.fits(&top));
        empty.ask.qty = Decimal::ZERO;
        assert!(empty.fits(&top));
    }
}
