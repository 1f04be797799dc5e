//! Changed fields instead of whole values: a delta comes only to who has its base.

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use tickwire_backplane::Backplane;
use tickwire_protocol::time::now_ms;
use tokio::net::TcpSocket;

use crate::support::{Client, Node, channel, token};

const CHANNEL: &str = "prices:all";

/// What a client has, put together as PROTOCOL and `tickwire_protocol::delta` say.
#[derive(Default)]
struct Values {
    by_key: HashMap<String, (u64, Value)>,
    whole: usize,
    deltas: usize,
}

impl Values {
    /// Takes a message; a delta whose base is not the last value fails the test.
    fn take(&mut self, message: &Value) {
        let key = message["key"].as_str().unwrap().to_owned();
        let time = message["time"].as_u64().unwrap();
        let Some(changed) = message.get("delta") else {
            self.whole += 1;
            self.by_key.insert(key, (time, message["data"].clone()));
            return;
        };
        self.deltas += 1;
        assert!(message.get("data").is_none(), "{message}");
        let (base, value) = self.by_key.get_mut(&key).unwrap_or_else(|| panic!("a delta without its base: {message}"));
        assert_eq!(message["base"].as_u64(), Some(*base), "a delta of another value: {message}");
        *base = time;
        let fields = value.as_object_mut().unwrap();
        for name in message["removed"].as_array().into_iter().flatten() {
            fields.shift_remove(name.as_str().unwrap()).unwrap();
        }
        for (name, value) in changed.as_object().unwrap() {
            fields.insert(name.clone(), value.clone());
        }
    }

    fn value(&self, key: &str) -> &Value {
        &self.by_key[key].1
    }
}

fn quote(n: u64) -> Value {
    json!({"symbol": "BTC/USDT", "exchange": "one with a long name", "status": "trading", "n": n})
}

fn with_delta() -> Value {
    json!({"channel": CHANNEL, "delta": true})
}

