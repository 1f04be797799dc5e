//! Normalised events: one shape for all venues.

use std::sync::Arc;

use crate::{
    book::BookState,
    model::{Channel, Decimal, Exchange, Interval, Symbol},
};

/// Something that a venue said about a symbol.
#[derive(Debug, Clone)]
pub struct Event {
    /// The venue.
    pub exchange: Exchange,
    /// The canonical symbol.
    pub symbol: Symbol,
    /// The venue's own name of it.
    pub native_symbol: Arc<str>,
    /// The connection that it came through.
    pub conn: Arc<str>,
    /// The number of its frame there, from 1.
    pub frame: u64,
    /// The venue's time, nanoseconds since the epoch; some messages carry none.
    pub ts_exchange: Option<i64>,
    /// When it was received here, nanoseconds since the epoch. May be before `ts_exchange` (two clocks): never corrected.
    pub ts_received: i64,
    /// The venue's sequence number, if the message carries one.
    pub seq: Option<u64>,
    /// What was said.
    pub body: Body,
}

impl Event {
    /// The channel that this belongs to.
    pub fn channel(&self) -> Channel {
        match &self.body {
            Body::Book(_) => Channel::Orderbook,
            Body::Trade(_) => Channel::Trades,
            Body::Ticker(_) => Channel::Ticker,
            Body::Candle(candle) => Channel::Candles(candle.interval),
        }
    }
}

/// What was said.
#[derive(Debug, Clone)]
pub enum Body {
    /// A change of a book.
    Book(BookUpdate),
    /// A print.
    Trade(Trade),
    /// Quote and day figures.
    Ticker(Box<Ticker>),
    /// A candle.
    Candle(Box<Candle>),
}

/// A price level. A quantity of zero deletes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Price in quote currency.
    pub price: Decimal,
    /// Quantity in base currency, or in contracts.
    pub qty: Decimal,
}

/// Whole book or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookKind {
    /// Replaces everything before.
    Snapshot,
    /// Absolute quantities of the levels that changed.
    Delta,
}

/// A change of a book, as applied.
#[derive(Debug, Clone)]
pub struct BookUpdate {
    /// Whole book or change.
    pub kind: BookKind,
    /// Bids: of a snapshot best first, of a delta in the order of the message.
    pub bids: Vec<Level>,
    /// Asks, likewise.
    pub asks: Vec<Level>,
    /// First native sequence number that this covers.
    pub first_seq: Option<u64>,
    /// Last native sequence number that this covers.
    pub last_seq: Option<u64>,
    /// The sequence number that this follows.
    pub prev_seq: Option<u64>,
    /// The venue's checksum over the book after this change, as sent.
    pub checksum: Option<i64>,
    /// The book's state after this change. An update that made the book suspect is never published: the change of state is.
    pub state: BookState,
    /// The top of the book after this change.
    pub top: Top,
}

/// The best levels of a book and its sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Top {
    /// The highest bid.
    pub bid: Option<Level>,
    /// The lowest ask.
    pub ask: Option<Level>,
    /// Levels on the bid side.
    pub bids: usize,
    /// Levels on the ask side.
    pub asks: usize,
}

/// Who took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The taker bought.
    Buy,
    /// The taker sold.
    Sell,
}

impl Side {
    /// `buy` or `sell`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }

    /// From `buy`, `BUY`, `Buy`, `b` and their counterparts.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "buy" | "Buy" | "BUY" | "b" => Some(Self::Buy),
            "sell" | "Sell" | "SELL" | "s" => Some(Self::Sell),
            _ => None,
        }
    }

    /// The other one: some venues send the maker's side.
    #[must_use]
    pub fn inverse(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}

/// A print.
#[derive(Debug, Clone)]
pub struct Trade {
    /// The venue's id; Kraken's version 1 has none.
    pub id: Option<TradeId>,
    /// Price in quote currency.
    pub price: Decimal,
    /// Quantity in base currency, or in contracts.
    pub qty: Decimal,
    /// The taker's side.
    pub side: Side,
    /// Sent to fill the past upon subscribing: it may have been seen before.
    pub is_snapshot: bool,
    /// First and last id of the prints that an aggregate covers.
    pub aggregate: Option<(u64, u64)>,
}

/// A trade's id: most are numbers, Bybit's derivatives use UUIDs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TradeId {
    /// A number.
    Number(u64),
    /// Anything else.
    Text(Box<str>),
}

impl TradeId {
    /// From text. A number written in an unusual way (`007`) stays text, so that it prints as it came.
    pub fn parse(text: &str) -> Self {
        match text.parse::<u64>() {
            Ok(number) if text == "0" || !text.starts_with(['0', '+']) => Self::Number(number),
            _ => Self::Text(text.into()),
        }
    }
}

impl std::fmt::Display for TradeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Quote and day figures. Venues leave out what they do not track; a venue's deltas are merged before this is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ticker {
    /// Best bid.
    pub bid: Option<Decimal>,
    /// Quantity at the best bid.
    pub bid_qty: Option<Decimal>,
    /// Best ask.
    pub ask: Option<Decimal>,
    /// Quantity at the best ask.
    pub ask_qty: Option<Decimal>,
    /// Price of the last trade.
    pub last: Option<Decimal>,
    /// Price 24 hours ago.
    pub open_24h: Option<Decimal>,
    /// Highest price of 24 hours.
    pub high_24h: Option<Decimal>,
    /// Lowest price of 24 hours.
    pub low_24h: Option<Decimal>,
    /// Base volume of 24 hours.
    pub volume_24h: Option<Decimal>,
    /// Quote volume of 24 hours.
    pub quote_volume_24h: Option<Decimal>,
}

impl Ticker {
    /// Takes what `newer` says and keeps the rest.
    pub fn merge(&mut self, newer: &Self) {
        let pairs = [
            (&mut self.bid, newer.bid),
            (&mut self.bid_qty, newer.bid_qty),
            (&mut self.ask, newer.ask),
            (&mut self.ask_qty, newer.ask_qty),
            (&mut self.last, newer.last),
            (&mut self.open_24h, newer.open_24h),
            (&mut self.high_24h, newer.high_24h),
            (&mut self.low_24h, newer.low_24h),
            (&mut self.volume_24h, newer.volume_24h),
            (&mut self.quote_volume_24h, newer.quote_volume_24h),
        ];
        for (field, value) in pairs {
            *field = value.or(*field);
        }
    }
}

/// A candle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candle {
    /// Its length.
    pub interval: Interval,
    /// Its start, milliseconds since the epoch.
    pub open_time: i64,
    /// First price.
    pub open: Decimal,
    /// Highest price.
    pub high: Decimal,
    /// Lowest price.
    pub low: Decimal,
    /// Last price.
    pub close: Decimal,
    /// Base volume.
    pub volume: Decimal,
    /// Quote volume, where the venue sends it.
    pub quote_volume: Option<Decimal>,
    /// Whether it is final. None: the venue has no such flag (Coinbase, Kraken).
    pub closed: Option<bool>,
    /// Not sent by the venue: repeated as closed because a later one began.
    pub derived: bool,
}
