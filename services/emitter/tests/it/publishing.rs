//! `publish`, `publish/batch`, `broadcast`, idempotency, age, signatures.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tickwire_protocol::{Priority, RawJson, signature, time::now_ms};

use crate::rig::{PATIENCE, Rig, answer, channel, config};

#[tokio::test]
async fn a_published_message_is_stored_with_all_it_carries() {
    let rig = Rig::start().await;
    let said = json!({"channel": "room:1", "data": {"n": 1}, "priority": "high", "tags": {"desk": "fx"}, "timestamp": now_ms()});
    let answer = rig.say("/v1/publish", &said).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["channel"], "room:1");
    assert_eq!(answer.body["duplicate"], false);
    let stored = rig.stored("room:1").await;
    assert_eq!(answer.body["position"], stored[0].position.unwrap().to_string());
    assert_eq!(stored[0].priority, Priority::High);
    assert_eq!(stored[0].tags["desk"], "fx");
    assert_eq!(stored[0].data.as_str(), r#"{"n":1}"#);
}

#[tokio::test]
async fn data_keeps_the_text_it_was_sent_with() {
    let rig = Rig::start().await;
    let text = r#"{"channel":"room:1","data":{"price": 0.10000000000000000001,"n":12345678901234567890123}}"#;
    assert_eq!(rig.say_text("/v1/publish", text).await.status, 200);
    let stored = rig.stored("room:1").await;
    assert_eq!(stored[0].data.as_str(), r#"{"price": 0.10000000000000000001,"n":12345678901234567890123}"#);
}

#[tokio::test]
async fn messagepack_is_taken_and_answered() {
    let rig = Rig::start().await;
    let said = rmp_serde::to_vec_named(&json!({"channel": "room:1", "data": {"n": 1}})).unwrap();
    let packed = answer(rig.post("/v1/publish").header("content-type", "application/msgpack").body(said)).await;
    assert_eq!(packed.status, 200);
    assert_eq!(packed.headers["content-type"], "application/msgpack");
    assert_eq!(packed.body["channel"], "room:1");
    assert_eq!(rig.data("room:1").await, [json!({"n": 1})]);
    let bad = rmp_serde::to_vec_named(&json!({"channel": 1})).unwrap();
    let refused = answer(rig.post("/v1/publish").header("content-type", "application/msgpack").body(bad)).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "bad_request"));
    assert_eq!(refused.headers["content-type"], "application/msgpack");
}

#[tokio::test]
async fn one_idempotency_key_gives_one_message_and_the_first_answer() {
    let rig = Rig::start().await;
    let publish =
        || rig.post("/v1/publish").header("idempotency-key", "k1").json(&json!({"channel": "room:1", "data": 1}));
    let first = answer(publish()).await;
    let again = answer(publish()).await;
    assert_eq!((first.body["duplicate"].clone(), again.body["duplicate"].clone()), (json!(false), json!(true)));
    assert_eq!(first.body["position"], again.body["position"]);
    let field = rig.say("/v1/publish", &json!({"channel": "room:1", "data": 1, "idempotencyKey": "k1"})).await;
    assert_eq!(field.body["position"], first.body["position"], "the field and the header name the same key");
    assert_eq!(rig.stored("room:1").await.len(), 1);
}

#[tokio::test]
async fn concurrent_publishes_under_one_key_give_one_message() {
    let rig = Rig::start().await;
    let body = json!({"channel": "room:1", "data": 1, "idempotencyKey": "once"});
    let answers = join_all((0..16).map(|_| rig.say("/v1/publish", &body))).await;
    let first = answers[0].body["position"].clone();
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body["position"] == first));
    assert_eq!(answers.iter().filter(|answer| answer.body["duplicate"] == false).count(), 1);
    assert_eq!(rig.stored("room:1").await.len(), 1);
}

