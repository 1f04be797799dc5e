//! Views of books: what a client with a depth gets.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use tickwire_protocol::book::{Book, BookUpdate, Depth, Top};

use crate::{
    load::count,
    pressure::slow_client,
    support::{Client, Node, channel},
};

const CHANNEL: &str = "book:okx:BTC/USDT";

fn with_depth(depth: u16) -> Value {
    json!({"channel": CHANNEL, "params": {"depth": depth}})
}

fn side(levels: &[(u32, u32)]) -> Vec<[String; 2]> {
    levels.iter().map(|(price, qty)| [format!("{price}.10"), qty.to_string()]).collect()
}

fn data(kind: &str, bids: &[(u32, u32)], asks: &[(u32, u32)]) -> Value {
    json!({"type": "book", "kind": kind, "state": "live", "exchange": "okx", "symbol": "BTC/USDT",
        "bids": side(bids), "asks": side(asks), "receivedAt": 1, "publishedAt": 2, "replayed": true})
}

async fn publish(node: &Node, kind: &str, bids: &[(u32, u32)], asks: &[(u32, u32)]) {
    node.publish(CHANNEL, data(kind, bids, asks)).await;
}

/// A view as a client keeps it.
#[derive(Default)]
struct View {
    book: Book,
    kinds: HashMap<String, usize>,
}

