//! What exchanges refuse: connections, requests, single subscriptions; and snapshots that do not come.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tickwire_backplane::{Backplane, memory::MemoryBackplane};
use tickwire_feed::{
    model::{Channel, Exchange, Interval, Market, Symbol, Topic},
    venue::{Adapter, Effect, FaultClass, Frame, Instruments, Moment, Setup},
};
use tokio::time::Instant;

use crate::rig::{BAN_MS, Exchanges, Feed, Listener, book, is_live, symbol};

#[tokio::test]
async fn an_upgrade_refused_for_rate_closes_the_venue_for_a_while() {
    for status in ["429", "403"] {
        let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
        let refusing = Exchanges::start(Exchange::Binance, &[&format!("refuse:{status}")]).await;
        let other = Exchanges::start(Exchange::Okx, &[]).await;
        let began = Instant::now();
        let feed = Feed::start(&[&refusing, &other], Arc::clone(&backplane), "a").await;
        let channels = [book(Exchange::Binance), book(Exchange::Okx)];
        let mut listener = Listener::to(&*backplane, &channels).await;
        listener.until(|data| is_live(data) && data["exchange"] == "binance").await;
        assert!(began.elapsed() >= Duration::from_millis(BAN_MS), "asked again after {:?}", began.elapsed());
        feed.reaches("tickwire_feed_faults_total", &["binance", "rate_limit"], 1.0).await;
        assert_eq!(feed.metric("tickwire_feed_faults_total", &["okx", "rate_limit"]).await.to_string(), "0");
        feed.stop().await;
    }
}

#[tokio::test]
async fn a_refused_request_for_a_snapshot_is_made_again_later_on_the_same_connection() {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let venue = Exchanges::start(Exchange::Binance, &["http:429@1"]).await;
    let began = Instant::now();
    let feed = Feed::start(&[&venue], Arc::clone(&backplane), "a").await;
    let mut listener = Listener::to(&*backplane, &[book(Exchange::Binance)]).await;
    listener.until(is_live).await;
    assert!(began.elapsed() >= Duration::from_millis(BAN_MS), "asked again after {:?}", began.elapsed());
    feed.reaches("tickwire_feed_faults_total", &["binance", "rate_limit"], 1.0).await;
    assert_eq!(feed.metric("tickwire_feed_reconnects_total", &["binance"]).await.to_string(), "0");
}

#[tokio::test]
async fn a_snapshot_that_never_comes_is_asked_for_again() {
    join_all([Exchange::Binance, Exchange::Coinbase, Exchange::Kraken, Exchange::Okx].map(|exchange| async move {
        let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
        let venue = Exchanges::start(exchange, &["no-snapshot@1"]).await;
        let _feed = Feed::start(&[&venue], Arc::clone(&backplane), "a").await;
        let mut listener = Listener::to(&*backplane, &[book(exchange)]).await;
        let seen = listener.until(is_live).await;
        let (live, before) = seen.split_last().unwrap();
        assert_eq!(live["kind"], "snapshot", "{exchange}");
        assert!(before.iter().all(|data| data["kind"] == "state"), "{exchange}: levels without a snapshot");
    }))
    .await;
}

#[tokio::test]
async fn one_refused_symbol_leaves_the_others_of_its_request_alone() {
    // The first of a request is refused: symbols are asked for in their order.
    let cases = [
        (Exchange::Kraken, "SC/EUR", symbol(Exchange::Kraken)),
        (Exchange::Okx, "BTC/USDT", "ETH/USDT"),
        (Exchange::Coinbase, "CRV/EUR", symbol(Exchange::Coinbase)),
    ];
    join_all(cases.map(|(exchange, first, second)| async move {
        let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
        // Coinbase's heartbeats are a request of their own, before.
        let fault = if exchange == Exchange::Coinbase { "partial-ack@2" } else { "partial-ack@1" };
        let venue = Exchanges::start(exchange, &[fault]).await;
        let channels = [first, second].map(|symbol| format!("book:{exchange}:{symbol}"));
        let mut listener = Listener::to(&*backplane, &channels).await;
        let feed = Feed::start(&[&venue], Arc::clone(&backplane), "a").await;
        feed.reaches("tickwire_feed_faults_total", &[exchange.name(), "rejected"], 1.0).await;
        // OKX' recording has one book: there the refusal must not take the connection with it.
        if exchange != Exchange::Okx {
            let seen = listener.until(|data| is_live(data) && data["symbol"] == second).await;
            assert!(!seen.iter().any(|data| is_live(data) && data["symbol"] == first), "{exchange}");
        }
        assert_eq!(feed.metric("tickwire_feed_reconnects_total", &[exchange.name()]).await.to_string(), "0");
    }))
    .await;
}

