//! What is sent to Coinbase: one channel a message, many products.

use serde_json::json;

use crate::{
    model::{Channel, Interval},
    venue::{coinbase::limits::FACTS, desk::Desk},
};

fn name(channel: Channel) -> &'static str {
    match channel {
        Channel::Orderbook => "level2",
        Channel::Trades => "market_trades",
        Channel::Ticker => "ticker",
        Channel::Candles(_) => "candles",
    }
}

/// The channel of a name.
pub(super) fn channel(name: &str) -> Option<Channel> {
    match name {
        "level2" => Some(Channel::Orderbook),
        "market_trades" => Some(Channel::Trades),
        "ticker" => Some(Channel::Ticker),
        "candles" => Some(Channel::Candles(Interval::M5)),
        _ => None,
    }
}

/// Sends `kind` for topics.
pub(super) fn send(kind: &str, topics: &[(usize, Channel)], desk: &mut Desk) {
    let mut topics = topics.to_vec();
    topics.sort_by_key(|(_, channel)| *channel);
    for same in topics.chunk_by(|(_, a), (_, b)| a == b) {
        for piece in same.chunks(FACTS.limits.topics_per_request) {
            let products: Vec<_> = piece.iter().map(|(id, _)| &*desk.entries[*id].native).collect();
            let channel = name(piece[0].1);
            let request = json!({"type": kind, "product_ids": products, "channel": channel}).to_string();
            desk.send(request);
        }
    }
}
