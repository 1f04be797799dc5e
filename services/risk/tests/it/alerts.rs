//! Warnings, and what a session's owner may set.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::rig::{API_KEY, PATIENCE, Rig, Trap, session, token};

#[tokio::test]
async fn a_warning_says_value_limit_and_what_was_done_and_is_told_once_over_a_restart() {
    let rig = Rig::start().await;
    rig.world.lock().unwrap().add(session("s1", "7", "1000"), "812.25");
    let first = rig.process();
    rig.until("a warning", |world| world.told("risk-alert").len() == 1).await;
    let warning = rig.world.lock().unwrap().told("risk-alert").remove(0);
    assert_eq!((&warning["alertLevel"], &warning["alertType"]), (&json!("warning"), &json!("loss_limit")));
    assert_eq!((&warning["currentValue"], &warning["threshold"]), (&json!("812.25"), &json!("1000")));
    assert_eq!(
        warning["message"],
        "812.25 of the loss limit of 1000 is lost (81.2 %). Nothing was stopped yet; at the limit the session is."
    );
    rig.until_answer(&first, "/v1/sessions/s1/risk", |risk| risk["level"] == "warning").await;
    first.kill();
    let second = rig.process();
    rig.until_answer(&second, "/v1/sessions/s1/risk", |risk| risk["isKeptHere"] == true && risk["level"] == "warning")
        .await;
    assert_eq!(rig.world.lock().unwrap().told("risk-alert").len(), 1);
}

#[tokio::test]
async fn an_alert_that_a_dying_service_had_not_told_is_told_by_the_next() {
    for has_effect in [false, true] {
        let rig = Rig::start().await;
        let sprung = CancellationToken::new();
        {
            let mut world = rig.world.lock().unwrap();
            world.add(session("s1", "7", "1000"), "960");
            world.trap = Some(Trap { call: "alert", has_effect, sprung: sprung.clone() });
        }
        let first = rig.process();
        tokio::time::timeout(PATIENCE, sprung.cancelled()).await.unwrap();
        first.kill();
        let _second = rig.process();
        rig.until("the alert again", |world| world.calls.len() >= 2).await;
        rig.until("the alert", |world| world.told("risk-alert").len() == 1).await;
        assert_eq!(rig.world.lock().unwrap().told("risk-alert")[0]["alertLevel"], "critical");
    }
}

#[tokio::test]
async fn thresholds_are_kept_over_a_restart_and_those_without_sense_are_refused() {
    let rig = Rig::start().await;
    rig.world.lock().unwrap().add(session("s1", "7", "1000"), "500");
    let first = rig.process();
    rig.until_answer(&first, "/v1/sessions/s1/risk", |risk| risk["isKeptHere"] == true).await;
    let path = "/v1/sessions/s1/thresholds";
    let (status, body) =
        rig.put(&first, &token("7"), path, &json!({"lossLimit": {"warning": "0.9", "critical": "0.4"}})).await;
    assert_eq!((status, &body["error"]["code"]), (400, &json!("bad_request")));
    assert!(body["error"]["message"].as_str().unwrap().contains("lossLimit"), "{body}");
    let given = json!({"lossLimit": {"warning": "0.4", "critical": "0.6"}});
    let (status, body) = rig.put(&first, &token("7"), path, &given).await;
    assert_eq!((status, &body["lossLimit"]["warning"]), (200, &json!("0.4")), "{body}");
    rig.until("a warning by the new threshold", |world| world.told("risk-alert").len() == 1).await;
    first.kill();
    let second = rig.process();
    rig.until_answer(&second, "/v1/sessions/s1/risk", |risk| risk["isKeptHere"] == true).await;
    let (_, body) = rig.get(&second, API_KEY, path).await;
    assert_eq!(body["lossLimit"], given["lossLimit"]);
}
