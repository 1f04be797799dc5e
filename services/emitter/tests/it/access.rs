//! Who may call, and ending access.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tickwire_auth::issue::TokenClaims;
use tickwire_backplane::{Backplane, Control, Offender};
use tickwire_protocol::{UserId, time::now_ms};

use crate::rig::{API_KEY, Answer, PATIENCE, Rig, answer, config, control, sign, token};

async fn with(rig: &Rig, authorization: Option<String>, path: &str) -> Answer {
    let request = rig
        .client
        .request(Method::POST, format!("http://{}{path}", rig.address))
        .json(&json!({"channel": "room:1", "data": 1, "jti": "x"}));
    answer(match authorization {
        Some(value) => request.header("authorization", value),
        None => request,
    })
    .await
}

#[tokio::test]
async fn only_services_may_publish() {
    let rig = Rig::start().await;
    let expired = sign(&TokenClaims {
        exp: now_ms() / 1_000 - 600,
        ..TokenClaims::new(UserId::new("b").unwrap()).role("service")
    });
    let foreign = token(&["service"]).rsplit_once('.').unwrap().0.to_owned() + ".AAAA";
    for (authorization, status, code) in [
        (None, 401, "unauthenticated"),
        (Some("Bearer ".to_owned()), 401, "unauthenticated"),
        (Some(format!("Basic {API_KEY}")), 401, "unauthenticated"),
        (Some("Bearer an-api-key-of-nobody".to_owned()), 401, "unauthenticated"),
        (Some(format!("Bearer {foreign}")), 401, "unauthenticated"),
        (Some(format!("Bearer {expired}")), 401, "token_expired"),
        (Some(format!("Bearer {}", token(&[]))), 403, "forbidden"),
        (Some(format!("Bearer {}", token(&["operator"]))), 403, "forbidden"),
    ] {
        let answer = with(&rig, authorization.clone(), "/v1/publish").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{authorization:?}");
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
    }
    assert!(rig.stored("room:1").await.is_empty());
}

#[tokio::test]
async fn a_service_token_and_an_api_key_both_open_the_door() {
    let rig = Rig::start().await;
    for bearer in [token(&["service"]), API_KEY.to_owned()] {
        let said = answer(
            rig.client
                .post(format!("http://{}/v1/publish", rig.address))
                .header("authorization", format!("bearer {bearer}"))
                .json(&json!({"channel": "room:1", "data": 1})),
        )
        .await;
        assert_eq!(said.status, 200, "{}", said.body);
    }
}

#[tokio::test]
async fn an_operator_may_end_access() {
    let rig = Rig::start().await;
    let bearer = |roles: &[&str]| format!("Bearer {}", token(roles));
    let ask = async |roles: &[&str], path: &str, body| {
        let request = rig.client.post(format!("http://{}{path}", rig.address)).header("authorization", bearer(roles));
        answer(request.json(&body)).await.status.as_u16()
    };
    for role in ["operator", "service"] {
        assert_eq!(ask(&[role], "/v1/tokens/revoke", json!({"jti": "t"})).await, 200);
        assert_eq!(ask(&[role], "/v1/users/7/disconnect", json!({})).await, 200);
    }
    assert_eq!(ask(&["desk"], "/v1/tokens/revoke", json!({"jti": "t"})).await, 403);
    assert_eq!(ask(&[], "/v1/users/7/disconnect", json!({})).await, 403);
}

#[tokio::test]
async fn every_node_is_told_to_disconnect_and_to_revoke() {
    let rig = Rig::start().await;
    let mut node = rig.backplane.subscriber(16);
    rig.say("/v1/users/7/disconnect", &json!({"reason": "fraud"})).await;
    let user = UserId::new("7").unwrap();
    assert_eq!(control(&mut node).await, Control::Disconnect { user: user.clone(), reason: "fraud".into() });
    assert_eq!(answer(rig.post("/v1/users/7/disconnect")).await.status, 200, "no body is needed");
    control(&mut node).await;
    let expires = now_ms() + 60_000;
    rig.say("/v1/tokens/revoke", &json!({"jti": "t1", "expiresAt": expires})).await;
    assert_eq!(control(&mut node).await, Control::RevokeToken { jti: "t1".into(), expires_at_ms: expires });
    rig.say("/v1/tokens/revoke", &json!({"userId": "7", "iat": 100, "expiresAt": expires})).await;
    assert_eq!(control(&mut node).await, Control::RevokeUser { user, issued_until_s: 100, expires_at_ms: expires });
}

#[tokio::test]
async fn bans_are_shown_and_given_by_operators() {
    let rig = Rig::start().await;
    let mut node = rig.backplane.subscriber(16);
    let by_edge = Control::Ban {
        offender: Offender::User(UserId::new("9").unwrap()),
        until_ms: now_ms() + 60_000,
        reason: "100 x forbidden_channel".into(),
    };
    rig.backplane.control(by_edge.clone()).await.unwrap();
    assert_eq!(control(&mut node).await, by_edge);
    let body = json!({"address": "192.0.2.7", "seconds": 3_600, "reason": "port scan"});
    let ordered = rig.say("/v1/bans", &body).await;
    assert_eq!(ordered.status, 200, "{}", ordered.body);
    let Control::Ban { offender, reason, .. } = control(&mut node).await else { panic!("no ban") };
    assert_eq!((offender, reason.as_str()), (Offender::Address([192, 0, 2, 7].into()), "port scan"));
    let listed = rig.ask("/v1/bans").await.body;
    assert_eq!(listed["bans"][0]["userId"], "9");
    assert_eq!(listed["bans"][1]["address"], "192.0.2.7");
    for bad in [
        json!({"seconds": 1}),
        json!({"address": "192.0.2.7", "userId": "9", "seconds": 1}),
        json!({"userId": "9", "seconds": 0}),
        json!({"address": "not one", "seconds": 1}),
    ] {
        assert_eq!(rig.say("/v1/bans", &bad).await.code(), "bad_request", "{bad}");
    }
}

