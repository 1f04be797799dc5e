//! Recordings with something wrong in them: the book turns suspect on the frame where its venue's rule first fails, and no level
//! of it is published as live until a new snapshot.

use tickwire_feed::{
    book::{Anomaly, BookState},
    model::{Body, Exchange, Market},
    recording::{Direction, Record, Recording},
    replay::{Origin, Replay},
    venue::Effect,
};

use crate::data;

/// The records of a test recording.
fn records(name: &str) -> Vec<Record<'static>> {
    let mut recording = Recording::open(&data(name)).expect("a test recording");
    let mut records = Vec::new();
    while let Some(record) = recording.next_record().expect("a test recording") {
        records.push(Record {
            t: record.t.into_owned().into(),
            dir: record.dir,
            conn: record.conn.into_owned().into(),
            url: record.url.map(|url| url.into_owned().into()),
            raw: record.raw.into_owned().into(),
        });
    }
    records
}

/// Replays; yields the anomalies with their frames, and checks that nothing is published of a book that is not live.
fn anomalies(exchange: Exchange, market: Market, records: &[Record<'_>]) -> Vec<(u64, Anomaly)> {
    let mut replay = Replay::new(Origin { exchange, market });
    let mut states = std::collections::HashMap::new();
    for record in records {
        replay
            .record(record, |effect| match effect {
                Effect::State { symbol, state, .. } => drop(states.insert(symbol.clone(), *state)),
                Effect::Event(event) if matches!(event.body, Body::Book(_)) => {
                    assert_eq!(states.get(&event.symbol), Some(&BookState::Live), "frame {}", event.frame);
                }
                _ => {}
            })
            .expect("a test recording");
    }
    replay.summary().anomalies().map(|(frame, _, kind)| (frame, kind)).collect()
}

/// The position of the nth incoming record that holds a text.
fn nth(records: &[Record<'_>], text: &str, nth: usize) -> usize {
    let mut positions = records
        .iter()
        .enumerate()
        .filter(|(_, record)| record.dir == Direction::In && record.raw.contains(text))
        .map(|(at, _)| at);
    positions.nth(nth).expect("a test recording")
}

/// The frame number of a position.
fn frame(records: &[Record<'_>], at: usize) -> u64 {
    records[..=at].iter().filter(|record| record.dir == Direction::In).count() as u64
}

/// A recording, its venue, and what marks a delta of one of its books.
const CASES: &[(&str, Exchange, Market, &str, Anomaly)] = &[
    ("binance-spot.jsonl.gz", Exchange::Binance, Market::Spot, "depthUpdate", Anomaly::Gap),
    ("binance-usdm.jsonl.gz", Exchange::Binance, Market::Linear, "depthUpdate", Anomaly::Gap),
    ("okx-seq-derived.jsonl.gz", Exchange::Okx, Market::Spot, "BTC-USDT\"},\"action\":\"update", Anomaly::Gap),
];

#[test]
fn a_lost_delta_is_a_gap_at_the_next_one() {
    for (name, exchange, market, delta, kind) in CASES {
        let mut records = records(name);
        let (lost, next) = (nth(&records, delta, 12), nth(&records, delta, 13));
        let at = frame(&records, next) - 1;
        records.remove(lost);
        assert_eq!(anomalies(*exchange, *market, &records).first(), Some(&(at, *kind)), "{name}");
    }
}

#[test]
fn a_frame_that_cannot_be_read_makes_books_without_numbers_suspect() {
    let mut records = records("coinbase-exchange.jsonl.gz");
    let cut = nth(&records, "l2update", 12);
    let half = records[cut].raw[..40].to_owned();
    records[cut].raw = half.into();
    let found = anomalies(Exchange::Coinbase, Market::Spot, &records);
    assert_eq!(found.first(), Some(&(frame(&records, cut), Anomaly::Gap)), "what was lost shows itself nowhere else");
}

#[test]
fn a_duplicate_is_noted_and_ignored() {
    for (name, exchange, market, delta, _) in CASES {
        let mut records = records(name);
        let at = nth(&records, delta, 12);
        records.insert(at, records[at].clone());
        let expected = [(frame(&records, at + 1), Anomaly::Duplicate)];
        assert_eq!(anomalies(*exchange, *market, &records), expected, "{name}");
    }
}

#[test]
fn a_changed_level_fails_krakens_checksum_on_its_frame() {
    let mut records = records("kraken-v2-derived.jsonl.gz");
    let at = nth(&records, "\"type\":\"update\",\"data\":[{\"symbol\":\"XMR/USD\",\"bids\":[{\"price\":35", 3);
    let raw = records[at].raw.replacen("\"qty\":", "\"qty\":9", 1);
    records[at].raw = raw.into();
    let expected = (frame(&records, at), Anomaly::Checksum);
    assert_eq!(anomalies(Exchange::Kraken, Market::Spot, &records).first(), Some(&expected));
}

/// After a resync the frame that was overtaken may still come, and undo what the new snapshot has; its checksum fits.
#[test]
fn a_change_that_is_older_than_krakens_snapshot_is_out_of_order() {
    let mut records = records("kraken-v2-derived.jsonl.gz");
    let late = nth(&records, "\"channel\":\"book\",\"type\":\"update\"", 0);
    records[late].raw = records[late].raw.replace("\"timestamp\":\"2021", "\"timestamp\":\"2020").into();
    let expected = (frame(&records, late), Anomaly::OutOfOrder);
    assert_eq!(anomalies(Exchange::Kraken, Market::Spot, &records).first(), Some(&expected));
}

/// Its checksum fits after each of the two: the book would be what it was before the newer one.
#[test]
fn of_two_changes_of_one_level_that_changed_places_kraken_s_older_one_is_out_of_order() {
    let mut records = records("kraken-v2-derived.jsonl.gz");
    let level = "\"type\":\"update\",\"data\":[{\"symbol\":\"XMR/USD\",\"bids\":[{\"price\":354.19000000,\"qty\":";
    let (older, newer) = (nth(&records, &format!("{level}22.7"), 0), nth(&records, &format!("{level}30.3"), 0));
    records.swap(older, newer);
    let expected = (frame(&records, newer), Anomaly::OutOfOrder);
    assert_eq!(anomalies(Exchange::Kraken, Market::Spot, &records).first(), Some(&expected));
}

#[test]
fn a_changed_level_fails_binances_quote_at_the_same_update_id() {
    let mut records = records("binance-spot.jsonl.gz");
    // Every best bid's quantity in deltas grows by a digit from here on: a quote of the same id must contradict it.
    let from = nth(&records, "depthUpdate", 20);
    for record in &mut records[from..] {
        if record.raw.contains("depthUpdate") {
            record.raw = record.raw.replace("\",\"0.0", "\",\"1.0").into();
        }
    }
    let found = anomalies(Exchange::Binance, Market::Spot, &records);
    assert!(found.first().is_some_and(|(_, kind)| matches!(kind, Anomaly::Audit | Anomaly::Crossed)), "{found:?}");
}

#[test]
fn a_cut_frame_is_counted_and_its_gap_found() {
    let mut records = records("binance-spot.jsonl.gz");
    let (cut, next) = (nth(&records, "depthUpdate", 12), nth(&records, "depthUpdate", 13));
    let half = records[cut].raw.len() / 2;
    records[cut].raw = records[cut].raw[..half].to_owned().into();
    let found = anomalies(Exchange::Binance, Market::Spot, &records);
    assert_eq!(found.first(), Some(&(frame(&records, next), Anomaly::Gap)));
}
