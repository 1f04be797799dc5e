//! OKX v5: one acknowledgement an argument, text pings, books chained by `seqId`.

use serde_json::Value;

use super::{Ack, Arg, BookFrame, Renewal, Request, TextBook, Wire, pairs, render_pairs};
use crate::simulate::text::{add, find, replace, shift};

#[derive(Debug)]
pub(super) struct Okx;

const CONNECTION: &str = "51a7ed00";

fn arg(value: &Value) -> Arg {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Arg { topic: format!("{}:{}", text("channel"), text("instId")), wire: value.to_string(), symbol: text("instId") }
}

impl Wire for Okx {
    fn topic(&self, frame: &str) -> Option<String> {
        if !frame.contains("\"data\":") {
            return None;
        }
        Some(format!("{}:{}", find(frame, "channel")?, find(frame, "instId")?))
    }

    fn book(&self, frame: &str) -> Option<BookFrame> {
        let value: Value = serde_json::from_str(frame).ok()?;
        let data = value.get("data")?.get(0)?;
        Some(BookFrame {
            is_snapshot: value.get("action")?.as_str()? == "snapshot",
            bids: pairs(data.get("bids")),
            asks: pairs(data.get("asks")),
            sequence: data.get("seqId").and_then(Value::as_u64),
        })
    }

    fn renew(&self, topic: &str, frame: &str, renewal: Renewal) -> String {
        let mut text = replace(frame, "ts", shift(renewal.shift_ms));
        if topic.starts_with("candle") {
            // `["1786538760000","64040.2",…]`: the open time stands first in each row.
            if let (Some(start), minute) = (text.find("[[\"").map(|at| at + 3), 60_000) {
                let end = text[start..].find('"').map_or(text.len(), |length| start + length);
                if let Ok(open) = text[start..end].parse::<u64>() {
                    let open = open.saturating_add_signed(renewal.shift_ms);
                    text.replace_range(start..end, &(open - open % minute).to_string());
                }
            }
        }
        if renewal.pass == 0 {
            return text;
        }
        for number in ["seqId", "prevSeqId", "tradeId"] {
            text = replace(&text, number, add(renewal.offset()));
        }
        text
    }

    fn request(&self, text: &str) -> Request {
        if text == "ping" {
            return Request::Ping("pong".to_owned());
        }
        let illegal = || {
            Request::Other(format!(
                r#"{{"event":"error","code":"60012","msg":"Illegal request: {{}}","connId":"{CONNECTION}"}}"#
            ))
        };
        let Ok(value) = serde_json::from_str::<Value>(text) else { return illegal() };
        let id = value.get("id").and_then(Value::as_str).map(str::to_owned);
        let list = value.get("args").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let args = list.iter().map(arg).collect();
        match value.get("op").and_then(Value::as_str) {
            Some("subscribe") => Request::Subscribe { id, args },
            Some("unsubscribe") => Request::Unsubscribe { id, args },
            _ => illegal(),
        }
    }

    fn acknowledge(&self, ack: &Ack<'_>) -> Vec<String> {
        let event = if ack.is_subscribe { "subscribe" } else { "unsubscribe" };
        let id = ack.id.map(|id| format!(r#""id":"{id}","#)).unwrap_or_default();
        let answer = |(arg, is_refused): &(Arg, bool)| {
            if *is_refused {
                let (channel, symbol) = arg.topic.split_once(':').unwrap_or_default();
                return format!(
                    r#"{{{id}"event":"error","code":"60018","msg":"Wrong URL or channel:{channel},instId:{symbol} doesn't exist. Please use the correct URL, channel and parameters referring to API document.","connId":"{CONNECTION}"}}"#
                );
            }
            format!(r#"{{{id}"event":"{event}","arg":{},"connId":"{CONNECTION}"}}"#, arg.wire)
        };
        ack.args.iter().map(answer).collect()
    }

    fn render(&self, arg: &Arg, book: &TextBook, frame: &BookFrame, at_us: u64) -> Option<String> {
        let wall_ms = at_us / 1_000;
        let action = if frame.is_snapshot { "snapshot" } else { "update" };
        let chain = match frame.sequence {
            // Only recordings from before the chain have a checksum.
            None => format!(r#""checksum":{}"#, book.okx_checksum()),
            Some(sequence) => {
                let previous = if frame.is_snapshot { "-1".to_owned() } else { book.sequence?.to_string() };
                format!(r#""checksum":0,"seqId":{sequence},"prevSeqId":{previous}"#)
            }
        };
        Some(format!(
            r#"{{"arg":{},"action":"{action}","data":[{{"asks":{},"bids":{},"ts":"{wall_ms}",{chain}}}]}}"#,
            arg.wire,
            render_pairs(&frame.asks, r#","0","1""#),
            render_pairs(&frame.bids, r#","0","1""#),
        ))
    }

    fn maintenance(&self, _wall_ms: u64) -> String {
        format!(
            r#"{{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"{CONNECTION}"}}"#
        )
    }
}
