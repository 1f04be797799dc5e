//! The older Exchange feed: flat messages told apart by their `type`.

use std::borrow::Cow;

use crate::{
    json::{Cursor, Parsed},
    model::{Level, Side, Ticker, instant},
    venue::{
        coinbase::messages::{Book, Content, Print},
        wire::{both, levels, required},
    },
};

/// Every field of every type.
#[derive(Default)]
pub(super) struct Fields<'a> {
    kind: Cow<'a, str>,
    product: Option<Cow<'a, str>>,
    time: Option<i64>,
    bids: Vec<Level>,
    asks: Vec<Level>,
    trade_id: Option<Cow<'a, str>>,
    side: Option<Side>,
    size: Option<crate::model::Decimal>,
    message: Cow<'a, str>,
    ticker: Ticker,
}

impl<'a> Fields<'a> {
    /// Takes a field.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'a>, key: &str) -> Parsed<()> {
        let figure = match key {
            "type" => return keep(&mut self.kind, cursor.string()),
            "message" => return keep(&mut self.message, cursor.string()),
            "product_id" => return keep(&mut self.product, cursor.string().map(Some)),
            "trade_id" => return keep(&mut self.trade_id, cursor.text().map(Some)),
            "time" => return keep(&mut self.time, cursor.string().map(|time| instant::rfc3339(&time))),
            "bids" => return keep(&mut self.bids, levels(cursor)),
            "asks" => return keep(&mut self.asks, levels(cursor)),
            "changes" => return cursor.array(|cursor| self.change(cursor)),
            "side" => return keep(&mut self.side, cursor.string().map(|side| Side::parse(&side))),
            "size" => return keep(&mut self.size, cursor.decimal_or_none()),
            "price" => &mut self.ticker.last,
            "open_24h" => &mut self.ticker.open_24h,
            "volume_24h" => &mut self.ticker.volume_24h,
            "low_24h" => &mut self.ticker.low_24h,
            "high_24h" => &mut self.ticker.high_24h,
            "best_bid" => &mut self.ticker.bid,
            "best_ask" => &mut self.ticker.ask,
            "best_bid_size" => &mut self.ticker.bid_qty,
            "best_ask_size" => &mut self.ticker.ask_qty,
            "sequence" | "volume_30d" | "last_size" | "maker_order_id" | "taker_order_id" | "channels" | "reason"
            | "last_trade_id" => return cursor.skip(),
            _ => return cursor.unknown(),
        };
        *figure = cursor.decimal_or_none()?;
        Ok(())
    }

    /// `["buy","37378.26","0.02460000"]`.
    fn change(&mut self, cursor: &mut Cursor<'a>) -> Parsed<()> {
        let (mut side, mut price, mut qty, mut at) = (None, None, None, 0);
        cursor.array(|cursor| {
            match at {
                0 => side = Side::parse(&cursor.string()?),
                1 => price = Some(cursor.decimal()?),
                2 => qty = Some(cursor.decimal()?),
                _ => cursor.skip()?,
            }
            at += 1;
            Ok(())
        })?;
        let level = both(cursor, price, qty)?;
        match required(cursor, side, "a side")? {
            Side::Buy => self.bids.push(level),
            Side::Sell => self.asks.push(level),
        }
        Ok(())
    }

    /// What it says, and when.
    pub(super) fn content(self, cursor: &Cursor<'a>) -> Parsed<(Option<i64>, Content<'a>)> {
        let time = self.time;
        let content = match &*self.kind {
            "snapshot" | "l2update" => {
                let mut book = Book { is_snapshot: self.kind == "snapshot", ..Book::default() };
                book.product = required(cursor, self.product, "a product")?;
                book.change.bids = self.bids;
                book.change.asks = self.asks;
                book.change.ts_exchange = time;
                Content::Books(vec![book])
            }
            // The side of a match is the maker's, that of a ticker the taker's.
            "match" | "last_match" => Content::Trades(vec![Print {
                is_snapshot: self.kind == "last_match",
                product: required(cursor, self.product, "a product")?,
                id: required(cursor, self.trade_id, "an id")?,
                time,
                level: both(cursor, self.ticker.last, self.size)?,
                side: required(cursor, self.side, "a side")?.inverse(),
            }]),
            "ticker" => Content::Tickers(vec![(required(cursor, self.product, "a product")?, self.ticker)]),
            "heartbeat" => Content::Heartbeat,
            "subscriptions" => Content::Subscriptions(Vec::new()),
            "error" => Content::Error(self.message),
            _ => Content::Unknown,
        };
        Ok((time, content))
    }
}

fn keep<T>(field: &mut T, value: Parsed<T>) -> Parsed<()> {
    *field = value?;
    Ok(())
}
