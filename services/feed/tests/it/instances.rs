//! Two instances share the work: each message once, and one takes over from another.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tickwire_backplane::{
    Backplane,
    memory::MemoryBackplane,
    redis::{RedisBackplane, RedisConfig},
    testing::RedisServer,
};
use tickwire_feed::model::Exchange;
use tokio::time::Instant;

use crate::rig::{Exchanges, Feed, Listener, book, is_live};

/// A takeover within this; the promise is 3 s, the rest is a busy machine's.
const TAKEOVER: Duration = Duration::from_secs(10);

async fn the_leader_dies(a: Arc<dyn Backplane>, b: Arc<dyn Backplane>, watcher: Arc<dyn Backplane>) {
    let venue = Exchanges::start(Exchange::Binance, &[]).await;
    let trades = "trades:binance:BTC/USDT".to_owned();
    let mut listener = Listener::to(&*watcher, &[trades, book(Exchange::Binance)]).await;
    let leader = Feed::start(&[&venue], a, "a").await;
    listener.until(is_live).await;
    // The second finds the lease taken, and listens to the venue all the same.
    let _standby = Feed::start(&[&venue], b, "b").await;
    let until = Instant::now() + Duration::from_secs(4);
    let mut ids = HashSet::new();
    let mut note = |data: &serde_json::Value| {
        if data["type"] == "trade" {
            let id = data["id"].as_str().unwrap().to_owned();
            assert!(ids.insert(id), "published twice: {data}");
        }
    };
    while Instant::now() < until {
        note(&listener.next().await.1);
    }
    leader.kill();
    let killed = Instant::now();
    // What was under way when it died may still arrive; the successor begins its book with a snapshot.
    let mut taken_over = None;
    while killed.elapsed() < TAKEOVER + Duration::from_secs(3) {
        let (_, data) = listener.next().await;
        note(&data);
        if data["kind"] == "snapshot" && killed.elapsed() > Duration::from_millis(200) {
            taken_over.get_or_insert(killed.elapsed());
        }
    }
    let taken_over = taken_over.expect("the other instance publishes");
    assert!(taken_over < TAKEOVER, "{taken_over:?}");
    println!("taken over after {taken_over:?}");
}

#[tokio::test]
async fn another_instance_takes_over_and_no_trade_comes_twice() {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    the_leader_dies(Arc::clone(&backplane), Arc::clone(&backplane), backplane).await;
}

#[tokio::test]
async fn another_instance_takes_over_through_redis() {
    let redis = RedisServer::start();
    let connect = || async {
        let config = RedisConfig { url: redis.url(), ..RedisConfig::default() };
        RedisBackplane::connect(config).await.unwrap() as Arc<dyn Backplane>
    };
    the_leader_dies(connect().await, connect().await, connect().await).await;
}

#[tokio::test]
async fn an_instance_that_stops_hands_over_at_once() {
    let backplane: Arc<dyn Backplane> = MemoryBackplane::new();
    let venue = Exchanges::start(Exchange::Binance, &[]).await;
    let mut listener = Listener::to(&*backplane, &[book(Exchange::Binance)]).await;
    let leader = Feed::start(&[&venue], Arc::clone(&backplane), "a").await;
    listener.until(is_live).await;
    let _standby = Feed::start(&[&venue], Arc::clone(&backplane), "b").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    leader.stop().await;
    listener.until(|data| data["reason"] == "stopped").await;
    let after = listener.until(is_live).await;
    assert_eq!(after.last().unwrap()["kind"], "snapshot");
}
