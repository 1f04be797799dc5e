//! What OKX sends: data with the `arg` that was subscribed, events, and `pong`.

use std::borrow::Cow;

use crate::{
    model::{Candle, Level, Side, Ticker},
    venue::desk::Change,
};

/// A message.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// Native instrument.
    pub(crate) instrument: Cow<'a, str>,
    /// What is said.
    pub(crate) content: Content<'a>,
}

/// What is said.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// `{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot|update","data":[{"asks":[["252.54","32.4","0","1"]],
    /// "bids":[],"ts":"1790133750704","checksum":0,"seqId":4588911,"prevSeqId":4588907}]}`. A level's third field is deprecated,
    /// its fourth a count of orders.
    Books {
        /// Whole book.
        is_snapshot: bool,
        /// The levels.
        changes: Vec<BookChange>,
    },
    /// The same of `books5` and `bbo-tbt`, without an action: the best five levels or the best one, whole each time.
    Best(Vec<BookChange>),
    /// `{"arg":{…},"data":[{"instId":"BTC-USDT","tradeId":"1040968613","px":"64040.2","sz":"0.00240857","side":"buy",
    /// "ts":"1786538760218","count":"2","source":"0","seqId":79706765242}]}`: one a taker's order, price and source.
    Trades(Vec<Print<'a>>),
    /// `{"arg":{…},"data":[{"last":"64028.6","askPx":"64028.7",…,"vol24h":"5874.19398956","ts":"1786538789464"}]}`.
    Tickers(Vec<(Option<u64>, Ticker)>),
    /// `{"arg":{"channel":"candle1m",…},"data":[["1786538760000","64040.2","64040.2","64025.7","64033.5","2.16","138825.26",
    /// "138825.26","0"]]}`: start, open, high, low, close, volume, two more volumes, confirmed; seven fields before 2022.
    Candles(Vec<Candle>),
    /// `{"event":"subscribe","arg":{…},"connId":"a4d3ae55"}`, `{"event":"error","code":"60018","msg":"…"}`,
    /// `{"event":"notice","code":"64008","msg":"…"}`.
    Event {
        /// Which.
        event: Cow<'a, str>,
        /// Of which channel.
        channel: Cow<'a, str>,
        /// With what code.
        code: Cow<'a, str>,
        /// And words.
        words: Cow<'a, str>,
    },
    /// The answer to `ping`.
    Pong,
    /// Something else.
    Unknown,
}

/// A change, and OKX's numbers of it.
#[derive(Debug, Default)]
pub(crate) struct BookChange {
    /// The levels; `checksum` is none where it is 0 (since 2026-06-23 always).
    pub(crate) change: Change,
    /// None in recordings from before it existed.
    pub(crate) seq: Option<i64>,
    /// -1 of a snapshot.
    pub(crate) previous: Option<i64>,
}

/// A print.
#[derive(Debug)]
pub(crate) struct Print<'a> {
    /// A number.
    pub(crate) id: Cow<'a, str>,
    /// Price and quantity.
    pub(crate) level: Level,
    /// The taker's side.
    pub(crate) side: Side,
    /// Time, as sent.
    pub(crate) time: Option<u64>,
    /// Number, since 2026.
    pub(crate) seq: Option<u64>,
}
