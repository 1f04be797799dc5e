//! Text to [`Message`]: one pass, fields in any order. The same letter means different things in different events (`a` is asks, an
//! ask price, an aggregate's id), so values are taken by their shape and made sense of at the end.

use std::borrow::Cow;

use crate::{
    json::{Cursor, Parsed},
    model::{Candle, Decimal, Exchange, Interval, Level, Side, Ticker},
    venue::{
        binance::messages::{Depth, Message, Partial, Print, Quote},
        wire::{both, levels, required},
    },
};

/// Every field of every event.
#[derive(Default)]
struct Fields<'a> {
    stream: Option<Cow<'a, str>>,
    event: Option<Cow<'a, str>>,
    symbol: Option<Cow<'a, str>>,
    event_time: Option<u64>,
    trade_time: Option<u64>,
    first: Option<u64>,
    last: Option<u64>,
    previous: Option<u64>,
    bids: Option<Vec<Level>>,
    asks: Option<Vec<Level>>,
    bid: Option<Decimal>,
    bid_qty: Option<Decimal>,
    ask: Option<Decimal>,
    ask_qty: Option<Decimal>,
    price: Option<Decimal>,
    qty: Option<Decimal>,
    trade_id: Option<u64>,
    aggregate_id: Option<u64>,
    first_id: Option<u64>,
    last_id: Option<u64>,
    buyer_is_maker: Option<bool>,
    day: Day,
    candle: Option<Box<Candle>>,
    request: Option<u64>,
    is_reply: bool,
    error: Option<Cow<'a, str>>,
}

/// The day figures of `24hrTicker`.
#[derive(Default)]
struct Day {
    last: Option<Decimal>,
    open: Option<Decimal>,
    high: Option<Decimal>,
    low: Option<Decimal>,
    volume: Option<Decimal>,
}

/// Reads a frame. Also yields how many fields are unknown.
pub fn parse(text: &str) -> Parsed<(Message<'_>, u32)> {
    let mut cursor = Cursor::new(text);
    let mut fields = Fields::default();
    read(&mut cursor, &mut fields, 0)?;
    cursor.end()?;
    let message = fields.message(&cursor)?;
    Ok((message, cursor.unknown_fields()))
}

/// One level of wrapping is followed: `{"stream":…,"data":{…}}`.
fn read<'a>(cursor: &mut Cursor<'a>, fields: &mut Fields<'a>, wrapping: u8) -> Parsed<()> {
    cursor.object(|cursor, key| {
        match key {
            "e" => fields.event = Some(cursor.string()?),
            "s" => fields.symbol = Some(cursor.string()?),
            "E" => fields.event_time = Some(cursor.unsigned()?),
            "T" => fields.trade_time = Some(cursor.unsigned()?),
            "U" => fields.first = Some(cursor.unsigned()?),
            "u" | "lastUpdateId" => fields.last = Some(cursor.unsigned()?),
            "pu" => fields.previous = Some(cursor.unsigned()?),
            "b" | "bids" => match cursor.peek() {
                b'[' => fields.bids = Some(levels(cursor)?),
                b'"' => fields.bid = Some(cursor.decimal()?),
                // The buyer's order, in old recordings of trades.
                _ => cursor.skip()?,
            },
            "a" | "asks" => match cursor.peek() {
                b'[' => fields.asks = Some(levels(cursor)?),
                b'"' => fields.ask = Some(cursor.decimal()?),
                _ => fields.aggregate_id = Some(cursor.unsigned()?),
            },
            "B" => fields.bid_qty = Some(cursor.decimal()?),
            "A" => fields.ask_qty = Some(cursor.decimal()?),
            "p" => fields.price = cursor.decimal_or_none()?,
            "q" => fields.qty = cursor.decimal_or_none()?,
            "t" => fields.trade_id = Some(cursor.unsigned()?),
            "f" => fields.first_id = Some(cursor.unsigned()?),
            "l" => match cursor.peek() {
                b'"' => fields.day.low = cursor.decimal_or_none()?,
                _ => fields.last_id = Some(cursor.unsigned()?),
            },
            "m" => fields.buyer_is_maker = Some(cursor.boolean()?),
            "k" => fields.candle = Some(Box::new(kline(cursor)?)),
            "stream" => fields.stream = Some(cursor.string()?),
            "data" if wrapping == 0 && cursor.peek() == b'{' => read(cursor, fields, 1)?,
            _ => return rest(cursor, key, fields),
        }
        Ok(())
    })
}

