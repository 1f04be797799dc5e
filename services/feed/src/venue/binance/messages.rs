//! What Binance sends. Raw, or wrapped as `{"stream":"btcusdt@depth@100ms","data":{…}}`.

use std::borrow::Cow;

use crate::model::{Candle, Decimal, Level, Side, Ticker};

/// A message.
#[derive(Debug)]
pub enum Message<'a> {
    /// A change of a book.
    Depth(Depth<'a>),
    /// The best levels of a book: an audit.
    Partial(Partial<'a>),
    /// A quote.
    Quote(Quote<'a>),
    /// A print, or an aggregate of prints.
    Print(Print<'a>),
    /// Day figures.
    Day {
        /// Native symbol.
        symbol: Cow<'a, str>,
        /// Event time, as sent.
        time: u64,
        /// The figures.
        ticker: Box<Ticker>,
    },
    /// A candle.
    Kline {
        /// Native symbol.
        symbol: Cow<'a, str>,
        /// Event time, as sent.
        time: u64,
        /// The candle.
        candle: Box<Candle>,
    },
    /// The answer to a request: `{"result":null,"id":1}`, or with an error `{"code":2,"msg":"Invalid request"}`.
    Reply {
        /// The request's id.
        id: Option<u64>,
        /// The error's text.
        error: Option<Cow<'a, str>>,
    },
    /// `{"e":"serverShutdown","E":1770123456789}`: the connection will be closed.
    Shutdown,
    /// Something else.
    Unknown,
}

/// `{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],"a":[["0.0026","100"]]}`; futures
/// add `T` and `pu`.
#[derive(Debug)]
pub struct Depth<'a> {
    /// Native symbol.
    pub symbol: Cow<'a, str>,
    /// Event time, as sent.
    pub time: u64,
    /// First update id.
    pub first: u64,
    /// Last update id.
    pub last: u64,
    /// The last update id of the event before; futures only.
    pub previous: Option<u64>,
    /// Changed bids.
    pub bids: Vec<Level>,
    /// Changed asks.
    pub asks: Vec<Level>,
}

/// `{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}`: a partial book stream, which only the stream's name
/// gives a symbol, and the snapshot fetched by HTTP.
#[derive(Debug)]
pub struct Partial<'a> {
    /// Native symbol, from the stream's name.
    pub symbol: Cow<'a, str>,
    /// Event time, as sent; futures only.
    pub time: Option<u64>,
    /// Update id.
    pub last: u64,
    /// Bids, best first.
    pub bids: Vec<Level>,
    /// Asks, best first.
    pub asks: Vec<Level>,
}

/// `{"u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66"}`; futures add `e`, `T` and `E`.
#[derive(Debug)]
pub struct Quote<'a> {
    /// Native symbol.
    pub symbol: Cow<'a, str>,
    /// Event time, as sent; futures only.
    pub time: Option<u64>,
    /// Update id of the book.
    pub last: u64,
    /// Best bid.
    pub bid: Level,
    /// Best ask.
    pub ask: Level,
}

/// `{"e":"trade","E":1,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,"M":true}`; `aggTrade` has `a`
/// for `t`, and `f` and `l` for the prints that it covers. `m`: the buyer is the maker, so the taker sold.
#[derive(Debug)]
pub struct Print<'a> {
    /// Native symbol.
    pub symbol: Cow<'a, str>,
    /// Trade time, as sent.
    pub time: u64,
    /// Trade id, or the aggregate's.
    pub id: u64,
    /// Price.
    pub price: Decimal,
    /// Quantity.
    pub qty: Decimal,
    /// The taker's side.
    pub side: Side,
    /// First and last id of the prints.
    pub aggregate: Option<(u64, u64)>,
}
