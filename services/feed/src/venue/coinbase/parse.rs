//! Advanced Trade: text to [`Message`].

use std::borrow::Cow;

use crate::{
    json::{Cursor, Parsed},
    model::{Candle, Interval, Side, Ticker, instant},
    venue::{
        coinbase::{
            exchange,
            messages::{Book, Content, Message, Print},
        },
        wire::{both, required},
    },
};

/// Reads a frame of either feed. Also yields how many fields are unknown.
pub(crate) fn parse(text: &str) -> Parsed<(Message<'_>, u32)> {
    let mut cursor = Cursor::new(text);
    let (mut channel, mut time, mut seq, mut events) = (None, None, None, None);
    let mut older = exchange::Fields::default();
    cursor.object(|cursor, key| {
        match key {
            "channel" => channel = Some(cursor.string()?),
            "timestamp" => time = instant::rfc3339(&cursor.string()?),
            "sequence_num" => seq = Some(cursor.unsigned()?),
            "events" => events = Some(cursor.raw()?),
            "client_id" => cursor.skip()?,
            _ => older.read(cursor, key)?,
        }
        Ok(())
    })?;
    cursor.end()?;
    let unknown = cursor.unknown_fields();
    let Some(channel) = channel else {
        let (time, content) = older.content(&cursor)?;
        return Ok((Message { seq: None, time, content }, unknown));
    };
    let mut events = Cursor::new(events.unwrap_or("[]"));
    let content = match &*channel {
        "l2_data" => books(&mut events, time)?,
        "market_trades" => trades(&mut events)?,
        "ticker" | "ticker_batch" => tickers(&mut events)?,
        "candles" => candles(&mut events)?,
        "subscriptions" => subscriptions(&mut events)?,
        "heartbeats" => Content::Heartbeat,
        _ => Content::Unknown,
    };
    Ok((Message { seq, time, content }, unknown + events.unknown_fields()))
}

fn books<'a>(events: &mut Cursor<'a>, time: Option<i64>) -> Parsed<Content<'a>> {
    let mut books = Vec::new();
    events.array(|cursor| {
        let mut book = Book::default();
        let mut product = None;
        cursor.object(|cursor, key| {
            match key {
                "type" => book.is_snapshot = cursor.string()? == "snapshot",
                "product_id" => product = Some(cursor.string()?),
                "updates" => cursor.array(|cursor| update(cursor, &mut book))?,
                _ => cursor.unknown()?,
            }
            Ok(())
        })?;
        book.product = required(cursor, product, "a product")?;
        book.change.ts_exchange = time;
        books.push(book);
        Ok(())
    })?;
    Ok(Content::Books(books))
}

