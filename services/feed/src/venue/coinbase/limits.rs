//! Coinbase's addresses and limits. One page says 750 connections a second, the others 8: 8 it is.

use crate::{
    book::Rate,
    model::{Exchange, Interval, Market},
    venue::{
        Endpoint, Facts, Heartbeat, Limits,
        facts::{BACKOFF, all},
    },
};

/// See the module.
pub static FACTS: Facts = Facts {
    exchange: Exchange::Coinbase,
    endpoints: &[Endpoint {
        market: Market::Spot,
        serves: all,
        url: "wss://advanced-trade-ws.coinbase.com",
        http: "https://api.coinbase.com",
        instruments: "/api/v3/brokerage/market/products",
    }],
    limits: Limits {
        connects: &[Rate { max: 8, per_ms: 1_000 }],
        messages: Rate { max: 8, per_ms: 1_000 },
        topics_max: 100,
        topic_chars_max: None,
        topics_per_request: 50,
        request_bytes_max: 16 << 10,
        lifetime_ms: None,
        first_request_ms: Some(5_000),
        // The whole book of BTC-USD is one frame of 5.1 MB.
        frame_bytes_max: 32 << 20,
        resyncs: Rate { max: 10, per_ms: 60_000 },
        resyncs_together: true,
        http_weight: Rate { max: 10, per_ms: 1_000 },
    },
    backoff: BACKOFF,
    // `heartbeats` comes every second; most channels close after 60 to 90 s without data.
    heartbeat: Heartbeat {
        ping_every_ms: None,
        ping_when_idle: false,
        expected_ms: 1_000,
        silence_min_ms: 5_000,
        silence_max_ms: 15_000,
    },
    built_candles: &[Interval::M1],
    numbered: true,
};
