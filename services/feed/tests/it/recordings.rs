//! What a recording comes to, field by field.

use serde_json::Value;
use tickwire_feed::{model::Exchange, replay::Replay};

use crate::data;

#[test]
fn every_recording_comes_to_its_expected_result() {
    let text = std::fs::read_to_string(data("expected.json")).unwrap();
    let expected: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    for (name, expected) in expected {
        let exchange: Exchange = name.split('-').next().unwrap().parse().unwrap();
        let summary = Replay::run(&data(&name), Some(exchange), None).unwrap();
        assert_eq!(summary.to_json(), expected, "{name}");
    }
}

#[test]
fn every_event_is_one_line_of_json() {
    for name in ["binance-usdm.jsonl.gz", "okx-candles.jsonl.gz", "coinbase-exchange.jsonl.gz"] {
        let exchange: Exchange = name.split('-').next().unwrap().parse().unwrap();
        let mut lines = Vec::new();
        Replay::run(&data(name), Some(exchange), Some(&mut lines)).unwrap();
        let text = String::from_utf8(lines).unwrap();
        assert!(text.lines().count() > 5, "{name}");
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            assert!(event["symbol"].is_string(), "{line}");
        }
    }
}

#[test]
fn every_message_is_one_of_a_channel_and_its_books_begin_with_a_snapshot() {
    let (mut lines, mut again) = (Vec::new(), Vec::new());
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/binance.jsonl.gz");
    for output in [&mut lines, &mut again] {
        output.clear();
        Replay::messages(&shipped, Some(Exchange::Binance), 20, output).unwrap();
    }
    assert_eq!(lines, again, "the same recording, the same messages");
    let mut books = std::collections::BTreeSet::new();
    for line in String::from_utf8(lines).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let channel = message["channel"].as_str().unwrap().to_owned();
        assert!(message["time"].is_u64() && channel.matches(':').count() >= 2, "{line}");
        if channel.starts_with("book:") && message["data"]["state"] == "live" && books.insert(channel) {
            assert_eq!(message["data"]["kind"], "snapshot", "{line}");
            assert!(message["data"]["bids"].as_array().unwrap().len() <= 20);
        }
    }
    assert!(!books.is_empty());
}
