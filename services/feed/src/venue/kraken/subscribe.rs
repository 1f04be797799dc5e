//! What is sent to Kraken: version 2.

use serde_json::json;

use crate::{
    model::{Channel, Exchange},
    venue::{
        desk::Desk,
        kraken::limits::{DEPTH, FACTS},
    },
};

/// The channel of a name.
pub(super) fn channel(name: &str, interval: Option<&str>) -> Option<Channel> {
    match name {
        "book" => Some(Channel::Orderbook),
        "trade" => Some(Channel::Trades),
        "ticker" => Some(Channel::Ticker),
        "ohlc" => {
            let interval = crate::model::Interval::from_native(Exchange::Kraken, interval?)?;
            Some(Channel::Candles(interval))
        }
        _ => None,
    }
}

/// Sends `method` for topics: one channel a request, many symbols.
pub(super) fn send(method: &str, topics: &[(usize, Channel)], desk: &mut Desk) {
    let mut topics = topics.to_vec();
    topics.sort_by_key(|(_, channel)| *channel);
    for same in topics.chunk_by(|(_, a), (_, b)| a == b) {
        for piece in same.chunks(FACTS.limits.topics_per_request) {
            let symbols: Vec<_> = piece.iter().map(|(id, _)| &*desk.entries[*id].native).collect();
            let mut params = match piece[0].1 {
                // The depth must be repeated to unsubscribe.
                Channel::Orderbook => json!({"channel": "book", "symbol": symbols, "depth": DEPTH}),
                Channel::Trades => json!({"channel": "trade", "symbol": symbols}),
                Channel::Ticker => json!({"channel": "ticker", "symbol": symbols, "event_trigger": "bbo"}),
                Channel::Candles(interval) => {
                    let minutes: u32 =
                        interval.native(Exchange::Kraken).and_then(|minutes| minutes.parse().ok()).unwrap_or_default();
                    json!({"channel": "ohlc", "symbol": symbols, "interval": minutes})
                }
            };
            if method == "subscribe" {
                params["snapshot"] = json!(true);
            }
            desk.send(json!({"method": method, "params": params}).to_string());
        }
    }
}
