//! What a bot sees of a market: put together from the messages of its channels, live and in a backtest alike.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde::Deserialize;
use tickwire_protocol::{
    RawJson,
    book::{Book, BookUpdate, Depth, Level, State, Top},
};
use tickwire_trading::Instrument;

/// Levels a side that bots see and fill against.
pub const DEPTH: u16 = 20;

/// Which channel of an instrument a message came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `ticker:{instrument}`.
    Ticker,
    /// `trades:{instrument}`.
    Trades,
    /// `book:{instrument}`, whole or a view of [`DEPTH`].
    Book,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ticker, Self::Trades, Self::Book];

    /// The namespace.
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::Ticker => "ticker",
            Self::Trades => "trades",
            Self::Book => tickwire_protocol::book::NAMESPACE,
        }
    }

    /// The channel and its instrument, if `channel` is one that bots read.
    pub fn of_channel(channel: &str) -> Option<(Self, Instrument)> {
        let (namespace, instrument) = channel.split_once(':')?;
        let source = Self::ALL.into_iter().find(|source| source.namespace() == namespace)?;
        Some((source, Instrument::new(instrument).ok()?))
    }
}

/// A market at a moment. Money is exact; nothing here passed through a float.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Of what.
    pub instrument: Instrument,
    /// When the newest message was seen, milliseconds since the Unix epoch.
    pub at: u64,
    /// Whether the book is what the venue has; otherwise it has no levels.
    pub is_live: bool,
    /// The best levels, each side best first.
    pub top: Top,
    /// Price of the last trade.
    pub last: Option<Decimal>,
    /// Base volume of 24 hours, where the venue says it.
    pub volume: Option<Decimal>,
}

impl Quote {
    /// The middle of a live book; otherwise the last trade's price.
    pub fn price(&self) -> Option<Decimal> {
        match (self.top.bids.first(), self.top.asks.first()) {
            (Some(bid), Some(ask)) if self.is_live => Some((bid.price + ask.price) / Decimal::TWO),
            _ => self.last,
        }
    }

    /// What a buyer (`is_buy`) or a seller would trade with, best first. Empty where nothing may be believed.
    pub fn opposite(&self, is_buy: bool) -> &[Level] {
        match (self.is_live, is_buy) {
            (false, _) => &[],
            (true, true) => &self.top.asks,
            (true, false) => &self.top.bids,
        }
    }
}

#[derive(Deserialize)]
struct TickerBody {
    #[serde(default)]
    last: Option<Decimal>,
    #[serde(default, rename = "volume24h")]
    volume_24h: Option<Decimal>,
}

#[derive(Deserialize)]
struct TradeBody {
    price: Decimal,
}

/// A message that says nothing that its channel may say.
#[derive(Debug, thiserror::Error)]
#[error("no message of a market: {0}")]
pub struct Unreadable(String);

/// One instrument, message by message.
#[derive(Debug)]
pub struct Market {
    instrument: Instrument,
    depth: Option<Depth>,
    book: Book,
    last: Option<Decimal>,
    volume: Option<Decimal>,
    at: u64,
}

impl Market {
    /// Nothing is known yet.
    pub fn new(instrument: Instrument) -> Self {
        let depth = Depth::try_from(DEPTH).ok();
        Self { instrument, depth, book: Book::default(), last: None, volume: None, at: 0 }
    }

    /// Of what.
    pub fn instrument(&self) -> &Instrument {
        &self.instrument
    }

    /// Takes the data of a message that was seen at `now`. After an error the book is not believed until its next snapshot.
    pub fn take(&mut self, source: Source, data: &RawJson, now: u64) -> Result<(), Unreadable> {
        let taken = match source {
            Source::Ticker => data.to::<TickerBody>().map(|ticker| {
                self.last = ticker.last.or(self.last);
                self.volume = ticker.volume_24h.or(self.volume);
            }),
            Source::Trades => data.to::<TradeBody>().map(|trade| self.last = Some(trade.price)),
            Source::Book => return self.take_book(data, now),
        };
        taken.map_err(|error| Unreadable(error.to_string()))?;
        self.at = now;
        Ok(())
    }

    fn take_book(&mut self, data: &RawJson, now: u64) -> Result<(), Unreadable> {
        let update = data.to::<BookUpdate>().map_err(|error| error.to_string());
        let applied = update.and_then(|update| {
            self.book.apply(&update).map_err(|error| error.to_string())?;
            Ok(update.state)
        });
        match applied {
            // That nothing is known is no news of the market.
            Ok(State::Live) => self.at = now,
            Ok(_) => {}
            Err(error) => {
                self.suspend();
                return Err(Unreadable(error));
            }
        }
        Ok(())
    }

    /// Something is missing: the book is not believed until its next snapshot.
    pub fn suspend(&mut self) {
        self.book.lose();
    }

    /// As it stands.
    pub fn quote(&self) -> Arc<Quote> {
        let is_live = self.book.is_live();
        let top = self.depth.filter(|_| is_live).map(|depth| self.book.top(depth)).unwrap_or_default();
        let is_crossed =
            matches!((top.bids.first(), top.asks.first()), (Some(bid), Some(ask)) if bid.price >= ask.price);
        Arc::new(Quote {
            instrument: self.instrument.clone(),
            at: self.at,
            is_live: is_live && !is_crossed,
            top: if is_crossed { Top::default() } else { top },
            last: self.last,
            volume: self.volume,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> RawJson {
        RawJson::parse(text.to_owned()).unwrap()
    }

    #[test]
    fn a_quote_is_believed_from_a_snapshot_until_anything_but_live() {
        let mut market = Market::new(Instrument::new("okx:BTC/USDT").unwrap());
        market.take(Source::Trades, &json(r#"{"price":"100.5","qty":"1","side":"buy"}"#), 5).unwrap();
        assert_eq!(market.quote().price(), Some("100.5".parse().unwrap()));
        let snapshot = r#"{"type":"book","kind":"snapshot","state":"live","bids":[["100","1"]],"asks":[["101","2"]]}"#;
        market.take(Source::Book, &json(snapshot), 6).unwrap();
        let quote = market.quote();
        assert_eq!((quote.is_live, quote.at), (true, 6));
        assert_eq!(quote.opposite(true)[0].price, Decimal::from(101));
        market.take(Source::Book, &json(r#"{"type":"book","kind":"state","state":"suspect"}"#), 7).unwrap();
        let quote = market.quote();
        assert!(!quote.is_live && quote.opposite(true).is_empty());
        assert_eq!(quote.at, 6, "that nothing is known is no news");
    }

    #[test]
    fn what_is_no_message_of_a_market_makes_its_book_unbelieved() {
        let mut market = Market::new(Instrument::new("okx:BTC/USDT").unwrap());
        let crossed = r#"{"type":"book","kind":"snapshot","state":"live","bids":[["102","1"]],"asks":[["101","2"]]}"#;
        market.take(Source::Book, &json(crossed), 6).unwrap();
        assert!(!market.quote().is_live, "a crossed book fills nobody");
        market.take(Source::Book, &json(&crossed.replace("102", "100")), 6).unwrap();
        assert!(market.quote().is_live);
        assert!(market.take(Source::Book, &json(r#"{"bids":7}"#), 7).is_err());
        assert!(!market.quote().is_live);
        assert!(market.take(Source::Ticker, &json(r#"{"last":{}}"#), 7).is_err());
    }
}
