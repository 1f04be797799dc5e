//! Text to [`Message`]. The topic may come after the data, so the data's text is found first and read second.

use std::borrow::Cow;

use crate::{
    json::{Cursor, Parsed},
    model::{Candle, Exchange, Interval, Side, Ticker, instant},
    venue::{
        bybit::messages::{Message, Print},
        desk::Change,
        wire::{both, levels, required},
    },
};

/// The envelope.
#[derive(Default)]
struct Envelope<'a> {
    topic: Option<Cow<'a, str>>,
    is_snapshot: bool,
    time: Option<u64>,
    seq: Option<u64>,
    data: Option<&'a str>,
    op: Option<Cow<'a, str>>,
    success: Option<bool>,
    words: Option<Cow<'a, str>>,
    request: Option<u64>,
}

/// Reads a frame. Also yields how many fields are unknown.
pub(crate) fn parse(text: &str) -> Parsed<(Message<'_>, u32)> {
    let mut cursor = Cursor::new(text);
    let mut envelope = Envelope::default();
    cursor.object(|cursor, key| {
        match key {
            "topic" => envelope.topic = Some(cursor.string()?),
            "type" => envelope.is_snapshot = cursor.string()? == "snapshot",
            "ts" => envelope.time = Some(cursor.unsigned()?),
            "cs" => envelope.seq = Some(cursor.unsigned()?),
            "data" => envelope.data = Some(cursor.raw()?),
            "op" => envelope.op = Some(cursor.string()?),
            "success" => envelope.success = Some(cursor.boolean()?),
            "ret_msg" => envelope.words = Some(cursor.string()?),
            "req_id" => envelope.request = cursor.text()?.parse().ok(),
            "cts" | "conn_id" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    cursor.end()?;
    let (message, unknown) = envelope.message(&cursor)?;
    Ok((message, cursor.unknown_fields() + unknown))
}

impl<'a> Envelope<'a> {
    fn message(self, cursor: &Cursor<'a>) -> Parsed<(Message<'a>, u32)> {
        let Some(topic) = &self.topic else {
            let Some(success) = self.success else { return Ok((Message::Unknown, 0)) };
            let is_pong = self.op.as_deref() == Some("pong") || self.words.as_deref() == Some("pong");
            let error = (!success).then(|| self.words.unwrap_or_default());
            return Ok((Message::Reply { request: self.request, is_pong, error }, 0));
        };
        let topic = topic.clone();
        let mut parts = topic.split('.');
        let kind = parts.next().unwrap_or_default();
        let symbol = |name: &str| Cow::Owned(name.to_owned());
        let mut data = Cursor::new(required(cursor, self.data, "data")?);
        let message = match (kind, parts.next(), parts.next()) {
            ("orderbook", Some(_), Some(name)) => self.book(&mut data, symbol(name))?,
            ("publicTrade", Some(name), None) => Message::Trades { symbol: symbol(name), prints: prints(&mut data)? },
            ("tickers", Some(name), None) => {
                let ticker = Box::new(ticker(&mut data)?);
                let Self { is_snapshot, time, seq, .. } = self;
                Message::Ticker { symbol: symbol(name), is_snapshot, time, seq, ticker }
            }
            ("kline", Some(_), Some(name)) => Message::Candles { symbol: symbol(name), candles: candles(&mut data)? },
            _ => Message::Unknown,
        };
        Ok((message, data.unknown_fields()))
    }

    fn book(&self, data: &mut Cursor<'a>, symbol: Cow<'a, str>) -> Parsed<Message<'a>> {
        let mut change = Change { ts_exchange: self.time.and_then(instant::epoch), ..Change::default() };
        data.object(|cursor, key| {
            match key {
                "b" => change.bids = levels(cursor)?,
                "a" => change.asks = levels(cursor)?,
                "u" => change.last_seq = Some(cursor.unsigned()?),
                "s" | "seq" => cursor.skip()?,
                _ => cursor.unknown()?,
            }
            Ok(())
        })?;
        required(data, change.last_seq, "an update id")?;
        Ok(Message::Book { symbol, is_snapshot: self.is_snapshot, change })
    }
}

fn prints<'a>(data: &mut Cursor<'a>) -> Parsed<Vec<Print<'a>>> {
    let mut prints = Vec::new();
    data.array(|cursor| {
        let (mut id, mut time, mut price, mut qty, mut side, mut seq) = (None, None, None, None, None, None);
        cursor.object(|cursor, key| {
            match key {
                "i" => id = Some(cursor.text()?),
                "T" => time = Some(cursor.unsigned()?),
                "p" => price = Some(cursor.decimal()?),
                "v" => qty = Some(cursor.decimal()?),
                "S" => side = Side::parse(&cursor.string()?),
                "seq" => seq = Some(cursor.unsigned()?),
                "s" | "L" | "BT" | "RPI" => cursor.skip()?,
                _ => cursor.unknown()?,
            }
            Ok(())
        })?;
        prints.push(Print {
            id: required(cursor, id, "an id")?,
            time: required(cursor, time, "a time")?,
            level: both(cursor, price, qty)?,
            side: required(cursor, side, "a side")?,
            seq,
        });
        Ok(())
    })?;
    Ok(prints)
}