#[tokio::test]
async fn administrative_calls_are_written_down_and_the_record_cannot_be_forged() {
    let rig = Rig::start().await;
    rig.say("/v1/users/7/disconnect", &json!({"reason": "fraud"})).await;
    let request = rig.client.post(format!("http://{}/v1/tokens/revoke", rig.address));
    answer(request.bearer_auth(token(&["operator"])).json(&json!({"jti": "t1"}))).await;
    let entries = rig.data("audit").await;
    assert_eq!(entries.len(), 2);
    assert_eq!((&entries[0]["action"], &entries[0]["subject"]), (&json!("disconnect"), &json!("user 7")));
    assert_eq!((&entries[0]["reason"], &entries[0]["done"]), (&json!("fraud"), &json!(true)));
    let by = entries[0]["by"].as_str().unwrap();
    assert!(by.starts_with("key ") && !by.contains(API_KEY), "{by}");
    assert_eq!((&entries[1]["subject"], &entries[1]["by"]), (&json!("token t1"), &json!("user backend")));
    let forged = rig.say("/v1/publish", &json!({"channel": "audit", "data": {"action": "none"}})).await;
    assert_eq!(forged.code(), "forbidden");
}

#[tokio::test]
async fn a_revocation_says_exactly_what_it_revokes() {
    let rig = Rig::start().await;
    for body in [
        json!({}),
        json!({"jti": "t", "userId": "7"}),
        json!({"jti": "t", "iat": 1}),
        json!({"iat": 1}),
        json!({"jti": ""}),
        json!({"jti": "t", "expiresAt": 1}),
        json!({"userId": "7", "iat": now_ms()}),
    ] {
        assert_eq!(rig.say("/v1/tokens/revoke", &body).await.code(), "bad_request", "{body}");
    }
}

#[tokio::test]
async fn a_revoked_service_token_stops_working() {
    let rig = Rig::start().await;
    let bearer = sign(&TokenClaims::new(UserId::new("b").unwrap()).role("service").token_id("t9"));
    let publish = async || with(&rig, Some(format!("Bearer {bearer}")), "/v1/tokens/revoke").await.status.as_u16();
    assert_eq!(publish().await, 400, "authenticated, though the body is wrong");
    rig.say("/v1/tokens/revoke", &json!({"jti": "t9"})).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while publish().await != 401 {
        assert!(tokio::time::Instant::now() < deadline, "still accepted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_address_that_keeps_failing_is_refused_unseen() {
    let mut config = config();
    config.emitter.auth_failures_per_minute = 1;
    let rig = Rig::with(config).await;
    let mut last = with(&rig, None, "/v1/publish").await;
    for _ in 0..40 {
        last = with(&rig, Some("Bearer guess".into()), "/v1/publish").await;
    }
    assert_eq!((last.status.as_u16(), last.code()), (429, "rate_limited"));
    assert!(last.headers.contains_key("retry-after"));
    assert_eq!(rig.say("/v1/publish", &json!({"channel": "room:1", "data": 1})).await.status, 429);
}

#[tokio::test]
async fn a_caller_over_its_rate_is_told_when_to_come_back() {
    let mut config = config();
    (config.emitter.requests_per_s, config.emitter.requests_burst) = (1, 2);
    let rig = Rig::with(config).await;
    let body = json!({"channel": "room:1", "data": 1});
    let mut last = rig.say("/v1/publish", &body).await;
    for _ in 0..5 {
        last = rig.say("/v1/publish", &body).await;
    }
    assert_eq!((last.status.as_u16(), last.code()), (429, "rate_limited"));
    assert_eq!(last.headers["retry-after"], "1");
    let other = with(&rig, Some(format!("Bearer {}", token(&["service"]))), "/v1/users/7/disconnect").await;
    assert_ne!(other.status, 429, "another caller has its own rate");
}

#[tokio::test]
async fn an_operator_who_reads_a_users_alerts_is_written_down() {
    let rig = Rig::start().await;
    rig.say("/v1/users/7/notify", &json!({"type": "x", "priority": "critical"})).await;
    let read = async |bearer: String| {
        let request = rig.client.get(format!("http://{}/v1/users/7/alerts", rig.address)).bearer_auth(bearer);
        answer(request).await
    };
    assert_eq!(read(token(&["desk"])).await.status, 403);
    assert_eq!(read(token(&["service"])).await.status, 200);
    assert!(rig.data("audit").await.is_empty(), "what a service reads is its trade");
    let found = read(token(&["operator"])).await.body;
    assert_eq!(found["alerts"].as_array().unwrap().len(), 1, "{found}");
    let entries = rig.data("audit").await;
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!(
        (&entry["action"], &entry["subject"], &entry["by"]),
        (&"read alerts".into(), &"user 7".into(), &json!("user backend"))
    );
}
