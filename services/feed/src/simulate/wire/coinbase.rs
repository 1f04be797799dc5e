//! Coinbase Advanced Trade: one counter over all frames of a connection, heartbeats once a second.

use serde_json::Value;

use super::{Ack, Arg, BookFrame, Level, Renewal, Request, TextBook, Wire, string};
use crate::simulate::text::{add, find, replace, rfc3339, rfc3339_us, shift_rfc3339};

#[derive(Debug)]
pub(super) struct Coinbase;

/// The payload's name of a channel, where it is not the subscription's.
fn channel(payload: &str) -> &str {
    if payload == "l2_data" { "level2" } else { payload }
}

fn level(update: &Value) -> Level {
    let text = |key: &str| update.get(key).map(string).unwrap_or_default();
    (text("price_level"), text("new_quantity"))
}

fn updates(side: &str, levels: &[Level], time: &str) -> Vec<String> {
    let update = |(price, quantity): &Level| {
        format!(r#"{{"side":"{side}","event_time":"{time}","price_level":"{price}","new_quantity":"{quantity}"}}"#)
    };
    levels.iter().map(update).collect()
}

impl Wire for Coinbase {
    fn topic(&self, frame: &str) -> Option<String> {
        let name = channel(find(frame, "channel")?);
        Some(format!("{name}:{}", find(frame, "product_id")?))
    }

    fn book(&self, frame: &str) -> Option<BookFrame> {
        let value: Value = serde_json::from_str(frame).ok()?;
        let mut book = BookFrame::default();
        for event in value.get("events")?.as_array()? {
            book.is_snapshot |= event.get("type")?.as_str()? == "snapshot";
            for update in event.get("updates")?.as_array()? {
                let is_bid = update.get("side")?.as_str()? == "bid";
                if is_bid { &mut book.bids } else { &mut book.asks }.push(level(update));
            }
        }
        Some(book)
    }

    fn renew(&self, _topic: &str, frame: &str, renewal: Renewal) -> String {
        let mut text = frame.to_owned();
        for time in ["timestamp", "event_time", "time"] {
            text = replace(&text, time, shift_rfc3339(renewal.shift_ms));
        }
        text = replace(&text, "start", |start| {
            let start = start.parse::<u64>().ok()?.saturating_add_signed(renewal.shift_ms.div_euclid(1_000));
            Some((start - start % 300).to_string())
        });
        replace(&text, "trade_id", add(renewal.offset()))
    }

    fn request(&self, text: &str) -> Request {
        let error = |message: &str| Request::Other(format!(r#"{{"type":"error","message":"{message}"}}"#));
        let Ok(value) = serde_json::from_str::<Value>(text) else { return error("failure to parse message") };
        let Some(channel) = value.get("channel").and_then(Value::as_str) else { return error("no channel") };
        let products = value.get("product_ids").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut args: Vec<Arg> = products
            .iter()
            .map(string)
            .map(|symbol| Arg { topic: format!("{channel}:{symbol}"), wire: channel.to_owned(), symbol })
            .collect();
        if args.is_empty() {
            args.push(Arg { topic: format!("{channel}:"), wire: channel.to_owned(), symbol: String::new() });
        }
        match value.get("type").and_then(Value::as_str) {
            Some("subscribe") => Request::Subscribe { id: None, args },
            Some("unsubscribe") => Request::Unsubscribe { id: None, args },
            _ => error("unknown type"),
        }
    }

    /// The list of everything subscribed now; a refused one is an error besides.
    fn acknowledge(&self, ack: &Ack<'_>) -> Vec<String> {
        let mut answers = Vec::new();
        if ack.args.iter().any(|(_, is_refused)| *is_refused) {
            answers.push(r#"{"type":"error","message":"failure to subscribe"}"#.to_owned());
        }
        let mut channels = serde_json::Map::new();
        for arg in &ack.all {
            let products = channels.entry(arg.wire.clone()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(products) = products {
                let name = if arg.symbol.is_empty() { "heartbeats" } else { &arg.symbol };
                products.push(Value::from(name));
            }
        }
        answers.push(format!(
            r#"{{"channel":"subscriptions","timestamp":"{}","sequence_num":0,"events":[{{"subscriptions":{}}}]}}"#,
            rfc3339(ack.wall_ms),
            Value::Object(channels)
        ));
        answers
    }

    fn render(&self, arg: &Arg, _book: &TextBook, frame: &BookFrame, at_us: u64) -> Option<String> {
        let time = rfc3339_us(at_us);
        let kind = if frame.is_snapshot { "snapshot" } else { "update" };
        let mut all = updates("bid", &frame.bids, &time);
        all.extend(updates("offer", &frame.asks, &time));
        Some(format!(
            r#"{{"channel":"l2_data","timestamp":"{time}","sequence_num":0,"events":[{{"type":"{kind}","product_id":"{}","updates":[{}]}}]}}"#,
            arg.symbol,
            all.join(",")
        ))
    }

    fn stamp(&self, frame: String, count: u64) -> String {
        replace(&frame, "sequence_num", |_| Some(count.to_string()))
    }

    fn heartbeat(&self, wants: &[&Arg], count: u64, wall_ms: u64) -> Option<String> {
        if !wants.iter().any(|arg| arg.wire == "heartbeats") {
            return None;
        }
        let time = rfc3339(wall_ms);
        let go = time.replace('T', " ").replace('Z', "");
        Some(format!(
            r#"{{"channel":"heartbeats","timestamp":"{time}","sequence_num":0,"events":[{{"current_time":"{go} +0000 UTC m=+{count}.000000001","heartbeat_counter":{count}}}]}}"#
        ))
    }

    fn maintenance(&self, wall_ms: u64) -> String {
        format!(
            r#"{{"channel":"status","timestamp":"{}","sequence_num":0,"events":[{{"type":"snapshot","products":[]}}]}}"#,
            rfc3339(wall_ms)
        )
    }
}
