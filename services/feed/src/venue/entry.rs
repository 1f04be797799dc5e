//! What a connection holds of one symbol.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    book::Book,
    model::{Candle, Channel, Interval, Symbol, Ticker, event::TradeId},
};

/// Trade ids remembered, to tell a repeated print.
const TRADES_MAX: usize = 1_024;

/// A symbol.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) symbol: Symbol,
    pub(crate) native: Arc<str>,
    pub(crate) wanted: Wanted,
    pub(crate) book: Book,
    /// Whether the book was ever asked for or spoken of.
    pub(crate) book_seen: bool,
    /// The venue refused a subscription while the book waited for one: it is not asked again soon.
    pub(crate) is_refused: bool,
    pub(crate) ticker: Ticker,
    pub(crate) trades: SeenTrades,
    /// The current candle of each interval, where the venue does not say that one is closed.
    pub(crate) candles: Vec<Candle>,
}

impl Entry {
    pub(crate) fn new(symbol: Symbol, native: Arc<str>) -> Self {
        Self {
            symbol,
            native,
            wanted: Wanted::default(),
            book: Book::default(),
            book_seen: false,
            is_refused: false,
            ticker: Ticker::default(),
            trades: SeenTrades::default(),
            candles: Vec::new(),
        }
    }

    /// A new connection: nothing of the old one counts, except which trades were seen.
    pub(crate) fn reset(&mut self) {
        self.book.reset();
        self.is_refused = false;
        self.ticker = Ticker::default();
        self.candles.clear();
    }
}

/// Which channels are asked for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    book: bool,
    trades: bool,
    ticker: bool,
    candles: Vec<Interval>,
}

impl Wanted {
    pub(crate) fn has(&self, channel: Channel) -> bool {
        match channel {
            Channel::Orderbook => self.book,
            Channel::Trades => self.trades,
            Channel::Ticker => self.ticker,
            Channel::Candles(interval) => self.candles.contains(&interval),
        }
    }

    pub(crate) fn set(&mut self, channel: Channel, wanted: bool) {
        match channel {
            Channel::Orderbook => self.book = wanted,
            Channel::Trades => self.trades = wanted,
            Channel::Ticker => self.ticker = wanted,
            Channel::Candles(interval) => {
                self.candles.retain(|held| *held != interval);
                if wanted {
                    self.candles.push(interval);
                }
            }
        }
    }
}

/// How a print stands to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Print {
    New,
    Repeated,
    Late,
}

/// The prints seen lately.
#[derive(Debug, Default)]
pub(crate) struct SeenTrades {
    last: Option<u64>,
    recent: VecDeque<TradeId>,
}

impl SeenTrades {
    pub(crate) fn note(&mut self, id: &TradeId) -> Print {
        let mut print = Print::New;
        // Numbers grow: one above the last needs no search.
        let newest = matches!((id, self.last), (TradeId::Number(number), Some(last)) if *number > last);
        if !newest && self.recent.contains(id) {
            return Print::Repeated;
        }
        if let TradeId::Number(number) = id {
            if self.last.is_some_and(|last| *number < last) {
                print = Print::Late;
            }
            self.last = self.last.max(Some(*number));
        }
        if self.recent.len() == TRADES_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(id.clone());
        print
    }
}

#[cfg(test)]
mod tests {
    use super::{Print, SeenTrades, TRADES_MAX, TradeId};

    #[test]
    fn a_print_is_new_once() {
        let mut seen = SeenTrades::default();
        let print = |seen: &mut SeenTrades, id: &str| seen.note(&TradeId::parse(id));
        assert_eq!(print(&mut seen, "5"), Print::New);
        assert_eq!(print(&mut seen, "5"), Print::Repeated);
        assert_eq!(print(&mut seen, "3"), Print::Late);
        assert_eq!(print(&mut seen, "3"), Print::Repeated);
        assert_eq!(print(&mut seen, "a9188a0a"), Print::New);
        assert_eq!(print(&mut seen, "a9188a0a"), Print::Repeated);
        (0..10 * TRADES_MAX).for_each(|id| assert_eq!(seen.note(&TradeId::Text(format!("x{id}").into())), Print::New));
        assert_eq!(seen.recent.len(), TRADES_MAX);
    }
}
