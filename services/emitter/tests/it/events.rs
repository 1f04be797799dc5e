//! Each kind of event: its channels, its shape, its rules.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tickwire_backplane::Backplane;
use tickwire_protocol::{Priority, UserId};

use crate::{
    preferences::prefer,
    rig::{Rig, answer, channel},
};

#[derive(Deserialize)]
struct File<T> {
    cases: Vec<T>,
}

/// A typed event and what becomes of it.
#[derive(Deserialize)]
struct Payload {
    kind: String,
    body: Value,
    /// The user's, if there are any.
    preferences: Option<Value>,
    published: Vec<Published>,
}

#[derive(Deserialize)]
struct Published {
    channel: String,
    data: Value,
}

#[derive(Deserialize)]
struct Words {
    name: String,
    values: Vec<String>,
}

/// From the vectors that other languages' types are made of.
fn cases<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = format!("{}/../../shared/protocol/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str::<File<T>>(&std::fs::read_to_string(&path).expect(&path)).expect(&path).cases
}

/// Valid bodies of each kind and what is published.
fn payloads() -> Vec<Payload> {
    cases("payloads.json")
}

/// A valid body of each kind of event, the fullest of them.
fn kinds() -> Vec<(String, Value)> {
    let mut kinds: Vec<(String, Value)> = Vec::new();
    for Payload { kind, body, .. } in payloads() {
        if kind != "notify" && kinds.iter().all(|(known, _)| *known != kind) {
            kinds.push((kind, body));
        }
    }
    kinds
}

/// As the vectors write what differs from run to run.
fn normal(mut data: Value) -> Value {
    for (field, stands_for) in [("timestamp", "<now>"), ("alertId", "<id>")] {
        if let Some(value) = data.get_mut(field) {
            assert!(value.is_u64() || value.is_string(), "{field}");
            *value = json!(stands_for);
        }
    }
    data
}

#[tokio::test]
async fn each_kind_reaches_its_channels_in_its_shape() {
    for Payload { kind, body, preferences, published } in payloads() {
        let rig = Rig::start().await;
        if let Some(preferences) = preferences {
            prefer(&rig, &preferences).await;
        }
        let path = if kind == "notify" { "/v1/users/7/notify".into() } else { format!("/v1/events/{kind}") };
        let answer = rig.say(&path, &body).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.body);
        assert_eq!(answer.body["channel"], published[0].channel);
        let results = answer.body["results"].as_array().cloned().unwrap_or_else(|| vec![answer.body.clone()]);
        assert_eq!(results.len(), published.len(), "{kind}");
        for (result, Published { channel, data }) in results.iter().zip(published) {
            assert_eq!(result["channel"], channel, "{kind}");
            let stored = rig.stored(&channel).await;
            assert_eq!(stored.len(), 1, "{kind} in {channel}");
            assert_eq!(result["position"], stored[0].position.unwrap().to_string());
            assert_eq!(normal(stored[0].data.to().unwrap()), data, "{kind} in {channel}");
        }
    }
}

#[tokio::test]
async fn closed_sets_of_words_are_whole_in_the_vectors() {
    let rig = Rig::start().await;
    let sets: Vec<Words> = cases("enums.json");
    for (kind, field, name) in [
        ("session-status", "status", "SessionStatus"),
        ("algorithm-decision", "decision", "Decision"),
        ("risk-alert", "alertLevel", "RiskLevel"),
        ("risk-alert", "alertType", "RiskType"),
        ("order-update", "side", "Side"),
    ] {
        let (_, mut body) = kinds().into_iter().find(|(known, _)| known == kind).unwrap();
        body[field] = json!("another");
        let refused = rig.say(&format!("/v1/events/{kind}"), &body).await;
        let mut words: Vec<String> = refused.message().split('`').skip(1).step_by(2).map(str::to_lowercase).collect();
        words.retain(|word| word != "another" && word != &field.to_lowercase());
        words.dedup();
        let expected = &sets.iter().find(|set| set.name == name).unwrap().values;
        for word in expected {
            assert!(words.contains(word), "{name}: {}", refused.message());
        }
        assert!(words.iter().all(|word| expected.contains(word)), "{name}: {}", refused.message());
    }
}

