//! What is sent to Bybit.

use crate::{
    model::{Channel, Exchange},
    venue::{
        bybit::limits::{DEPTH, FACTS},
        desk::Desk,
    },
};

fn argument(native: &str, channel: Channel) -> String {
    match channel {
        Channel::Orderbook => format!("orderbook.{DEPTH}.{native}"),
        Channel::Trades => format!("publicTrade.{native}"),
        Channel::Ticker => format!("tickers.{native}"),
        Channel::Candles(interval) => {
            format!("kline.{}.{native}", interval.native(Exchange::Bybit).unwrap_or_default())
        }
    }
}

/// Sends `op` for topics, ten a request; yields what each request was for, as its answer names no topic.
pub(super) fn send(
    op: &str,
    topics: &[(usize, Channel)],
    next_id: &mut u64,
    desk: &mut Desk,
) -> Vec<(u64, Vec<(usize, Channel)>)> {
    let mut sent = Vec::new();
    for piece in topics.chunks(FACTS.limits.topics_per_request) {
        *next_id += 1;
        let args: Vec<_> = piece.iter().map(|(id, channel)| argument(&desk.entries[*id].native, *channel)).collect();
        desk.send(serde_json::json!({"req_id": next_id.to_string(), "op": op, "args": args}).to_string());
        sent.push((*next_id, piece.to_vec()));
    }
    sent
}
