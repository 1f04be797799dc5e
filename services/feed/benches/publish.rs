//! How long a frame takes from its reception to the backplane's answer, with five exchanges sending a thousand frames a second each.
//!
//! `cargo bench -p tickwire-feed --bench publish` starts the service on a backplane in memory, five simulated exchanges at the speed that makes a
//! thousand frames a second of each recording, and fifty subscriptions; sockets, parsers, books, queues and publishers are those that
//! run live. The service's own histogram is read, so quantiles are bounds: the true one is below.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tickwire_backplane::{Backplane, memory::MemoryBackplane};
use tickwire_feed::{
    Config, FeedConfig, VenueConfig,
    model::Exchange,
    simulate::{Simulator, SimulatorOptions, Speed, recording},
};
use tickwire_protocol::{ChannelName, namespace::Namespaces};
use tokio::{net::TcpListener, runtime, time::sleep};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many times as fast as it was recorded each recording comes to a thousand frames a second.
const SPEEDS: [(Exchange, u32); 5] = [
    (Exchange::Binance, 8),
    (Exchange::Coinbase, 7),
    (Exchange::Kraken, 15),
    (Exchange::Bybit, 205),
    (Exchange::Okx, 40),
];
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);
const HISTOGRAM: &str = "tickwire_feed_receive_to_publish_seconds";

/// Fifty channels that the recordings have something for.
fn channels() -> Vec<String> {
    let symbols: [(Exchange, &[&str]); 4] = [
        (Exchange::Binance, &["BTC/USDT"]),
        (Exchange::Coinbase, &["SKL/USD", "BAND/GBP", "YFI/BTC", "CRV/EUR"]),
        (Exchange::Kraken, &["XMR/USD", "SC/EUR", "BTC/CHF"]),
        (Exchange::Okx, &["BTC/USDT"]),
    ];
    let mut channels = vec!["candles:binance:BTC/USDT:1m".to_owned()];
    for (exchange, symbol) in symbols.iter().flat_map(|(exchange, all)| all.iter().map(move |one| (exchange, one))) {
        channels.extend(["book", "trades", "ticker"].map(|namespace| format!("{namespace}:{exchange}:{symbol}")));
        if *exchange == Exchange::Coinbase {
            channels.push(format!("candles:coinbase:{symbol}:1m"));
        }
        channels.push(format!("prices:{symbol}"));
    }
    for base in ["ARB/USDC", "OP/USDC", "TUSD/USDT", "KCS/USDT", "CPOOL/USDT", "MASA/USDT"] {
        channels.push(format!("book:bybit:{base}"));
    }
    channels.sort();
    channels.dedup();
    channels
}

/// On a thread of their own: they are not measured.
#[allow(clippy::unwrap_used, reason = "a bench that cannot begin ends")]
fn exchanges() -> BTreeMap<String, VenueConfig> {
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut venues = BTreeMap::new();
            let mut running = tokio::task::JoinSet::new();
            for (exchange, times) in SPEEDS {
                let speed = Speed::Times(times);
                let (name, faults) = ("bench".to_owned(), Vec::new());
                let options = SimulatorOptions { exchange, name, speed, is_looped: true, faults };
                let simulator = Simulator::new(options, recording(exchange)).unwrap();
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                let (origin, http) = (Some(format!("ws://{address}")), Some(format!("http://{address}")));
                venues.insert(exchange.to_string(), VenueConfig { origin, http, ..VenueConfig::default() });
                running.spawn(async move { simulator.serve(listener, CancellationToken::new()).await });
            }
            sender.send(venues).unwrap();
            while running.join_next().await.is_some() {}
        });
    });
    receiver.recv().unwrap()
}

/// Messages by the upper bound of their time, cumulated, and the frames of each venue.
struct Seen {
    buckets: Vec<(f64, f64)>,
    frames: BTreeMap<String, f64>,
}

#[allow(clippy::unwrap_used, reason = "a bench that cannot ask ends")]
async fn ask(url: &str) -> Seen {
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let mut seen = Seen { buckets: Vec::new(), frames: BTreeMap::new() };
    for line in text.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let value: f64 = value.parse().unwrap_or_default();
        if let Some(bound) = series.strip_prefix(HISTOGRAM).and_then(|rest| rest.strip_prefix("_bucket{le=\"")) {
            seen.buckets.push((bound.trim_end_matches("\"}").parse().unwrap_or(f64::INFINITY), value));
        } else if let Some(venue) = series.strip_prefix("tickwire_feed_frames_total{exchange=\"") {
            seen.frames.insert(venue.trim_end_matches("\"}").to_owned(), value);
        }
    }
    seen
}

#[allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and one that cannot begin ends")]
async fn measure() {
    let venues = exchanges();
    let feed = FeedConfig { exchanges: venues.keys().cloned().collect(), venues, ..FeedConfig::default() };
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let namespaces = Namespaces::default();
    let mut subscriber = backplane.subscriber(65_536);
    let names = channels();
    let wanted: Vec<_> = names
        .iter()
        .map(|name| {
            let channel = ChannelName::new(name).unwrap();
            let policy = namespaces.policy(&channel).unwrap().clone();
            (channel, policy)
        })
        .collect();
    backplane.subscribe(subscriber.id, &wanted).await.unwrap();
    tokio::spawn(async move { while subscriber.signals.recv().await.is_some() {} });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    let config = Config { feed, ..Config::default() };
    tokio::spawn(tickwire_feed::run(config, listener, backplane, CancellationToken::new()));
    sleep(WARM_UP).await;
    let before = ask(&url).await;
    sleep(MEASURED).await;
    let after = ask(&url).await;
    let counts: Vec<(f64, f64)> =
        after.buckets.iter().zip(&before.buckets).map(|((bound, now), (_, was))| (*bound, now - was)).collect();
    let all = counts.last().map_or(0.0, |(_, count)| *count);
    let below =
        |share: f64| counts.iter().find(|(_, count)| *count >= all * share).map_or(0.0, |(bound, _)| *bound * 1e6);
    println!("{} subscriptions, {:.0} messages a second", names.len(), all / MEASURED.as_secs_f64());
    for (venue, frames) in &after.frames {
        let rate = (frames - before.frames.get(venue).copied().unwrap_or_default()) / MEASURED.as_secs_f64();
        println!("{venue:>9} {rate:>6.0} frames/s");
    }
    println!(
        "reception to answer, at most: p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs",
        below(0.5),
        below(0.99),
        below(0.999)
    );
    let share = counts.iter().rfind(|(bound, _)| *bound <= 0.001).map_or(0.0, |(_, count)| count / all.max(1.0));
    println!("within 0.8 ms: {:.3} %", share * 100.0);
}

#[allow(clippy::unwrap_used, reason = "without a runtime there is nothing to measure")]
fn main() {
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(measure());
}
