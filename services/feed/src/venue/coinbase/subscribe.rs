//! What is sent to Coinbase: one channel a message, many products.
//!
//! Several topics may be one subscription there: `X-USDC` is served as `X-USD`, whose book it shares, and candles of a minute are made
//! from trades.

use serde_json::json;

use crate::{
    model::{Channel, Interval},
    venue::{coinbase::limits::FACTS, desk::Desk},
};

/// A subscription: the channel's name and the product's.
pub(super) type Wire = (&'static str, String);

fn name(channel: Channel) -> &'static str {
    match channel {
        Channel::Orderbook => "level2",
        Channel::Trades | Channel::Candles(Interval::M1) => "market_trades",
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

/// What a topic is subscribed as.
pub(super) fn wire(native: &str, channel: Channel) -> Wire {
    let product = match native.strip_suffix("-USDC") {
        Some(base) if has_shared_book(base) => format!("{base}-USD"),
        _ => native.to_owned(),
    };
    (name(channel), product)
}

/// The other product that a product's data is of, where there is one.
pub(super) fn shared(product: &str) -> Option<String> {
    product.strip_suffix("-USD").filter(|base| has_shared_book(base)).map(|base| format!("{base}-USDC"))
}

/// USDT and EURC have books against USDC of their own.
fn has_shared_book(base: &str) -> bool {
    !matches!(base, "USDT" | "EURC")
}

/// Whether any topic still wants a subscription.
pub(super) fn is_wanted(wire_of: &Wire, desk: &Desk) -> bool {
    let channels: &[Channel] = match wire_of.0 {
        "level2" => &[Channel::Orderbook],
        "market_trades" => &[Channel::Trades, Channel::Candles(Interval::M1)],
        "ticker" => &[Channel::Ticker],
        _ => &[Channel::Candles(Interval::M5)],
    };
    let wants = |channel: Channel| {
        let mut entries = desk.entries.iter().filter(|entry| entry.wanted.has(channel));
        entries.any(|entry| wire(&entry.native, channel) == *wire_of)
    };
    channels.iter().any(|channel| wants(*channel))
}

/// Sends `kind` for subscriptions.
pub(super) fn send(kind: &str, wires: &[Wire], desk: &mut Desk) {
    let mut wires: Vec<&Wire> = wires.iter().collect();
    wires.sort();
    wires.dedup();
    for same in wires.chunk_by(|a, b| a.0 == b.0) {
        for piece in same.chunks(FACTS.limits.topics_per_request) {
            let products: Vec<&str> = piece.iter().map(|(_, product)| product.as_str()).collect();
            desk.send(json!({"type": kind, "product_ids": products, "channel": piece[0].0}).to_string());
        }
    }
}
