//! Rates of subscriptions and of connections, and what slow readers of volatile channels are told.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    pressure::{large, slow_client},
    support::{Client, Node, token},
};

/// Reads values until each of `newest` (by key) is there; how many came, and that none was older than one before it.
async fn read_to_newest(client: &mut Client, newest: &HashMap<String, u64>) -> usize {
    let mut seen: HashMap<String, u64> = HashMap::new();
    let mut count = 0;
    while seen != *newest {
        let frame = client.next_of("message").await;
        let name = format!("{}/{}", frame["channel"].as_str().unwrap(), frame["key"].as_str().unwrap());
        let n = frame["data"]["n"].as_u64().unwrap();
        let older = seen.insert(name, n);
        assert!(older.is_none_or(|older| older < n), "{older:?} before {n}");
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_rate_the_newest_of_each_key_arrives_and_never_an_older_one_after_it() {
    let node = Node::start();
    let mut client = node.client("7").await;
    client.subscribe(json!({"channel": "prices:all", "maxRate": 20})).await;
    let mut newest = HashMap::new();
    for n in 0..600 {
        let key = format!("K{}", n % 5);
        node.publish_value("prices:all", &key, json!({ "n": n })).await;
        newest.insert(format!("prices:all/{key}"), n);
        if n % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let count = read_to_newest(&mut client, &newest).await;
    assert!(count < 300, "{count} of 600 came: nothing was held back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connections_rate_is_shared_by_its_latest_channels_and_each_gets_its_turn() {
    let node = Node::start();
    let mut client = Client::open(node.address, "/ws", Some("tickwire.v1.json"), None).await;
    let connected = client.ask(json!({"type": "connect", "token": token("7"), "maxRate": 20})).await;
    assert_eq!(connected["type"], "connected");
    let channels = ["prices:all", "prices:A", "prices:B"];
    for channel in channels {
        client.subscribe(json!(channel)).await;
    }
    client.subscribe(json!("system")).await;
    let begun = Instant::now();
    let mut newest = HashMap::new();
    for n in 0..400 {
        // The first is busy all the time.
        node.publish_value(channels[0], "K", json!({ "n": n })).await;
        newest.insert(format!("{}/K", channels[0]), n);
        if n % 100 == 7 {
            for channel in &channels[1..] {
                node.publish_value(channel, "K", json!({ "n": n })).await;
                newest.insert(format!("{channel}/K"), n);
            }
        }
        if n % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let count = read_to_newest(&mut client, &newest).await;
    let most = begun.elapsed().as_millis() / 50 + 2;
    assert!(count as u128 <= most, "{count} messages where {most} were due");
    // What must not be lost is not slowed down either.
    for n in 0..100 {
        node.publish("system", json!({ "n": n })).await;
    }
    let begun = Instant::now();
    for n in 0..100 {
        assert_eq!(client.next_of("message").await["data"]["n"], n);
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "a reliable channel was slowed down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_for_a_reliable_channel_is_refused() {
    let node = Node::start();
    let mut client = node.client("7").await;
    let refused = client.ask(json!({"type": "subscribe", "channels": [{"channel": "system", "maxRate": 1}]})).await;
    assert_eq!(refused["code"], "bad_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_volatile_channel_is_told_what_it_lost() {
    const SENT: u64 = 1_000;
    let node = Node::start_with(|config| config.limits.outbox_bytes = 100_000);
    let mut slow = slow_client(&node, "7").await;
    slow.subscribe(json!("public:x")).await;
    for n in 0..SENT {
        node.publish("public:x", large(n)).await;
    }
    let (mut came, mut dropped, mut frames) = (0, 0, 0);
    while came + dropped < SENT {
        let frame = slow.next().await;
        match frame["type"].as_str() {
            Some("message") => came += 1,
            Some("dropped") => {
                assert_eq!(frame["channel"], "public:x");
                dropped += frame["count"].as_u64().unwrap();
                frames += 1;
            }
            _ => {}
        }
    }
    assert_eq!(came + dropped, SENT, "every message came or was counted");
    assert!(dropped > 0 && frames < 30, "{dropped} dropped, told in {frames} frames");
}