impl View {
    async fn open(client: &mut Client, depth: u16) -> Self {
        let reply = client.subscribe(with_depth(depth)).await;
        assert_eq!((&reply["class"], &reply["recovered"]), (&json!("volatile"), &json!(false)), "{reply}");
        assert!(reply.get("position").is_none(), "{reply}");
        let messages = reply["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 1, "{reply}");
        let mut view = Self::default();
        view.take(&messages[0]);
        view
    }

    /// The message's data.
    fn take(&mut self, message: &Value) -> Value {
        let update: BookUpdate = serde_json::from_value(message["data"].clone()).unwrap();
        self.book.apply(&update).unwrap();
        *self.kinds.entry(message["data"]["kind"].as_str().unwrap().to_owned()).or_default() += 1;
        message["data"].clone()
    }

    async fn next(&mut self, client: &mut Client) -> Value {
        self.take(&client.next_of("message").await)
    }

    fn bids(&self) -> Vec<String> {
        self.book.bids().map(|level| format!("{}x{}", level.price, level.qty)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_begins_with_a_snapshot_and_follows_its_own_levels_alone() {
    let node = Node::start();
    publish(&node, "snapshot", &[(9, 1), (8, 1), (7, 1)], &[(10, 1)]).await;
    publish(&node, "delta", &[(8, 2)], &[]).await;
    let mut client = node.client("7").await;
    let mut view = View::open(&mut client, 1).await;
    assert_eq!(view.bids(), ["9.10x1"]);
    publish(&node, "delta", &[(7, 5)], &[]).await;
    publish(&node, "delta", &[(9, 0)], &[]).await;
    let data = view.next(&mut client).await;
    assert_eq!(data["bids"], json!([["9.10", "0"], ["8.10", "2"]]), "the delta behind it is of no level shown");
    assert_eq!((&data["depth"], &data["exchange"], &data["replayed"]), (&json!(1), &json!("okx"), &json!(true)));
    // A later subscriber with another depth, and one with none.
    let mut other = node.client("8").await;
    let deep = View::open(&mut other, 5).await;
    assert_eq!(deep.bids(), ["8.10x2", "7.10x5"]);
    let mut raw = node.client("9").await;
    assert_eq!(raw.subscribe(json!(CHANNEL)).await["class"], "reliable");
    publish(&node, "delta", &[(8, 0), (7, 0)], &[(11, 1)]).await;
    view.next(&mut client).await;
    assert!(view.bids().is_empty() && view.book.asks().count() == 1);
    assert_eq!(raw.next_of("message").await["data"]["asks"], json!([["11.10", "1"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_the_stream_makes_a_view_suspect_and_a_snapshot_follows() {
    let node = Node::start();
    publish(&node, "snapshot", &[(9, 1)], &[]).await;
    let mut client = node.client("7").await;
    let mut view = View::open(&mut client, 10).await;
    node.backplane.faults().drop_publications(&channel(CHANNEL), 1);
    publish(&node, "delta", &[(8, 1)], &[]).await;
    publish(&node, "delta", &[(7, 1)], &[]).await;
    let suspect = view.next(&mut client).await;
    assert_eq!((&suspect["state"], &suspect["reason"]), (&json!("suspect"), &json!("gap")));
    assert_eq!(view.next(&mut client).await["kind"], "snapshot");
    assert_eq!(view.bids(), ["9.10x1", "8.10x1", "7.10x1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_history_leaves_a_view_suspect_until_the_next_snapshot() {
    let node = Node::start();
    publish(&node, "snapshot", &[(9, 1)], &[]).await;
    let mut client = node.client("7").await;
    let mut view = View::open(&mut client, 10).await;
    node.backplane.begin_epoch(&channel(CHANNEL));
    publish(&node, "delta", &[(8, 1)], &[]).await;
    while view.book.is_live() {
        view.next(&mut client).await;
    }
    publish(&node, "delta", &[(6, 1)], &[]).await;
    publish(&node, "snapshot", &[(5, 1)], &[]).await;
    while !view.book.is_live() {
        view.next(&mut client).await;
    }
    assert_eq!(view.bids(), ["5.10x1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_feed_says_of_its_book_reaches_every_view() {
    let node = Node::start();
    let mut client = node.client("7").await;
    let mut view = View::open(&mut client, 20).await;
    assert!(!view.book.is_live(), "nobody published anything yet");
    publish(&node, "snapshot", &[(9, 1)], &[]).await;
    view.next(&mut client).await;
    assert!(view.book.is_live());
    node.publish(CHANNEL, json!({"type": "book", "kind": "state", "state": "suspect", "reason": "checksum"})).await;
    assert_eq!(view.next(&mut client).await["reason"], "checksum");
    assert!(!view.book.is_live());
    let mut late = node.client("8").await;
    assert!(!View::open(&mut late, 20).await.book.is_live());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_store_makes_views_suspect() {
    let node = Node::start();
    publish(&node, "snapshot", &[(9, 1)], &[]).await;
    let mut client = node.client("7").await;
    let mut view = View::open(&mut client, 10).await;
    node.backplane.faults().set_down(true);
    assert_eq!(view.next(&mut client).await["reason"], "backplane_unavailable");
    node.backplane.faults().set_down(false);
    publish(&node, "delta", &[(8, 1)], &[]).await;
    assert_eq!(view.next(&mut client).await["kind"], "snapshot");
    assert_eq!(view.bids(), ["9.10x1", "8.10x1"]);
}

/// On a node with next to no connections, whose rounds over them are short.
#[tokio::test(flavor = "multi_thread")]
async fn a_book_that_was_vouched_for_some_seconds_ago_is_live() {
    let node = Node::start();
    publish(&node, "snapshot", &[(9, 1)], &[]).await;
    let mut client = node.client("7").await;
    let mut view = View::open(&mut client, 10).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    publish(&node, "delta", &[(8, 1)], &[]).await;
    assert_eq!(view.next(&mut client).await["kind"], "delta", "nothing was said of silence");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_view_gets_snapshots_of_it_and_ends_where_the_book_is() {
    let node = Node::start();
    let levels: Vec<(u32, u32)> = (1..=100).map(|price| (price, 1)).collect();
    publish(&node, "snapshot", &levels, &[]).await;
    let mut slow = slow_client(&node, "7").await;
    let mut view = View::open(&mut slow, 100).await;
    let mut book = Book::default();
    for n in 0..4_000_u32 {
        let changed: Vec<(u32, u32)> = (1..=100).map(|price| (price, n * 1_000 + price)).collect();
        let kind = if n % 50 == 0 { "snapshot" } else { "delta" };
        book.apply(&serde_json::from_value(data(kind, &changed, &[])).unwrap()).unwrap();
        publish(&node, kind, &changed, &[]).await;
    }
    let depth = Depth::try_from(100).unwrap();
    let Top { bids, .. } = book.top(depth);
    while view.book.top(depth).bids != bids {
        view.next(&mut slow).await;
    }
    assert!(view.kinds["snapshot"] > 1, "{:?}", view.kinds);
    assert!(view.kinds.values().sum::<usize>() < 4_000, "nothing was left out: {:?}", view.kinds);
    let deltas = view.kinds.get("delta").copied().unwrap_or(0);
    publish(&node, "delta", &[(100, 7)], &[]).await;
    while view.book.bids().next().is_none_or(|best| best.qty != 7.into()) {
        view.next(&mut slow).await;
    }
    assert_eq!(view.kinds["delta"], deltas + 1, "who keeps up gets what changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_depths_and_mixtures_are_refused() {
    let node = Node::start();
    let mut client = node.client("7").await;
    for entry in [
        with_depth(7),
        json!({"channel": CHANNEL, "params": {"depth": "10"}}),
        json!({"channel": CHANNEL, "params": {"depth": 10}, "filter": "side == \"buy\""}),
        json!({"channel": CHANNEL, "params": {"depth": 10}, "trace": true}),
    ] {
        let reply = client.ask(json!({"type": "subscribe", "channels": [entry]})).await;
        assert_eq!(reply["code"], "bad_request", "{reply}");
    }
    client.subscribe(json!({"channel": "ticker:okx:BTC/USDT", "params": {"depth": 7}})).await;
    client.subscribe(with_depth(10)).await;
    let reply = client.ask(json!({"type": "subscribe", "channels": [with_depth(5)]})).await;
    assert_eq!(reply["code"], "already_subscribed", "{reply}");
    let left = client.ask(json!({"type": "unsubscribe", "channels": [CHANNEL]})).await;
    assert_eq!(left["type"], "unsubscribed");
    client.subscribe(with_depth(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_computed_once_a_shard_however_many_have_it() {
    const CLIENTS: u32 = 250;
    const CHANGES: u32 = 20;
    let node = Node::start();
    publish(&node, "snapshot", &[(9, 1)], &[(10, 1)]).await;
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = node.client(&number.to_string()).await;
        let view = View::open(&mut client, 10).await;
        clients.push((client, view));
    }
    let before = count(&node, "view_updates").await;
    for change in 0..CHANGES {
        publish(&node, "delta", &[(9, 2 + change)], &[]).await;
    }
    for (client, view) in &mut clients {
        while view.bids() != [format!("9.10x{}", 1 + CHANGES)] {
            view.next(client).await;
        }
    }
    // Two shards, of which each computes a change once at most.
    let made = count(&node, "view_updates").await - before;
    assert!((u64::from(CHANGES)..=2 * u64::from(CHANGES)).contains(&made), "{made} for {CLIENTS} clients");
}