fn ticker(data: &mut Cursor<'_>) -> Parsed<Ticker> {
    let mut ticker = Ticker::default();
    data.object(|cursor, key| {
        let field = match key {
            "bid1Price" => &mut ticker.bid,
            "bid1Size" => &mut ticker.bid_qty,
            "ask1Price" => &mut ticker.ask,
            "ask1Size" => &mut ticker.ask_qty,
            "lastPrice" => &mut ticker.last,
            "prevPrice24h" => &mut ticker.open_24h,
            "highPrice24h" => &mut ticker.high_24h,
            "lowPrice24h" => &mut ticker.low_24h,
            "volume24h" => &mut ticker.volume_24h,
            "turnover24h" => &mut ticker.quote_volume_24h,
            "symbol"
            | "tickDirection"
            | "price24hPcnt"
            | "prevPrice1h"
            | "markPrice"
            | "indexPrice"
            | "openInterest"
            | "openInterestValue"
            | "nextFundingTime"
            | "fundingRate"
            | "preOpenPrice"
            | "preQty"
            | "curPreListingPhase"
            | "usdIndexPrice"
            | "fundingIntervalHour"
            | "fundingCap"
            | "basisRate"
            | "basisRateYear"
            | "basis"
            | "deliveryTime"
            | "deliveryFeeRate"
            | "predictedDeliveryPrice" => {
                return cursor.skip();
            }
            _ => return cursor.unknown(),
        };
        *field = cursor.decimal_or_none()?;
        Ok(())
    })?;
    Ok(ticker)
}

fn candles(data: &mut Cursor<'_>) -> Parsed<Vec<(Option<u64>, Candle)>> {
    let mut candles = Vec::new();
    data.array(|cursor| {
        let (mut time, mut start, mut interval, mut closed) = (None, None, None, None);
        let (mut open, mut high, mut low, mut close, mut volume, mut quote) = (None, None, None, None, None, None);
        cursor.object(|cursor, key| {
            match key {
                "start" => start = Some(cursor.signed()?),
                "interval" => interval = Interval::from_native(Exchange::Bybit, &cursor.text()?),
                "open" => open = Some(cursor.decimal()?),
                "high" => high = Some(cursor.decimal()?),
                "low" => low = Some(cursor.decimal()?),
                "close" => close = Some(cursor.decimal()?),
                "volume" => volume = Some(cursor.decimal()?),
                "turnover" => quote = cursor.decimal_or_none()?,
                "confirm" => closed = Some(cursor.boolean()?),
                "timestamp" => time = Some(cursor.unsigned()?),
                "end" => cursor.skip()?,
                _ => cursor.unknown()?,
            }
            Ok(())
        })?;
        let candle = Candle {
            interval: required(cursor, interval, "an interval")?,
            open_time: required(cursor, start, "a start")?,
            open: required(cursor, open, "an open")?,
            high: required(cursor, high, "a high")?,
            low: required(cursor, low, "a low")?,
            close: required(cursor, close, "a close")?,
            volume: required(cursor, volume, "a volume")?,
            quote_volume: quote,
            closed: Some(required(cursor, closed, "whether it is closed")?),
            derived: false,
        };
        candles.push((time, candle));
        Ok(())
    })?;
    Ok(candles)
}
