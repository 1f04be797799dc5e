//! Bybit's addresses and limits (v5 documentation of 2026-07).

use crate::{
    book::Rate,
    model::{Exchange, Market},
    venue::{
        Backoff, Endpoint, Facts, Heartbeat, Limits,
        facts::{BACKOFF, all},
    },
};

/// Levels subscribed.
pub(super) const DEPTH: u32 = 200;

/// Whether a jump of `u` is a gap. It was +1 in every recording, but no document promises it.
pub(super) const U_IS_CONSECUTIVE: bool = true;

/// See the module.
pub static FACTS: Facts = Facts {
    exchange: Exchange::Bybit,
    endpoints: &[
        Endpoint {
            market: Market::Spot,
            serves: all,
            url: "wss://stream.bybit.com/v5/public/spot",
            http: "https://api.bybit.com",
            instruments: "/v5/market/instruments-info?category=spot&limit=1000",
        },
        Endpoint {
            market: Market::Linear,
            serves: all,
            url: "wss://stream.bybit.com/v5/public/linear",
            http: "https://api.bybit.com",
            instruments: "/v5/market/instruments-info?category=linear&limit=1000",
        },
    ],
    limits: Limits {
        connects: &[Rate { max: 500, per_ms: 300_000 }],
        messages: Rate { max: 10, per_ms: 1_000 },
        topics_max: 500,
        topic_chars_max: Some(21_000),
        topics_per_request: 10,
        request_bytes_max: 2_000,
        lifetime_ms: None,
        first_request_ms: None,
        frame_bytes_max: 4 << 20,
        resyncs: Rate { max: 20, per_ms: 60_000 },
        resyncs_together: false,
        http_weight: Rate { max: 600, per_ms: 5_000 },
    },
    backoff: Backoff { limited_ms: 600_000, ..BACKOFF },
    heartbeat: Heartbeat {
        ping_every_ms: Some(20_000),
        ping_when_idle: false,
        expected_ms: 20_000,
        silence_min_ms: 45_000,
        silence_max_ms: 90_000,
    },
    built_candles: &[],
    numbered: true,
};