/// The rarer fields.
fn rest<'a>(cursor: &mut Cursor<'a>, key: &str, fields: &mut Fields<'a>) -> Parsed<()> {
    match key {
        "c" => fields.day.last = cursor.decimal_or_none()?,
        "o" => fields.day.open = cursor.decimal_or_none()?,
        "h" => fields.day.high = cursor.decimal_or_none()?,
        "v" => fields.day.volume = cursor.decimal_or_none()?,
        "id" => {
            fields.is_reply = true;
            match cursor.peek() {
                b'n' | b'"' => cursor.skip()?,
                _ => fields.request = Some(cursor.unsigned()?),
            }
        }
        "result" => {
            fields.is_reply = true;
            cursor.skip()?;
        }
        "msg" => fields.error = Some(cursor.string()?),
        "error" => cursor.object(|cursor, key| {
            match key {
                "msg" => fields.error = Some(cursor.string()?),
                _ => cursor.skip()?,
            }
            Ok(())
        })?,
        // Known and not needed: market-maker flags, order type, change and weighted price, last quantity, counts, ids, pair.
        "M" | "X" | "P" | "w" | "x" | "Q" | "O" | "C" | "F" | "L" | "n" | "code" | "ps" | "symbol" | "pair" | "st" => {
            cursor.skip()?;
        }
        _ => cursor.unknown()?,
    }
    Ok(())
}

