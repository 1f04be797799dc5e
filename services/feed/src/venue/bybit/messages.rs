//! What Bybit sends. The order of keys differs between its markets.

use std::borrow::Cow;

use crate::{
    model::{Candle, Side, Ticker},
    venue::desk::Change,
};

/// A message.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// `{"topic":"orderbook.50.BTCUSDT","type":"snapshot|delta","ts":1687940967466,"data":{"s":"BTCUSDT","b":[["30247.20",
    /// "30.028"]],"a":[],"u":177400507,"seq":66544703342},"cts":1687940967464}`.
    Book {
        /// Native symbol.
        symbol: Cow<'a, str>,
        /// Whole book.
        is_snapshot: bool,
        /// The levels; `last_seq` is `u`.
        change: Change,
    },
    /// `{"topic":"publicTrade.BTCUSDT","data":[{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","i":"20f4…",
    /// "BT":false,"RPI":false,"seq":1783284617}]}`. `S` is the taker's side.
    Trades {
        /// Native symbol.
        symbol: Cow<'a, str>,
        /// The prints, oldest first.
        prints: Vec<Print<'a>>,
    },
    /// `{"topic":"tickers.BTCUSDT","type":"snapshot|delta","data":{"symbol":"BTCUSDT","lastPrice":"17216.00",…},"cs":24987956059,
    /// "ts":1673272861686}`: in a delta, what is missing has not changed.
    Ticker {
        /// Native symbol.
        symbol: Cow<'a, str>,
        /// Nothing of before holds.
        is_snapshot: bool,
        /// Time, as sent.
        time: Option<u64>,
        /// Cross sequence.
        seq: Option<u64>,
        /// What is said.
        ticker: Box<Ticker>,
    },
    /// `{"topic":"kline.1.BTCUSDT","data":[{"start":1672324800000,"interval":"1","open":"16649.5",…,"confirm":false,
    /// "timestamp":1672324988882}]}`.
    Candles {
        /// Native symbol.
        symbol: Cow<'a, str>,
        /// Time, as sent, and candle.
        candles: Vec<(Option<u64>, Candle)>,
    },
    /// `{"success":true,"ret_msg":"subscribe","conn_id":"…","req_id":"a1","op":"subscribe"}`: it names no topic.
    Reply {
        /// Which request.
        request: Option<u64>,
        /// Whether it was a ping's.
        is_pong: bool,
        /// The error's text.
        error: Option<Cow<'a, str>>,
    },
    /// Something else.
    Unknown,
}

/// A print.
#[derive(Debug)]
pub(crate) struct Print<'a> {
    /// A UUID on derivatives, a number on spot.
    pub(crate) id: Cow<'a, str>,
    /// Time, as sent.
    pub(crate) time: u64,
    /// Price and quantity.
    pub(crate) level: crate::model::Level,
    /// The taker's side.
    pub(crate) side: Side,
    /// Not consecutive.
    pub(crate) seq: Option<u64>,
}