async fn subscribe(client: &mut Client, entry: Value) -> (Values, Value) {
    let reply = client.subscribe(entry).await;
    let mut values = Values::default();
    for message in reply["messages"].as_array().unwrap() {
        assert!(message.get("delta").is_none(), "{message}");
        values.take(message);
    }
    (values, reply)
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_fields_follow_a_whole_value_key_by_key() {
    let node = Node::start();
    node.publish_value(CHANNEL, "A", quote(1)).await;
    let mut client = node.client("7").await;
    let mut plain = node.client("8").await;
    plain.subscribe(json!(CHANNEL)).await;
    let (mut values, _) = subscribe(&mut client, with_delta()).await;
    assert_eq!(values.value("A"), &quote(1));

    node.publish_value(CHANNEL, "A", quote(2)).await;
    let message = client.next_of("message").await;
    assert_eq!(message["delta"], json!({"n": 2}));
    values.take(&message);
    // Who asked for none gets none.
    assert!(plain.next_of("message").await.get("delta").is_none());
    let mut fewer = quote(3);
    fewer.as_object_mut().unwrap().shift_remove("status");
    node.publish_value(CHANNEL, "A", fewer.clone()).await;
    let message = client.next_of("message").await;
    assert_eq!((&message["delta"], &message["removed"]), (&json!({"n": 3}), &json!(["status"])));
    values.take(&message);
    assert_eq!(values.value("A"), &fewer);
    assert!(plain.next_of("message").await.get("delta").is_none());
    // A key that it has no value of comes whole.
    node.publish_value(CHANNEL, "B", quote(4)).await;
    values.take(&client.next_of("message").await);
    assert_eq!((values.value("B"), values.whole, values.deltas), (&quote(4), 2, 2));
    assert!(plain.next_of("message").await.get("delta").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_without_its_base_never_comes_after_an_empty_recovery() {
    let node = Node::start();
    let mut first = node.client("7").await;
    let mut last = node.message(CHANNEL, &quote(1));
    last.key = Some("A".into());
    last.expires_at_ms = Some(now_ms() + 300);
    let position = node.backplane.publish(last).await.unwrap().position;
    subscribe(&mut first, with_delta()).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    // The value is over, so there is nothing to recover; the shard still knows it as the one before the next.
    let mut client = node.client("8").await;
    let entry = json!({"channel": CHANNEL, "delta": true, "since": position.unwrap().to_string()});
    let (mut values, reply) = subscribe(&mut client, entry).await;
    assert_eq!(reply["messages"], json!([]));
    node.publish_value(CHANNEL, "A", quote(2)).await;
    values.take(&client.next_of("message").await);
    assert_eq!((values.value("A"), values.whole), (&quote(2), 1));
    node.publish_value(CHANNEL, "A", quote(3)).await;
    values.take(&client.next_of("message").await);
    assert_eq!((values.value("A"), values.deltas), (&quote(3), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rate_or_a_key_list_held_back_is_never_a_base() {
    let node = Node::start();
    let mut client = node.client("7").await;
    let entry = json!({"channel": CHANNEL, "delta": true, "maxRate": 20, "keys": ["A"]});
    let (mut values, _) = subscribe(&mut client, entry).await;
    for n in 0..400 {
        node.publish_value(CHANNEL, if n % 3 == 0 { "B" } else { "A" }, quote(n)).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    while !values.by_key.contains_key("A") || values.value("A") != &quote(398) {
        values.take(&client.next_of("message").await);
    }
    assert!(values.whole > 1, "{} whole, {} deltas", values.whole, values.deltas);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_took_the_place_of_a_waiting_one_comes_whole() {
    let node = Node::start();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(node.address).await.unwrap();
    let mut client = Client::open_on(stream, "/ws", Some("tickwire.v1.json"), Some(&token("7"))).await;
    client.next_of("connected").await;
    let (mut values, _) = subscribe(&mut client, with_delta()).await;
    let large = |n: u64| json!({"text": format!("{n}").repeat(1_500), "constant": "x".repeat(200), "n": n});
    for n in 0..2_000 {
        node.publish_value(CHANNEL, &format!("K{}", n % 5), large(n)).await;
    }
    while (0..5).any(|key| values.by_key.get(&format!("K{key}")).is_none_or(|(_, value)| value["n"] != 1_995 + key)) {
        values.take(&client.next_of("message").await);
    }
    for key in 0..5 {
        assert_eq!(values.value(&format!("K{key}")), &large(1_995 + key));
    }
    assert!(values.whole > 5, "{} whole, {} deltas", values.whole, values.deltas);
    assert!(values.whole + values.deltas < 2_000, "nothing was conflated");
    // Nothing waits any more: what changes now is a change of what it has.
    let deltas = values.deltas;
    node.publish_value(CHANNEL, "K0", large(2_000)).await;
    values.take(&client.next_of("message").await);
    assert_eq!((values.value("K0"), values.deltas), (&large(2_000), deltas + 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_new_epoch_and_after_coming_back_values_come_whole() {
    let node = Node::start_with(|config| config.edge.shards = 1);
    node.publish_value(CHANNEL, "A", quote(1)).await;
    let mut client = node.client("7").await;
    let (mut values, _) = subscribe(&mut client, with_delta()).await;
    node.backplane.begin_epoch(&channel(CHANNEL));
    node.publish_value(CHANNEL, "A", quote(2)).await;
    let message = client.next_of("message").await;
    assert!(message.get("delta").is_none(), "{message}");
    values.take(&message);
    node.publish_value(CHANNEL, "A", quote(3)).await;
    values.take(&client.next_of("message").await);
    assert_eq!((values.value("A"), values.deltas), (&quote(3), 1));

    let mut other = node.client("8").await;
    other.subscribe(json!(CHANNEL)).await;
    client.ask(json!({"type": "unsubscribe", "channels": [CHANNEL]})).await;
    node.publish_value(CHANNEL, "A", quote(4)).await;
    // The shard has it once someone else does.
    other.next_of("message").await;
    let (mut values, _) = subscribe(&mut client, with_delta()).await;
    assert_eq!(values.value("A"), &quote(4));
    node.publish_value(CHANNEL, "A", quote(5)).await;
    values.take(&client.next_of("message").await);
    assert_eq!((values.value("A"), values.deltas), (&quote(5), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_are_refused_where_there_are_none() {
    let node = Node::start();
    let mut client = node.client("7").await;
    for entry in [json!({"channel": "system", "delta": true}), json!({"channel": "room:1", "delta": true})] {
        let reply = client.ask(json!({"type": "subscribe", "channels": [entry]})).await;
        assert_eq!(reply["code"], "bad_request", "{reply}");
    }
    let reply = client.ask(json!({"type": "subscribe", "channels": [{"channel": CHANNEL, "delta": 1}]})).await;
    assert_eq!(reply["code"], "bad_request", "{reply}");
    let mut grekko = Client::open(node.address, "/ws", Some("grekko-v1"), Some(&token("8"))).await;
    grekko.next_of("connected").await;
    let reply = grekko.ask(json!({"type": "subscribe", "channels": [with_delta()]})).await;
    assert_eq!(reply["code"], "bad_request", "{reply}");
}
