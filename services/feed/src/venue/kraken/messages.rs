//! What Kraken sends: version 2, and version 1 (`wss://ws.kraken.com`, frozen), which recordings hold.

use std::borrow::Cow;

use crate::{
    model::{Candle, Ticker, Trade},
    venue::desk::Change,
};

/// A message.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// Version 2: `{"channel":"book","type":"snapshot|update","data":[{"symbol":"MINA/GBP","bids":[{"price":0.0294,"qty":22500.50544743}],
    /// "asks":[],"checksum":2892435853,"timestamp":"2026-08-18T20:43:35.824274Z"}]}`. Version 1: `[992,{"b":[["354.15","5.00",
    /// "1618678133.365913"]],"c":"2583817756"},"book-1000","XMR/USD"]`; with both sides changed there are two objects.
    Books(Vec<Book<'a>>),
    /// Version 2: `{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":1.0,"qty":1.0,
    /// "ord_type":"market","trade_id":4665906,"timestamp":"…"}]}`. Version 1 has no ids. The side is the taker's.
    Trades(Vec<(Cow<'a, str>, Option<i64>, Trade)>),
    /// The whole ticker.
    Tickers(Vec<(Cow<'a, str>, Option<i64>, Ticker)>),
    /// `{"channel":"ohlc","data":[{"symbol":"BTC/USD","open":1.0,…,"interval_begin":"2026-08-12T19:19:00.000000000Z","interval":1}]}`.
    Candles(Vec<(Cow<'a, str>, Candle)>),
    /// `{"method":"subscribe","result":{"channel":"book","symbol":"MINA/GBP","depth":25},"success":true,…}`, one a symbol;
    /// version 1: `{"event":"subscriptionStatus","pair":"XMR/USD","status":"subscribed","channelName":"book-1000",…}`.
    Reply(Reply<'a>),
    /// `{"channel":"heartbeat"}`: one for every second of silence.
    Heartbeat,
    /// `{"channel":"status","data":[{"system":"online",…}]}`.
    Status(Cow<'a, str>),
    /// Something else.
    Unknown,
}

/// A change of a book.
#[derive(Debug, Default)]
pub(crate) struct Book<'a> {
    pub(crate) symbol: Cow<'a, str>,
    pub(crate) is_snapshot: bool,
    /// Of the subscription, where the message says it.
    pub(crate) depth: Option<usize>,
    /// When the exchange made it, nanoseconds since the epoch. Version 1 has the time of each order only.
    pub(crate) made_at: Option<i64>,
    pub(crate) change: Change,
}

/// The answer to a request.
#[derive(Debug, Default)]
pub(crate) struct Reply<'a> {
    /// `subscribe`, `unsubscribe`, `pong`.
    pub(crate) method: Cow<'a, str>,
    pub(crate) channel: Cow<'a, str>,
    pub(crate) symbol: Cow<'a, str>,
    pub(crate) depth: Option<usize>,
    pub(crate) interval: Option<Cow<'a, str>>,
    pub(crate) error: Option<Cow<'a, str>>,
}
