//! Connections live as long as their tokens, their peers and their node allow.

use serde_json::json;
use std::time::Duration;
use tickwire_auth::issue::TokenClaims;
use tickwire_backplane::{Backplane, Control};
use tickwire_protocol::time::now_ms;

use crate::support::{Client, Node, PATIENCE, signer, token, user};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_authenticate_by_its_first_command() {
    let node = Node::start();
    let mut client = Client::open(node.address, "/ws", Some("tickwire.v1.json"), None).await;
    let refused = client.ask(json!({"type": "subscribe", "channels": ["system"]})).await;
    assert_eq!(refused["code"], "unauthenticated");
    let pong = client.ask(json!({"type": "ping"})).await;
    assert_eq!(pong["type"], "pong");
    let connected = client.ask(json!({"type": "connect", "token": token("7")})).await;
    assert_eq!((connected["type"].as_str(), connected["userId"].as_str()), (Some("connected"), Some("7")));
    assert!(connected["connectionId"].is_string() && connected["expiresAt"].is_u64(), "{connected}");
    client.subscribe(json!("system")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_named_and_closed_with_4401() {
    let node = Node::start();
    let expired = signer().sign(&TokenClaims { exp: 1_000, ..TokenClaims::new(user("7")) }).unwrap();
    for (token, code) in [(expired.as_str(), "token_expired"), ("nonsense", "unauthenticated")] {
        let mut client = Client::open(node.address, "/ws", Some("tickwire.v1.json"), None).await;
        assert_eq!(client.ask(json!({"type": "connect", "token": token})).await["code"], code);
        assert_eq!(client.closed().await, 4401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_authenticates_is_closed_with_4408() {
    let node = Node::start_with(|config| config.edge.handshake_timeout_ms = 300);
    let mut client = Client::open(node.address, "/ws", Some("tickwire.v1.json"), None).await;
    assert_eq!(client.closed().await, 4408);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_closed_with_4408() {
    let node = Node::start_with(|config| {
        config.edge.idle_timeout_ms = 400;
        config.edge.heartbeat_interval_ms = 0;
    });
    let mut client = node.client("7").await;
    assert_eq!(client.closed().await, 4408);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_client_is_shown_heartbeats_and_stays() {
    let node = Node::start_with(|config| {
        config.edge.idle_timeout_ms = 3_000;
        config.edge.heartbeat_interval_ms = 200;
    });
    let mut client = node.client("7").await;
    // Heartbeats are left out by `next`, and reading answers pings: longer than the idle timeout.
    let quiet = tokio::time::timeout(Duration::from_secs(5), client.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!(client.ask(json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_ends_the_connection_unless_it_is_refreshed() {
    let node = Node::start();
    let short = || signer().sign(&TokenClaims::new(user("7")).valid_for(Duration::from_secs(3))).unwrap();
    let open = async |token: String| {
        let mut client = Client::open(node.address, "/ws", Some("tickwire.v1.json"), Some(&token)).await;
        client.next_of("connected").await;
        client
    };
    let mut kept = open(short()).await;
    let mut left = open(short()).await;
    let refreshed = kept.ask(json!({"type": "refresh", "token": token("7")})).await;
    assert_eq!(refreshed["type"], "refreshed");
    let stranger = kept.ask(json!({"type": "refresh", "token": token("8")})).await;
    assert_eq!(stranger["code"], "forbidden");
    assert_eq!(left.next_of("error").await["code"], "token_expired");
    assert_eq!(left.closed().await, 4401);
    assert_eq!(kept.ask(json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_ends_subscriptions_that_the_new_token_does_not_allow() {
    let node = Node::start();
    let granted = signer().sign(&TokenClaims::new(user("7")).grant("session:*").role("desk")).unwrap();
    let mut client = Client::open(node.address, "/ws", Some("tickwire.v1.json"), Some(&granted)).await;
    client.next_of("connected").await;
    client.subscribe(json!("session:1")).await;
    client.subscribe(json!("orders")).await;
    client.subscribe(json!("system")).await;
    client.ask(json!({"type": "refresh", "token": token("7")})).await;
    let mut left = [client.next_of("unsubscribed").await, client.next_of("unsubscribed").await];
    left.sort_by_key(|frame| frame["channel"].to_string());
    assert_eq!((&left[0]["channel"], &left[1]["channel"]), (&json!("orders"), &json!("session:1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_its_connections_and_opens_no_new_one() {
    let node = Node::start();
    let revoked = signer().sign(&TokenClaims::new(user("7")).token_id("t1")).unwrap();
    let mut client = Client::open(node.address, "/ws", Some("tickwire.v1.json"), Some(&revoked)).await;
    client.next_of("connected").await;
    let mut other = node.client("7").await;
    let control = Control::RevokeToken { jti: "t1".into(), expires_at_ms: now_ms() + 3_600_000 };
    node.backplane.control(control).await.unwrap();
    assert_eq!(client.closed().await, 4401);
    assert_eq!(other.ask(json!({"type": "ping"})).await["type"], "pong");
    let mut again = Client::open(node.address, "/ws", Some("tickwire.v1.json"), None).await;
    assert_eq!(again.ask(json!({"type": "connect", "token": revoked})).await["code"], "unauthenticated");
    assert_eq!(again.closed().await, 4401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_disconnects_a_user_with_4403() {
    let node = Node::start();
    let mut first = node.client("7").await;
    let mut second = node.client("7").await;
    let mut other = node.client("8").await;
    let control = Control::Disconnect { user: user("7"), reason: "test".into() };
    node.backplane.control(control).await.unwrap();
    assert_eq!((first.closed().await, second.closed().await), (4403, 4403));
    assert_eq!(other.ask(json!({"type": "ping"})).await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_asks_clients_to_leave_and_then_closes_with_1001() {
    let node = Node::start_with(|config| config.edge.drain_ms = 2_000);
    let mut client = node.client("7").await;
    client.subscribe(json!("system")).await;
    node.shutdown.cancel();
    let reconnect = client.next_of("reconnect").await;
    assert_eq!(reconnect["reason"], "draining");
    assert!(reconnect["afterMs"].is_u64());
    node.publish("system", json!({"n": 1})).await;
    assert_eq!(client.next_of("message").await["data"]["n"], 1, "a draining node still delivers");
    assert_eq!(client.closed().await, 1001);
    tokio::time::timeout(PATIENCE, node.ended).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_named() {
    let node = Node::start_with(|config| {
        config.limits.channels_per_connection = 2;
        config.limits.connections_per_user = 2;
        config.limits.commands_per_second = 20;
    });
    let mut client = node.client("7").await;
    client.subscribe(json!("system")).await;
    client.subscribe(json!("room:1")).await;
    let refused = client.ask(json!({"type": "subscribe", "channels": ["room:2"]})).await;
    assert_eq!(refused["code"], "limit_exceeded");
    let _second = node.client("7").await;
    let mut third = Client::open(node.address, "/ws", Some("tickwire.v1.json"), None).await;
    assert_eq!(third.ask(json!({"type": "connect", "token": token("7")})).await["code"], "limit_exceeded");
    assert_eq!(third.closed().await, 4429);
    for _ in 0..200 {
        client.send(json!({"type": "ping"})).await;
    }
    let error = client.next_of("error").await;
    assert_eq!(error["code"], "rate_limited");
    assert!(error["retryAfterMs"].is_u64(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_left_before_its_reply_gets_one_all_the_same() {
    let node = Node::start();
    let mut client = node.client("7").await;
    let on = |id: i64, kind: &str| json!({"id": id, "type": kind, "channels": ["user:7"]});
    // An inbox is read from the store before it is answered.
    client.send(json!([on(1, "subscribe"), on(2, "unsubscribe"), on(3, "subscribe"), on(4, "unsubscribe")])).await;
    for (id, kind) in [(1, "error"), (2, "unsubscribed"), (3, "error"), (4, "unsubscribed")] {
        let reply = client.next().await;
        assert_eq!((&reply["id"], &reply["type"], &reply["channel"]), (&json!(id), &json!(kind), &json!("user:7")));
    }
    client.subscribe(json!("user:7")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn params_beyond_their_bound_are_too_large() {
    let node = Node::start_with(|config| config.limits.params_bytes = 32);
    let mut client = node.client("7").await;
    let entry = |text: &str| json!({"channel": "system", "params": {"symbol": text}});
    let refused = client.ask(json!({"type": "subscribe", "channels": [entry(&"x".repeat(20))]})).await;
    assert_eq!((&refused["code"], &refused["channel"]), (&json!("too_large"), &json!("system")));
    client.subscribe(entry(&"x".repeat(19))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_are_named_and_too_many_close_with_4400() {
    let node = Node::start();
    let mut client = node.client("7").await;
    for frame in [json!({"type": "unknown"}), json!(7), json!({"id": 1})] {
        client.send(frame).await;
        assert_eq!(client.next_of("error").await["code"], "bad_request");
    }
    for _ in 0..20 {
        client.send(json!({"type": "unknown"})).await;
    }
    assert_eq!(client.closed().await, 4400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_reports_what_it_serves() {
    let node = Node::start();
    let mut client = node.client("7").await;
    client.subscribe(json!("system")).await;
    node.until_subscribed("system", 1).await;
    drop(client);
    node.until_subscribed("system", 0).await;
}