#[tokio::test]
async fn no_kind_takes_an_unknown_field_or_lacks_a_required_one() {
    let rig = Rig::start().await;
    for (kind, body) in kinds() {
        let path = format!("/v1/events/{kind}");
        let mut more = body.clone();
        more["surprise"] = json!(1);
        let refused = rig.say(&path, &more).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "bad_request"), "{kind}");
        assert!(refused.message().contains("surprise"), "{kind}: {}", refused.message());
        let first = body.as_object().unwrap().keys().next().unwrap().clone();
        let mut less = body.clone();
        less.as_object_mut().unwrap().remove(&first);
        let refused = rig.say(&path, &less).await;
        assert_eq!(refused.code(), "bad_request", "{kind}");
        assert!(refused.message().contains(&first), "{kind}: {}", refused.message());
    }
}

#[tokio::test]
async fn a_value_out_of_its_range_is_named() {
    let rig = Rig::start().await;
    for (kind, pointer, value, named) in [
        ("algorithm-decision", "/confidence", json!(1.01), "confidence"),
        ("algorithm-decision", "/confidence", json!(-0.1), "confidence"),
        ("algorithm-decision", "/confidence", json!("half"), "confidence"),
        ("algorithm-decision", "/decision", json!("panic"), "decision"),
        ("algorithm-decision", "/marketData/price", json!("abc"), "marketData.price"),
        ("session-status", "/status", json!("sleeping"), "status"),
        ("session-status", "/data/currentPnL", json!("much"), "data.currentPnL"),
        ("session-status", "/data", json!({"mood": 1}), "mood"),
        ("session-status", "/data/totalTrades", json!(-1), "data.totalTrades"),
        ("trade-executed", "/quantity", json!("0"), "quantity"),
        ("trade-executed", "/price", json!(-1), "price"),
        ("trade-executed", "/side", json!("hold"), "side"),
        ("risk-alert", "/alertLevel", json!("mild"), "alertLevel"),
        ("risk-alert", "/alertType", json!("mood"), "alertType"),
        ("loss-limit-warning", "/utilization", json!(-0.1), "utilization"),
        ("session-started", "/sessionId", json!("a:b"), "sessionId"),
        ("session-started", "/userId", json!("a b"), "userId"),
        ("session-started", "/limits", json!([]), "limits"),
        ("session-started", "/timestamp", json!("yesterday"), "timestamp"),
        ("market-data", "/symbol", json!(""), "symbol"),
        ("system-notification", "/endsAt", json!(0), "endsAt"),
    ] {
        let (_, mut body) = kinds().into_iter().find(|(known, ..)| *known == kind).unwrap();
        match body.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => body[&pointer[1..]] = value.clone(),
        }
        let answer = rig.say(&format!("/v1/events/{kind}"), &body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_request"), "{kind} {pointer} {value}");
        assert!(answer.message().contains(named), "{kind} {pointer}: {}", answer.message());
    }
}

#[tokio::test]
async fn a_session_status_has_the_documented_shape_and_money_as_text() {
    let rig = Rig::start().await;
    let text = r#"{"sessionId":"s1","userId":"7","status":"paused","timestamp":TIME,"data":{"currentPnL":-12.50,"totalTrades":3,"lossLimitUtilization":0.80,"timeElapsed":60,"performanceScore":1.0}}"#;
    let time = tickwire_protocol::time::now_ms();
    let answer = rig.say_text("/v1/events/session-status", text.replace("TIME", &time.to_string())).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let stored = rig.stored("session:s1").await;
    let wanted = format!(
        r#"{{"type":"session_status","sessionId":"s1","status":"paused","data":{{"currentPnL":"-12.50","totalTrades":3,"lossLimitUtilization":0.80,"timeElapsed":60,"performanceScore":1.0}},"timestamp":{time}}}"#
    );
    assert_eq!(stored[0].data.as_str(), wanted);
}