#[test]
fn a_refused_book_does_not_spend_the_budget_of_the_others() {
    let instruments = Instruments::derived(Exchange::Kraken, Market::Spot);
    let mut adapter = Adapter::new(Setup {
        exchange: Exchange::Kraken,
        market: Market::Spot,
        conn: Arc::from("test"),
        instruments,
        http: None,
        accept_all: false,
    });
    let at = |mono_ms: u64| Moment { mono_ms, wall_ns: 0 };
    adapter.connected(at(0));
    adapter.want(&[Topic { symbol: Symbol::new("NO/SUCH"), channel: Channel::Orderbook }], at(0));
    adapter.effects().for_each(drop);
    let refusal =
        r#"{"error":"Currency pair not supported NO/SUCH","method":"subscribe","success":false,"symbol":"NO/SUCH"}"#;
    adapter.frame(Frame::Text(refusal), at(10));
    let mut asked = 0;
    for now_ms in (1_000..1_800_000).step_by(1_000) {
        adapter.frame(Frame::Text(r#"{"channel":"heartbeat"}"#), at(now_ms));
        adapter.poll(at(now_ms));
        for effect in adapter.effects() {
            match effect {
                Effect::Send(text) if text.contains("NO/SUCH") => asked += 1,
                Effect::Recycle(fault) => panic!("{fault:?}"),
                Effect::Fault(fault) => assert_eq!(fault.class, FaultClass::Rejected),
                _ => {}
            }
        }
    }
    assert!((1..=4).contains(&asked), "in half an hour {asked} times");
}

#[tokio::test]
async fn a_venue_that_flaps_disturbs_no_other() {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    // Each connection ends at its first change.
    let flapping = Exchanges::start(Exchange::Binance, &["close:1006@1x1000000"]).await;
    let steady = Exchanges::start(Exchange::Kraken, &[]).await;
    let feed = Feed::start(&[&flapping, &steady], Arc::clone(&backplane), "a").await;
    let mut listener = Listener::to(&*backplane, &[book(Exchange::Kraken), book(Exchange::Binance)]).await;
    listener.until(|data| is_live(data) && data["exchange"] == "kraken").await;
    let mut live = 0;
    while feed.metric("tickwire_feed_reconnects_total", &["binance"]).await < 3.0 || live < 50 {
        let (_, data) = listener.next().await;
        if data["exchange"] == "kraken" {
            assert!(is_live(&data), "{data}");
            live += 1;
        }
    }
    assert_eq!(feed.metric("tickwire_feed_reconnects_total", &["kraken"]).await.to_string(), "0");
    assert_eq!(feed.metric("tickwire_feed_dropped_total", &["kraken"]).await.to_string(), "0");
}

#[tokio::test]
async fn both_dollars_of_coinbase_have_the_book_that_they_share() {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let venue = Exchanges::start(Exchange::Coinbase, &[]).await;
    let _feed = Feed::start(&[&venue], Arc::clone(&backplane), "a").await;
    let channels = ["book:coinbase:SKL/USD", "book:coinbase:SKL/USDC", "trades:coinbase:SKL/USDC"].map(str::to_owned);
    let mut listener = Listener::to(&*backplane, &channels).await;
    let mut missing: Vec<(&str, &str)> = vec![("book", "SKL/USD"), ("book", "SKL/USDC"), ("trade", "SKL/USDC")];
    while !missing.is_empty() {
        let (_, data) = listener.next().await;
        if data["type"] == "trade" || is_live(&data) {
            missing.retain(|(kind, symbol)| data["type"] != *kind || data["symbol"] != *symbol);
        }
    }
}

#[test]
fn what_two_products_share_is_asked_for_once_and_given_up_with_the_last() {
    let mut adapter = Adapter::new(Setup {
        exchange: Exchange::Coinbase,
        market: Market::Spot,
        conn: Arc::from("test"),
        instruments: Instruments::derived(Exchange::Coinbase, Market::Spot),
        http: None,
        accept_all: false,
    });
    let now = Moment::default();
    adapter.connected(now);
    let topic = |symbol: &str, channel| Topic { symbol: Symbol::new(symbol), channel };
    let (usd, usdc) = (topic("A/USD", Channel::Trades), topic("A/USDC", Channel::Trades));
    let minute = topic("A/USD", Channel::Candles(Interval::M1));
    let mut sent = |topics: &[Topic]| -> Vec<String> {
        adapter.want(topics, now);
        let sends = adapter.effects().filter_map(|effect| match effect {
            Effect::Send(text) if !text.contains("heartbeats") => Some(text),
            _ => None,
        });
        sends.collect()
    };
    let first = sent(std::slice::from_ref(&usdc));
    assert!(first.len() == 1 && first[0].contains(r#""A-USD""#) && first[0].contains("market_trades"), "{first:?}");
    assert_eq!(sent(&[usdc, usd.clone(), minute.clone()]), [""; 0]);
    assert_eq!(sent(&[minute]), [""; 0], "candles of a minute are made from the same prints");
    let last = sent(&[]);
    assert!(last.len() == 1 && last[0].contains("unsubscribe"), "{last:?}");
}
