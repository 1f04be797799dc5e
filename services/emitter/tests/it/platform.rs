//! The wider platform's events: keys, channels, signatures, dead letters.

use serde_json::{Value, json};
use tickwire_protocol::{RawJson, signature, time::now_ms};

use crate::rig::{Rig, answer, channel, config, token};

fn event(topic: &str, kind: &str, data: &Value) -> Value {
    json!({"topic": topic, "type": kind, "data": data, "timestamp": now_ms()})
}

/// A service, a topic, a type, its data, and where it goes.
fn examples() -> Vec<(&'static str, &'static str, &'static str, Value, Vec<&'static str>)> {
    let balance = json!({"userId": "7", "walletId": "w1", "asset": "BTC", "balance": "0.50", "available": "0.25"});
    let transaction = json!({"userId": "7", "walletId": "w1", "transactionId": "0xabc", "asset": "ETH", "amount": "1.0",
        "direction": "in", "confirmations": 12});
    let filled = json!({"userId": "7", "orderId": "o1", "symbol": "BTC/USDT", "side": "buy", "quantity": "0.1",
        "price": "64213.10", "fee": "-0.01"});
    let score = json!({"symbol": "BTC/USDT", "score": "-0.35", "samples": 120});
    vec![
        ("wallet", "balance-updates", "balance-update", balance.clone(), vec!["balance-updates:7", "wallets:2"]),
        ("wallet", "wallet-events", "balance-update", balance, vec!["wallet-events:7", "wallets:2"]),
        ("wallet", "transaction-status", "transaction-confirmed", transaction, vec!["transaction-status:7"]),
        ("trading", "order-updates", "order-filled", filled.clone(), vec!["order-updates:7"]),
        ("trading", "execution-events", "order-filled", filled, vec!["execution-events:7"]),
        (
            "trading",
            "order-updates",
            "order-cancelled",
            json!({"userId": "7", "orderId": "o2", "symbol": "BTC/USDT", "reason": "expired"}),
            vec!["order-updates:7"],
        ),
        (
            "trading",
            "position-changes",
            "position-opened",
            json!({"userId": "7", "positionId": "p1", "symbol": "BTC/USDT", "quantity": "-0.1", "entryPrice": "64213.10"}),
            vec!["position-changes:7"],
        ),
        (
            "agents",
            "agent-signals",
            "trading-signal",
            json!({"userId": "7", "agentId": "a1", "symbol": "BTC/USDT", "action": "buy", "confidence": 0.7}),
            vec!["agent-signals:7"],
        ),
        (
            "agents",
            "performance-updates",
            "metrics",
            json!({"userId": "7", "agentId": "a1", "metrics": {"sharpe": 1.5}}),
            vec!["performance-updates:7"],
        ),
        ("sentiment", "sentiment-updates", "score", score, vec!["sentiment-updates"]),
        (
            "sentiment",
            "news-events",
            "article",
            json!({"title": "Halving", "symbols": ["BTC/USDT"]}),
            vec!["news-events"],
        ),
    ]
}

#[tokio::test]
async fn each_key_reaches_the_channel_of_its_topic() {
    for (service, topic, kind, data, channels) in examples() {
        let rig = Rig::start().await;
        let said = event(topic, kind, &data);
        let answer = rig.say(&format!("/v1/services/{service}/events"), &said).await;
        assert_eq!(answer.status, 200, "{service}.{topic}.{kind}: {}", answer.body);
        let results = answer.body["results"].as_array().unwrap();
        let went: Vec<&str> = results.iter().map(|result| result["channel"].as_str().unwrap()).collect();
        assert_eq!(went, channels, "{service}.{topic}.{kind}");
        for channel in channels {
            let stored = rig.data(channel).await;
            let mut expected = data.clone();
            expected["type"] = json!(kind);
            expected["timestamp"] = said["timestamp"].clone();
            assert_eq!(stored, [expected], "{channel}");
        }
    }
}

#[tokio::test]
async fn a_score_is_the_latest_of_its_symbol_and_a_balance_of_its_wallet_and_asset() {
    let rig = Rig::start().await;
    for score in ["0.1", "0.2"] {
        let said = event("sentiment-updates", "score", &json!({"symbol": "BTC/USDT", "score": score}));
        assert_eq!(rig.say("/v1/services/sentiment/events", &said).await.status, 200);
    }
    let scores = rig.data("sentiment-updates").await;
    assert_eq!((scores.len(), &scores[0]["score"]), (1, &json!("0.2")));
    for (asset, balance) in [("BTC", "1"), ("ETH", "2"), ("BTC", "3")] {
        let data = json!({"userId": "7", "walletId": "w1", "asset": asset, "balance": balance});
        assert_eq!(
            rig.say("/v1/services/wallet/events", &event("balance-updates", "balance-update", &data)).await.status,
            200
        );
    }
    assert_eq!(rig.data("balance-updates:7").await.len(), 3);
    let mut kept: Vec<String> =
        rig.stored("wallets:2").await.iter().filter_map(|kept| kept.key.as_deref().map(str::to_owned)).collect();
    kept.sort();
    assert_eq!(kept, ["7:w1:BTC", "7:w1:ETH"]);
}

