//! What is sent to Binance.

use std::fmt::Write;

use crate::{
    model::{Channel, Exchange},
    venue::{binance::limits::FACTS, desk::Desk},
};

/// The streams of a topic. A book's quote comes with it: it audits the book.
fn streams(native: &str, channel: Channel, streams: &mut Vec<String>) {
    let symbol = native.to_lowercase();
    match channel {
        Channel::Orderbook => streams.push(format!("{symbol}@depth@100ms")),
        Channel::Trades => streams.push(format!("{symbol}@trade")),
        Channel::Ticker => streams.push(format!("{symbol}@ticker")),
        Channel::Candles(interval) => {
            if let Some(name) = interval.native(Exchange::Binance) {
                streams.push(format!("{symbol}@kline_{name}"));
            }
        }
    }
    if matches!(channel, Channel::Orderbook | Channel::Ticker) {
        streams.push(format!("{symbol}@bookTicker"));
    }
}

/// Sends `method` for topics, in pieces that the limits allow. `next_id` numbers the requests.
pub(super) fn send(
    method: &str,
    topics: &[(usize, Channel)],
    next_id: &mut u64,
    desk: &mut Desk,
) -> Vec<(u64, Vec<(usize, Channel)>)> {
    let mut sent = Vec::new();
    let mut piece: (Vec<String>, Vec<(usize, Channel)>) = Default::default();
    for &(id, channel) in topics {
        streams(&desk.entries[id].native, channel, &mut piece.0);
        piece.1.push((id, channel));
        let bytes: usize = piece.0.iter().map(|stream| stream.len() + 3).sum();
        if piece.0.len() + 2 > FACTS.limits.topics_per_request || bytes + 256 > FACTS.limits.request_bytes_max {
            sent.push(request(method, std::mem::take(&mut piece), next_id, desk));
        }
    }
    if !piece.0.is_empty() {
        sent.push(request(method, piece, next_id, desk));
    }
    sent
}

fn request(
    method: &str,
    mut piece: (Vec<String>, Vec<(usize, Channel)>),
    next_id: &mut u64,
    desk: &mut Desk,
) -> (u64, Vec<(usize, Channel)>) {
    *next_id += 1;
    piece.0.sort_unstable();
    piece.0.dedup();
    // Another topic of the symbol still wants the quote.
    if method == "UNSUBSCRIBE" {
        piece.0.retain(|stream| !(stream.ends_with("@bookTicker") && quoted(stream, desk)));
    }
    desk.send(serde_json::json!({"method": method, "params": piece.0, "id": *next_id}).to_string());
    (*next_id, piece.1)
}

fn quoted(stream: &str, desk: &Desk) -> bool {
    let symbol = stream.trim_end_matches("@bookTicker").to_uppercase();
    desk.known(&symbol).is_some_and(|id| {
        let wanted = &desk.entries[id].wanted;
        wanted.has(Channel::Orderbook) || wanted.has(Channel::Ticker)
    })
}

/// A symbol in a query: names may be non-ASCII.
pub(super) fn escape(native: &str) -> String {
    let mut escaped = String::with_capacity(native.len());
    for byte in native.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
