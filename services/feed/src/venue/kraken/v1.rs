//! Version 1: arrays of a channel's number, one or two payloads, the channel's name and the pair.

use std::borrow::Cow;

use crate::{
    json::{Cursor, Parsed},
    model::{Candle, Exchange, Interval, Level, Side, Ticker, Trade, instant},
    venue::{
        kraken::messages::{Book, Message, Reply},
        wire::required,
    },
};

/// Payloads that a frame may have.
const PAYLOADS_MAX: usize = 4;

/// Reads an array frame.
pub(super) fn parse(text: &str) -> Parsed<(Message<'_>, u32)> {
    let mut cursor = Cursor::new(text);
    let (mut payloads, mut names) = (Vec::new(), Vec::new());
    cursor.array(|cursor| {
        match cursor.peek() {
            b'{' | b'[' if payloads.len() < PAYLOADS_MAX => payloads.push(cursor.raw()?),
            b'"' if names.len() < 2 => names.push(cursor.string()?),
            _ => cursor.skip()?,
        }
        Ok(())
    })?;
    cursor.end()?;
    let Some(pair) = names.pop() else { return Ok((Message::Unknown, 0)) };
    let Some(channel) = names.pop() else { return Ok((Message::Unknown, 0)) };
    let mut unknown = 0;
    let (name, argument) = channel.split_once('-').unwrap_or((&channel, ""));
    let message = match name {
        "book" => {
            let mut read = Book { symbol: pair, depth: argument.parse().ok(), ..Book::default() };
            for payload in payloads {
                let mut cursor = Cursor::new(payload);
                book(&mut cursor, &mut read)?;
                unknown += cursor.unknown_fields();
            }
            Message::Books(vec![read])
        }
        "trade" => {
            let mut trades = Vec::new();
            for payload in payloads {
                Cursor::new(payload).array(|cursor| {
                    let (time, trade) = trade(cursor)?;
                    trades.push((pair.clone(), time, trade));
                    Ok(())
                })?;
            }
            Message::Trades(trades)
        }
        "ticker" => {
            let mut read = Ticker::default();
            for payload in payloads {
                let mut cursor = Cursor::new(payload);
                ticker(&mut cursor, &mut read)?;
                unknown += cursor.unknown_fields();
            }
            Message::Tickers(vec![(pair, None, read)])
        }
        "ohlc" => match (Interval::from_native(Exchange::Kraken, argument), payloads.first()) {
            (Some(interval), Some(payload)) => {
                Message::Candles(vec![(pair, candle(&mut Cursor::new(payload), interval, argument)?)])
            }
            _ => Message::Unknown,
        },
        _ => Message::Unknown,
    };
    Ok((message, unknown))
}

/// What an `{"event":…}` frame is.
pub(super) fn event<'a>(event: &str, mut reply: Reply<'a>) -> Message<'a> {
    match event {
        "heartbeat" | "pong" => Message::Heartbeat,
        "systemStatus" => Message::Status(reply.method),
        "subscriptionStatus" => {
            reply.method = match &*reply.method {
                "subscribed" => Cow::Borrowed("subscribe"),
                "unsubscribed" => Cow::Borrowed("unsubscribe"),
                _ => reply.method,
            };
            if let Some((name, depth)) = reply.channel.clone().split_once('-') {
                reply.depth = depth.parse().ok();
                reply.channel = Cow::Owned(name.to_owned());
            }
            Message::Reply(reply)
        }
        _ => Message::Unknown,
    }
}

/// `{"as":[["price","qty","time"]],"bs":[]}` is a snapshot, `{"a":[],"c":"…"}` and `{"b":[],"c":"…"}` are updates. A level may
/// have a fourth field, `r`: it is republished.
fn book(cursor: &mut Cursor<'_>, book: &mut Book<'_>) -> Parsed<()> {
    let mut time = book.change.ts_exchange;
    cursor.object(|cursor, key| {
        match key {
            "as" | "a" => levels(cursor, &mut book.change.asks, &mut time)?,
            "bs" | "b" => levels(cursor, &mut book.change.bids, &mut time)?,
            "c" => book.change.checksum = Some(cursor.signed()?),
            _ => cursor.unknown()?,
        }
        book.is_snapshot |= matches!(key, "as" | "bs");
        Ok(())
    })?;
    book.change.ts_exchange = time;
    Ok(())
}

