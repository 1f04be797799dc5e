//! Text to [`Message`]. The data's text is found first and read once its channel is known.

use std::borrow::Cow;

use crate::{
    json::{Cursor, Parsed},
    model::{Candle, Decimal, Exchange, Interval, Side, Ticker, instant},
    venue::{
        okx::messages::{BookChange, Content, Message, Print},
        wire::{both, levels, required},
    },
};

/// The envelope.
#[derive(Default)]
struct Envelope<'a> {
    channel: Cow<'a, str>,
    instrument: Cow<'a, str>,
    is_snapshot: bool,
    data: Option<&'a str>,
    event: Option<Cow<'a, str>>,
    code: Cow<'a, str>,
    words: Cow<'a, str>,
}

/// Reads a frame. Also yields how many fields are unknown.
pub(crate) fn parse(text: &str) -> Parsed<(Message<'_>, u32)> {
    if text == "pong" {
        return Ok((Message { instrument: Cow::Borrowed(""), content: Content::Pong }, 0));
    }
    let mut cursor = Cursor::new(text);
    let mut envelope = Envelope::default();
    cursor.object(|cursor, key| {
        match key {
            "arg" => argument(cursor, &mut envelope)?,
            "action" => envelope.is_snapshot = cursor.string()? == "snapshot",
            "data" => envelope.data = Some(cursor.raw()?),
            "event" => envelope.event = Some(cursor.string()?),
            "code" => envelope.code = cursor.text()?,
            "msg" => envelope.words = cursor.string()?,
            "connId" | "id" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    cursor.end()?;
    let (message, unknown) = envelope.message()?;
    Ok((message, cursor.unknown_fields() + unknown))
}

fn argument<'a>(cursor: &mut Cursor<'a>, envelope: &mut Envelope<'a>) -> Parsed<()> {
    cursor.object(|cursor, key| {
        match key {
            "channel" => envelope.channel = cursor.string()?,
            "instId" => envelope.instrument = cursor.string()?,
            "instType" | "instFamily" | "uly" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })
}

impl<'a> Envelope<'a> {
    fn message(self) -> Parsed<(Message<'a>, u32)> {
        let Self { channel, instrument, is_snapshot, data, event, code, words } = self;
        if let Some(event) = event {
            return Ok((Message { instrument, content: Content::Event { event, channel, code, words } }, 0));
        }
        let Some(data) = data else { return Ok((Message { instrument, content: Content::Unknown }, 0)) };
        let mut cursor = Cursor::new(data);
        let content = match &*channel {
            "books" | "books-l2-tbt" | "books50-l2-tbt" => {
                Content::Books { is_snapshot, changes: each(&mut cursor, change)? }
            }
            "books5" | "bbo-tbt" => Content::Best(each(&mut cursor, change)?),
            "trades" => Content::Trades(each(&mut cursor, print)?),
            "tickers" => Content::Tickers(each(&mut cursor, ticker)?),
            name => match Interval::from_native(Exchange::Okx, name) {
                Some(interval) => Content::Candles(each(&mut cursor, |cursor| candle(cursor, interval))?),
                None => Content::Unknown,
            },
        };
        Ok((Message { instrument, content }, cursor.unknown_fields()))
    }
}

fn each<'a, T>(cursor: &mut Cursor<'a>, mut item: impl FnMut(&mut Cursor<'a>) -> Parsed<T>) -> Parsed<Vec<T>> {
    let mut items = Vec::new();
    cursor.array(|cursor| {
        items.push(item(cursor)?);
        Ok(())
    })?;
    Ok(items)
}

fn change(cursor: &mut Cursor<'_>) -> Parsed<BookChange> {
    let mut read = BookChange::default();
    cursor.object(|cursor, key| {
        match key {
            "bids" => read.change.bids = levels(cursor)?,
            "asks" => read.change.asks = levels(cursor)?,
            "ts" => read.change.ts_exchange = instant::epoch(cursor.unsigned()?),
            "checksum" => read.change.checksum = Some(cursor.signed()?).filter(|checksum| *checksum != 0),
            "seqId" => read.seq = Some(cursor.signed()?),
            "prevSeqId" => read.previous = Some(cursor.signed()?),
            "instId" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    read.change.last_seq = read.seq.and_then(|seq| u64::try_from(seq).ok());
    read.change.prev_seq = read.previous.and_then(|seq| u64::try_from(seq).ok());
    Ok(read)
}

fn print<'a>(cursor: &mut Cursor<'a>) -> Parsed<Print<'a>> {
    let (mut id, mut price, mut qty, mut side, mut time, mut seq) = (None, None, None, None, None, None);
    cursor.object(|cursor, key| {
        match key {
            "tradeId" => id = Some(cursor.text()?),
            "px" => price = Some(cursor.decimal()?),
            "sz" => qty = Some(cursor.decimal()?),
            "side" => side = Side::parse(&cursor.string()?),
            "ts" => time = Some(cursor.unsigned()?),
            "seqId" => seq = u64::try_from(cursor.signed()?).ok(),
            "instId" | "count" | "source" => cursor.skip()?,
            _ => cursor.unknown()?,
        }
        Ok(())
    })?;
    Ok(Print {
        id: required(cursor, id, "an id")?,
        level: both(cursor, price, qty)?,
        side: required(cursor, side, "a side")?,
        time,
        seq,
    })
}

fn ticker(cursor: &mut Cursor<'_>) -> Parsed<(Option<u64>, Ticker)> {
    let (mut ticker, mut time) = (Ticker::default(), None);
    cursor.object(|cursor, key| {
        let field = match key {
            "last" => &mut ticker.last,
            "askPx" => &mut ticker.ask,
            "askSz" => &mut ticker.ask_qty,
            "bidPx" => &mut ticker.bid,
            "bidSz" => &mut ticker.bid_qty,
            "open24h" => &mut ticker.open_24h,
            "high24h" => &mut ticker.high_24h,
            "low24h" => &mut ticker.low_24h,
            "vol24h" => &mut ticker.volume_24h,
            "volCcy24h" => &mut ticker.quote_volume_24h,
            "ts" => {
                time = Some(cursor.unsigned()?);
                return Ok(());
            }
            "instType" | "instId" | "lastSz" | "sodUtc0" | "sodUtc8" => return cursor.skip(),
            _ => return cursor.unknown(),
        };
        *field = cursor.decimal_or_none()?;
        Ok(())
    })?;
    Ok((time, ticker))
}

fn candle(cursor: &mut Cursor<'_>, interval: Interval) -> Parsed<Candle> {
    let (mut start, mut closed, mut at) = (None, None, 0);
    let mut figures = [None::<Decimal>; 7];
    cursor.array(|cursor| {
        match at {
            0 => start = Some(cursor.signed()?),
            1..=5 => figures[at - 1] = Some(cursor.decimal()?),
            6 | 7 => figures[at - 1] = cursor.decimal_or_none()?,
            8 => closed = Some(cursor.text()? == "1"),
            _ => cursor.unknown()?,
        }
        at += 1;
        Ok(())
    })?;
    let [open, high, low, close, volume, six, seven] = figures;
    Ok(Candle {
        interval,
        open_time: required(cursor, start, "a start")?,
        open: required(cursor, open, "an open")?,
        high: required(cursor, high, "a high")?,
        low: required(cursor, low, "a low")?,
        close: required(cursor, close, "a close")?,
        volume: required(cursor, volume, "a volume")?,
        // The eighth is in quote currency everywhere; before it existed, spot's seventh was.
        quote_volume: seven.or(six),
        closed,
        derived: false,
    })
}
