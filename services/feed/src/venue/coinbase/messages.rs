//! What Coinbase sends: Advanced Trade, and the older Exchange feed, which recordings hold.

use std::borrow::Cow;

use crate::{
    model::{Candle, Level, Side, Ticker},
    venue::desk::Change,
};

/// A message of Advanced Trade: `{"channel":"l2_data","timestamp":"…","sequence_num":9,"events":[…]}`; or of Exchange, without a
/// number.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    /// One counter per connection, over all channels and products.
    pub(crate) seq: Option<u64>,
    /// The envelope's time.
    pub(crate) time: Option<i64>,
    /// What is said.
    pub(crate) content: Content<'a>,
}

/// What is said.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// `{"type":"snapshot|update","product_id":"BTC-USD","updates":[{"side":"bid|offer","price_level":"21921.73",
    /// "new_quantity":"0.06317902"}]}`. A snapshot is the whole book: 46,000 levels in 5.1 MB. Exchange: `snapshot`, and
    /// `{"type":"l2update","changes":[["buy","37378.26","0.02"]]}`.
    Books(Vec<Book<'a>>),
    /// Prints, sorted by id: they come newest first.
    Trades(Vec<Print<'a>>),
    /// Tickers.
    Tickers(Vec<(Cow<'a, str>, Ticker)>),
    /// Candles of five minutes.
    Candles(Vec<(Cow<'a, str>, Candle)>),
    /// All current subscriptions: channel and product.
    Subscriptions(Vec<(String, String)>),
    /// `{"channel":"heartbeats",…}`, once a second.
    Heartbeat,
    /// `{"type":"error","message":"…"}`.
    Error(Cow<'a, str>),
    /// Something else.
    Unknown,
}

/// A change of a book.
#[derive(Debug, Default)]
pub(crate) struct Book<'a> {
    pub(crate) product: Cow<'a, str>,
    pub(crate) is_snapshot: bool,
    pub(crate) change: Change,
}

/// A print.
#[derive(Debug)]
pub(crate) struct Print<'a> {
    pub(crate) product: Cow<'a, str>,
    /// A number.
    pub(crate) id: Cow<'a, str>,
    pub(crate) time: Option<i64>,
    pub(crate) level: Level,
    /// The taker's: the wire has the maker's.
    pub(crate) side: Side,
    pub(crate) is_snapshot: bool,
}
