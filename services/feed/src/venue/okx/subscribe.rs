//! What is sent to OKX.

use serde_json::{Value, json};

use crate::{
    model::{Channel, Exchange},
    venue::{desk::Desk, okx::limits::FACTS},
};

fn argument(native: &str, channel: Channel) -> Value {
    let name = match channel {
        Channel::Orderbook => "books",
        Channel::Trades => "trades",
        Channel::Ticker => "tickers",
        Channel::Candles(interval) => interval.native(Exchange::Okx).unwrap_or_default(),
    };
    json!({"channel": name, "instId": native})
}

/// The channel of a name.
pub(super) fn channel(name: &str) -> Option<Channel> {
    match name {
        "books" => Some(Channel::Orderbook),
        "trades" => Some(Channel::Trades),
        "tickers" => Some(Channel::Ticker),
        name => crate::model::Interval::from_native(Exchange::Okx, name).map(Channel::Candles),
    }
}

/// Sends `op` for topics.
pub(super) fn send(op: &str, topics: &[(usize, Channel)], desk: &mut Desk) {
    for piece in topics.chunks(FACTS.limits.topics_per_request) {
        let args: Vec<_> = piece.iter().map(|(id, channel)| argument(&desk.entries[*id].native, *channel)).collect();
        desk.send(json!({"op": op, "args": args}).to_string());
    }
}
