//! Bybit v5: topics as strings, books with a running `u`.

use serde_json::Value;

use super::{Ack, Arg, BookFrame, Renewal, Request, TextBook, Wire, json, pairs, render_pairs, string};
use crate::simulate::text::{add, find, replace, shift};

#[derive(Debug)]
pub(super) struct Bybit;

const CONNECTION: &str = "simulated";

/// `orderbook.50.BTCUSDT` → `orderbook:BTCUSDT`: whatever depth was recorded is served for every depth.
fn topic(name: &str) -> String {
    let kind = name.split('.').next().unwrap_or_default();
    let symbol = name.rsplit('.').next().unwrap_or_default();
    if kind == "kline" {
        let interval = name.split('.').nth(1).unwrap_or_default();
        return format!("kline_{interval}:{symbol}");
    }
    format!("{kind}:{symbol}")
}

fn arg(name: &str) -> Arg {
    let symbol = name.rsplit('.').next().unwrap_or_default().to_owned();
    Arg { topic: topic(name), wire: json(name), symbol }
}

/// A trade's id: a number, or a UUID whose beginning is counted up.
fn renew_id(id: &str, pass: u64) -> Option<String> {
    if id.bytes().all(|byte| byte.is_ascii_digit()) {
        return add(pass * super::STRIDE)(id);
    }
    let head = u32::from_str_radix(id.get(..8)?, 16).ok()?;
    let pass = u32::try_from(pass & u64::from(u32::MAX)).ok()?;
    Some(format!("{:08x}{}", head.wrapping_add(pass), &id[8..]))
}

impl Wire for Bybit {
    fn topic(&self, frame: &str) -> Option<String> {
        find(frame, "topic").map(topic)
    }

    fn book(&self, frame: &str) -> Option<BookFrame> {
        let value: Value = serde_json::from_str(frame).ok()?;
        let data = value.get("data")?;
        Some(BookFrame {
            is_snapshot: value.get("type")?.as_str()? == "snapshot",
            bids: pairs(data.get("b")),
            asks: pairs(data.get("a")),
            sequence: data.get("u").and_then(Value::as_u64),
        })
    }

    fn renew(&self, topic: &str, frame: &str, renewal: Renewal) -> String {
        let mut text = frame.to_owned();
        for time in ["ts", "cts", "T", "timestamp"] {
            text = replace(&text, time, shift(renewal.shift_ms));
        }
        if topic.starts_with("kline") {
            let length = find(&text, "end").and_then(|end| end.parse::<u64>().ok()).unwrap_or_default()
                - find(&text, "start").and_then(|start| start.parse::<u64>().ok()).unwrap_or_default();
            let open = |start: &str| {
                let start = start.parse::<u64>().ok()?.saturating_add_signed(renewal.shift_ms);
                Some(start - start % (length + 1).max(1))
            };
            text = replace(&text, "start", |start| open(start).map(|open| open.to_string()));
            text = replace(&text, "end", |end| open(end).map(|open| (open + length).to_string()));
        }
        if renewal.pass == 0 {
            return text;
        }
        for number in ["u", "seq", "cs"] {
            text = replace(&text, number, add(renewal.offset()));
        }
        replace(&text, "i", |id| renew_id(id, renewal.pass))
    }

    fn request(&self, text: &str) -> Request {
        let Ok(value) = serde_json::from_str::<Value>(text) else {
            return Request::Other(
                r#"{"success":false,"ret_msg":"error:request is not valid json","conn_id":"simulated","op":""}"#
                    .to_owned(),
            );
        };
        let id = value.get("req_id").map(string);
        let list = value.get("args").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let args = list.iter().map(|name| arg(&string(name))).collect();
        match value.get("op").and_then(Value::as_str) {
            Some("subscribe") => Request::Subscribe { id, args },
            Some("unsubscribe") => Request::Unsubscribe { id, args },
            Some("ping") => Request::Ping(format!(
                r#"{{"success":true,"ret_msg":"pong","conn_id":"{CONNECTION}","req_id":"{}","op":"ping"}}"#,
                id.unwrap_or_default()
            )),
            _ => Request::Other(format!(
                r#"{{"success":false,"ret_msg":"error:unknown op","conn_id":"{CONNECTION}","op":""}}"#
            )),
        }
    }

    /// One answer for all, without a topic: one bad name refuses the request.
    fn acknowledge(&self, ack: &Ack<'_>) -> Vec<String> {
        let op = if ack.is_subscribe { "subscribe" } else { "unsubscribe" };
        let refused = ack.args.iter().find(|(_, is_refused)| *is_refused);
        let message =
            refused.map_or_else(|| op.to_owned(), |(arg, _)| format!("Invalid topic: {}", arg.wire.trim_matches('"')));
        vec![format!(
            r#"{{"success":{},"ret_msg":"{message}","conn_id":"{CONNECTION}","req_id":{},"op":"{op}"}}"#,
            refused.is_none(),
            json(ack.id.unwrap_or_default())
        )]
    }

    fn render(&self, arg: &Arg, _book: &TextBook, frame: &BookFrame, at_us: u64) -> Option<String> {
        let wall_ms = at_us / 1_000;
        let kind = if frame.is_snapshot { "snapshot" } else { "delta" };
        let sequence = frame.sequence?;
        Some(format!(
            r#"{{"topic":{},"type":"{kind}","ts":{wall_ms},"data":{{"s":"{}","b":{},"a":{},"u":{sequence},"seq":{sequence}}},"cts":{wall_ms}}}"#,
            arg.wire,
            arg.symbol,
            render_pairs(&frame.bids, ""),
            render_pairs(&frame.asks, ""),
        ))
    }

    fn address(&self, arg: &Arg, frame: &str) -> String {
        replace(frame, "topic", |_| Some(arg.wire.trim_matches('"').to_owned()))
    }

    fn maintenance(&self, _wall_ms: u64) -> String {
        // Nothing is announced in band on the public paths; a frame that says nothing stands for it.
        format!(r#"{{"success":true,"ret_msg":"maintenance","conn_id":"{CONNECTION}","op":"notice"}}"#)
    }
}
