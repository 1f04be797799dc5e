//! Readers that do not keep up.

use std::time::Duration;

use serde_json::{Value, json};
use tickwire_backplane::Backplane;
use tickwire_protocol::Priority;
use tokio::net::TcpSocket;

use crate::support::{Client, Node, token};

/// A client whose kernel takes little: what it does not read waits at the edge.
pub(crate) async fn slow_client(node: &Node, user: &str) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(node.address).await.unwrap();
    let mut client = Client::open_on(stream, "/ws", Some("tickwire.v1.json"), Some(&token(user))).await;
    client.next_of("connected").await;
    client
}

pub(crate) fn large(n: u64) -> Value {
    json!({"n": n, "text": "x".repeat(4_000)})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_reliable_channel_is_closed_with_4430_and_recovers() {
    let node = Node::start_with(|config| config.limits.outbox_bytes = 200_000);
    let mut slow = slow_client(&node, "7").await;
    slow.subscribe(json!("system")).await;
    let mut fast = node.client("8").await;
    fast.subscribe(json!("system")).await;
    for n in 0..900 {
        node.publish("system", large(n)).await;
        if n % 20 == 0 {
            // Keeps the fast one from being slow too on a busy machine.
            while fast.next_of("message").await["data"]["n"] != n {}
        }
    }
    while fast.next_of("message").await["data"]["n"] != 899 {}
    let mut last = Value::Null;
    let close = loop {
        match slow.next_or_close().await {
            Ok(frame) => last = frame["position"].clone(),
            Err(close) => break close,
        }
    };
    // A reader that reads at last sees the code; one that never does sees the connection go.
    assert!(close.as_ref().is_none_or(|(code, _)| *code == 4430), "{close:?}");
    let mut back = node.client("7").await;
    let reply = back.subscribe(json!({"channel": "system", "since": last})).await;
    assert_eq!(reply["recovered"], true);
    assert_eq!(reply["messages"].as_array().unwrap().last().unwrap()["data"]["n"], 899);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_latest_channel_gets_the_newest_values_in_order() {
    let node = Node::start();
    let mut slow = slow_client(&node, "7").await;
    slow.subscribe(json!("prices:all")).await;
    for n in 0..2_000 {
        node.publish_value("prices:all", &format!("K{}", n % 10), large(n)).await;
    }
    let mut newest = [None; 10];
    let mut count = 0;
    while newest.iter().any(|n| n.is_none_or(|n: u64| n < 1_990)) {
        let frame = slow.next_of("message").await;
        let n = frame["data"]["n"].as_u64().unwrap();
        let of_key = &mut newest[usize::try_from(n % 10).unwrap()];
        assert!(of_key.is_none_or(|older| older < n), "an older value after a newer one");
        *of_key = Some(n);
        count += 1;
    }
    assert!(count < 1_900, "{count} of 2,000 values were sent: nothing was conflated");
}

/// What the kernels have taken can no longer be replaced: so little is given to them once a reader does not answer, that the
/// newest value is not behind seconds of older ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_falls_behind_finds_few_old_values_before_the_newest() {
    const PAUSE: Duration = Duration::from_millis(20);
    const COUNT: u64 = 150;
    let node = Node::start();
    let mut slow = slow_client(&node, "7").await;
    slow.subscribe(json!("prices:all")).await;
    // It answers the first question, and then reads nothing for a while.
    for _ in 0..2 {
        slow.ask(json!({"type": "ping"})).await;
    }
    for n in 0..COUNT {
        node.publish_value("prices:all", "K", json!({"n": n, "text": "x".repeat(40)})).await;
        tokio::time::sleep(PAUSE).await;
    }
    let mut got = Vec::new();
    while got.last() != Some(&(COUNT - 1)) {
        got.push(slow.next_of("message").await["data"]["n"].as_u64().unwrap());
    }
    assert!(got.is_sorted());
    // All of them together are smaller than what the kernels take.
    assert!(got.len() < 50, "{} of {COUNT} values came", got.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_volatile_channel_loses_messages_and_stays() {
    let node = Node::start_with(|config| config.limits.outbox_bytes = 100_000);
    let mut slow = slow_client(&node, "7").await;
    slow.subscribe(json!("public:x")).await;
    for n in 0..1_000 {
        node.publish("public:x", large(n)).await;
    }
    let pong = tokio::time::timeout(Duration::from_secs(20), async {
        let mut got = Vec::new();
        slow.send(json!({"type": "ping", "id": 99})).await;
        loop {
            let frame = slow.next().await;
            if frame["type"] == "pong" {
                return got;
            }
            if frame["type"] == "message" {
                got.push(frame["data"]["n"].as_u64().unwrap());
            }
        }
    });
    let got = pong.await.unwrap();
    assert!(got.is_sorted() && got.len() < 1_000, "{} came", got.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_critical_message_overtakes_what_waits_of_other_channels() {
    let node = Node::start_with(|config| config.limits.outbox_bytes = 8 << 20);
    let mut slow = slow_client(&node, "7").await;
    slow.subscribe(json!("system")).await;
    slow.subscribe(json!("user:7")).await;
    for n in 0..900 {
        node.publish("system", large(n)).await;
    }
    node.publish("user:7", json!({"n": 5_000})).await;
    let mut alert = node.message("user:7", &json!({"n": 5_001}));
    alert.priority = Priority::Critical;
    node.backplane.publish(alert).await.unwrap();
    let mut order = Vec::new();
    while order.len() < 902 {
        order.push(slow.next_of("message").await["data"]["n"].as_u64().unwrap());
    }
    let at = |n: u64| order.iter().position(|&got| got == n).unwrap();
    assert_eq!(at(5_001), at(5_000) + 1, "its own channel keeps its order");
    assert!(at(5_001) < 700, "it came as number {} of 902", at(5_001));
    let rest: Vec<_> = order.iter().copied().filter(|n| *n < 1_000).collect();
    assert_eq!(rest, (0..900).collect::<Vec<_>>());
    assert_eq!(crate::load::count(&node, "overtakes").await, 1);
}