#[tokio::test]
async fn a_batch_has_one_result_per_message_in_order() {
    let rig = Rig::start().await;
    let messages = json!([
        {"channel": "room:1", "data": 1},
        {"channel": "nowhere:1", "data": 2},
        {"channel": "room:2", "data": 3, "surprise": true},
        {"channel": "room:1", "data": 4},
    ]);
    let answer = rig.say("/v1/publish/batch", &json!({"messages": messages})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let results = answer.body["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    assert_eq!(results[0]["channel"], "room:1");
    assert_eq!(results[1]["error"]["code"], "unknown_channel");
    assert_eq!(results[2]["error"]["code"], "bad_request");
    assert_eq!(results[3]["channel"], "room:1");
    assert_eq!(rig.data("room:1").await, [json!(1), json!(4)]);
}

#[tokio::test]
async fn a_batch_under_a_key_is_published_once() {
    let rig = Rig::start().await;
    let mut body = json!({"messages": [{"channel": "room:1", "data": 1}, {"channel": "room:1", "data": 2}]});
    // The longest key, to which each message's own adds something.
    let key = "b".repeat(255);
    let first = answer(rig.post("/v1/publish/batch").header("idempotency-key", &key).json(&body)).await;
    body["idempotencyKey"] = json!(key);
    let again = answer(rig.post("/v1/publish/batch").json(&body)).await;
    assert_eq!(rig.data("room:1").await, [json!(1), json!(2)]);
    for at in 0..2 {
        assert!(first.body["results"][at]["position"].is_string(), "{}", first.body);
        assert_eq!(first.body["results"][at]["position"], again.body["results"][at]["position"]);
        assert_eq!(again.body["results"][at]["duplicate"], true, "the header and the field name the same key");
    }
    body["idempotencyKey"] = json!("b".repeat(256));
    assert_eq!(answer(rig.post("/v1/publish/batch").json(&body)).await.code(), "bad_request");
}

#[tokio::test]
async fn counts_outside_their_bounds_are_refused() {
    let rig = Rig::start().await;
    let message = json!({"channel": "room:1", "data": 1});
    for (path, body) in [
        ("/v1/publish/batch", json!({"messages": []})),
        ("/v1/publish/batch", json!({"messages": vec![message; 257]})),
        ("/v1/broadcast", json!({"channels": [], "data": 1})),
        ("/v1/broadcast", json!({"channels": (0..257).map(|n| format!("room:{n}")).collect::<Vec<_>>(), "data": 1})),
        ("/v1/broadcast", json!({"channels": ["room:1", "room:1"], "data": 1})),
    ] {
        let answer = rig.say(path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_request"), "{path}");
    }
}

#[tokio::test]
async fn a_broadcast_reaches_each_channel_once_under_one_key() {
    let rig = Rig::start().await;
    let body = json!({"channels": ["room:1", "room:2"], "data": {"x": 1}, "idempotencyKey": "k"});
    for is_again in [false, true] {
        let answer = rig.say("/v1/broadcast", &body).await;
        assert_eq!(answer.status, 200);
        let results = answer.body["results"].as_array().unwrap();
        assert_eq!(results.len(), 2);
        assert!(results.iter().all(|result| result["duplicate"] == is_again));
    }
    for room in ["room:1", "room:2"] {
        assert_eq!(rig.data(room).await, [json!({"x": 1})]);
    }
}

#[tokio::test]
async fn the_newest_value_of_a_key_is_kept() {
    let rig = Rig::start().await;
    for price in ["1", "2"] {
        let body = json!({"channel": "prices:BTC/USDT", "key": "BTC/USDT", "data": {"price": price}});
        assert_eq!(rig.say("/v1/publish", &body).await.status, 200);
    }
    assert_eq!(rig.data("prices:BTC/USDT").await, [json!({"price": "2"})]);
}

#[tokio::test]
async fn a_value_that_expires_makes_room_and_only_latest_values_do() {
    let rig = Rig::start().await;
    let soon = now_ms() + 60_000;
    let said = json!({"channel": "trading:sessions", "key": "s1", "data": 1, "expiresAt": soon});
    assert_eq!(rig.say("/v1/publish", &said).await.status, 200);
    assert_eq!(rig.stored("trading:sessions").await[0].expires_at_ms, Some(soon));
    for (channel, expires_at) in [("room:1", soon), ("trading:sessions", now_ms())] {
        let said = json!({"channel": channel, "key": "s1", "data": 2, "expiresAt": expires_at});
        let refused = rig.say("/v1/publish", &said).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "bad_request"), "{channel}");
    }
}

#[tokio::test]
async fn a_channel_without_a_namespace_is_unknown() {
    let rig = Rig::start().await;
    let answer = rig.say("/v1/publish", &json!({"channel": "nowhere:1", "data": 1})).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (404, "unknown_channel"));
}

