use serde_json::{Value, json};

use crate::{
    cluster::{Standalone, message},
    raw::Raw,
};

/// The same order update, received in every dialect at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_dialect_receives_the_same_event_in_its_own_form() {
    let standalone = Standalone::start().await;
    let url = standalone.ws("/ws");
    let mut native = Raw::connect(&url, "7", Some("tickwire.v1.json")).await;
    native.send(r#"{"id":1,"type":"subscribe","channels":["orders"]}"#).await;
    native.of_type("subscribed").await;

    let mut msgpack = Raw::connect(&url, "7", Some("tickwire.v1.msgpack")).await;
    assert_eq!(msgpack.subprotocol.as_deref(), Some("tickwire.v1.msgpack"));
    msgpack.send_binary(&json!({"id": 1, "type": "subscribe", "channels": ["orders"]})).await;
    msgpack.of_type("subscribed").await;

    let mut plain = Raw::connect(&url, "7", None).await;
    assert_eq!(plain.subprotocol, None);
    plain.send(r#"{"type":"subscribe","topic":"orders","timestamp":"2026-11-21T05:00:00Z"}"#).await;
    plain.of_type("subscribed").await;

    let mut upper = Raw::connect(&url, "7", None).await;
    let subscribe = r#"{"type":"SUBSCRIPTION","timestamp":"2026-11-21T05:00:00Z","payload":{"action":"subscribe","topics":["orders"]}}"#;
    upper.send(subscribe).await;

    let mut grekko = Raw::connect(&url, "7", Some("grekko-v1")).await;
    assert_eq!(grekko.subprotocol.as_deref(), Some("grekko-v1"));
    grekko.send(r#"{"type":"subscribe","topic":"orders"}"#).await;
    subscribed_by(&url, 5).await;

    let data = r#"{"type":"order_update","orderId":"o1","price":"64213.10","quantity":"0.5"}"#;
    let published = standalone.emitter.publish(message("orders", data)).await.unwrap();
    let position = published.position.unwrap().to_string();
    let data: Value = serde_json::from_str(data).unwrap();

    for raw in [&mut native, &mut msgpack, &mut plain] {
        let frame = raw.of_type("message").await;
        assert_eq!((&frame["channel"], &frame["position"]), (&"orders".into(), &position.clone().into()));
        assert_eq!(frame["data"], data);
    }
    let frame = upper.of_type("ORDER_UPDATE").await;
    assert_eq!(frame["payload"]["orderId"], "o1");
    assert!(frame["timestamp"].as_str().unwrap().contains('T'), "RFC 3339: {frame}");
    let frame =
        grekko.find("the grekko message", |frame| frame["topic"] == "orders" && frame["type"] == "order_update").await;
    assert_eq!(frame["data"]["orderId"], "o1");
    assert!(!frame["timestamp"].is_null(), "{frame}");
    standalone.stop().await;
}

/// The dialects that answer a subscribe in a form of their own are waited for through the counts.
async fn subscribed_by(ws: &str, count: u64) {
    let status = format!("{}/status?node=self", ws.replace("ws://", "http://"));
    crate::cluster::until("all are subscribed", async || {
        let answer: Value = serde_json::from_str(&reqwest::get(&status).await.unwrap().text().await.unwrap()).unwrap();
        answer["topicSubscriptions"]["orders"] == count
    })
    .await;
}
