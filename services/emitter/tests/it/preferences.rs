//! What preferences make of notifications.

use serde_json::{Value, json};
use tickwire_backplane::Backplane;
use tickwire_protocol::{RawJson, UserId};

use crate::rig::Rig;

pub(crate) async fn prefer(rig: &Rig, document: &Value) {
    let changes = RawJson::of(document).unwrap();
    rig.backplane.preferences(&UserId::new("7").unwrap(), Some(&changes)).await.unwrap();
}

async fn notify(rig: &Rig, body: &Value) -> Value {
    let answer = rig.say("/v1/users/7/notify", body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

fn risk_alert(level: &str) -> Value {
    json!({"sessionId": "42", "userId": "7", "alertLevel": level, "alertType": "loss_limit", "message": "m", "currentValue": "1", "threshold": "2"})
}

#[tokio::test]
async fn a_muted_type_is_neither_stored_nor_an_alert() {
    let rig = Rig::start().await;
    prefer(&rig, &json!({"rules": [{"types": ["news"], "action": "mute"}]})).await;
    let muted = notify(&rig, &json!({"type": "news"})).await;
    assert_eq!((&muted["suppressed"], muted.get("position")), (&json!(true), None));
    let alert = rig.ask(&format!("/v1/alerts/{}", muted["alertId"].as_str().unwrap())).await;
    assert_eq!(alert.status, 404);
    let told = notify(&rig, &json!({"type": "fill"})).await;
    assert!(told["position"].is_string() && told.get("suppressed").is_none(), "{told}");
    let stored = rig.data("user:7").await;
    assert_eq!(stored.len(), 1);
    assert_eq!(
        (&stored[0]["type"], stored[0].get("presentation")),
        (&json!("fill"), None),
        "what is shown in full says nothing of it"
    );
}

#[tokio::test]
async fn quiet_hours_deliver_silently_and_an_emergency_passes_them() {
    let rig = Rig::start().await;
    let always = json!({"timeZone": "Europe/Berlin", "from": "00:00", "until": "00:00"});
    prefer(&rig, &json!({"quietHours": always, "sound": false})).await;
    notify(&rig, &json!({"type": "fill"})).await;
    notify(&rig, &json!({"type": "margin", "data": {"alertLevel": "emergency"}})).await;
    let stored = rig.data("user:7").await;
    assert_eq!(stored[0]["presentation"], json!({"sound": false, "toast": false}));
    assert_eq!(stored[1].get("presentation"), None);
}

#[tokio::test]
async fn a_typed_events_alert_obeys_preferences_and_its_session_hears_it_anyway() {
    let rig = Rig::start().await;
    prefer(&rig, &json!({"minimumLevel": "emergency"})).await;
    for level in ["warning", "critical", "emergency"] {
        let answer = rig.say("/v1/events/risk-alert", &risk_alert(level)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body.get("alertId").is_some(), level != "warning", "{}", answer.body);
        assert_eq!(answer.body["results"].as_array().unwrap().len(), if level == "warning" { 1 } else { 2 });
    }
    let stop = rig.say("/v1/events/emergency-stop", &json!({"sessionId": "42", "userId": "7", "reason": "r"})).await;
    assert_eq!(stop.status, 200);
    assert_eq!(rig.stored("session:42").await.len(), 4);
    let inbox = rig.data("user:7").await;
    let hidden: Vec<_> = inbox.iter().map(|data| data["presentation"]["toast"] == false).collect();
    assert_eq!(hidden, [true, false, false], "a critical alert is never dropped, an emergency always shown");
}

#[tokio::test]
async fn while_preferences_cannot_be_read_nothing_is_taken() {
    let rig = Rig::start().await;
    rig.backplane.faults().set_down(true);
    let answer = rig.say("/v1/users/7/notify", &json!({"type": "fill"})).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "unavailable"));
}
