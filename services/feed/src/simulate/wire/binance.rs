//! Binance: combined streams, books by difference with a snapshot over HTTP.

use std::time::Duration;

use serde_json::Value;

use super::{Ack, Arg, BookFrame, Renewal, Request, TextBook, Wire, json, pairs, render_pairs, string};
use crate::simulate::text::{add, find, replace, shift};

#[derive(Debug)]
pub(super) struct Binance;

/// `btcusdt@depth@100ms` → `depth:BTCUSDT`: at whatever speed it was recorded or asked for.
fn topic(stream: &str) -> String {
    let mut parts = stream.split('@');
    let symbol = parts.next().unwrap_or_default().to_uppercase();
    format!("{}:{symbol}", parts.next().unwrap_or_default())
}

fn arg(stream: &str) -> Arg {
    let symbol = stream.split('@').next().unwrap_or_default().to_uppercase();
    Arg { topic: topic(stream), wire: json(stream), symbol }
}

/// The interval of `kline_1m` and its like, milliseconds.
fn interval_ms(topic: &str) -> Option<u64> {
    let name = topic.strip_prefix("kline_")?.split(':').next()?;
    let unit = match name.chars().last()? {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    name[..name.len() - 1].parse::<u64>().ok().map(|count| count * unit)
}

impl Wire for Binance {
    fn topic(&self, frame: &str) -> Option<String> {
        find(frame, "stream").filter(|stream| stream.contains('@')).map(topic)
    }

    fn book(&self, frame: &str) -> Option<BookFrame> {
        let value: Value = serde_json::from_str(frame).ok()?;
        let data = value.get("data").unwrap_or(&value);
        if let Some(sequence) = data.get("lastUpdateId").and_then(Value::as_u64) {
            let (bids, asks) = (pairs(data.get("bids")), pairs(data.get("asks")));
            return Some(BookFrame { is_snapshot: true, bids, asks, sequence: Some(sequence) });
        }
        let sequence = data.get("u").and_then(Value::as_u64);
        (data.get("e")?.as_str()? == "depthUpdate").then(|| BookFrame {
            is_snapshot: false,
            bids: pairs(data.get("b")),
            asks: pairs(data.get("a")),
            sequence,
        })
    }

    fn renew(&self, topic: &str, frame: &str, renewal: Renewal) -> String {
        let mut text = replace(frame, "E", shift(renewal.shift_ms));
        if let Some(interval_ms) = interval_ms(topic) {
            let open = |at: &str| {
                let at = at.parse::<u64>().ok()?.saturating_add_signed(renewal.shift_ms);
                Some(at - at % interval_ms)
            };
            text = replace(&text, "t", |at| open(at).map(|open| open.to_string()));
            return replace(&text, "T", |at| open(at).map(|open| (open + interval_ms - 1).to_string()));
        }
        text = replace(&text, "T", shift(renewal.shift_ms));
        if renewal.pass == 0 {
            return text;
        }
        if topic.starts_with("depth:") {
            // The first one after the seam may begin before it: the chain goes on from what was sent last.
            if let Some(last) = renewal.sequence {
                text = replace(&text, "U", |_| Some((last + 1).to_string()));
                text = replace(&text, "pu", |_| Some(last.to_string()));
            }
            return replace(&text, "u", add(renewal.offset()));
        }
        for id in ["u", "t", "a", "f", "l"] {
            text = replace(&text, id, add(renewal.offset()));
        }
        text
    }

    fn request(&self, text: &str) -> Request {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return Request::Other(r#"{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}"#.to_owned());
        };
        let id = value.get("id").map(ToString::to_string);
        let params = value.get("params").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let args = params.iter().map(|param| arg(&string(param))).collect();
        match value.get("method").and_then(Value::as_str) {
            Some("SUBSCRIBE") => Request::Subscribe { id, args },
            Some("UNSUBSCRIBE") => Request::Unsubscribe { id, args },
            _ => Request::Other(r#"{"code":2,"msg":"Invalid request: unknown variant"}"#.to_owned()),
        }
    }

    fn request_by_path(&self, path: &str) -> Vec<Arg> {
        let streams = path.split_once("streams=").map(|(_, streams)| streams).or_else(|| path.strip_prefix("/ws/"));
        streams
            .into_iter()
            .flat_map(|streams| streams.split(['/', '&']))
            .filter(|name| name.contains('@'))
            .map(arg)
            .collect()
    }

    fn acknowledge(&self, ack: &Ack<'_>) -> Vec<String> {
        vec![format!(r#"{{"result":null,"id":{}}}"#, ack.id.unwrap_or("null"))]
    }

    fn render(&self, arg: &Arg, book: &TextBook, frame: &BookFrame, at_us: u64) -> Option<String> {
        let wall_ms = at_us / 1_000;
        if frame.is_snapshot {
            return None;
        }
        let last = book.sequence?;
        Some(format!(
            r#"{{"stream":{},"data":{{"e":"depthUpdate","E":{wall_ms},"T":{wall_ms},"s":"{}","U":{},"u":{},"pu":{last},"b":{},"a":{}}}}}"#,
            arg.wire,
            arg.symbol,
            last + 1,
            frame.sequence?,
            render_pairs(&frame.bids, ""),
            render_pairs(&frame.asks, ""),
        ))
    }

    fn address(&self, arg: &Arg, frame: &str) -> String {
        replace(frame, "stream", |_| Some(arg.wire.trim_matches('"').to_owned()))
    }

    fn ping_period(&self) -> Option<Duration> {
        Some(Duration::from_secs(20))
    }

    fn maintenance(&self, wall_ms: u64) -> String {
        format!(r#"{{"stream":"!serverShutdown","data":{{"e":"serverShutdown","E":{wall_ms}}}}}"#)
    }

    /// Acknowledged, and nothing ever comes.
    fn refuses_unknown(&self) -> bool {
        false
    }
}
