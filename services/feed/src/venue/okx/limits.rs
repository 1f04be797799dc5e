//! OKX's addresses and limits. Regional hosts (`wsus.okx.com`, `wseea.okx.com`) speak the same.

use crate::{
    book::Rate,
    model::{Channel, Exchange, Market},
    venue::{Backoff, Endpoint, Facts, Heartbeat, Limits, facts::BACKOFF},
};

fn public(channel: Channel) -> bool {
    !business(channel)
}

fn business(channel: Channel) -> bool {
    matches!(channel, Channel::Candles(_))
}

const fn endpoint(market: Market, candles: bool) -> Endpoint {
    Endpoint {
        market,
        serves: if candles { business } else { public },
        url: if candles { "wss://ws.okx.com:8443/ws/v5/business" } else { "wss://ws.okx.com:8443/ws/v5/public" },
        http: "https://www.okx.com",
        instruments: match market {
            Market::Spot => "/api/v5/public/instruments?instType=SPOT",
            Market::Linear => "/api/v5/public/instruments?instType=SWAP",
        },
    }
}

/// See the module.
pub static FACTS: Facts = Facts {
    exchange: Exchange::Okx,
    endpoints: &[
        endpoint(Market::Spot, false),
        endpoint(Market::Spot, true),
        endpoint(Market::Linear, false),
        endpoint(Market::Linear, true),
    ],
    limits: Limits {
        connects: &[Rate { max: 3, per_ms: 1_000 }],
        messages: Rate { max: 3, per_ms: 1_000 },
        // Fewer than thirty depth channels are recommended; with trades and tickers of the same symbols.
        topics_max: 90,
        topic_chars_max: None,
        topics_per_request: 30,
        request_bytes_max: 32 << 10,
        lifetime_ms: None,
        first_request_ms: Some(20_000),
        frame_bytes_max: 4 << 20,
        // 480 operations an hour, two for each resync, and some left for subscriptions.
        resyncs: Rate { max: 200, per_ms: 3_600_000 },
        resyncs_together: false,
        http_weight: Rate { max: 10, per_ms: 1_000 },
    },
    backoff: Backoff { initial_ms: 500, ..BACKOFF },
    // It closes (4004) after 30 s without anything from us or for us.
    heartbeat: Heartbeat {
        ping_every_ms: Some(15_000),
        ping_when_idle: true,
        expected_ms: 15_000,
        silence_min_ms: 28_000,
        silence_max_ms: 45_000,
    },
    built_candles: &[],
    numbered: true,
};