fn levels(cursor: &mut Cursor<'_>, levels: &mut Vec<Level>, latest: &mut Option<i64>) -> Parsed<()> {
    cursor.array(|cursor| {
        let (mut price, mut qty, mut at) = (None, None, 0);
        cursor.array(|cursor| {
            match at {
                0 => price = Some(cursor.decimal()?),
                1 => qty = Some(cursor.decimal()?),
                2 => *latest = (*latest).max(instant::seconds(&cursor.text()?)),
                _ => cursor.skip()?,
            }
            at += 1;
            Ok(())
        })?;
        levels.push(Level { price: required(cursor, price, "a price")?, qty: required(cursor, qty, "a quantity")? });
        Ok(())
    })
}

/// `["5541.20000","0.15850568","1534614057.321597","s","l",""]`.
fn trade(cursor: &mut Cursor<'_>) -> Parsed<(Option<i64>, Trade)> {
    let (mut price, mut qty, mut time, mut side, mut at) = (None, None, None, None, 0);
    cursor.array(|cursor| {
        match at {
            0 => price = Some(cursor.decimal()?),
            1 => qty = Some(cursor.decimal()?),
            2 => time = instant::seconds(&cursor.text()?),
            3 => side = Side::parse(&cursor.text()?),
            _ => cursor.skip()?,
        }
        at += 1;
        Ok(())
    })?;
    let trade = Trade {
        id: None,
        price: required(cursor, price, "a price")?,
        qty: required(cursor, qty, "a quantity")?,
        side: required(cursor, side, "a side")?,
        is_snapshot: false,
        aggregate: None,
    };
    Ok((time, trade))
}

/// `{"a":["price",lots,"qty"],"b":[…],"c":["price","qty"],"v":["today","24h"],"l":[…],"h":[…],"o":[…],…}`.
fn ticker(cursor: &mut Cursor<'_>, ticker: &mut Ticker) -> Parsed<()> {
    cursor.object(|cursor, key| {
        let (first, second, third) = match key {
            "a" => (Some(&mut ticker.ask), None, Some(&mut ticker.ask_qty)),
            "b" => (Some(&mut ticker.bid), None, Some(&mut ticker.bid_qty)),
            "c" => (Some(&mut ticker.last), None, None),
            "v" => (None, Some(&mut ticker.volume_24h), None),
            "l" => (None, Some(&mut ticker.low_24h), None),
            "h" => (None, Some(&mut ticker.high_24h), None),
            "o" => (None, Some(&mut ticker.open_24h), None),
            "p" | "t" => return cursor.skip(),
            _ => return cursor.unknown(),
        };
        let mut fields = [first, second, third].into_iter();
        cursor.array(|cursor| match fields.next().flatten() {
            Some(field) => {
                *field = cursor.decimal_or_none()?;
                Ok(())
            }
            None => cursor.skip(),
        })
    })
}

/// `["time","end",open,high,low,close,vwap,volume,count]`, of an interval named in minutes.
fn candle(cursor: &mut Cursor<'_>, interval: Interval, minutes: &str) -> Parsed<Candle> {
    let (mut end, mut at) = (None, 0);
    let mut figures = [None; 6];
    cursor.array(|cursor| {
        match at {
            1 => end = instant::seconds(&cursor.text()?),
            2..=7 => figures[at - 2] = Some(cursor.decimal()?),
            _ => cursor.skip()?,
        }
        at += 1;
        Ok(())
    })?;
    let [open, high, low, close, _, volume] = figures;
    let length_ms = minutes.parse::<i64>().unwrap_or(0).saturating_mul(60_000);
    Ok(Candle {
        interval,
        open_time: (required(cursor, end, "an end")? / 1_000_000).saturating_sub(length_ms),
        open: required(cursor, open, "an open")?,
        high: required(cursor, high, "a high")?,
        low: required(cursor, low, "a low")?,
        close: required(cursor, close, "a close")?,
        volume: required(cursor, volume, "a volume")?,
        quote_volume: None,
        closed: None,
        derived: false,
    })
}