/// `{"t":1,"T":2,"s":"BNBBTC","i":"1m","o":"0.1","c":"0.2","h":"0.3","l":"0.1","v":"1000","n":100,"x":false,"q":"1.0",…}`.
fn kline(cursor: &mut Cursor<'_>) -> Parsed<Candle> {
    let (mut interval, mut start, mut closed) = (None, None, None);
    let (mut open, mut high, mut low, mut close, mut volume, mut quote_volume) = (None, None, None, None, None, None);
    cursor.object(|cursor, key| {
        match key {
            "t" => start = Some(cursor.signed()?),
            "i" => interval = Interval::from_native(Exchange::Binance, &cursor.string()?),
            "o" => open = Some(cursor.decimal()?),
            "h" => high = Some(cursor.decimal()?),
            "l" => low = Some(cursor.decimal()?),
            "c" => close = Some(cursor.decimal()?),
            "v" => volume = Some(cursor.decimal()?),
            "q" => quote_volume = cursor.decimal_or_none()?,
            "x" => closed = Some(cursor.boolean()?),
            "T" | "s" | "f" | "L" | "n" | "V" | "Q" | "B" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    let start = required(cursor, start, "a start")?;
    let start = crate::model::instant::epoch(start.unsigned_abs()).map(|nanos| nanos / 1_000_000);
    Ok(Candle {
        interval: required(cursor, interval, "an interval")?,
        open_time: required(cursor, start, "a start")?,
        open: required(cursor, open, "an open")?,
        high: required(cursor, high, "a high")?,
        low: required(cursor, low, "a low")?,
        close: required(cursor, close, "a close")?,
        volume: required(cursor, volume, "a volume")?,
        quote_volume,
        closed: Some(required(cursor, closed, "whether it is closed")?),
        derived: false,
    })
}

impl<'a> Fields<'a> {
    fn message(self, cursor: &Cursor<'a>) -> Parsed<Message<'a>> {
        match self.event.as_deref() {
            Some("depthUpdate") => self.depth(cursor),
            Some("trade" | "aggTrade") => self.print(cursor),
            Some("bookTicker") => self.quote(cursor),
            Some("kline") => Ok(Message::Kline {
                symbol: required(cursor, self.symbol, "a symbol")?,
                time: required(cursor, self.event_time, "a time")?,
                candle: required(cursor, self.candle, "a candle")?,
            }),
            Some("24hrTicker") => self.day(cursor),
            Some("serverShutdown") => Ok(Message::Shutdown),
            None if self.bid.is_some() && self.last.is_some() => self.quote(cursor),
            None if self.last.is_some() && self.bids.is_some() => self.partial(cursor),
            None if self.is_reply || self.error.is_some() => Ok(Message::Reply { id: self.request, error: self.error }),
            _ => Ok(Message::Unknown),
        }
    }

    /// Futures send partial books as `depthUpdate` too: the stream's name tells (`@depth20`, `@depth5@100ms`).
    fn depth(self, cursor: &Cursor<'a>) -> Parsed<Message<'a>> {
        let is_partial = self
            .stream
            .as_deref()
            .and_then(|stream| stream.split('@').nth(1))
            .is_some_and(|kind| kind.len() > "depth".len());
        if is_partial {
            return self.partial(cursor);
        }
        Ok(Message::Depth(Depth {
            symbol: required(cursor, self.symbol, "a symbol")?,
            time: required(cursor, self.event_time, "a time")?,
            first: required(cursor, self.first, "a first update id")?,
            last: required(cursor, self.last, "a last update id")?,
            previous: self.previous,
            bids: self.bids.unwrap_or_default(),
            asks: self.asks.unwrap_or_default(),
        }))
    }

    fn partial(self, cursor: &Cursor<'a>) -> Parsed<Message<'a>> {
        let named = self.stream.as_deref().and_then(|stream| stream.split('@').next()).map(str::to_uppercase);
        Ok(Message::Partial(Partial {
            symbol: required(cursor, self.symbol.or(named.map(Cow::Owned)), "a stream")?,
            time: self.event_time,
            last: required(cursor, self.last, "an update id")?,
            bids: self.bids.unwrap_or_default(),
            asks: self.asks.unwrap_or_default(),
        }))
    }

    fn quote(self, cursor: &Cursor<'a>) -> Parsed<Message<'a>> {
        Ok(Message::Quote(Quote {
            symbol: required(cursor, self.symbol, "a symbol")?,
            time: self.event_time,
            last: required(cursor, self.last, "an update id")?,
            bid: both(cursor, self.bid, self.bid_qty)?,
            ask: both(cursor, self.ask, self.ask_qty)?,
        }))
    }

    fn print(self, cursor: &Cursor<'a>) -> Parsed<Message<'a>> {
        let maker_bought = required(cursor, self.buyer_is_maker, "the maker's side")?;
        Ok(Message::Print(Print {
            symbol: required(cursor, self.symbol, "a symbol")?,
            time: required(cursor, self.trade_time, "a time")?,
            id: required(cursor, self.trade_id.or(self.aggregate_id), "an id")?,
            price: required(cursor, self.price, "a price")?,
            qty: required(cursor, self.qty, "a quantity")?,
            side: if maker_bought { Side::Sell } else { Side::Buy },
            aggregate: self.first_id.zip(self.last_id),
        }))
    }

    fn day(self, cursor: &Cursor<'a>) -> Parsed<Message<'a>> {
        let ticker = Box::new(Ticker {
            bid: self.bid,
            bid_qty: self.bid_qty,
            ask: self.ask,
            ask_qty: self.ask_qty,
            last: self.day.last,
            open_24h: self.day.open,
            high_24h: self.day.high,
            low_24h: self.day.low,
            volume_24h: self.day.volume,
            quote_volume_24h: self.qty,
        });
        let symbol = required(cursor, self.symbol, "a symbol")?;
        Ok(Message::Day { symbol, time: required(cursor, self.event_time, "a time")?, ticker })
    }
}

/// Reads a snapshot fetched by HTTP.
pub fn snapshot(body: &str) -> Parsed<Partial<'_>> {
    let mut cursor = Cursor::new(body);
    let mut fields = Fields::default();
    read(&mut cursor, &mut fields, 1)?;
    cursor.end()?;
    Ok(Partial {
        symbol: Cow::Borrowed(""),
        time: fields.event_time,
        last: required(&cursor, fields.last, "an update id")?,
        bids: required(&cursor, fields.bids, "bids")?,
        asks: required(&cursor, fields.asks, "asks")?,
    })
}
