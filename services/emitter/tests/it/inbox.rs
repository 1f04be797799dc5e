//! Notifications and alerts.

use serde_json::{Value, json};
use tickwire_backplane::Backplane;
use tickwire_protocol::{Priority, time::now_ms};

use crate::rig::{Rig, channel};

#[tokio::test]
async fn a_notification_arrives_as_it_was_given_with_its_alert() {
    let rig = Rig::start().await;
    let expires = now_ms() + 60_000;
    let said = json!({"type": "margin_call", "title": "t", "message": "m", "priority": "critical", "data": {"a": 1}, "expiresAt": expires, "escalateAfterMs": 60_000});
    let answer = rig.say("/v1/users/7/notify", &said).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let stored = rig.stored("user:7").await;
    let mut wanted = said.clone();
    wanted["alertId"] = answer.body["alertId"].clone();
    assert_eq!(stored[0].data.to::<Value>().unwrap(), wanted);
    assert_eq!(stored[0].priority, Priority::Critical);
    assert_eq!(stored[0].expires_at_ms, Some(expires));
    assert_eq!(answer.body["position"], stored[0].position.unwrap().to_string());
}

#[tokio::test]
async fn an_alert_goes_from_queued_to_acknowledged() {
    let rig = Rig::start().await;
    let made = rig.say("/v1/users/7/notify", &json!({"type": "x", "priority": "critical"})).await;
    let path = format!("/v1/alerts/{}", made.body["alertId"].as_str().unwrap());
    assert_eq!(rig.ask(&path).await.body["status"], "queued");
    let position = made.body["position"].as_str().unwrap().parse().unwrap();
    rig.backplane.delivered(&channel("user:7"), &[position]).await.unwrap();
    let delivered = rig.ask(&path).await;
    assert_eq!((&delivered.body["status"], &delivered.body["deliveredTo"]), (&json!("delivered"), &json!(1)));
    rig.backplane.acknowledge(&channel("user:7"), None, &[position]).await.unwrap();
    let acknowledged = rig.ask(&path).await;
    assert_eq!(acknowledged.body["status"], "acknowledged");
    assert!(acknowledged.body["acknowledgedAt"].is_u64());
}

#[tokio::test]
async fn one_key_gives_one_notification_and_one_alert() {
    let rig = Rig::start().await;
    let body = json!({"type": "x", "idempotencyKey": "k"});
    let first = rig.say("/v1/users/7/notify", &body).await;
    let again = rig.say("/v1/users/7/notify", &body).await;
    assert_eq!(first.body["alertId"], again.body["alertId"]);
    assert_eq!(first.body["position"], again.body["position"]);
    assert_eq!(again.body["duplicate"], true);
    let other = rig.say("/v1/users/8/notify", &body).await;
    assert_ne!(first.body["alertId"], other.body["alertId"], "a key belongs to its inbox");
    assert_eq!(rig.stored("user:7").await.len(), 1);
}

#[tokio::test]
async fn a_bad_notification_is_refused() {
    let rig = Rig::start().await;
    for (body, named) in [
        (json!({}), "type"),
        (json!({"type": ""}), "type"),
        (json!({"type": "x", "data": 1}), "data"),
        (json!({"type": "x", "expiresAt": 1}), "expiresAt"),
        (json!({"type": "x", "escalateAfterMs": 0}), "escalateAfterMs"),
        (json!({"type": "x", "priority": "loud"}), "priority"),
        (json!({"type": "x", "alertId": "mine"}), "alertId"),
    ] {
        let answer = rig.say("/v1/users/7/notify", &body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_request"), "{body}");
        assert!(answer.message().contains(named), "{}", answer.message());
    }
    assert_eq!(rig.say("/v1/users/a:b/notify", &json!({"type": "x"})).await.code(), "bad_request");
}

#[tokio::test]
async fn an_unknown_alert_is_not_found() {
    let rig = Rig::start().await;
    for id in ["x", "37.aaaaaaaaaaaaaaaaaaaaaaaa", "%2e%2e"] {
        assert_eq!(rig.ask(&format!("/v1/alerts/{id}")).await.status, 404, "{id}");
    }
}

#[tokio::test]
async fn a_users_alerts_are_listed_by_pages_with_where_they_stand() {
    let rig = Rig::start().await;
    let mut made = Vec::new();
    for n in 0..5 {
        let body = json!({"type": "x", "priority": "critical", "data": {"n": n}});
        made.push(rig.say("/v1/users/7/notify", &body).await.body);
    }
    rig.say("/v1/users/8/notify", &json!({"type": "x", "priority": "critical"})).await;
    // No alert, though it says so: another user's, and one of the user's own that stands elsewhere.
    for claimed in ["38.aaaaaaaaaaaaaaaaaaaaaaaa", made[0]["alertId"].as_str().unwrap()] {
        rig.say("/v1/publish", &json!({"channel": "user:7", "data": {"alertId": claimed}})).await;
    }
    let settled = made[1]["position"].as_str().unwrap().parse().unwrap();
    rig.backplane.acknowledge(&channel("user:7"), None, &[settled]).await.unwrap();
    let ids = |page: &Value| -> Vec<Value> {
        page["alerts"].as_array().unwrap().iter().map(|alert| alert["alertId"].clone()).collect()
    };
    let newest_first: Vec<Value> = made.iter().rev().map(|made| made["alertId"].clone()).collect();
    let all = rig.ask("/v1/users/7/alerts").await.body;
    assert_eq!(ids(&all), newest_first, "{all}");
    assert_eq!(all["next"], Value::Null);
    assert_eq!(all["alerts"][3]["status"], "acknowledged");
    assert_eq!(all["alerts"][0]["status"], "queued");
    assert_eq!(all["alerts"][0]["data"]["data"], json!({"n": 4}));
    let mut paged = Vec::new();
    let mut path = "/v1/users/7/alerts?limit=2".to_owned();
    loop {
        let page = rig.ask(&path).await.body;
        paged.extend(ids(&page));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/users/7/alerts?limit=2&before={next}");
    }
    assert_eq!(paged, newest_first);
    let settled = rig.ask("/v1/users/7/alerts?status=acknowledged").await.body;
    assert_eq!(ids(&settled), [made[1]["alertId"].clone()]);
    assert_eq!(rig.ask("/v1/users/nobody/alerts").await.body["alerts"], json!([]));
}

#[tokio::test]
async fn a_bad_listing_of_alerts_is_refused() {
    let rig = Rig::start().await;
    for query in ["limit=0", "limit=201", "limit=x", "before=x", "status=lost", "since=1-1"] {
        let answer = rig.ask(&format!("/v1/users/7/alerts?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "bad_request"), "{query}");
    }
    assert_eq!(rig.ask("/v1/users/a:b/alerts").await.code(), "bad_request");
}
