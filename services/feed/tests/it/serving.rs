//! What subscribers and operators see of a feed that works.

use std::{collections::BTreeMap, sync::Arc};

use rust_decimal::Decimal;
use serde_json::Value;
use tickwire_backplane::{Backplane, memory::MemoryBackplane};
use tickwire_feed::model::Exchange;

use crate::rig::{Exchanges, Feed, Listener, book, is_live, symbol};

fn levels(data: &Value, side: &str) -> Vec<(Decimal, Decimal)> {
    let number = |value: &Value| value.as_str().unwrap().parse().unwrap();
    data[side].as_array().unwrap().iter().map(|level| (number(&level[0]), number(&level[1]))).collect()
}

/// The book that a subscriber keeps by the messages alone.
#[derive(Default)]
struct Kept {
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
    is_live: bool,
}

impl Kept {
    fn take(&mut self, data: &Value) {
        self.is_live = data["state"] == "live";
        match data["kind"].as_str().unwrap() {
            "snapshot" => {
                self.bids = levels(data, "bids").into_iter().collect();
                self.asks = levels(data, "asks").into_iter().collect();
            }
            "delta" => {
                for (side, name) in [(&mut self.bids, "bids"), (&mut self.asks, "asks")] {
                    for (price, quantity) in levels(data, name) {
                        if quantity.is_zero() {
                            side.remove(&price);
                        } else {
                            side.insert(price, quantity);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn every_exchange_reaches_its_subscribers() {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let mut venues = Vec::new();
    for exchange in Exchange::ALL {
        venues.push(Exchanges::start(exchange, &[]).await);
    }
    let feed = Feed::start(&venues.iter().collect::<Vec<_>>(), Arc::clone(&backplane), "a").await;
    for exchange in Exchange::ALL {
        let mut listener = Listener::to(&*backplane, &[book(exchange)]).await;
        let mut kept = Kept::default();
        let mut live = 0;
        while live < 10 {
            let (_, data) = listener.next().await;
            assert_eq!((&data["exchange"], &data["symbol"]), (&exchange.name().into(), &symbol(exchange).into()));
            kept.take(&data);
            if is_live(&data) {
                live += 1;
                assert_eq!(data["replayed"], true, "a replay is marked: {data}");
                assert!(data["receivedAt"].as_u64() <= data["publishedAt"].as_u64(), "{data}");
                assert!(kept.bids.len() <= 10 && kept.asks.len() <= 10, "not deeper than configured");
                let (bid, ask) = (kept.bids.last_key_value(), kept.asks.first_key_value());
                assert!(bid.unwrap().0 < ask.unwrap().0, "{exchange}: crossed: {data}");
            }
        }
    }
    feed.stop().await;
}

#[tokio::test]
async fn tickers_prices_and_trades_flow_and_the_service_tells_how_it_stands() {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let binance = Exchanges::start(Exchange::Binance, &[]).await;
    let feed = Feed::start(&[&binance], Arc::clone(&backplane), "a").await;
    for (channel, kind) in [
        ("ticker:binance:BTC/USDT", "ticker"),
        ("prices:BTC/USDT", "market_data"),
        ("trades:binance:BTC/USDT", "trade"),
        ("book:binance:BTC/USDT", "book"),
    ] {
        let mut listener = Listener::to(&*backplane, &[channel.to_owned()]).await;
        let (publication, data) = listener.next().await;
        assert_eq!((publication.channel.as_str(), &data["type"]), (channel, &kind.into()), "{data}");
    }
    assert_eq!(feed.get("/healthz").await.0, 200);
    assert_eq!(feed.get("/readyz").await.0, 200);
    let until = tokio::time::Instant::now() + crate::rig::PATIENCE;
    loop {
        let feeds: Value = serde_json::from_str(&feed.get("/v1/feeds").await.1).unwrap();
        let venue = &feeds["venues"]["binance"];
        let connection =
            venue["connections"].as_object().and_then(|all| all.values().next().cloned()).unwrap_or_default();
        if connection["state"] == "CONNECTED" && venue["symbols"]["BTC/USDT"]["book"] == "live" {
            assert_eq!(connection["replayed"], true);
            break;
        }
        assert!(tokio::time::Instant::now() < until, "{feeds}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let metrics = feed.get("/metrics").await.1;
    for name in [
        r#"tickwire_feed_book_state{exchange="binance",symbol="BTC/USDT"} 4"#,
        r#"tickwire_feed_connections{exchange="binance"} 1"#,
        "tickwire_feed_receive_to_publish_seconds_bucket",
        "tickwire_feed_venue_to_receive_seconds_bucket",
    ] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    feed.stop().await;
}

#[tokio::test]
async fn a_stopped_feed_leaves_no_book_that_looks_live() {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let binance = Exchanges::start(Exchange::Binance, &[]).await;
    let feed = Feed::start(&[&binance], Arc::clone(&backplane), "a").await;
    let mut listener = Listener::to(&*backplane, &[book(Exchange::Binance)]).await;
    listener.until(is_live).await;
    feed.stop().await;
    let rest = listener.until(|data| data["kind"] == "state" && data["state"] != "live").await;
    assert_eq!(rest.last().unwrap()["reason"], "stopped");
}