#[tokio::test]
async fn an_unknown_key_is_refused_counted_and_kept_for_operators() {
    let rig = Rig::start().await;
    let long = json!({"text": "é".repeat(5_000)});
    for (service, topic, kind, data) in [
        ("wallet", "balance-updates", "balance-updated", &json!({"userId": "7"})),
        ("trading", "balance-updates", "balance-update", &json!({"userId": "7"})),
        ("nobody", "x", "y", &long),
    ] {
        let refused = rig.say(&format!("/v1/services/{service}/events"), &event(topic, kind, data)).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (404, "bad_request"));
        assert!(refused.message().contains(&format!("{service}.{topic}.{kind}")), "{}", refused.message());
    }
    assert!(rig.stored("balance-updates:7").await.is_empty());
    let operator = rig.client.get(format!("http://{}/v1/dead-letters", rig.address)).bearer_auth(token(&["operator"]));
    let letters = answer(operator).await;
    assert_eq!(letters.status, 200, "{}", letters.body);
    let messages = letters.body["messages"].as_array().unwrap();
    let keys: Vec<&str> = messages.iter().map(|letter| letter["data"]["key"].as_str().unwrap()).collect();
    assert_eq!(
        keys,
        ["wallet.balance-updates.balance-updated", "trading.balance-updates.balance-update", "nobody.x.y"]
    );
    assert_eq!(messages[0]["data"]["data"], r#"{"userId":"7"}"#);
    assert!(messages[2]["data"]["data"].as_str().unwrap().len() <= 4_096);
    assert!(messages[2]["data"]["dataBytes"].as_u64().unwrap() > 10_000);
    let scrape = rig.get("/metrics").send().await.unwrap().text().await.unwrap();
    assert!(scrape.contains("tickwire_emitter_dead_letters_total 3"), "{scrape}");
}

#[tokio::test]
async fn dead_letters_are_for_operators_and_written_by_nobody_else() {
    let rig = Rig::start().await;
    let user = rig.client.get(format!("http://{}/v1/dead-letters", rig.address)).bearer_auth(token(&["desk"]));
    assert_eq!(answer(user).await.code(), "forbidden");
    let forged = rig.say("/v1/publish", &json!({"channel": "dead-letters", "data": 1})).await;
    assert_eq!(forged.code(), "forbidden");
    let user = rig.client.post(format!("http://{}/v1/services/wallet/events", rig.address)).bearer_auth(token(&[]));
    assert_eq!(answer(user.json(&event("x", "y", &json!({})))).await.code(), "forbidden");
}

#[tokio::test]
async fn what_breaks_a_rule_of_its_key_is_refused_by_its_field() {
    let rig = Rig::start().await;
    let path = "/v1/services/wallet/events";
    for (data, named) in [
        (json!({"userId": "7", "walletId": "w", "asset": "BTC", "balance": "-1"}), "data.balance"),
        (json!({"userId": "7", "walletId": "w", "asset": "BTC", "balance": "1e999"}), "data.balance"),
        (json!({"userId": "a:b", "walletId": "w", "asset": "BTC", "balance": "1"}), "data.userId"),
        (json!({"userId": "7", "walletId": "w:1", "asset": "BTC", "balance": "1"}), "data.walletId"),
        (json!({"userId": "7", "walletId": "w", "asset": "BTC", "balance": "1", "x": 1}), "data"),
        (json!([]), "data"),
        (json!(null), "data"),
    ] {
        let refused = rig.say(path, &event("balance-updates", "balance-update", &data)).await;
        assert_eq!(refused.code(), "bad_request", "{data}");
        assert!(refused.message().contains(named), "{data}: {}", refused.message());
    }
    let mut old = event("balance-updates", "balance-update", &json!({}));
    old["timestamp"] = json!(now_ms() - 61_000);
    assert_eq!(rig.say(path, &old).await.code(), "stale_message");
    let timeless = json!({"topic": "balance-updates", "type": "balance-update", "data": {}});
    assert_eq!(rig.say(path, &timeless).await.code(), "bad_request");
    assert!(rig.stored("dead-letters").await.is_empty());
}

#[tokio::test]
async fn a_platform_events_signature_covers_its_key() {
    let mut config = config();
    config.emitter.signing_secret = Some("the signing secret".into());
    let rig = Rig::with(config).await;
    let at = now_ms();
    let data = RawJson::parse(r#"{"userId":"7","walletId":"w1","asset":"BTC", "balance":1.50}"#).unwrap();
    let subject = channel("wallet.balance-updates.balance-update");
    let good = signature::sign(b"the signing secret", &subject, at, &data);
    let body = |topic: &str, signature: &str| {
        format!(
            r#"{{"topic":"{topic}","type":"balance-update","data":{data:?},"timestamp":{at},"signature":"{signature}"}}"#
        )
    };
    let path = "/v1/services/wallet/events";
    let moved = rig.say_text(path, body("wallet-events", &good)).await;
    assert_eq!(moved.code(), "bad_signature");
    let forged = rig.say_text(path, body("balance-updates", &"0".repeat(64))).await;
    assert_eq!(forged.code(), "bad_signature");
    let taken = rig.say_text(path, body("balance-updates", &good)).await;
    assert_eq!(taken.status, 200, "{}", taken.body);
    assert_eq!(rig.data("balance-updates:7").await[0]["balance"], "1.50");
}

#[tokio::test]
async fn a_repeated_platform_event_is_published_once() {
    let rig = Rig::start().await;
    let data = json!({"userId": "7", "orderId": "o1", "symbol": "BTC/USDT"});
    for (topic, kind, duplicate) in
        [("order-updates", "order-cancelled", false), ("order-updates", "order-cancelled", true)]
    {
        let mut said = event(topic, kind, &data);
        said["idempotencyKey"] = json!("o1");
        let answer = rig.say("/v1/services/trading/events", &said).await;
        assert_eq!(answer.body["results"][0]["duplicate"], duplicate, "{}", answer.body);
    }
    assert_eq!(rig.stored("order-updates:7").await.len(), 1);
}
