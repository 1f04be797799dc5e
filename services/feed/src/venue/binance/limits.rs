//! Binance's addresses and limits (spot API documentation of 2026-07; USD-M futures hosts of 2026).

use crate::{
    book::Rate,
    model::{Channel, Exchange, Market},
    venue::{
        Backoff, Endpoint, Facts, Heartbeat, Limits,
        facts::{BACKOFF, all},
    },
};

/// What a snapshot asks for: 100 levels cover 16 dollars of BTCUSDT, and 17 % of ticks were wrong within 90 s of that.
pub(super) const SNAPSHOT_LEVELS: u32 = 1_000;
/// What a snapshot of that many levels costs of 6,000 a minute.
pub(super) const SNAPSHOT_WEIGHT: u32 = 50;

fn books(channel: Channel) -> bool {
    matches!(channel, Channel::Orderbook | Channel::Ticker)
}

/// See the module.
pub static FACTS: Facts = Facts {
    exchange: Exchange::Binance,
    endpoints: &[
        Endpoint {
            market: Market::Spot,
            serves: all,
            url: "wss://stream.binance.com:9443/stream",
            http: "https://api.binance.com",
            instruments: "/api/v3/exchangeInfo",
        },
        // Books and quotes on one path, the rest on the other.
        Endpoint {
            market: Market::Linear,
            serves: books,
            url: "wss://fstream.binance.com/public/stream",
            http: "https://fapi.binance.com",
            instruments: "/fapi/v1/exchangeInfo",
        },
        Endpoint {
            market: Market::Linear,
            serves: all,
            url: "wss://fstream.binance.com/market/stream",
            http: "https://fapi.binance.com",
            instruments: "/fapi/v1/exchangeInfo",
        },
    ],
    limits: Limits {
        connects: &[Rate { max: 300, per_ms: 300_000 }],
        messages: Rate { max: 5, per_ms: 1_000 },
        topics_max: 1_024,
        topic_chars_max: None,
        topics_per_request: 200,
        request_bytes_max: 4_096,
        lifetime_ms: Some(24 * 3_600_000),
        first_request_ms: None,
        frame_bytes_max: 4 << 20,
        resyncs: Rate { max: 20, per_ms: 60_000 },
        resyncs_together: false,
        http_weight: Rate { max: 6_000, per_ms: 60_000 },
    },
    backoff: Backoff { limited_ms: 120_000, ..BACKOFF },
    // The server pings: every 20 s on spot, every 3 min on futures. Data counts as life too.
    heartbeat: Heartbeat {
        ping_every_ms: None,
        ping_when_idle: false,
        expected_ms: 20_000,
        silence_min_ms: 45_000,
        silence_max_ms: 200_000,
    },
    built_candles: &[],
    numbered: true,
};