#[tokio::test]
async fn a_session_status_may_have_some_of_its_figures() {
    let rig = Rig::start().await;
    for (data, stored) in [(json!({}), "{}"), (json!({"totalTrades": 3}), r#"{"totalTrades":3}"#)] {
        let body = json!({"sessionId": "s1", "userId": "7", "status": "active", "data": data});
        let answer = rig.say("/v1/events/session-status", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let kept = rig.stored("session:s1").await;
        let wanted = format!(r#""data":{stored},"#);
        assert!(kept.last().unwrap().data.as_str().contains(&wanted), "{}", kept.last().unwrap().data.as_str());
    }
}

#[tokio::test]
async fn who_starts_a_session_or_strategy_owns_its_channel() {
    let rig = Rig::start().await;
    rig.say("/v1/events/session-started", &json!({"sessionId": "s1", "userId": "7"})).await;
    rig.say("/v1/events/strategy-update", &json!({"strategyId": "st", "userId": "8", "status": "running"})).await;
    let owner = async |name: &str| rig.backplane.owner(&channel(name)).await.unwrap();
    assert_eq!(owner("session:s1").await, Some(UserId::new("7").unwrap()));
    assert_eq!(owner("strategy:st").await, Some(UserId::new("8").unwrap()));
    assert_eq!(owner("sessions:7").await, None);
}

#[tokio::test]
async fn a_price_is_kept_under_its_symbol() {
    let rig = Rig::start().await;
    rig.say("/v1/events/market-data", &json!({"symbol": "BTC/USDT", "price": "1"})).await;
    assert_eq!(rig.stored("prices:BTC/USDT").await[0].key.as_deref(), Some("BTC/USDT"));
}

#[tokio::test]
async fn a_grave_risk_alert_is_critical_and_tracked() {
    for (level, priority) in
        [("warning", Priority::High), ("critical", Priority::Critical), ("emergency", Priority::Critical)]
    {
        let rig = Rig::start().await;
        let (_, mut body) = kinds().into_iter().find(|(kind, ..)| *kind == "risk-alert").unwrap();
        body["alertLevel"] = json!(level);
        let answer = rig.say("/v1/events/risk-alert", &body).await;
        let alert = answer.body["alertId"].as_str().unwrap().to_owned();
        let inbox = rig.stored("user:7").await;
        assert_eq!(inbox[0].priority, priority);
        let data: Value = inbox[0].data.to().unwrap();
        assert_eq!(data["alertId"], alert);
        assert_eq!((&data["currentValue"], &data["threshold"]), (&json!("1000.50"), &json!(0.80)));
        let state = rig.ask(&format!("/v1/alerts/{alert}")).await;
        assert_eq!((state.status.as_u16(), &state.body["status"]), (200, &json!("queued")));
    }
}

#[tokio::test]
async fn an_emergency_stop_changes_the_session_and_alarms_its_user() {
    let rig = Rig::start().await;
    let answer =
        rig.say("/v1/events/emergency-stop", &json!({"sessionId": "s1", "userId": "7", "reason": "kill switch"})).await;
    assert!(answer.body["alertId"].is_string());
    let session = rig.data("session:s1").await;
    assert_eq!(session[0]["status"], "emergency_stopped");
    assert_eq!(session[0]["data"]["reason"], "kill switch");
    let inbox = rig.stored("user:7").await;
    assert_eq!(inbox[0].priority, Priority::Critical);
}

#[tokio::test]
async fn a_loss_limit_warning_is_a_risk_alert_of_that_type() {
    let rig = Rig::start().await;
    rig.say("/v1/events/loss-limit-warning", &json!({"sessionId": "s1", "userId": "7", "utilization": 0.85})).await;
    let data = &rig.data("user:7").await[0];
    assert_eq!((&data["alertType"], &data["alertLevel"]), (&json!("loss_limit"), &json!("warning")));
    assert_eq!((&data["currentValue"], &data["threshold"]), (&json!(0.85), &json!(1)));
}

#[tokio::test]
async fn one_key_gives_an_event_once_with_the_same_alert() {
    let rig = Rig::start().await;
    let stop = json!({"sessionId": "s1", "userId": "7", "reason": "r", "idempotencyKey": "k"});
    let first = rig.say("/v1/events/emergency-stop", &stop).await;
    let again = rig.say("/v1/events/emergency-stop", &stop).await;
    assert_eq!(first.body["alertId"], again.body["alertId"]);
    assert_eq!(first.body["position"], again.body["position"]);
    assert!(again.body["results"].as_array().unwrap().iter().all(|result| result["duplicate"] == true));
    assert_eq!((rig.stored("session:s1").await.len(), rig.stored("user:7").await.len()), (1, 1));
}

#[tokio::test]
async fn one_key_may_serve_two_kinds() {
    let rig = Rig::start().await;
    for (kind, body) in
        kinds().into_iter().filter(|(kind, ..)| ["order-update", "trade-executed"].contains(&kind.as_str()))
    {
        let request = rig.post(&format!("/v1/events/{kind}")).header("idempotency-key", "order-1").json(&body);
        assert_eq!(answer(request).await.status, 200);
    }
    assert_eq!(rig.stored("user:7:orders").await.len(), 2);
}

#[tokio::test]
async fn an_old_event_is_stale_and_an_unknown_kind_is_not_found() {
    let rig = Rig::start().await;
    let old = rig.say("/v1/events/market-data", &json!({"symbol": "X", "price": "1", "timestamp": 1})).await;
    assert_eq!(old.code(), "stale_message");
    let unknown = rig.say("/v1/events/weather", &json!({})).await;
    assert_eq!((unknown.status.as_u16(), unknown.code()), (404, "bad_request"));
}