/// `event_time` may be 1970 in snapshots: the envelope's time is used.
fn update(cursor: &mut Cursor<'_>, book: &mut Book<'_>) -> Parsed<()> {
    let (mut is_bid, mut price, mut qty) = (None, None, None);
    cursor.object(|cursor, key| {
        match key {
            "side" => {
                is_bid = match &*cursor.string()? {
                    "bid" => Some(true),
                    "offer" | "ask" => Some(false),
                    _ => None,
                }
            }
            "price_level" => price = Some(cursor.decimal()?),
            "new_quantity" => qty = Some(cursor.decimal()?),
            "event_time" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    let level = both(cursor, price, qty)?;
    let is_bid = required(cursor, is_bid, "a side")?;
    if is_bid {
        book.change.bids.push(level);
    } else {
        book.change.asks.push(level);
    }
    Ok(())
}

fn trades<'a>(events: &mut Cursor<'a>) -> Parsed<Content<'a>> {
    let mut prints = Vec::new();
    events.array(|cursor| {
        let first = prints.len();
        let mut is_snapshot = false;
        cursor.object(|cursor, key| {
            match key {
                "type" => is_snapshot = cursor.string()? == "snapshot",
                "trades" => cursor.array(|cursor| {
                    prints.push(print(cursor)?);
                    Ok(())
                })?,
                _ => cursor.unknown()?,
            }
            Ok(())
        })?;
        prints[first..].iter_mut().for_each(|print: &mut Print<'_>| print.is_snapshot = is_snapshot);
        Ok(())
    })?;
    prints.sort_by_cached_key(|print| print.id.parse::<u64>().unwrap_or(u64::MAX));
    Ok(Content::Trades(prints))
}

fn print<'a>(cursor: &mut Cursor<'a>) -> Parsed<Print<'a>> {
    let (mut product, mut id, mut price, mut qty, mut side, mut time) = (None, None, None, None, None, None);
    cursor.object(|cursor, key| {
        match key {
            "product_id" => product = Some(cursor.string()?),
            "trade_id" => id = Some(cursor.text()?),
            "price" => price = Some(cursor.decimal()?),
            "size" => qty = Some(cursor.decimal()?),
            "time" => time = instant::rfc3339(&cursor.string()?),
            "side" => side = Side::parse(&cursor.string()?),
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    Ok(Print {
        product: required(cursor, product, "a product")?,
        id: required(cursor, id, "an id")?,
        time,
        level: both(cursor, price, qty)?,
        side: required(cursor, side, "a side")?.inverse(),
        is_snapshot: false,
    })
}

fn tickers<'a>(events: &mut Cursor<'a>) -> Parsed<Content<'a>> {
    let mut tickers = Vec::new();
    events.array(|cursor| {
        cursor.object(|cursor, key| match key {
            "tickers" => cursor.array(|cursor| {
                tickers.push(ticker(cursor)?);
                Ok(())
            }),
            "type" => cursor.skip(),
            _ => cursor.unknown(),
        })
    })?;
    Ok(Content::Tickers(tickers))
}

fn ticker<'a>(cursor: &mut Cursor<'a>) -> Parsed<(Cow<'a, str>, Ticker)> {
    let (mut product, mut ticker) = (None, Ticker::default());
    cursor.object(|cursor, key| {
        let field = match key {
            "price" => &mut ticker.last,
            "volume_24_h" => &mut ticker.volume_24h,
            "low_24_h" => &mut ticker.low_24h,
            "high_24_h" => &mut ticker.high_24h,
            "best_bid" => &mut ticker.bid,
            "best_ask" => &mut ticker.ask,
            "best_bid_quantity" => &mut ticker.bid_qty,
            "best_ask_quantity" => &mut ticker.ask_qty,
            "product_id" => {
                product = Some(cursor.string()?);
                return Ok(());
            }
            "type" | "low_52_w" | "high_52_w" | "price_percent_chg_24_h" => return cursor.skip(),
            _ => return cursor.unknown(),
        };
        *field = cursor.decimal_or_none()?;
        Ok(())
    })?;
    Ok((required(cursor, product, "a product")?, ticker))
}

fn candles<'a>(events: &mut Cursor<'a>) -> Parsed<Content<'a>> {
    let mut candles = Vec::new();
    events.array(|cursor| {
        cursor.object(|cursor, key| match key {
            "candles" => cursor.array(|cursor| {
                candles.push(candle(cursor)?);
                Ok(())
            }),
            "type" => cursor.skip(),
            _ => cursor.unknown(),
        })
    })?;
    Ok(Content::Candles(candles))
}

/// `{"start":"1786264200","high":"64841.44","low":"64830.71","open":"64830.72","close":"64841.44","volume":"1.31","product_id":"BTC-USD"}`.
fn candle<'a>(cursor: &mut Cursor<'a>) -> Parsed<(Cow<'a, str>, Candle)> {
    let (mut product, mut start) = (None, None);
    let (mut open, mut high, mut low, mut close, mut volume) = (None, None, None, None, None);
    cursor.object(|cursor, key| {
        match key {
            "product_id" => product = Some(cursor.string()?),
            "start" => start = instant::epoch(cursor.unsigned()?),
            "open" => open = Some(cursor.decimal()?),
            "high" => high = Some(cursor.decimal()?),
            "low" => low = Some(cursor.decimal()?),
            "close" => close = Some(cursor.decimal()?),
            "volume" => volume = Some(cursor.decimal()?),
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    let candle = Candle {
        interval: Interval::M5,
        open_time: required(cursor, start, "a start")? / 1_000_000,
        open: required(cursor, open, "an open")?,
        high: required(cursor, high, "a high")?,
        low: required(cursor, low, "a low")?,
        close: required(cursor, close, "a close")?,
        volume: required(cursor, volume, "a volume")?,
        quote_volume: None,
        closed: None,
        derived: false,
    };
    Ok((required(cursor, product, "a product")?, candle))
}

/// `[{"subscriptions":{"level2":["BTC-USD"]}}]`.
fn subscriptions<'a>(events: &mut Cursor<'a>) -> Parsed<Content<'a>> {
    let mut subscriptions = Vec::new();
    events.array(|cursor| {
        cursor.object(|cursor, key| match key {
            "subscriptions" => cursor.object(|cursor, channel| {
                let channel = channel.to_owned();
                cursor.array(|cursor| {
                    subscriptions.push((channel.clone(), cursor.text()?.into_owned()));
                    Ok(())
                })
            }),
            _ => cursor.unknown(),
        })
    })?;
    Ok(Content::Subscriptions(subscriptions))
}
