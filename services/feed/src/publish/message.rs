//! What subscribers get: one shape for every venue.
//!
//! Every message's data has `type`, `exchange`, `symbol`, `venueTime` (the venue's clock; absent where a venue sends none),
//! `receivedAt` and `publishedAt` (this service's clock), all in milliseconds since the epoch, so that a client can show how old it
//! is; and `"replayed":true` where it comes from a recording. Prices and quantities are decimal strings.
//!
//! ```json
//! {"type":"ticker","exchange":"binance","symbol":"BTC/USDT","bid":"61837.63","bidQty":"3.7","ask":"61837.64","askQty":"1.5","last":"61837.63",…}
//! {"type":"trade","exchange":"binance","symbol":"BTC/USDT","id":"3735683259","price":"61837.63","qty":"0.02","side":"sell",…}
//! {"type":"candle","exchange":"binance","symbol":"BTC/USDT","interval":"1m","openTime":…,"open":…,"high":…,"low":…,"close":…,"volume":…,"closed":false,…}
//! {"type":"book","kind":"snapshot","state":"live","bids":[["61837.63","3.7"]],"asks":[["61837.64","1.5"]],"sequence":50093239218,…}
//! {"type":"book","kind":"delta","state":"live","bids":[["61837.63","0"]],"asks":[],"sequence":50093239230,…}
//! {"type":"book","kind":"state","state":"suspect","reason":"gap",…}
//! {"type":"market_data","symbol":"BTC/USDT","exchange":"binance","price":"61837.63","bid":…,"ask":…}
//! ```
//! A book's `snapshot` replaces everything; a `delta` sets absolute quantities, `"0"` deletes; only while `state` is `live` may it be
//! believed. After a message of kind `state` with another state nothing of the book may be shown as live until the next
//! snapshot. A snapshot is repeated now and then, so that the channel's history always holds one.

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};
use tickwire_protocol::RawJson;

use crate::{
    book::BookState,
    model::{Candle, Exchange, Level, Symbol, Ticker, Trade},
};

/// When something happened, was received; and whether it is a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provenance {
    /// The venue's clock, milliseconds.
    pub venue_ms: Option<i64>,
    /// This service's clock, nanoseconds.
    pub received_ns: i64,
    /// It comes from a recording.
    pub is_replayed: bool,
}

/// A book's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BookMessage {
    /// The whole of it.
    Snapshot {
        /// Best first.
        bids: Vec<Level>,
        /// Best first.
        asks: Vec<Level>,
    },
    /// Absolute quantities of levels that changed.
    Delta {
        /// Zero deletes.
        bids: Vec<Level>,
        /// Zero deletes.
        asks: Vec<Level>,
    },
    /// Its state changed, and nothing else.
    State {
        /// Why, where it is known.
        reason: Option<&'static str>,
    },
}

/// What is published of a symbol.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each is named after its channel")]
pub enum Payload<'a> {
    Ticker(&'a Ticker),
    /// A ticker as the symbol's price among all exchanges.
    Price(&'a Ticker),
    Trade(&'a Trade),
    Candle(&'a Candle),
    Book {
        message: &'a BookMessage,
        state: BookState,
        sequence: Option<u64>,
    },
}

/// A decimal without the zeros that the venue pads with.
fn plain<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&value.normalize())
}

#[allow(clippy::ref_option, reason = "serde's signature")]
fn optional<S: Serializer>(value: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => plain(value, serializer),
        None => serializer.serialize_none(),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    exchange: &'static str,
    symbol: &'a str,
    #[serde(flatten)]
    body: Body<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    venue_time: Option<i64>,
    received_at: i64,
    published_at: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Ticker(TickerBody),
    Trade(TradeBody<'a>),
    Candle(CandleBody),
    Price(PriceBody),
    Book(BookBody<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TickerBody {
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    bid: Option<Decimal>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    bid_qty: Option<Decimal>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    ask: Option<Decimal>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    ask_qty: Option<Decimal>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    last: Option<Decimal>,
    #[serde(rename = "open24h", serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    open_24h: Option<Decimal>,
    #[serde(rename = "high24h", serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    high_24h: Option<Decimal>,
    #[serde(rename = "low24h", serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    low_24h: Option<Decimal>,
    #[serde(rename = "volume24h", serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    volume_24h: Option<Decimal>,
    #[serde(rename = "quoteVolume24h", serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    quote_volume_24h: Option<Decimal>,
}

#[derive(Serialize)]
struct TradeBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(serialize_with = "plain")]
    price: &'a Decimal,
    #[serde(serialize_with = "plain")]
    qty: &'a Decimal,
    side: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CandleBody {
    interval: &'static str,
    open_time: i64,
    #[serde(serialize_with = "plain")]
    open: Decimal,
    #[serde(serialize_with = "plain")]
    high: Decimal,
    #[serde(serialize_with = "plain")]
    low: Decimal,
    #[serde(serialize_with = "plain")]
    close: Decimal,
    #[serde(serialize_with = "plain")]
    volume: Decimal,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    quote_volume: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<bool>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    derived: bool,
}

#[derive(Serialize)]
struct PriceBody {
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    price: Option<Decimal>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    bid: Option<Decimal>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    ask: Option<Decimal>,
    #[serde(serialize_with = "optional", skip_serializing_if = "Option::is_none")]
    volume: Option<Decimal>,
}

#[derive(Serialize)]
struct BookBody<'a> {
    kind: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bids: Option<Side<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asks: Option<Side<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
}

/// Levels as pairs of texts.
struct Side<'a>(&'a [Level]);

impl Serialize for Side<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pair = |level: &Level| [level.price.normalize().to_string(), level.qty.normalize().to_string()];
        serializer.collect_seq(self.0.iter().map(pair))
    }
}

