//! Kraken's addresses and limits. It publishes no number of messages; Cloudflare bans an address for 150 connects in 10 minutes.

use crate::{
    book::Rate,
    model::{Exchange, Market},
    venue::{
        Backoff, Endpoint, Facts, Heartbeat, Limits,
        facts::{BACKOFF, all},
    },
};

/// Levels subscribed. The checksum covers ten a side whatever is subscribed: at depth 1000 a lost message stayed unseen for 1,367
/// frames, at depth 10 every level is checked.
pub(super) const DEPTH: usize = 10;

/// See the module.
pub static FACTS: Facts = Facts {
    exchange: Exchange::Kraken,
    endpoints: &[Endpoint {
        market: Market::Spot,
        serves: all,
        url: "wss://ws.kraken.com/v2",
        http: "https://api.kraken.com",
        instruments: "/0/public/AssetPairs",
    }],
    limits: Limits {
        connects: &[Rate { max: 120, per_ms: 600_000 }, Rate { max: 1, per_ms: 1_000 }],
        messages: Rate { max: 5, per_ms: 1_000 },
        topics_max: 200,
        topic_chars_max: None,
        topics_per_request: 50,
        request_bytes_max: 16 << 10,
        lifetime_ms: None,
        first_request_ms: None,
        frame_bytes_max: 4 << 20,
        // One every five seconds is what it bears in maintenance.
        resyncs: Rate { max: 12, per_ms: 60_000 },
        resyncs_together: false,
        http_weight: Rate { max: 1, per_ms: 1_000 },
    },
    backoff: Backoff { initial_ms: 1_000, limited_ms: 600_000, ..BACKOFF },
    // A heartbeat for every second of silence once anything is subscribed; before that, our ping is answered.
    heartbeat: Heartbeat {
        ping_every_ms: Some(20_000),
        ping_when_idle: true,
        expected_ms: 1_000,
        silence_min_ms: 5_000,
        silence_max_ms: 30_000,
    },
    built_candles: &[],
    numbered: false,
};
