//! Kraken v2: books cut to the subscribed depth and checked by CRC32, a heartbeat in every silent second.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{Ack, Arg, BookFrame, Level, Renewal, Request, TextBook, Wire, json, string};
use crate::simulate::text::{add, find, replace, rfc3339, rfc3339_us, shift_rfc3339};

#[derive(Debug)]
pub(super) struct Kraken;

/// The depth of a subscription that names none.
const DEPTH_DEFAULT: u64 = 10;

/// Numbers as they were written: the checksum is over their digits.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default)]
    data: Vec<Row<'a>>,
    #[serde(default, rename = "type")]
    kind: &'a str,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow, default)]
    bids: Vec<Cell<'a>>,
    #[serde(borrow, default)]
    asks: Vec<Cell<'a>>,
}

#[derive(Deserialize)]
struct Cell<'a> {
    #[serde(borrow)]
    price: &'a RawValue,
    #[serde(borrow)]
    qty: &'a RawValue,
}

fn levels(cells: &[Cell<'_>]) -> Vec<Level> {
    cells.iter().map(|cell| (cell.price.get().to_owned(), cell.qty.get().to_owned())).collect()
}

fn render_levels(levels: &[Level]) -> String {
    let cells: Vec<String> = levels.iter().map(|(price, qty)| format!(r#"{{"price":{price},"qty":{qty}}}"#)).collect();
    format!("[{}]", cells.join(","))
}

fn topic(channel: &str, symbol: &str, params: &Value) -> String {
    match channel {
        "book" => {
            let depth = params.get("depth").and_then(Value::as_u64).unwrap_or(DEPTH_DEFAULT);
            format!("book:{symbol}:{depth}")
        }
        "ohlc" => format!("ohlc_{}:{symbol}", params.get("interval").and_then(Value::as_u64).unwrap_or(1)),
        _ => format!("{channel}:{symbol}"),
    }
}

fn answer(ack: &Ack<'_>, arg: &Arg, is_refused: bool) -> String {
    let method = if ack.is_subscribe { "subscribe" } else { "unsubscribe" };
    let id = ack.id.map(|id| format!(r#","req_id":{id}"#)).unwrap_or_default();
    let time = rfc3339(ack.wall_ms);
    let times = format!(r#""time_in":"{time}","time_out":"{time}""#);
    if is_refused {
        return format!(
            r#"{{"error":"Currency pair not supported {0}","method":"{method}"{id},"success":false,"symbol":"{0}",{times}}}"#,
            arg.symbol
        );
    }
    let mut parts = arg.topic.split([':', '_']);
    let channel = parts.next().unwrap_or_default();
    let depth = match (channel, arg.topic.rsplit(':').next()) {
        ("book", Some(depth)) => format!(r#","depth":{depth}"#),
        ("ohlc", _) => format!(r#","interval":{}"#, parts.next().unwrap_or("1")),
        _ => String::new(),
    };
    format!(
        r#"{{"method":"{method}"{id},"result":{{"channel":"{channel}"{depth},"snapshot":true,"symbol":"{}"}},"success":true,{times}}}"#,
        arg.symbol
    )
}

impl Wire for Kraken {
    /// A recorded book's depth is filled in by the tape, which has seen the subscription.
    fn topic(&self, frame: &str) -> Option<String> {
        if !frame.contains("\"data\":") {
            return None;
        }
        let (channel, symbol) = (find(frame, "channel")?, find(frame, "symbol")?);
        match channel {
            "ohlc" => Some(format!("ohlc_{}:{symbol}", find(frame, "interval").unwrap_or("1"))),
            _ => Some(format!("{channel}:{symbol}")),
        }
    }

    fn book(&self, frame: &str) -> Option<BookFrame> {
        let frame: Frame<'_> = serde_json::from_str(frame).ok()?;
        let row = frame.data.first()?;
        Some(BookFrame {
            is_snapshot: frame.kind == "snapshot",
            bids: levels(&row.bids),
            asks: levels(&row.asks),
            sequence: None,
        })
    }

    fn renew(&self, _topic: &str, frame: &str, renewal: Renewal) -> String {
        let is_book = find(frame, "channel") == Some("book");
        let mut text = if is_book {
            replace(frame, "timestamp", |_| Some(rfc3339_us(renewal.at_us)))
        } else {
            replace(frame, "timestamp", shift_rfc3339(renewal.shift_ms))
        };
        text = replace(&text, "interval_begin", |begin| {
            let begin: jiff::Timestamp = begin.parse().ok()?;
            let at = begin.as_second() + renewal.shift_ms.div_euclid(1_000);
            Some(format!("{:.9}", jiff::Timestamp::from_second(at - at.rem_euclid(60)).ok()?))
        });
        replace(&text, "trade_id", add(renewal.offset()))
    }

    fn request(&self, text: &str) -> Request {
        let malformed =
            || Request::Other(r#"{"error":"Malformed request","method":"error","success":false}"#.to_owned());
        let Ok(value) = serde_json::from_str::<Value>(text) else { return malformed() };
        let id = value.get("req_id").map(ToString::to_string);
        let params = value.get("params").unwrap_or(&Value::Null);
        let channel = params.get("channel").map(string).unwrap_or_default();
        let symbols = params.get("symbol").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let args = symbols
            .iter()
            .map(string)
            .map(|symbol| Arg { topic: topic(&channel, &symbol, params), wire: json(&symbol), symbol })
            .collect();
        match value.get("method").and_then(Value::as_str) {
            Some("subscribe") => Request::Subscribe { id, args },
            Some("unsubscribe") => Request::Unsubscribe { id, args },
            Some("ping") => {
                let id = id.map(|id| format!(r#","req_id":{id}"#)).unwrap_or_default();
                Request::Ping(format!(r#"{{"method":"pong"{id},"success":true}}"#))
            }
            _ => malformed(),
        }
    }

    fn acknowledge(&self, ack: &Ack<'_>) -> Vec<String> {
        ack.args.iter().map(|(arg, is_refused)| answer(ack, arg, *is_refused)).collect()
    }

    fn render(&self, arg: &Arg, book: &TextBook, frame: &BookFrame, at_us: u64) -> Option<String> {
        let kind = if frame.is_snapshot { "snapshot" } else { "update" };
        Some(format!(
            r#"{{"channel":"book","type":"{kind}","data":[{{"symbol":"{}","bids":{},"asks":{},"checksum":{},"timestamp":"{}"}}]}}"#,
            arg.symbol,
            render_levels(&frame.bids),
            render_levels(&frame.asks),
            book.kraken_checksum(),
            rfc3339_us(at_us),
        ))
    }

    fn greeting(&self, _wall_ms: u64) -> Option<String> {
        Some(status("online"))
    }

    fn heartbeat(&self, wants: &[&Arg], _count: u64, _wall_ms: u64) -> Option<String> {
        (!wants.is_empty()).then(|| r#"{"channel":"heartbeat"}"#.to_owned())
    }

    fn maintenance(&self, _wall_ms: u64) -> String {
        status("maintenance")
    }

    fn depth(&self, topic: &str) -> Option<usize> {
        topic.strip_prefix("book:")?.rsplit(':').next()?.parse().ok()
    }
}

fn status(system: &str) -> String {
    format!(
        r#"{{"channel":"status","type":"update","data":[{{"version":"2.0.10","system":"{system}","api_version":"v2","connection_id":9028458593339017000}}]}}"#
    )
}