impl Payload<'_> {
    /// The data of a message, stamped with `published_ms`.
    pub fn render(
        &self,
        exchange: Exchange,
        symbol: &Symbol,
        provenance: Provenance,
        published_ms: u64,
    ) -> Result<RawJson, serde_json::Error> {
        let (kind, body) = self.body();
        RawJson::of(&Envelope {
            kind,
            exchange: exchange.name(),
            symbol: symbol.as_str(),
            body,
            venue_time: provenance.venue_ms,
            received_at: provenance.received_ns.div_euclid(1_000_000),
            published_at: published_ms,
            replayed: provenance.is_replayed,
        })
    }

    fn body(&self) -> (&'static str, Body<'_>) {
        match self {
            Self::Ticker(ticker) => ("ticker", Body::Ticker(ticker_body(ticker))),
            Self::Price(ticker) => ("market_data", Body::Price(price_body(ticker))),
            Self::Trade(trade) => {
                let id = trade.id.as_ref().map(ToString::to_string);
                let body = TradeBody { id, price: &trade.price, qty: &trade.qty, side: trade.side.name() };
                ("trade", Body::Trade(body))
            }
            Self::Candle(candle) => ("candle", Body::Candle(candle_body(candle))),
            Self::Book { message, state, sequence } => {
                let (kind, reason, bids, asks) = match message {
                    BookMessage::Snapshot { bids, asks } => ("snapshot", None, Some(Side(bids)), Some(Side(asks))),
                    BookMessage::Delta { bids, asks } => ("delta", None, Some(Side(bids)), Some(Side(asks))),
                    BookMessage::State { reason } => ("state", *reason, None, None),
                };
                let (state, sequence) = (state.name(), *sequence);
                ("book", Body::Book(BookBody { kind, state, reason, bids, asks, sequence }))
            }
        }
    }
}

fn ticker_body(ticker: &Ticker) -> TickerBody {
    TickerBody {
        bid: ticker.bid,
        bid_qty: ticker.bid_qty,
        ask: ticker.ask,
        ask_qty: ticker.ask_qty,
        last: ticker.last,
        open_24h: ticker.open_24h,
        high_24h: ticker.high_24h,
        low_24h: ticker.low_24h,
        volume_24h: ticker.volume_24h,
        quote_volume_24h: ticker.quote_volume_24h,
    }
}

/// The last trade's price; where a venue has not said it, the middle of the quote.
fn price_body(ticker: &Ticker) -> PriceBody {
    let middle = || Some((ticker.bid? + ticker.ask?) / Decimal::TWO);
    PriceBody { price: ticker.last.or_else(middle), bid: ticker.bid, ask: ticker.ask, volume: ticker.volume_24h }
}

fn candle_body(candle: &Candle) -> CandleBody {
    CandleBody {
        interval: candle.interval.name(),
        open_time: candle.open_time,
        open: candle.open,
        high: candle.high,
        low: candle.low,
        close: candle.close,
        volume: candle.volume,
        quote_volume: candle.quote_volume,
        closed: candle.closed,
        derived: candle.derived,
    }
}
