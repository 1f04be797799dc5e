//! Version 2: text to [`Message`]. Numbers are JSON numbers whose trailing zeros count for the checksum: they are read as text.

use std::borrow::Cow;

use crate::{
    json::{Cursor, Parsed},
    model::{Candle, Exchange, Interval, Level, Side, Ticker, Trade, event::TradeId, instant},
    venue::{
        kraken::{
            messages::{Book, Message, Reply},
            v1,
        },
        wire::{both, required},
    },
};

/// Reads a frame of either version. Also yields how many fields are unknown.
pub(crate) fn parse(text: &str) -> Parsed<(Message<'_>, u32)> {
    if text.trim_ascii_start().starts_with('[') {
        return v1::parse(text);
    }
    let mut cursor = Cursor::new(text);
    let (mut channel, mut event, mut data, mut is_snapshot) = (None, None, None, false);
    let mut reply = Reply::default();
    let mut failed = false;
    cursor.object(|cursor, key| {
        match key {
            "channel" => channel = Some(cursor.string()?),
            "type" => is_snapshot = cursor.string()? == "snapshot",
            "data" => data = Some(cursor.raw()?),
            // Version 1 says `status`.
            "method" | "status" => reply.method = cursor.string()?,
            "result" => result(cursor, &mut reply)?,
            "success" => failed = !cursor.boolean()?,
            "error" | "errorMessage" => reply.error = Some(cursor.text()?),
            "symbol" | "pair" => reply.symbol = cursor.text()?,
            // Version 1.
            "event" => event = Some(cursor.string()?),
            "channelName" => reply.channel = cursor.string()?,
            "subscription" | "channelID" | "connectionID" | "version" | "reqid" | "req_id" | "time_in" | "time_out"
            | "timestamp" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    cursor.end()?;
    let unknown = cursor.unknown_fields();
    if let Some(event) = event {
        return Ok((v1::event(&event, reply), unknown));
    }
    let Some(channel) = channel else {
        if failed && reply.error.is_none() {
            reply.error = Some(Cow::Borrowed("refused"));
        }
        let message = if reply.method.is_empty() { Message::Unknown } else { Message::Reply(reply) };
        return Ok((message, unknown));
    };
    let Some(data) = data else {
        return Ok((if channel == "heartbeat" { Message::Heartbeat } else { Message::Unknown }, unknown));
    };
    let mut data = Cursor::new(data);
    let message = content(&channel, is_snapshot, &mut data)?;
    Ok((message, unknown + data.unknown_fields()))
}

fn content<'a>(channel: &str, is_snapshot: bool, data: &mut Cursor<'a>) -> Parsed<Message<'a>> {
    Ok(match channel {
        "book" => Message::Books(each(data, |cursor| book(cursor, is_snapshot))?),
        "trade" => Message::Trades(each(data, |cursor| trade(cursor, is_snapshot))?),
        "ticker" => Message::Tickers(each(data, ticker)?),
        "ohlc" => Message::Candles(each(data, candle)?),
        "status" => Message::Status(each(data, status)?.pop().unwrap_or_default()),
        _ => Message::Unknown,
    })
}

fn result<'a>(cursor: &mut Cursor<'a>, reply: &mut Reply<'a>) -> Parsed<()> {
    cursor.object(|cursor, key| {
        match key {
            "channel" => reply.channel = cursor.string()?,
            "symbol" => reply.symbol = cursor.string()?,
            "depth" => reply.depth = usize::try_from(cursor.unsigned()?).ok(),
            "interval" => reply.interval = Some(cursor.text()?),
            "snapshot" | "warnings" | "event_trigger" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })
}

fn each<'a, T>(cursor: &mut Cursor<'a>, mut item: impl FnMut(&mut Cursor<'a>) -> Parsed<T>) -> Parsed<Vec<T>> {
    let mut items = Vec::new();
    cursor.array(|cursor| {
        items.push(item(cursor)?);
        Ok(())
    })?;
    Ok(items)
}

fn book<'a>(cursor: &mut Cursor<'a>, is_snapshot: bool) -> Parsed<Book<'a>> {
    let mut symbol = None;
    let mut book = Book { is_snapshot, ..Book::default() };
    cursor.object(|cursor, key| {
        match key {
            "symbol" => symbol = Some(cursor.string()?),
            "bids" => book.change.bids = each(cursor, level)?,
            "asks" => book.change.asks = each(cursor, level)?,
            "checksum" => book.change.checksum = Some(cursor.signed()?),
            "timestamp" => {
                book.made_at = instant::rfc3339(&cursor.string()?);
                book.change.ts_exchange = book.made_at;
            }
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    book.symbol = required(cursor, symbol, "a symbol")?;
    Ok(book)
}

fn level(cursor: &mut Cursor<'_>) -> Parsed<Level> {
    let (mut price, mut qty) = (None, None);
    cursor.object(|cursor, key| {
        match key {
            "price" => price = Some(cursor.decimal()?),
            "qty" => qty = Some(cursor.decimal()?),
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    both(cursor, price, qty)
}

fn trade<'a>(cursor: &mut Cursor<'a>, is_snapshot: bool) -> Parsed<(Cow<'a, str>, Option<i64>, Trade)> {
    let (mut symbol, mut id, mut price, mut qty, mut side, mut time) = (None, None, None, None, None, None);
    cursor.object(|cursor, key| {
        match key {
            "symbol" => symbol = Some(cursor.string()?),
            "side" => side = Side::parse(&cursor.string()?),
            "price" => price = Some(cursor.decimal()?),
            "qty" => qty = Some(cursor.decimal()?),
            "trade_id" => id = Some(TradeId::parse(&cursor.text()?)),
            "timestamp" => time = instant::rfc3339(&cursor.string()?),
            "ord_type" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    let Level { price, qty } = both(cursor, price, qty)?;
    let side = required(cursor, side, "a side")?;
    let trade = Trade { id, price, qty, side, is_snapshot, aggregate: None };
    Ok((required(cursor, symbol, "a symbol")?, time, trade))
}

fn ticker<'a>(cursor: &mut Cursor<'a>) -> Parsed<(Cow<'a, str>, Option<i64>, Ticker)> {
    let (mut symbol, mut time, mut ticker) = (None, None, Ticker::default());
    cursor.object(|cursor, key| {
        let field = match key {
            "bid" => &mut ticker.bid,
            "bid_qty" => &mut ticker.bid_qty,
            "ask" => &mut ticker.ask,
            "ask_qty" => &mut ticker.ask_qty,
            "last" => &mut ticker.last,
            "volume" => &mut ticker.volume_24h,
            "low" => &mut ticker.low_24h,
            "high" => &mut ticker.high_24h,
            "symbol" => {
                symbol = Some(cursor.string()?);
                return Ok(());
            }
            "timestamp" => {
                time = instant::rfc3339(&cursor.string()?);
                return Ok(());
            }
            "vwap" | "change" | "change_pct" | "trades" => return cursor.skip(),
            _ => return cursor.unknown(),
        };
        *field = cursor.decimal_or_none()?;
        Ok(())
    })?;
    Ok((required(cursor, symbol, "a symbol")?, time, ticker))
}

fn candle<'a>(cursor: &mut Cursor<'a>) -> Parsed<(Cow<'a, str>, Candle)> {
    let (mut symbol, mut interval, mut start) = (None, None, None);
    let (mut open, mut high, mut low, mut close, mut volume) = (None, None, None, None, None);
    cursor.object(|cursor, key| {
        match key {
            "symbol" => symbol = Some(cursor.string()?),
            "open" => open = Some(cursor.decimal()?),
            "high" => high = Some(cursor.decimal()?),
            "low" => low = Some(cursor.decimal()?),
            "close" => close = Some(cursor.decimal()?),
            "volume" => volume = Some(cursor.decimal()?),
            "interval" => interval = Interval::from_native(Exchange::Kraken, &cursor.text()?),
            "interval_begin" => start = instant::rfc3339(&cursor.string()?),
            // Deprecated: the end of the interval.
            "timestamp" | "trades" | "vwap" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    let candle = Candle {
        interval: required(cursor, interval, "an interval")?,
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
    Ok((required(cursor, symbol, "a symbol")?, candle))
}

/// `connection_id` is beyond 63 bits: passed over.
fn status<'a>(cursor: &mut Cursor<'a>) -> Parsed<Cow<'a, str>> {
    let mut system = Cow::Borrowed("");
    cursor.object(|cursor, key| {
        match key {
            "system" => system = cursor.string()?,
            "version" | "api_version" | "connection_id" | "upcoming_maintenance" | "emergency" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    Ok(system)
}