#[tokio::test]
async fn a_message_of_another_time_is_stale() {
    let rig = Rig::start().await;
    for timestamp in [now_ms() - 61_000, now_ms() + 61_000, 0, u64::MAX] {
        let answer = rig.say("/v1/publish", &json!({"channel": "room:1", "data": 1, "timestamp": timestamp})).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "stale_message"));
    }
    let recent = json!({"channel": "room:1", "data": 1, "timestamp": now_ms() - 30_000});
    assert_eq!(rig.say("/v1/publish", &recent).await.status, 200);
}

#[tokio::test]
async fn a_signature_must_verify() {
    let mut config = config();
    config.emitter.signing_secret = Some("the signing secret".into());
    let rig = Rig::with(config).await;
    let at = now_ms() - 20_000;
    let data = RawJson::parse(r#"{ "n": 1.50 }"#).unwrap();
    let good = signature::sign(b"the signing secret", &channel("room:1"), at, &data);
    let body = |signature: &str, data: &str| {
        format!(r#"{{"channel":"room:1","data":{data},"timestamp":{at},"signature":"{signature}"}}"#)
    };
    let taken = rig.say_text("/v1/publish", body(&good, data.as_str())).await;
    assert_eq!(taken.status, 200, "{}", taken.body);
    let stored = &rig.stored("room:1").await[0];
    assert_eq!(stored.signature.as_deref(), Some(good.as_str()));
    assert_eq!(stored.time_ms, at, "who verifies the signature needs the time that was signed");
    for refused in [
        body(&good, r#"{ "n": 1.51 }"#),
        body(&good, r#"{"n":1.50}"#),
        body(&"0".repeat(64), data.as_str()),
        body("", data.as_str()),
        format!(r#"{{"channel":"room:1","data":1,"signature":"{good}"}}"#),
    ] {
        let answer = rig.say_text("/v1/publish", refused).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_signature"));
    }
}

#[tokio::test]
async fn a_signature_nobody_can_verify_is_refused() {
    let rig = Rig::start().await;
    let body = json!({"channel": "room:1", "data": 1, "timestamp": now_ms(), "signature": "00"});
    assert_eq!(rig.say("/v1/publish", &body).await.code(), "bad_signature");
}

#[tokio::test]
async fn nothing_is_acknowledged_without_the_backplane() {
    let rig = Rig::start().await;
    rig.backplane.faults().set_down(true);
    let message = json!({"channel": "room:1", "data": 1});
    let stop = json!({"sessionId": "s", "userId": "7", "reason": "r"});
    let calls: [(&str, Value); 6] = [
        ("/v1/publish", message.clone()),
        ("/v1/publish/batch", json!({"messages": [message]})),
        ("/v1/broadcast", json!({"channels": ["room:1", "room:2"], "data": 1})),
        ("/v1/users/7/notify", json!({"type": "x"})),
        ("/v1/events/emergency-stop", stop),
        ("/v1/users/7/disconnect", json!({})),
    ];
    for (path, body) in calls {
        let answer = rig.say(path, &body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (503, "unavailable"), "{path}");
        assert_eq!(answer.body["error"]["retryable"], true);
        assert!(answer.headers.contains_key("retry-after"), "{path}");
    }
    for path in ["/v1/channels", "/v1/channels/room:1/history", "/v1/channels/room:1/presence"] {
        assert_eq!(rig.ask(path).await.status, 503, "{path}");
    }
    rig.backplane.faults().set_down(false);
    assert!(rig.stored("room:1").await.is_empty());
}

#[tokio::test]
async fn a_publish_repeated_after_an_outage_gives_one_message() {
    let rig = Rig::start().await;
    let body = json!({"channel": "room:1", "data": 1, "idempotencyKey": "k"});
    rig.backplane.faults().set_down(true);
    assert_eq!(rig.say("/v1/publish", &body).await.status, 503);
    rig.backplane.faults().set_down(false);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while rig.say("/v1/publish", &body).await.status != 200 {
        assert!(tokio::time::Instant::now() < deadline);
    }
    assert_eq!(rig.stored("room:1").await.len(), 1);
}
