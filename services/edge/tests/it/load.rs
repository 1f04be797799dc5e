//! Many at once: subscribers, messages, commands, newcomers.

use serde_json::{Value, json};
use tickwire_backplane::Backplane;

use crate::{
    support::{Client, Node, numbers, recovered_numbers},
    wire::Wire,
};

/// A counter of the node.
pub(crate) async fn count(node: &Node, name: &str) -> u64 {
    let address = node.address;
    let text = tokio::task::spawn_blocking(move || Wire::get(address, "/metrics", &[]).body).await.unwrap();
    let prefix = format!("tickwire_edge_{name}_total ");
    text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap().trim().parse().unwrap()
}

/// One shard that gives way to others after every step.
fn hurried() -> Node {
    Node::start_with(|config| {
        config.edge.shards = 1;
        config.edge.work_max_ms = 0;
        config.limits.commands_per_second = 0;
        config.limits.connections_per_user = 0;
    })
}

async fn subscribers(node: &Node, count: usize, entry: &Value) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = node.client("7").await;
        client.subscribe(entry.clone()).await;
        clients.push(client);
    }
    clients
}

async fn next_numbers(client: &mut Client, count: usize) -> Vec<u64> {
    let mut messages = Vec::new();
    for _ in 0..count {
        messages.push(client.next_of("message").await);
    }
    numbers(&messages)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_evaluated_once_a_message_however_many_have_it() {
    let node = Node::start_with(|config| config.edge.shards = 1);
    let mut buyers = subscribers(&node, 20, &json!({"channel": "public:x", "filter": "side == \"buy\""})).await;
    let mut sellers = subscribers(&node, 10, &json!({"channel": "public:x", "filter": "side == \"sell\""})).await;
    let mut all = subscribers(&node, 2, &json!("public:x")).await;
    for (n, side) in [(1, "buy"), (2, "sell"), (3, "buy")] {
        let mut message = node.message("public:x", &json!({"n": n}));
        message.tags.insert("side".into(), side.into());
        node.backplane.publish(message).await.unwrap();
    }
    for buyer in &mut buyers {
        assert_eq!(next_numbers(buyer, 2).await, [1, 3]);
    }
    for seller in &mut sellers {
        assert_eq!(next_numbers(seller, 1).await, [2]);
    }
    for client in &mut all {
        assert_eq!(next_numbers(client, 3).await, [1, 2, 3]);
    }
    assert_eq!(count(&node, "filter_evaluations").await, 6, "two filters, three messages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_for_many_subscribers_is_written_in_slices_and_keeps_its_order() {
    let node = hurried();
    let mut clients = subscribers(&node, 60, &json!("system")).await;
    let before = count(&node, "yields").await;
    for n in 0..300 {
        node.publish("system", json!({"n": n})).await;
        if n % 50 == 0 {
            // Comes and goes while others are being written to.
            let mut passing = node.client("7").await;
            passing.subscribe(json!("system")).await;
            passing.ask(json!({"type": "unsubscribe", "channels": ["system"]})).await;
        }
    }
    for client in &mut clients {
        assert_eq!(next_numbers(client, 300).await, (0..300).collect::<Vec<_>>());
    }
    assert!(count(&node, "yields").await > before + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_commands_are_carried_out_in_slices_and_in_order() {
    let node = hurried();
    let mut client = node.client("7").await;
    let before = count(&node, "yields").await;
    for from in [0, 250, 500, 750] {
        let pings: Vec<_> = (from..from + 250).map(|id| json!({"type": "ping", "id": id})).collect();
        client.send(Value::Array(pings)).await;
    }
    for id in 0..1_000 {
        assert_eq!(client.next_of("pong").await["id"], id);
    }
    assert!(count(&node, "yields").await >= before + 900);
    let channels: Vec<_> = (0..200).map(|number| json!(format!("public:{number}"))).collect();
    client.send(json!({"type": "subscribe", "channels": channels})).await;
    for _ in 0..200 {
        client.next_of("subscribed").await;
    }
    assert!(count(&node, "yields").await >= before + 1_000);
}

/// A deadlock between a recovery's buffer and the hub: here the hub's queue overflows all the time, so that it reads the store
/// itself, while others recover in the middle of it.
#[tokio::test(flavor = "multi_thread")]
async fn recoveries_and_deliveries_never_wait_for_each_other() {
    let node = Node::start_with(|config| {
        config.edge.shards = 1;
        config.edge.signal_queue = 1;
        config.limits.connections_per_user = 0;
    });
    let start = node.client("7").await.subscribe(json!("system")).await["position"].clone();
    let publisher = {
        let backplane = node.backplane.clone();
        let messages: Vec<_> = (0..900).map(|n| node.message("system", &json!({ "n": n }))).collect();
        tokio::spawn(async move {
            for message in messages {
                backplane.publish(message).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = node.client("7").await;
        let reply = client.subscribe(json!({"channel": "system", "since": start})).await;
        clients.push((client, reply));
    }
    publisher.await.unwrap();
    for (mut client, reply) in clients {
        let mut got = recovered_numbers(&reply);
        while got.last() != Some(&899) {
            got.extend(next_numbers(&mut client, 1).await);
        }
        assert_eq!(got, (0..900).collect::<Vec<_>>());
    }
}

/// A message that is 200 bytes and more.
fn padded(node: &Node, channel: &str, n: u64) -> tickwire_backplane::Publish {
    node.message(channel, &json!({"n": n, "text": "x".repeat(200)}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_recovery_is_encoded_in_slices() {
    let node = hurried();
    let start = node.client("7").await.subscribe(json!("system")).await["position"].clone();
    for n in 0..500 {
        node.backplane.publish(padded(&node, "system", n)).await.unwrap();
    }
    let mut client = node.client("7").await;
    let before = count(&node, "yields").await;
    let reply = client.subscribe(json!({"channel": "system", "since": start})).await;
    assert_eq!((&reply["recovered"], recovered_numbers(&reply)), (&json!(true), (0..500).collect()));
    let after = count(&node, "yields").await;
    assert!(after >= before + 60, "{after} after {before}");
    let history = client.ask(json!({"type": "history", "channel": "system", "since": start, "limit": 500})).await;
    assert_eq!(recovered_numbers(&history), (0..500).collect::<Vec<_>>());
    assert!(count(&node, "yields").await >= after + 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_current_values_are_encoded_in_slices_and_stay_current() {
    let node = hurried();
    let mut first = node.client("7").await;
    first.subscribe(json!("prices:all")).await;
    for n in 0..400 {
        let mut message = padded(&node, "prices:all", n);
        message.key = Some(format!("k{}", n % 300));
        node.backplane.publish(message).await.unwrap();
    }
    let before = count(&node, "yields").await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = node.client("7").await;
        client.send(json!({"id": 1_000, "type": "subscribe", "channels": ["prices:all"]})).await;
        clients.push(client);
    }
    // One leaves while its answer is being encoded.
    drop(clients.pop());
    for client in &mut clients {
        let reply = client.next_of("subscribed").await;
        assert_eq!(recovered_numbers(&reply), (100..400).collect::<Vec<_>>());
    }
    assert!(count(&node, "yields").await >= before + 35);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_newcomers_are_answered_in_slices_without_a_hole() {
    let node = hurried();
    let mut first = node.client("7").await;
    let start = first.subscribe(json!("system")).await["position"].clone();
    for n in 0..500 {
        node.publish("system", json!({"n": n})).await;
    }
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(node.client("7").await);
    }
    let subscribe = json!({"id": 1_000, "type": "subscribe", "channels": [{"channel": "system", "since": start}]});
    for client in &mut clients {
        client.send(subscribe.clone()).await;
    }
    for n in 500..600 {
        node.publish("system", json!({"n": n})).await;
    }
    for client in &mut clients {
        let reply = client.next_of("subscribed").await;
        assert_eq!(reply["recovered"], true);
        let mut got = recovered_numbers(&reply);
        while got.last() != Some(&599) {
            got.extend(next_numbers(client, 1).await);
        }
        assert_eq!(got, (0..600).collect::<Vec<_>>());
    }
}
