//! Normalised events as JSON, one a line.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::{
    model::{Body, BookKind, BookUpdate, Candle, Decimal, Event, Level, Ticker, Trade},
    venue::Effect,
};

/// Writes what subscribers would hear of; the rest (requests, confirmations) is left out.
pub(super) fn write(output: &mut dyn Write, effect: &Effect) -> io::Result<()> {
    let line = match effect {
        Effect::Event(event) => self::event(event),
        Effect::State { symbol, state, cause } => {
            json!({"symbol": symbol.as_str(), "channel": "orderbook", "state": state, "cause": cause})
        }
        _ => return Ok(()),
    };
    serde_json::to_writer(&mut *output, &line)?;
    output.write_all(b"\n")
}

/// An event in the shape of the normalised model: decimals as text without trailing zeros, times in nanoseconds.
fn event(event: &Event) -> Value {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            line.insert(name.to_owned(), value);
        }
    };
    put("exchange", json!(event.exchange));
    put("symbol", json!(event.symbol.as_str()));
    put("native_symbol", json!(&*event.native_symbol));
    put("channel", json!(event.channel().name()));
    match &event.body {
        Body::Book(update) => book(update, &mut put),
        Body::Trade(trade) => self::trade(trade, &mut put),
        Body::Ticker(ticker) => self::ticker(ticker, &mut put),
        Body::Candle(candle) => self::candle(candle, &mut put),
    }
    put("seq", json!(event.seq));
    put("ts_exchange", json!(event.ts_exchange));
    put("ts_received", json!(event.ts_received));
    put("conn_id", json!(&*event.conn));
    Value::Object(line)
}

fn plain(decimal: Decimal) -> String {
    decimal.normalize().to_string()
}

fn levels(levels: &[Level]) -> Value {
    levels.iter().map(|level| json!([plain(level.price), plain(level.qty)])).collect()
}

fn book(update: &BookUpdate, put: &mut impl FnMut(&str, Value)) {
    put("kind", json!(if update.kind == BookKind::Snapshot { "snapshot" } else { "delta" }));
    put("bids", levels(&update.bids));
    put("asks", levels(&update.asks));
    put("first_seq", json!(update.first_seq));
    put("last_seq", json!(update.last_seq));
    put("prev_seq", json!(update.prev_seq));
    put("checksum", json!(update.checksum));
    put("state", json!(update.state));
}

fn trade(trade: &Trade, put: &mut impl FnMut(&str, Value)) {
    put("trade_id", json!(trade.id.as_ref().map(ToString::to_string)));
    put("price", json!(plain(trade.price)));
    put("qty", json!(plain(trade.qty)));
    put("side", json!(trade.side.name()));
    if trade.is_snapshot {
        put("is_snapshot", json!(true));
    }
    if let Some((first, last)) = trade.aggregate {
        put("first_id", json!(first.to_string()));
        put("last_id", json!(last.to_string()));
    }
}

fn ticker(ticker: &Ticker, put: &mut impl FnMut(&str, Value)) {
    let figures = [
        ("bid", ticker.bid),
        ("bid_qty", ticker.bid_qty),
        ("ask", ticker.ask),
        ("ask_qty", ticker.ask_qty),
        ("last", ticker.last),
        ("open_24h", ticker.open_24h),
        ("high_24h", ticker.high_24h),
        ("low_24h", ticker.low_24h),
        ("volume_24h", ticker.volume_24h),
        ("quote_volume_24h", ticker.quote_volume_24h),
    ];
    for (name, figure) in figures {
        put(name, json!(figure.map(plain)));
    }
}

fn candle(candle: &Candle, put: &mut impl FnMut(&str, Value)) {
    put("interval", json!(candle.interval.name()));
    put("open_time", json!(candle.open_time));
    for (name, figure) in [
        ("open", candle.open),
        ("high", candle.high),
        ("low", candle.low),
        ("close", candle.close),
        ("volume", candle.volume),
    ] {
        put(name, json!(plain(figure)));
    }
    put("quote_volume", json!(candle.quote_volume.map(plain)));
    put("closed", json!(candle.closed));
    if candle.derived {
        put("derived", json!(true));
    }
}
