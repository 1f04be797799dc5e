//! Where a message's time went, for those who ask.

use serde_json::{Value, json};

use crate::support::{Client, Node, token};

fn assert_times(message: &Value) {
    let time = |name: &str| message["trace"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {message}"));
    assert_eq!(message["time"].as_u64(), Some(time("emit")));
    assert!(time("emit") <= time("backplane") && time("backplane") <= time("edge"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_a_traced_subscription_carries_its_times_and_no_other_does() {
    let node = Node::start();
    let mut plain = node.client("7").await;
    let since = node.publish("system", json!({"n": 0})).await.position.unwrap();
    node.publish("system", json!({"n": 1})).await;
    plain.subscribe(json!("system")).await;
    let mut traced = node.client("8").await;
    let reply = traced.subscribe(json!({"channel": "system", "trace": true, "since": since.to_string()})).await;
    let [recovered] = &reply["messages"].as_array().unwrap()[..] else { panic!("{reply}") };
    assert_times(recovered);
    for n in 2..5 {
        node.publish("system", json!({ "n": n })).await;
        let message = traced.next_of("message").await;
        assert_eq!(message["data"]["n"], n);
        assert_times(&message);
        assert_eq!(plain.next_of("message").await.get("trace"), None);
    }
    // A value that a rate held back, too.
    traced.subscribe(json!({"channel": "prices:all", "trace": true, "maxRate": 10})).await;
    for n in 0..3 {
        node.publish_value("prices:all", "K", json!({ "n": n })).await;
    }
    while {
        let message = traced.next_of("message").await;
        assert_times(&message);
        message["data"]["n"] != 2
    } {}
}

/// Operators see it on every node, through a balancer that shows nobody a node's metrics.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_reports_what_it_counted_and_how_long_each_stage_took() {
    let node = Node::start();
    let mut client = node.client("7").await;
    client.subscribe(json!("system")).await;
    for n in 0..20 {
        node.publish("system", json!({ "n": n })).await;
        client.next_of("message").await;
    }
    let figures = node
        .until_reported(|figures| figures.publications_in >= 20 && figures.delivery.socket.iter().sum::<u64>() >= 1)
        .await;
    assert!(figures.messages_out >= 20 && figures.bytes_out > 0 && figures.commands >= 1, "{figures:?}");
    let delivery = figures.delivery;
    assert!(delivery.bounds_us.is_sorted());
    for (stage, counts) in [("store", &delivery.backplane), ("edge", &delivery.edge), ("total", &delivery.total)] {
        assert_eq!(counts.len(), delivery.bounds_us.len() + 1);
        assert!(counts.iter().sum::<u64>() >= 20, "{stage}: {counts:?}");
    }
}

/// The next write to anybody, which may be seconds later, would otherwise be told as the time that it took to sockets.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_wanted_waits_for_no_socket() {
    let node = Node::start();
    let mut client = node.client("7").await;
    client.subscribe(json!({"channel": "public:x", "filter": "side == \"buy\""})).await;
    for n in 0..5 {
        node.publish("public:x", json!({ "n": n })).await;
    }
    node.until_reported(|figures| figures.publications_in >= 5).await;
    assert_eq!(client.ask(json!({"type": "ping"})).await["type"], "pong");
    client.subscribe(json!("system")).await;
    node.publish("system", json!({})).await;
    client.next_of("message").await;
    let counted = |counts: &[u64]| counts.iter().sum::<u64>();
    let figures = node.until_reported(|figures| counted(&figures.delivery.socket) >= 1).await;
    assert_eq!((counted(&figures.delivery.total), counted(&figures.delivery.socket)), (6, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_refused_where_it_cannot_be_shown() {
    let node = Node::start();
    let mut grekko = Client::open(node.address, "/ws", Some("grekko-v1"), Some(&token("7"))).await;
    let refused = grekko.ask(json!({"type": "subscribe", "channels": [{"channel": "system", "trace": true}]})).await;
    assert_eq!(refused["code"], "bad_request");
    let mut native = node.client("7").await;
    let entry = json!({"channel": "prices:all", "trace": true, "delta": true});
    assert_eq!(native.ask(json!({"type": "subscribe", "channels": [entry]})).await["code"], "bad_request");
}
