//! History, presence, the listing.

use serde_json::json;
use tickwire_backplane::{Backplane, NodeFigures, NodeReport, PresenceChange};
use tickwire_protocol::{UserId, time::now_ms};

use crate::rig::{Rig, answer, channel, token};

#[tokio::test]
async fn history_gives_messages_in_order_from_a_position() {
    let rig = Rig::start().await;
    for n in 1..=5 {
        rig.say("/v1/publish", &json!({"channel": "room:a/b", "data": n})).await;
    }
    let values = |body: &serde_json::Value| {
        body["messages"].as_array().unwrap().iter().map(|message| message["data"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let all = rig.ask("/v1/channels/room:a%2Fb/history").await;
    assert_eq!((all.status.as_u16(), values(&all.body)), (200, vec![1, 2, 3, 4, 5]));
    assert_eq!((&all.body["channel"], &all.body["complete"]), (&json!("room:a/b"), &json!(true)));
    let since = all.body["messages"][1]["position"].as_str().unwrap();
    let later = rig.ask(&format!("/v1/channels/room:a/b/history?since={since}&limit=2")).await;
    assert_eq!((values(&later.body), &later.body["complete"]), (vec![3, 4], &json!(false)));
    let newest = rig.ask("/v1/channels/room:a/b/history?reverse=true&limit=1").await;
    assert_eq!(values(&newest.body), [5]);
    let lost = rig.ask("/v1/channels/room:a/b/history?since=5-5").await;
    assert_eq!(lost.code(), "unrecoverable_position", "a position of another epoch is not a beginning");
    let packed = answer(rig.get("/v1/channels/room:a/b/history").header("accept", "application/msgpack")).await;
    assert_eq!(packed.headers["content-type"], "application/msgpack");
    assert_eq!(packed.body, all.body);
}

#[tokio::test]
async fn a_bad_reading_is_refused() {
    let rig = Rig::start().await;
    for (path, status, code) in [
        ("/v1/channels/nowhere:1/history", 404, "unknown_channel"),
        ("/v1/channels/public:x/history", 400, "bad_request"),
        ("/v1/channels/orders/presence", 400, "bad_request"),
        ("/v1/channels/room:1/history?since=x", 400, "bad_request"),
        ("/v1/channels/room:1/history?limit=100000", 400, "bad_request"),
        ("/v1/channels/room:1/history?limit=-1", 400, "bad_request"),
        ("/v1/channels/room:1/history?colour=red", 400, "bad_request"),
        ("/v1/channels/room%201/history", 400, "bad_request"),
        ("/v1/channels/room%FF/history", 400, "bad_request"),
        ("/v1/channels/room:1/weather", 404, "bad_request"),
        ("/v1/channels?limit=5000", 400, "bad_request"),
    ] {
        let answer = rig.ask(path).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}");
    }
}

#[tokio::test]
async fn presence_lists_who_is_there() {
    let rig = Rig::start().await;
    let joined = |user| PresenceChange { channel: channel("room:1"), user: UserId::new(user).unwrap(), joined: true };
    rig.backplane.presence_change("edge", &[joined("7"), joined("8")]).await.unwrap();
    let presence = rig.ask("/v1/channels/room:1/presence").await;
    assert_eq!((&presence.body["users"], &presence.body["count"]), (&json!(["7", "8"]), &json!(2)));
}

#[tokio::test]
async fn the_listing_adds_up_what_nodes_report() {
    let rig = Rig::start().await;
    for (node, rooms) in [("a", 2), ("b", 3)] {
        let subscriptions = vec![(channel("room:1"), rooms), (channel("room:2"), 1), (channel("system"), 9)];
        let report = NodeReport { node: node.into(), connections: 9, subscriptions, time_ms: now_ms(), figures: None };
        rig.backplane.report(report).await.unwrap();
    }
    let rooms = rig.ask("/v1/channels?prefix=room:").await;
    assert_eq!(rooms.body["count"], 2);
    assert_eq!(
        rooms.body["channels"],
        json!([{"channel": "room:1", "subscribers": 5}, {"channel": "room:2", "subscribers": 2}])
    );
    let first = rig.ask("/v1/channels?limit=1").await;
    assert_eq!((&first.body["channels"][0]["channel"], &first.body["count"]), (&json!("system"), &json!(3)));
}

#[tokio::test]
async fn operators_see_the_nodes_and_what_they_hold() {
    let rig = Rig::start().await;
    for (node, rooms) in [("b", 3), ("a", 2)] {
        let subscriptions = vec![(channel("room:1"), rooms), (channel("system"), 9)];
        let figures = (node == "a").then(|| NodeFigures { messages_out: 7, ..NodeFigures::default() });
        let report = NodeReport { node: node.into(), connections: 9, subscriptions, time_ms: now_ms(), figures };
        rig.backplane.report(report).await.unwrap();
    }
    let ask = async |roles: &[&str]| {
        answer(rig.client.get(format!("http://{}/v1/nodes", rig.address)).bearer_auth(token(roles))).await
    };
    assert_eq!(ask(&["desk"]).await.status, 403);
    let seen = ask(&["operator"]).await.body;
    assert_eq!(seen["healthy"], true);
    for (index, (node, subscriptions)) in [("a", 11), ("b", 12)].into_iter().enumerate() {
        let entry = &seen["nodes"][index];
        assert_eq!((&entry["node"], &entry["subscriptions"]), (&json!(node), &json!(subscriptions)), "{seen}");
        assert_eq!((&entry["connections"], &entry["channels"]), (&json!(9), &json!(2)), "{seen}");
        assert!(entry["time"].as_u64().is_some_and(|time| time <= now_ms()), "{seen}");
    }
    assert_eq!(seen["nodes"][0]["figures"]["messagesOut"], 7);
    assert_eq!(seen["nodes"][1].get("figures"), None, "nothing is made up for a node that does not say");
}
