//! Bytes on the wire for the same ticks, by what a client asks for.

use std::time::Duration;

use serde_json::{Value, json};
use tickwire_client::emitter::Outgoing;
use tickwire_protocol::{ChannelName, RawJson};

use super::{
    Bench,
    fanout::SETTLE,
    flock::{Flock, Gathering, PACKED},
    servers::Cluster,
    table::{Findings, Row, Unit},
};

const SYMBOLS: [&str; 5] = ["BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT", "ADA/USDT"];
/// Messages in one call, which then wait for a connection together: one of each symbol, so that none replaces another.
const BATCH: usize = SYMBOLS.len();
/// From one call to the next: for the same reason.
const PAUSE: Duration = Duration::from_millis(5);
/// Nothing comes for this long: all has come.
const SILENCE: Duration = Duration::from_millis(500);

/// A kind of client.
struct Variant {
    name: &'static str,
    headers: &'static str,
    delta: bool,
    is_msgpack: bool,
}

const DEFLATED: &str = "Sec-WebSocket-Protocol: tickwire.v1.json\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";
const MSGPACK: &str = "Sec-WebSocket-Protocol: tickwire.v1.msgpack\r\n";
const VARIANTS: &[Variant] = &[
    Variant { name: "JSON, a frame a message", headers: "", delta: false, is_msgpack: false },
    Variant { name: "JSON, packed", headers: PACKED, delta: false, is_msgpack: false },
    Variant { name: "MessagePack, packed", headers: MSGPACK, delta: false, is_msgpack: true },
    Variant { name: "JSON, packed, permessage-deflate", headers: DEFLATED, delta: false, is_msgpack: false },
    Variant { name: "JSON, packed, delta", headers: PACKED, delta: true, is_msgpack: false },
];

pub(super) fn bytes(bench: &Bench, findings: &mut Findings) -> anyhow::Result<()> {
    let cluster = Cluster::start(&bench.places, 1)?;
    let emitter = cluster.emitter_client()?;
    let ticks = bench.size(2_000, 400);
    let mut plain = None;
    for (variant, number) in VARIANTS.iter().zip(0_usize..) {
        let bytes = bench.runtime.block_on(async {
            let asked = |symbol: &&str| {
                let name = channel(number, symbol);
                if variant.delta { json!({"channel": name, "delta": true}) } else { Value::from(name) }
            };
            let channels = SYMBOLS.iter().map(asked).collect();
            let addresses = vec![cluster.edges[0].address];
            let gathering = Gathering {
                channels,
                headers: variant.headers,
                is_msgpack: variant.is_msgpack,
                ..Gathering::new(addresses, &[])?
            };
            let flock = Flock::gather(1, &gathering).await?;
            tokio::time::sleep(SETTLE).await;
            let before = flock.bytes();
            for first in (0..ticks).step_by(BATCH) {
                let batch = (first..ticks.min(first + BATCH))
                    .map(|index| tick(index, number))
                    .collect::<anyhow::Result<Vec<_>>>()?;
                for result in emitter.publish_batch(batch).await? {
                    result?;
                }
                tokio::time::sleep(PAUSE).await;
            }
            flock.await_silence(SILENCE).await;
            anyhow::Ok((flock.bytes() - before) as f64 / ticks as f64)
        })?;
        let row = Row::new(format!("bytes on the wire a tick: {}", variant.name), bytes, Unit::Bytes);
        findings.rows.push(match plain {
            None => {
                plain = Some(bytes);
                row.note("headers of frames included; ratios below are to this line")
            }
            Some(plain) => row.beside(plain),
        });
    }
    Ok(())
}

/// Each kind of client has channels of its own, empty ones: what it is told on subscribing is short.
fn channel(variant: usize, symbol: &str) -> String {
    format!("prices:{variant}-{symbol}")
}

/// A price that walks a little with each of its symbol's ticks; the same in every run.
fn tick(index: usize, variant: usize) -> anyhow::Result<Outgoing> {
    let symbol = SYMBOLS[index % SYMBOLS.len()];
    // A linear congruence: any walk will do.
    let step = index.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 40;
    let cents = 6_421_310 + index * 3 + step % 500;
    let price = |cents: usize| format!("{}.{:02}", cents / 100, cents % 100);
    let data = json!({
        "type": "market_data",
        "symbol": symbol,
        "price": price(cents),
        "bid": price(cents - 50),
        "ask": price(cents + 50),
        "volume": format!("{}.{:04}", 1_800 + index / 7, step % 10_000),
        "change": "1.27",
        "high": "65110.00",
        "low": "63020.50",
    });
    let mut message = Outgoing::new(ChannelName::new(&channel(variant, symbol))?, RawJson::of(&data)?);
    message.key = Some(symbol.to_owned());
    Ok(message)
}
